"""Synapse with its PostgreSQL: senders that PUT events, live sessions that wait in /sync."""

import asyncio
import hashlib
import hmac
import json
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httptools
import msgspec

from bench.client import ANSWER_TIMEOUT_S, Failed, connect
from bench.peers import programs
from bench.peers.load import EARS, Ear, Kind, Load, Room, content
from bench.peers.programs import Missing, Postgres

OK = 200
SECRET = "bench"
POLL_MS = 30_000
FILTER = {
    "presence": {"types": []},
    "account_data": {"types": []},
    "room": {
        "timeline": {"limit": 1000},
        "ephemeral": {"types": []},
        "account_data": {"types": []},
        "state": {"lazy_load_members": True},
    },
}
UNLIMITED = {"per_second": 1_000_000, "burst_count": 1_000_000}


def home() -> Path:
    """The virtual environment that it is installed in, outside of the source tree."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "campana-bench" / "synapse"


class Client(asyncio.Protocol):
    """A keep-alive connection with one request under way."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._body = b""
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None

    @classmethod
    async def connected(cls, port: int) -> "Client":
        """To the server."""
        client = cls()
        await connect(client, port)
        return client

    async def exchange(self, request: bytes) -> tuple[int, bytes]:
        """Status and body of the answer."""
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._answer

    async def call(self, method: str, path: str, fields: object = None, token: str | None = None) -> Any:
        """The decoded answer; raises `Failed` unless it is one of success."""
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            status, answer = await self.exchange(request(method, path, fields, token))
        if status != OK:
            raise Failed(f"Synapse answered {method} {path} with {status}: {answer[:300].decode(errors='replace')}")
        return msgspec.json.decode(answer)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._body = b""

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result((self._parser.get_status_code(), self._body))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result((0, b"connection lost"))


class EventLine:
    """A sender's connection."""

    def __init__(self, client: Client, load: Load) -> None:
        self._client = client
        self._load = load
        self._sending: asyncio.Task[None] | None = None

    def send(self, message: bytes) -> None:
        self._sending = asyncio.create_task(self._send(message))

    def close(self) -> None:
        self._client.transport.abort()

    async def _send(self, message: bytes) -> None:
        status, answer = await self._client.exchange(message)
        if status == OK:
            self._load.accepted(self)
        else:
            self._load.fail(Failed(f"Synapse answered {status}: {answer[:300].decode(errors='replace')}"))


