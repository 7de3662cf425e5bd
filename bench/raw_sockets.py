"""The floor of a fan-out: sockets that write the bytes handed to them to all others.

A connection that sends something is the trigger: four bytes of length, then the bytes to write.
"""

import asyncio

from bench import serving

GREETING = b"\x81\x00"
LIVE: set[asyncio.Transport] = set()


class Raw(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._received = b""
        LIVE.add(transport)
        transport.write(GREETING)

    def data_received(self, data: bytes) -> None:
        LIVE.discard(self._transport)
        self._received += data
        length = int.from_bytes(self._received[:4])
        if len(self._received) == 4 + length:
            frame, self._received = self._received[4:], b""
            for transport in LIVE:
                transport.write(frame)

    def connection_lost(self, exc: Exception | None) -> None:
        LIVE.discard(self._transport)


async def start(ending: asyncio.Event) -> int:
    return await serving.listen(Raw)


if __name__ == "__main__":
    serving.run(start)
