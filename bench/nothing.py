"""Answers every request at once with 201, writes a frame to ten sockets, and does nothing else.

What the load generator can do against this is what it can do at all.
"""

import asyncio

from bench import serving
from bench.floor import typical_frame
from campana.server.websocket import text_frame

CREATED = (
    b"HTTP/1.1 201 Created\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
    b"x-amzn-requestid: 00000000-0000-4000-8000-000000000000\r\ncontent-type: application/json\r\n"
    b"content-length: 240\r\n\r\n" + b" " * 240
)
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"
FRAME = text_frame(typical_frame())


LIVE: set[asyncio.Transport] = set()


class Nothing(asyncio.Protocol):
    """A connection: requests come in one piece each, since a client sends the next one after the answer."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"GET"):
            self._transport.write(SWITCHING + FRAME)
            LIVE.add(self._transport)
        else:
            self._transport.write(CREATED)
            for transport in LIVE:
                transport.write(FRAME)

    def connection_lost(self, exc: Exception | None) -> None:
        LIVE.discard(self._transport)


async def start(ending: asyncio.Event) -> int:
    return await serving.listen(Nothing)


if __name__ == "__main__":
    serving.run(start)
