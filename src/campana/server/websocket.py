"""WebSockets: the handshake, frames, pings, slow and silent peers (spec/realtime.md §2, §3, §6).

Over the sans-I/O core of `websockets`. A frame is rendered once, by `text_frame`, and the same bytes are written to
every socket. Who may connect and what a socket hears is the session layer's business; it is told of every socket
after the handshake. The URL of a handshake holds a signature and is never logged.
"""

import asyncio
import logging
import struct
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass

from websockets.datastructures import Headers
from websockets.exceptions import InvalidHeaderValue
from websockets.http11 import Request
from websockets.protocol import SEND_EOF, State
from websockets.server import ServerProtocol
from websockets.typing import Origin

from campana import log
from campana.errors import ApiError, BadRequest, Forbidden, MethodNotAllowed
from campana.server.cors import ANY_ORIGIN
from campana.wire.http import HttpRequest

PATH = "/connect"

NORMAL = 1000
GOING_AWAY = 1001
ABNORMAL = 1006
INTERNAL_ERROR = 1011
SERVICE_RESTART = 1012
TRY_AGAIN_LATER = 1013

REASON_BYTES_MAX = 123  # RFC 6455 §5.5: a control frame holds 125, two of which are the code
PING_FRAME = b"\x89\x00"
WHEEL_SLOTS = 32
ABORTED_S = 0.5
CLOSED_PER_S = 250
"""A session costs the server it comes back to some milliseconds, and its calls are to be answered meanwhile."""
CLOSED_PER_S_MAX = 5_000
BATCH_S = 0.02
HANDSHAKE_HEADERS = ("connection", "upgrade", "sec-websocket-key", "sec-websocket-version", "origin")

# A level of its own: at DEBUG the core would write URLs and contents.
_core_log = logging.getLogger("campana.websocket.core")
_core_log.setLevel(logging.CRITICAL)


class UpgradeRequired(ApiError):
    """The client speaks another version of the protocol (RFC 6455 §4.4)."""

    status, name, code = 426, "UpgradeRequiredException", "UpgradeRequired"


def text_frame(text: str | bytes) -> bytes:
    """An unmasked text frame, to be written to any number of sockets; bytes are UTF-8 already."""
    data = text.encode() if isinstance(text, str) else text
    length = len(data)
    if length < 126:
        return struct.pack("!BB", 0x81, length) + data
    if length < 65_536:
        return struct.pack("!BBH", 0x81, 126, length) + data
    return struct.pack("!BBQ", 0x81, 127, length) + data


@dataclass(frozen=True, slots=True)
class SocketBounds:
    """Patience with sockets, and room for them."""

    ping_interval_s: float = 30
    pongs_missed_max: int = 2
    close_timeout_s: float = 5  # for the peer's half of the closing handshake; then the connection is cut
    buffer_frames_max: int = 500  # both count only what waits for a peer that does not read
    buffer_bytes_max: int = 4 * 1024 * 1024
    message_bytes_max: int = 64 * 1024  # what a client sends is ignored, but has to be read
    sockets_max: int = 100_000


DEFAULT_BOUNDS = SocketBounds()


