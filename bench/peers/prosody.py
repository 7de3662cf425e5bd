"""Prosody: its multi-user chat with muc_mam in PostgreSQL."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.peers import programs
from bench.peers.load import Kind
from bench.peers.programs import Missing, Postgres
from bench.peers.xmpp import HOST, SERVICE, MultiUserChat

CONFIG = """
run_as_root = true
pidfile = "{folder}/prosody.pid"
data_path = "{folder}"
log = {{ warn = "*console" }}
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {port} }}
c2s_direct_tls_ports = {{ }}
s2s_ports = {{ }}
modules_enabled = {{ "saslauth" }}
modules_disabled = {{ "s2s", "offline", "limits", "tls", "posix" }}
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
network_settings = {{ nagle = false }}
storage = {{ muc_log = "sql" }}
sql = {{
  driver = "PostgreSQL", host = "127.0.0.1", port = {sql_port}, database = "{database}",
  username = "bench", password = ""
}}

VirtualHost "{host}"
  authentication = "anonymous"
  allow_anonymous_s2s = false

Component "{service}" "muc"
  modules_enabled = {{ "muc_mam" }}
  muc_log_by_default = true
  muc_log_expires_after = "never"
  muc_room_locking = false
  muc_room_default_history_length = 0
  max_history_messages = 0
"""


@contextmanager
def running(folder: Path, postgres: Postgres) -> Iterator[MultiUserChat]:
    """A private server. Raises `Missing`."""
    program = shutil.which("prosody")
    if program is None:
        raise Missing("Prosody (Debian: apt-get install prosody lua-dbi-postgresql)")
    folder.mkdir()
    port = programs.free_port()
    config = folder / "prosody.cfg.lua"
    database = postgres.created("prosody")
    config.write_text(
        CONFIG.format(folder=folder, host=HOST, service=SERVICE, port=port, sql_port=postgres.port, database=database)
    )
    with programs.running(
        "prosody", [program, "-F", "--config", str(config)], folder, ready=lambda: programs.listens(port)
    ) as pid:
        archived = "SELECT count(*) FROM prosodyarchive WHERE store = 'muc_log' AND \"with\" = 'message<groupchat'"
        yield MultiUserChat(
            f"Prosody {programs.debian_version('prosody')}",
            pid,
            port,
            [Kind.PLAIN],
            lambda: int(postgres.sql(database, "-c", archived)),
            senders=0,
        )
