"""The load generator's connections: HTTP with one request under way, and sockets that count the frames they hear.

They parse no more than they must, so that one core of them is more than a match for one core of the server.
"""

import asyncio
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any

import msgspec

from bench.signing import Signer

ANSWER_TIMEOUT_S = 20
_CONTENT_LENGTH = b"content-length: "
_TEXT, _CLOSE, _PING = 1, 8, 9
_PONG = b"\x8a\x80\x00\x00\x00\x00"


class Failed(Exception):
    """The run is worth nothing: an answer or a frame is not what it must be."""


async def connect(protocol: asyncio.Protocol, port: int) -> None:
    """To a server of this machine."""
    await asyncio.get_running_loop().create_connection(lambda: protocol, "127.0.0.1", port)


class HttpConnection(asyncio.Protocol):
    """Keep-alive, one request under way. `on_answer` gets the connection, the status and the body."""

    __slots__ = ("_on_answer", "_rest", "sent_at", "transport")
    transport: asyncio.Transport

    def __init__(self, on_answer: Callable[["HttpConnection", int, bytes], None]) -> None:
        self._on_answer = on_answer
        self._rest = b""
        self.sent_at = 0.0  # perf_counter, in seconds

    def send(self, request: bytes) -> None:
        """Write a whole request; the one before must be answered."""
        self.sent_at = perf_counter()
        self.transport.write(request)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data, self._rest = self._rest + data, b""
        head_end = data.find(b"\r\n\r\n")
        if head_end < 0:
            self._rest = data
            return
        length = 0
        if (at := data.find(_CONTENT_LENGTH, 0, head_end)) >= 0:
            at += len(_CONTENT_LENGTH)
            length = int(data[at : data.find(b"\r", at)])
        body = head_end + 4
        if len(data) < body + length:
            self._rest = data
            return
        self._on_answer(self, int(data[9:12]), data[body:])

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_answer(self, 0, b"connection lost")


class Api:
    """Calls of the API, one after another, for what a measurement needs beforehand."""

    def __init__(self, signer: Signer) -> None:
        self.signer = signer
        self.sent_at = self.answered_at = 0.0  # perf_counter, of the last exchange
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._connection = HttpConnection(self._on_answer)

    @classmethod
    async def connect(cls, port: int, signer: Signer) -> "Api":
        """On a connection of its own."""
        api = cls(signer)
        await connect(api._connection, port)
        return api

    async def call(
        self,
        method: str,
        path: str,
        fields: dict[str, Any] | None = None,
        *,
        query: str = "",
        bearer: str | None = None,
    ) -> Any:
        """The decoded answer; raises `Failed` unless it is one of success."""
        body = b"" if fields is None else msgspec.json.encode(fields)
        status, answer = await self.exchange(self.signer.request(method, path, body, query=query, bearer=bearer))
        if not 200 <= status < 300:
            raise Failed(f"{method} {path} was answered {status}: {answer[:300].decode(errors='replace')}")
        return msgspec.json.decode(answer) if answer else None

    async def exchange(self, request: bytes) -> tuple[int, bytes]:
        """Status and body of the answer to a request made elsewhere."""
        self._answer = asyncio.get_running_loop().create_future()
        self._connection.send(request)
        self.sent_at = self._connection.sent_at
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            return await self._answer

    def close(self) -> None:
        """End the connection."""
        self._connection.transport.close()

    def _on_answer(self, connection: HttpConnection, status: int, body: bytes) -> None:
        self.answered_at = perf_counter()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result((status, body))