class Socket(asyncio.Protocol):
    """One open WebSocket. Writing to or closing one that is closed does nothing."""

    __slots__ = (
        "_close_timer",
        "_closed_callback",
        "_core",
        "_ended",
        "_frames",
        "_missed",
        "_resumed",
        "_slot",
        "_sockets",
        "_stalled",
        "_transport",
    )

    def __init__(self, sockets: "Sockets", transport: asyncio.Transport) -> None:
        self._sockets = sockets
        self._transport = transport
        self._core = ServerProtocol(state=State.OPEN, max_size=sockets.bounds.message_bytes_max, logger=_core_log)
        self._slot: set[Socket] | None = None
        self._missed = 0  # pings without an answer
        self._stalled = False  # the transport's buffer is above its high-water mark
        self._frames = 0  # written since then
        self._resumed: asyncio.Event | None = None  # for those who wait for it to be below
        self._ended = False  # closing or closed: nothing more is written
        self._close_timer: asyncio.TimerHandle | None = None
        self._closed_callback: Callable[[int], None] | None = None

    # For the session layer.

    @property
    def open(self) -> bool:
        """Whether a frame written now still goes out."""
        return not self._ended

    @property
    def buffered(self) -> int:
        """Bytes that wait because the peer does not read."""
        return self._transport.get_write_buffer_size()

    @property
    def close_code(self) -> int:
        """The code in the peer's close frame if it sent one, else in ours; 1006 without either."""
        close = self._core.close_rcvd or self._core.close_sent
        return ABNORMAL if close is None else int(close.code)

    def write(self, frames: bytes, number: int = 1) -> None:
        """Send the bytes of whole frames (`text_frame`). A peer too slow for them is closed with 1013."""
        if self._ended:
            return
        self._transport.write(frames)
        if self._stalled:
            self._count_waiting(number)

    def close(self, code: int, reason: str = "") -> None:
        """Begin the closing handshake; the connection is cut when the peer does not answer in time."""
        assert code != NORMAL, "the clients never come back after 1000 (spec/realtime.md §3)"
        if self._ended:
            return
        self._core.send_close(code, reason.encode()[:REASON_BYTES_MAX].decode(errors="ignore"))
        self._send_pending()

    async def drained(self) -> bool:
        """Wait until the peer has read most of what was written; False if the connection ends before."""
        while self._stalled and not self._ended:
            if self._resumed is None:
                self._resumed = asyncio.Event()
            await self._resumed.wait()
        return not self._ended

    def when_closed(self, callback: Callable[[int], None]) -> None:
        """Call back with the close code, once, when the connection is gone; at once if it is gone already."""
        if self._slot is None:
            callback(self.close_code)
        else:
            self._closed_callback = callback

    # For the transport.

    def data_received(self, data: bytes) -> None:
        self._missed = 0
        self._core.receive_data(data)
        self._core.events_received()  # clients have nothing to say, and it is ignored (spec/realtime.md §2)
        self._send_pending()

    def eof_received(self) -> None:
        self._ended = True  # the transport closes itself

    def pause_writing(self) -> None:
        self._stalled = True
        self._frames = 0

    def resume_writing(self) -> None:
        self._stalled = False
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        self._wake()
        if self._close_timer is not None:
            self._close_timer.cancel()
        self._core.parser.close()  # the generator and the core hold each other: free them now, not at the next gc
        self._sockets._forget(self)
        if self._closed_callback is not None:
            self._closed_callback(self.close_code)
            self._closed_callback = None

    # For the ping wheel.

    def check_alive(self) -> None:
        """Ping; close with 1001 when the last pings were not answered."""
        if self._ended:
            return
        if self._missed >= self._sockets.bounds.pongs_missed_max:
            self.close(GOING_AWAY, "No pong")
        else:
            self._missed += 1
            self.write(PING_FRAME)

    def _send_pending(self) -> None:
        pieces = self._core.data_to_send()
        if pieces:
            self._transport.write(b"".join(pieces))
            if self._core.state is not State.OPEN:
                self._end(finished=pieces[-1] == SEND_EOF)
            elif self._stalled:
                self._count_waiting(1)

    def _end(self, *, finished: bool) -> None:
        self._ended = True
        if self._close_timer is None:
            timeout = self._sockets.bounds.close_timeout_s
            self._close_timer = asyncio.get_running_loop().call_later(timeout, self._transport.abort)
        if finished and self._transport.can_write_eof():
            # Closing while the peer still sends would reset the connection and lose the close frame.
            self._transport.write_eof()
        elif finished:
            self._transport.close()

    def _wake(self) -> None:
        if self._resumed is not None:
            self._resumed.set()
            self._resumed = None

    def _count_waiting(self, number: int) -> None:
        self._frames += number
        bounds = self._sockets.bounds
        if self._frames > bounds.buffer_frames_max or self.buffered > bounds.buffer_bytes_max:
            # A silent gap would be worse: the client comes back and reads what it missed over REST.
            self.close(TRY_AGAIN_LATER, "Too slow")


OnConnect = Callable[[Socket, HttpRequest], Awaitable[None]]


