"""A front that runs, with a handler that remembers, and a peer that says exactly the bytes it is told to."""

import asyncio
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from campana.clock import Ids
from campana.server import listener, websocket
from campana.server.connection import Bounds
from campana.server.cors import Cors
from campana.server.front import Front
from campana.server.listener import HttpListener
from campana.server.websocket import Socket, SocketBounds, Sockets
from campana.wire.http import HttpRequest, HttpResponse

HANG_S = 30  # a test that takes longer hangs
NOON = 1_772_625_600_000  # 2026-03-04T12:00:00Z
JSON = ((b"content-type", b"application/json"),)
KEY = b"sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
UPGRADE = b"host: h\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\n"
HANDSHAKE = b"GET /connect?a=%2F HTTP/1.1\r\n" + UPGRADE + b"sec-websocket-version: 13\r\n" + KEY + b"\r\n"


class Noon:
    """A clock that stands still."""

    def now(self) -> int:
        return NOON

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@dataclass
class World:
    """What the front hands on, and what decides its answers."""

    requests: list[tuple[HttpRequest, str]] = field(default_factory=list)
    sockets_seen: asyncio.Queue[tuple[Socket, HttpRequest]] = field(default_factory=asyncio.Queue)
    ready: bool = True
    answer: Callable[[HttpRequest], Awaitable[HttpResponse]] | None = None
    judge: Callable[[Socket, HttpRequest], Awaitable[None]] | None = None
    front: HttpListener = field(init=False)
    sockets: Sockets = field(init=False)

    @property
    def port(self) -> int:
        return self.front.port

    async def handle(self, request: HttpRequest, request_id: str) -> HttpResponse:
        self.requests.append((request, request_id))
        if self.answer is not None:
            return await self.answer(request)
        return HttpResponse(200, JSON, b"{}")

    async def on_connect(self, socket: Socket, request: HttpRequest) -> None:
        if self.judge is not None:
            await self.judge(socket, request)
        self.sockets_seen.put_nowait((socket, request))

    async def say(self, data: bytes, *, end: bool = False) -> bytes:
        """All that comes back for these bytes until the server ends the connection."""
        peer = await self.peer()
        peer.writer.write(data)
        if end:
            peer.writer.write_eof()
        answer = await peer.reader.read()
        peer.writer.close()
        return answer

    async def peer(self) -> "Peer":
        return Peer(*await asyncio.open_connection("127.0.0.1", self.port))

    async def web_socket(self) -> tuple["Peer", Socket]:
        """A raw peer with its handshake done, and the server's end."""
        peer = await self.peer()
        peer.writer.write(HANDSHAKE)
        assert status(await peer.reader.readuntil(b"\r\n\r\n")) == 101
        socket, _ = await self.sockets_seen.get()
        return peer, socket


@dataclass
class Peer:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def frame(self) -> tuple[int, bytes]:
        """Opcode and payload of the next frame from the server."""
        first, length = await self.reader.readexactly(2)
        assert first & 0x80, "the server does not fragment"
        assert not length & 0x80, "the server does not mask"
        if length == 126:
            (length,) = struct.unpack("!H", await self.reader.readexactly(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", await self.reader.readexactly(8))
        return first & 0x0F, await self.reader.readexactly(length)

    async def close_code(self) -> int:
        """The code of the close frame, which must be what comes next but for pings."""
        opcode, data = await self.frame()
        while opcode == PING:
            opcode, data = await self.frame()
        assert opcode == CLOSE
        return int(struct.unpack("!H", data[:2])[0])


TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


def masked(first: int, data: bytes = b"", *, length: bytes | None = None) -> bytes:
    """A client's frame with its first byte, masked with zeros, so that the payload can be read."""
    return bytes((first,)) + (length or bytes((0x80 | len(data),))) + b"\0\0\0\0" + data


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def headers(answer: bytes) -> dict[str, str]:
    lines = answer.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
    return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


def body(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[2]


@asynccontextmanager
async def running(
    *,
    bounds: Bounds = listener.DEFAULT_BOUNDS,
    socket_bounds: SocketBounds = websocket.DEFAULT_BOUNDS,
    origins: Collection[str] = ("*",),
    tls: ssl.SSLContext | None = None,
    keep_alive_s: float = 75,
    host: str = "127.0.0.1",
) -> AsyncIterator[World]:
    world = World()
    world.sockets = Sockets(world.on_connect, origins=origins, bounds=socket_bounds)
    app = Front(world.handle, ids=Ids(seed=1), cors=Cors(origins), ready=lambda: world.ready)
    world.front = HttpListener(
        app, world.sockets, clock=Noon(), host=host, tls=tls, keep_alive_s=keep_alive_s, bounds=bounds
    )
    async with asyncio.timeout(HANG_S):
        await world.front.start()
        try:
            yield world
        finally:
            await world.front.stop(0)
            await world.sockets.close_all()
