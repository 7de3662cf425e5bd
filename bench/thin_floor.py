"""The floor on a thin protocol: what a durable send costs where nothing is guarded.

Nothing of Campana's server and store: a bare protocol over httptools, without limits, time-outs, pipelining or
refusals (whatever is not a signed send ends its connection); the signature verified, the body decoded; one INSERT,
committed on the event loop together with those of the same turn; 201; one frame, rendered before, to every socket.
"""

import asyncio
import os
import sqlite3
import sys
import threading
from pathlib import Path
from urllib.parse import unquote

import httptools
import msgspec

from bench import serving
from bench.floor import SENT, typical_frame
from bench.nothing import SWITCHING
from campana.api.base import encode_rest
from campana.api.messaging import SendChannelMessageRequest, SendChannelMessageResponse
from campana.auth import sigv4
from campana.clock import Ids, SystemClock
from campana.server import interpreter
from campana.server.websocket import text_frame

CREATED = b"HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
CHECKPOINT_EVERY = 2_000  # messages

Row = tuple[str, str, str]
"""A message's id, its channel and its content."""


class Messages:
    """The table, and those who wait for their row's being on disk."""

    def __init__(self, file: Path) -> None:
        self._connection = _connected(file)
        self._connection.execute("CREATE TABLE messages (id TEXT PRIMARY KEY, channel TEXT, content TEXT)")
        self._waiting: list[tuple[Row, Protocol]] = []
        self._uncounted = 0
        self._checkpoint_wanted = threading.Event()
        threading.Thread(target=self._checkpoint_loop, args=[file], daemon=True).start()

    def add(self, row: Row, sender: "Protocol") -> None:
        """Answered when it is on disk."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._commit)
        self._waiting.append((row, sender))

    def _commit(self) -> None:
        batch, self._waiting = self._waiting, []
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany("INSERT INTO messages VALUES (?, ?, ?)", [row for row, _ in batch])
        self._connection.execute("COMMIT")
        for row, sender in batch:
            sender.committed(row)
        self._uncounted += len(batch)
        if self._uncounted >= CHECKPOINT_EVERY:
            self._uncounted = 0
            self._checkpoint_wanted.set()

    def _checkpoint_loop(self, file: Path) -> None:
        connection = _connected(file)
        while self._checkpoint_wanted.wait():
            self._checkpoint_wanted.clear()
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")


def _connected(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    return connection


class Protocol(asyncio.Protocol):
    """One connection, of a sender or a live session."""

    transport: asyncio.Transport

    def __init__(self, floor: "ThinFloor") -> None:
        self._floor = floor
        self._parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.transport.write(SWITCHING + self._floor.frame)
            self._floor.live.add(self.transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._floor.live.discard(self.transport)

    def on_message_begin(self) -> None:
        self._path = ""
        self._headers: dict[str, str] = {}
        self._body = b""

    def on_url(self, url: bytes) -> None:
        self._path += url.decode("latin-1")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        if not self._parser.should_upgrade():
            self._floor.send(self, self._path, self._headers, self._body)

    def committed(self, row: Row) -> None:
        """Answer, and tell the live ones."""
        message_id, channel_arn, _ = row
        answer = encode_rest(SendChannelMessageResponse(channel_arn=channel_arn, message_id=message_id, status=SENT))
        self.transport.write(CREATED % (len(answer), answer))
        for transport in self._floor.live:
            transport.write(self._floor.frame)


class ThinFloor:
    """What the connections share."""

    def __init__(self, folder: Path, secret: str) -> None:
        self._secret = secret
        self._messages = Messages(folder / "thin_floor.db")
        self._clock, self._ids = SystemClock(), Ids()
        self._decoder = msgspec.json.Decoder(dict[str, object])
        self.live: set[asyncio.Transport] = set()
        self.frame = text_frame(typical_frame())

    def send(self, sender: Protocol, path: str, headers: dict[str, str], body: bytes) -> None:
        """One send; raises BadSignature, or msgspec's ValidationError."""
        now = self._clock.now()
        sigv4.verify(
            sigv4.claims("POST", path, "", headers),
            secret=self._secret,
            method="POST",
            raw_path=path,
            raw_query="",
            headers=headers,
            body=body,
            now=now,
        )
        members = self._decoder.decode(body)
        members["ChannelArn"] = unquote(path.split("/")[2])
        members["ChimeBearer"] = headers["x-amz-chime-bearer"]
        request = msgspec.convert(members, SendChannelMessageRequest)
        self._messages.add((self._ids.message(now), request.channel_arn, request.content), sender)


def main(folder: Path) -> None:
    """Serve until SIGTERM."""
    floor = ThinFloor(folder, os.environ["CAMPANA_ROOT_SECRET_ACCESS_KEY"])

    async def start(ending: asyncio.Event) -> int:
        port = await serving.listen(lambda: Protocol(floor))
        interpreter.tune()
        return port

    serving.run(start)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