class Synapse:
    """A room of two users, who both listen and send."""

    first_heard_is_accepted = False
    rendered_per_second = 1_000

    def __init__(self, version: str, pid: int, port: int, archived: Callable[[], int]) -> None:
        self.name = f"Synapse {version}"
        self.pid = pid
        self.archived = archived
        self.rooms = {Kind.PLAIN: Room()}
        self._port = port
        self._room_id = ""
        self._tokens: list[str] = []
        self._polls: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Users, room and live sessions."""
        client = await Client.connected(self._port)
        for number in range(EARS):
            self._tokens.append(await _registered(client, f"user-{number}"))
        made = await client.call("POST", "/createRoom", {"preset": "public_chat"}, self._tokens[0])
        self._room_id = made["room_id"]
        for token in self._tokens[1:]:
            await client.call("POST", f"/join/{quote(self._room_id)}", {}, token)
        client.transport.close()
        for token in self._tokens:
            poller = await Client.connected(self._port)
            since = (await poller.call("GET", _sync_path(None, 0), None, token))["next_batch"]
            ear = Ear(self.rooms[Kind.PLAIN])
            self._polls.append(asyncio.create_task(self._poll(poller, token, since, ear)))

    def rendered(self, kind: Kind, numbers: Sequence[int]) -> list[bytes]:
        """Requests of the users in turn."""
        tokens = cycle(self._tokens)
        path = f"/rooms/{quote(self._room_id)}/send/m.room.message/"
        return [
            request("PUT", f"{path}{number}", {"msgtype": "m.text", "body": content(number)}, next(tokens))
            for number in numbers
        ]

    async def lines(self, kind: Kind, senders: int, load: Load) -> Sequence[EventLine]:
        """Connections."""
        if any(poll.done() for poll in self._polls):
            raise Failed("A live session of Synapse's has ended.")
        return [EventLine(await Client.connected(self._port), load) for _ in range(senders)]

    async def close(self) -> None:
        """End the live sessions."""
        for poll in self._polls:
            poll.cancel()
        await asyncio.gather(*self._polls, return_exceptions=True)

    async def _poll(self, client: Client, token: str, since: str, ear: Ear) -> None:
        while True:
            status, answer = await client.exchange(request("GET", _sync_path(since, POLL_MS), None, token))
            if status != OK:
                if (load := self.rooms[Kind.PLAIN].load) is not None:
                    load.fail(Failed(f"Synapse answered /sync with {status}: {answer[:300].decode(errors='replace')}"))
                return
            ear.take(answer)
            since = msgspec.json.decode(answer)["next_batch"]


def request(method: str, path: str, fields: object, token: str | None) -> bytes:
    """A whole request to the client-server API."""
    body = b"" if fields is None else msgspec.json.encode(fields)
    if not path.startswith("/_"):
        path = f"/_matrix/client/v3{path}"
    authorization = f"Authorization: Bearer {token}\r\n" if token else ""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{authorization}Content-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def _sync_path(since: str | None, timeout_ms: int) -> str:
    after = f"&since={since}" if since else ""
    return f"/sync?timeout={timeout_ms}&set_presence=offline&filter={quote(json.dumps(FILTER))}{after}"


async def _registered(client: Client, user: str) -> str:
    path = "/_synapse/admin/v1/register"
    nonce = (await client.call("GET", path))["nonce"]
    signed = "\0".join((nonce, user, "password", "notadmin")).encode()
    mac = hmac.new(SECRET.encode(), signed, hashlib.sha1).hexdigest()
    fields = {"nonce": nonce, "username": user, "password": "password", "admin": False, "mac": mac}
    token: str = (await client.call("POST", path, fields))["access_token"]
    return token


@contextmanager
def running(folder: Path, postgres: Postgres) -> Iterator[Synapse]:
    """A private homeserver. Raises `Missing`."""
    python = home() / "bin" / "python"
    if not python.exists():
        raise Missing(f"Synapse (python -m bench.peers.install puts matrix-synapse into {home()})")
    folder.mkdir()
    ask = "from importlib.metadata import version; print(version('matrix-synapse'))"
    version = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True)
    name = postgres.created("synapse")
    port = programs.free_port()
    database = {
        "name": "psycopg2",
        "args": {
            "user": "bench",
            "host": "127.0.0.1",
            "port": postgres.port,
            "dbname": name,
            "cp_min": 5,
            "cp_max": 10,
        },
    }
    config = {
        "server_name": "localhost",
        "pid_file": str(folder / "pid"),
        "listeners": [
            {
                "port": port,
                "type": "http",
                "tls": False,
                "bind_addresses": ["127.0.0.1"],
                "resources": [{"names": ["client"], "compress": False}],
            }
        ],
        "database": database,
        "log_config": str(folder / "log.yaml"),
        "media_store_path": str(folder / "media"),
        "signing_key_path": str(folder / "signing.key"),
        "macaroon_secret_key": SECRET,
        "registration_shared_secret": SECRET,
        "report_stats": False,
        "trusted_key_servers": [],
        "presence": {"enabled": False},
        "bcrypt_rounds": 4,
        "caches": {"global_factor": 2.0},
        "rc_message": UNLIMITED,
        "rc_registration": UNLIMITED,
        "rc_login": {"address": UNLIMITED, "account": UNLIMITED, "failed_attempts": UNLIMITED},
        "rc_joins": {"local": UNLIMITED, "remote": UNLIMITED},
        "rc_joins_per_room": UNLIMITED,
        "rc_room_creation": UNLIMITED,
    }
    (folder / "log.yaml").write_text(
        '{"version": 1, "handlers": {"console": {"class": "logging.StreamHandler"}},'
        ' "root": {"level": "WARNING", "handlers": ["console"]}, "disable_existing_loggers": false}'
    )
    (folder / "homeserver.yaml").write_text(json.dumps(config))  # JSON is YAML
    words = [str(python), "-m", "synapse.app.homeserver", "--config-path", str(folder / "homeserver.yaml")]
    made = subprocess.run([*words, "--generate-keys"], cwd=folder, capture_output=True, text=True)
    if made.returncode != 0:
        raise Failed(f"Synapse can't make its key:\n{made.stderr[-2000:]}")
    with programs.running("synapse", words, folder, ready=lambda: programs.listens(port)) as pid:
        archived = "SELECT count(*) FROM events WHERE type = 'm.room.message'"
        yield Synapse(version.stdout.strip(), pid, port, lambda: int(postgres.sql(name, "-c", archived)))