class Listener(asyncio.Protocol):
    """A socket that counts whole text frames, after an HTTP handshake if it is given one."""

    __slots__ = ("_audience", "_handshake", "_rest", "chunks", "count", "lost", "transport")
    transport: asyncio.Transport

    def __init__(self, audience: "Audience", handshake: bytes) -> None:
        self._audience = audience
        self._handshake = handshake
        self._rest = b""
        self.count = 0
        self.chunks: list[bytes] = []  # what was heard, if the audience wants it kept
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        if self._handshake:
            transport.write(self._handshake)

    def data_received(self, data: bytes) -> None:
        if self._audience.keeps:
            self.chunks.append(data)
        if self._rest:
            data, self._rest = self._rest + data, b""
        at, size = 0, len(data)
        if self._handshake:
            at = data.find(b"\r\n\r\n") + 4
            if at < 4:
                self._rest = data
                return
            if not data.startswith(b"HTTP/1.1 101 "):
                self._audience.fail(Failed(f"A handshake was answered {data[9:12].decode(errors='replace')}."))
            self._handshake = b""
        while size - at >= 2:
            opcode, length, head = data[at] & 15, data[at + 1], 2
            if length == 126:
                length, head = int.from_bytes(data[at + 2 : at + 4]), 4
            elif length == 127:
                length, head = int.from_bytes(data[at + 2 : at + 10]), 10
            if size - at < head + length or size - at < head:
                break
            at += head + length
            if opcode == _TEXT:
                self.count += 1
                if self.count == self._audience.target:
                    self._audience.one_has_heard()
            elif opcode == _PING:
                self.transport.write(_PONG)
            elif opcode == _CLOSE:
                code = int.from_bytes(data[at - length : at - length + 2])
                self._audience.fail(Failed(f"A session was closed with {code}."))
        self._rest = data[at:]

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(None)
        self._audience.fail(Failed("A session was lost."))


class Audience:
    """Sockets that all hear the same frames."""

    def __init__(self) -> None:
        self.listeners: list[Listener] = []
        self.target = -1  # the count of frames that is waited for
        self.keeps = False
        self.heard_at = 0.0  # perf_counter of when the last one had heard
        self._left = 0
        self._heard: asyncio.Future[None] | None = None
        self._failure: Failed | None = None
        self._closing = False

    @property
    def count(self) -> int:
        """Frames that each of them has heard; raises `Failed` if they differ."""
        counts = {listener.count for listener in self.listeners}
        if len(counts) != 1:
            raise Failed(f"Some sessions have heard {min(counts)} frames, others {max(counts)}.")
        return counts.pop()

    async def join(self, port: int, handshakes: Iterable[bytes]) -> None:
        """Connect one for each handshake (b"": none is needed), until each has heard the frame that greets it."""
        for handshake in handshakes:
            listener = Listener(self, handshake)
            await connect(listener, port)
            self.listeners.append(listener)
        await self.heard(1)

    def expect(self, target: int) -> None:
        """From now on count those who have heard `target` frames."""
        self.target = target
        self._left = sum(listener.count < target for listener in self.listeners)
        self._heard = asyncio.get_running_loop().create_future()
        if self._failure is not None:
            self._heard.set_exception(self._failure)
        elif self._left == 0:
            self._heard.set_result(None)

    async def all_heard(self) -> None:
        """Until everybody has heard what is expected; raises `Failed`."""
        assert self._heard is not None
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await self._heard
        except TimeoutError:
            raise Failed(f"{self._left} of {len(self.listeners)} sessions miss frames.") from None

    async def heard(self, target: int) -> None:
        """`expect`, then `all_heard`."""
        self.expect(target)
        await self.all_heard()

    def one_has_heard(self) -> None:
        """A listener has reached the target."""
        self._left -= 1
        if self._left == 0 and self._heard is not None and not self._heard.done():
            self.heard_at = perf_counter()
            self._heard.set_result(None)

    def fail(self, failure: Failed) -> None:
        """Whoever waits, or will wait, gets `failure`."""
        if self._closing:
            return
        self._failure = self._failure or failure
        if self._heard is not None and not self._heard.done():
            self._heard.set_exception(self._failure)

    def kept(self) -> list[bytes]:
        """What each has heard while `keeps` was set; and forget it."""
        texts = [b"".join(listener.chunks) for listener in self.listeners]
        for listener in self.listeners:
            listener.chunks.clear()
        return texts

    async def close(self) -> None:
        """Cut all connections; until they are gone."""
        self._closing = True
        for listener in self.listeners:
            listener.transport.abort()
        for listener in self.listeners:
            await listener.lost
