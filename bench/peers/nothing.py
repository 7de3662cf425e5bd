"""What the load generator can do at all: a server that takes every message at once and sends it to two sockets.

The module is both the server, a process of its own, and the contender that stands for it.
"""

import asyncio
from collections.abc import Sequence

from bench import serving
from bench.client import Audience, connect
from bench.nothing import CREATED, FRAME, SWITCHING
from bench.peers.campana import CREATED as STATUS
from bench.peers.campana import LiveSession
from bench.peers.load import EARS, HttpLine, Kind, Load, Room, content
from bench.servers import Process
from campana.server.websocket import text_frame

TEXT = 700
"""Bytes around a message's content, as a frame of Campana's has them."""


class Nothing(asyncio.Protocol):
    """A connection of any protocol: what is sent comes in one piece, since a client waits before it sends the next."""

    def __init__(self, live: set[asyncio.Transport]) -> None:
        self._live = live

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"GET"):
            self._transport.write(SWITCHING + FRAME)
            self._live.add(self._transport)
        elif data.startswith(b"POST"):
            self._transport.write(CREATED)
            frame = text_frame((data[data.index(b"\r\n\r\n") :] + bytes(TEXT)).decode())
            for transport in self._live:
                transport.write(frame)

    def connection_lost(self, exc: Exception | None) -> None:
        self._live.discard(self._transport)


class OverHttp:
    """Requests of the size that Campana gets, without the cost of signing them anew."""

    name = "nothing, over HTTP"
    first_heard_is_accepted = False
    rendered_per_second = 30_000

    def __init__(self, server: Process) -> None:
        self.rooms = {Kind.PLAIN: Room()}
        self.pid = server.pid
        self._port = server.port
        self._audience = Audience()
        self._head = server.signer().request("POST", "/channels/x/messages", b"", bearer="x" * 150)

    async def open(self) -> None:
        """Two live sessions."""
        for _ in range(EARS):
            session = LiveSession(self._audience, b"GET / HTTP/1.1\r\n\r\n", self.rooms[Kind.PLAIN])
            await connect(session, self._port)
            self._audience.listeners.append(session)
        await self._audience.heard(1)

    def rendered(self, kind: Kind, numbers: Sequence[int]) -> list[bytes]:
        """Requests."""
        return [self._head + content(number).encode() for number in numbers]

    async def lines(self, kind: Kind, senders: int, load: Load) -> Sequence[HttpLine]:
        """Connections."""
        return [await HttpLine.connected(self._port, load, STATUS) for _ in range(senders)]

    async def close(self) -> None:
        """End the live sessions."""
        await self._audience.close()

    def archived(self) -> int | None:
        """Nothing."""
        return None


async def start(ending: asyncio.Event) -> int:
    live: set[asyncio.Transport] = set()
    return await serving.listen(lambda: Nothing(live))


if __name__ == "__main__":
    serving.run(start)