class Sockets:
    """All WebSockets of a listener: handshakes, one ping wheel for all, and their end.

    `on_connect` is awaited for each socket, in a task of its own, after its handshake: accept, then judge.
    With `origins` other than "*", a browser's page of any other origin is refused before.
    """

    def __init__(
        self, on_connect: OnConnect, *, origins: Collection[str] = (ANY_ORIGIN,), bounds: SocketBounds = DEFAULT_BOUNDS
    ) -> None:
        self.bounds = bounds
        self._on_connect = on_connect
        # None: clients that are no browsers send no Origin.
        self._origins = None if ANY_ORIGIN in origins else [None, *(Origin(origin) for origin in origins)]
        self._wheel: list[set[Socket]] = [set() for _ in range(WHEEL_SLOTS)]
        self._turn = 0
        self._wheel_timer: asyncio.TimerHandle | None = None
        self._count = 0
        self._connecting: set[asyncio.Task[None]] = set()
        self._leaving: int | None = None  # the code that new sockets are closed with
        self._none_left = asyncio.Event()
        self._none_left.set()

    def __len__(self) -> int:
        return self._count

    def handshake(self, method: str, headers: Mapping[str, str]) -> bytes:
        """The bytes that complete the upgrade. Raises an `ApiError` for a handshake that is none.

        Whoever it is gets in: browsers cannot see why a handshake failed (spec/realtime.md §2).
        """
        if method != "GET":
            raise MethodNotAllowed("A WebSocket is opened with GET.")
        fields = Headers()
        try:
            for name in HANDSHAKE_HEADERS:
                if name in headers:
                    fields[name] = headers[name]
        except InvalidHeaderValue:
            raise BadRequest("The WebSocket handshake is not valid.") from None
        if headers.get("sec-websocket-version", "13") != "13":
            raise UpgradeRequired("This server speaks version 13 of the WebSocket protocol.")
        response = ServerProtocol(origins=self._origins, logger=_core_log).accept(Request(PATH, fields))
        match response.status_code:
            case 101:
                return response.serialize()
            case 403:
                raise Forbidden("Pages of this origin may not connect.")
        raise BadRequest("The WebSocket handshake is not valid.")

    def open(self, transport: asyncio.Transport, request: HttpRequest, request_id: str) -> Socket:
        """The socket of a connection whose handshake is done: from now on the transport's protocol."""
        socket = Socket(self, transport)
        transport.set_protocol(socket)
        socket._slot = min(self._wheel, key=len)
        socket._slot.add(socket)
        self._count += 1
        self._none_left.clear()
        if self._wheel_timer is None:
            self._schedule_turn()
        if self._leaving is not None:
            socket.close(self._leaving, "Service restart")
        elif self._count > self.bounds.sockets_max:
            socket.close(TRY_AGAIN_LATER, "Too many connections")
        else:
            task = asyncio.get_running_loop().create_task(self._connect(socket, request, request_id))
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)
        return socket

    async def close_all(
        self, code: int = SERVICE_RESTART, *, within_s: float = 0, jitter: Callable[[], float] = lambda: 0.5
    ) -> None:
        """Close every socket, and those still to come, a batch at a time: clients come back in a trickle.

        A few hundred a second, or as many more as it takes to be through `within_s`; without it as fast as this server
        itself can bear. `jitter`: numbers in [0, 1), by which batches come apart from those of other servers.
        Returns when all are gone, at the latest the close timeout after the last batch.
        """
        self._leaving = code
        sockets = [socket for slot in self._wheel for socket in slot]
        per_s = max(CLOSED_PER_S, len(sockets) / within_s) if within_s else CLOSED_PER_S_MAX
        batch = max(1, round(per_s * BATCH_S))
        for start in range(0, len(sockets), batch):
            if start:
                await asyncio.sleep(2 * jitter() * batch / per_s)
            for socket in sockets[start : start + batch]:
                socket.close(code, "Service restart")
        with suppress(TimeoutError):  # there are some that came since, and others may follow
            async with asyncio.timeout(self.bounds.close_timeout_s + ABORTED_S):
                await self._none_left.wait()
        for task in list(self._connecting):
            task.cancel()
        if self._connecting:
            await asyncio.wait(self._connecting)

    async def _connect(self, socket: Socket, request: HttpRequest, request_id: str) -> None:
        log.about(request=request_id)
        try:
            await self._on_connect(socket, request)
        except Exception:
            log.exception("socket.failed")
            socket.close(INTERNAL_ERROR, "Internal error")

    def _forget(self, socket: Socket) -> None:
        if socket._slot is None:
            return
        socket._slot.discard(socket)
        socket._slot = None
        self._count -= 1
        if self._count == 0:
            self._none_left.set()
            if self._wheel_timer is not None:
                self._wheel_timer.cancel()
                self._wheel_timer = None

    def _schedule_turn(self) -> None:
        interval = self.bounds.ping_interval_s / WHEEL_SLOTS
        self._wheel_timer = asyncio.get_running_loop().call_later(interval, self._next_turn)

    def _next_turn(self) -> None:
        self._schedule_turn()
        self._turn = (self._turn + 1) % WHEEL_SLOTS
        for socket in list(self._wheel[self._turn]):
            socket.check_alive()
