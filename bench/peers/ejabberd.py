"""ejabberd: mod_muc with mod_mam in PostgreSQL, and a module of ours for the processors."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import servers
from bench.client import Failed
from bench.peers import programs
from bench.peers.load import Kind
from bench.peers.programs import Missing, Postgres
from bench.peers.xmpp import HOST, SERVICE, MultiUserChat
from bench.signing import Key

SENDERS = 32
MODULE = Path(__file__).with_name("mod_bench_processor.erl")
ERLANG = Path("/usr/lib/erlang/lib")
LIBRARIES = Path("/usr/lib/x86_64-linux-gnu")
SCHEMA = Path("/usr/share/ejabberd/sql/pg.sql")
CONFIG = """
hosts: ["{host}"]
loglevel: warning
# Anonymous users: nothing of logging in is on a message's way.
auth_method: anonymous
anonymous_protocol: sasl_anon
allow_multiple_connections: true
sql_type: pgsql
sql_server: "127.0.0.1"
sql_port: {sql_port}
sql_database: {database}
sql_username: bench
sql_password: ""
sql_pool_size: 10
sql_prepared_statements: true
max_fsm_queue: 100000
shaper: {{}}
listen:
  - {{port: {port}, ip: "127.0.0.1", module: ejabberd_c2s, starttls: false, shaper: none}}
modules:
  mod_muc:
    host: "{service}"
    access: all
    access_create: all
    # Those who don't enter may speak: senders that don't listen, as elsewhere in the comparison.
    access_admin: all
    history_size: 0
    min_message_interval: 0
    user_message_shaper: none
    room_shaper: none
    max_users: 1000
    default_room_options: {{mam: true, anonymous: true, moderated: false, persistent: false, logging: false}}
  mod_mam:
    db_type: sql
    default: never
    compress_xml: false
  mod_bench_processor: {{}}
"""


@contextmanager
def running(folder: Path, key: Key, postgres: Postgres) -> Iterator[MultiUserChat]:
    """A private node, and a processor for it. Raises `Missing`."""
    ebin = next(LIBRARIES.glob("ejabberd-*/ebin"), None)
    stanzas = next((place for root in (ERLANG, LIBRARIES) for place in root.glob("*xmpp-*/include/xmpp.hrl")), None)
    if ebin is None or stanzas is None or shutil.which("erlc") is None:
        raise Missing("ejabberd (Debian: apt-get install ejabberd erlang-p1-pgsql erlang-dev)")
    folder.mkdir()
    with servers.own("processor", folder.with_name(f"{folder.name}-processor"), key, core=1) as processor:
        environment = {
            "ERL_LIBS": str(LIBRARIES),
            "EJABBERD_CONFIG_PATH": str(folder / "ejabberd.yml"),
            "EJABBERD_LOG_PATH": str(folder / "ejabberd.log"),
            "BENCH_PROCESSOR": f"http://127.0.0.1:{processor.port}/hook",
            "HOME": str(folder),
        }
        compiled = subprocess.run(
            ["erlc", "-o", str(folder), "-pa", str(ebin), "-I", str(stanzas.parent), str(MODULE)],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
        )
        if compiled.returncode != 0:
            raise Failed(f"{MODULE.name} can't be compiled:\n{compiled.stdout}{compiled.stderr}")
        database = postgres.created("ejabberd")
        postgres.sql(database, "-f", str(SCHEMA))
        port = programs.free_port()
        (folder / "ejabberd.yml").write_text(
            CONFIG.format(host=HOST, service=SERVICE, port=port, sql_port=postgres.port, database=database)
        )
        words = [
            # +sbwt: schedulers that wait don't spin on the core that the database needs.
            *("erl", "+K", "true", "+P", "250000", "+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none"),
            # Its PostgreSQL driver leaves Nagle's algorithm on, which costs 40 ms a message once delayed ACKs set in.
            *("-kernel", "inet_default_connect_options", "[{nodelay,true}]"),
            *("-noinput", "-pa", str(folder), "-mnesia", "dir", f'"{folder}/mnesia"', "-s", "ejabberd"),
        ]
        with programs.running(
            "ejabberd", words, folder, ready=lambda: programs.listens(port), environment=environment
        ) as pid:
            archived = "SELECT count(*) FROM archive"
            yield MultiUserChat(
                f"ejabberd {programs.debian_version('ejabberd')}",
                pid,
                port,
                [*Kind],
                lambda: int(postgres.sql(database, "-c", archived)),
                senders=SENDERS,
            )
