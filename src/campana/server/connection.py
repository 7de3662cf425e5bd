"""One HTTP/1.1 connection: requests parsed, bounded, and answered one after the other; or a WebSocket's handshake.

Only the parser is a library's (httptools): the rest of a general web server costs as much as all else that a send does
(bench/README.md). A request has a time to arrive in, a largest head and a largest body; what is refused here gets the
API's JSON like everything else, and is read on for a moment: closing at once would reset the connection, and the
refusal with it. WebSocket handshakes leave from here to server/websocket.py.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, cast

import httptools
import msgspec

from campana.errors import ApiError, BadRequest, NotFound, RequestTimeout, RequestTooLarge
from campana.server import websocket
from campana.server.front import Front
from campana.server.websocket import Sockets, UpgradeRequired
from campana.wire import codec
from campana.wire.http import HttpRequest, HttpResponse

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus if status >= 200
}


class HeadTooLarge(ApiError):
    """The request's line and headers together are longer than any client's."""

    status, name, code = 431, "RequestHeaderFieldsTooLargeException", "RequestHeaderFieldsTooLarge"


@dataclass(frozen=True, slots=True)
class Bounds:
    """Patience with connections, and the sizes of requests."""

    request_timeout_s: float = 30  # from a request's first byte, or the connection's beginning, to its last byte
    send_timeout_s: float = 30  # without the client reading anything of an answer
    linger_s: float = 5  # reading on after a refusal
    goodbye_s: float = 0.2  # for TLS's end on an idle connection: clients do not read from those in their pool
    linger_bytes_max: int = 16 * 1024 * 1024
    head_bytes_max: int = 64 * 1024
    body_bytes_max: int = 1024 * 1024


class Answering(msgspec.Struct, frozen=True):
    """A request whose turn to be answered has come, or will."""

    request: HttpRequest
    keep_alive: bool


@dataclass(slots=True)
class Shared:
    """What the connections of one listener share; `none_left` is set while there is none.

    While `leaving`, each connection ends with its next answer; when `stopping`, idle ones end as well.
    """

    front: Front
    sockets: Sockets | None
    bounds: Bounds
    keep_alive_s: float
    over_tls: bool
    date: bytes = b""
    """The line of a head that says when it was sent."""
    leaving: bool = False
    stopping: bool = False
    connections: "set[Connection]" = field(default_factory=set)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    none_left: asyncio.Event = field(default_factory=asyncio.Event)


class Connection(asyncio.Protocol):
    """From the first byte to the last; made for each connection that the listener accepts."""

    __slots__ = (
        "_answering",
        "_at_eof",
        "_awaiting",
        "_blocked",
        "_body",
        "_body_bytes",
        "_continue_wanted",
        "_deadline",
        "_discarded",
        "_end_timer",
        "_ended",
        "_head_bytes",
        "_headers",
        "_in_head",
        "_last",
        "_loop",
        "_origin",
        "_parser",
        "_paused",
        "_peer",
        "_queue",
        "_receiving",
        "_refusal",
        "_shared",
        "_target",
        "_timer",
        "_upgrading",
        "_wire_bytes",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._peer = ""
        # The request coming in.
        self._receiving = False  # between its first byte and its last
        self._in_head = False
        self._wire_bytes = 0  # before the chunk at hand
        self._head_bytes = 0
        self._body_bytes = 0
        self._target = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._continue_wanted = False
        self._upgrading = False
        self._origin: str | None = None
        # Those to be answered.
        self._answering: asyncio.Task[None] | None = None
        self._queue: deque[Answering] = deque()
        self._paused = False  # nothing more is read until those are answered
        self._blocked = False  # the client does not read
        self._last = False  # no request may follow those that are here
        self._at_eof = False
        self._refusal: ApiError | None = None  # the last answer of this connection
        self._ended = False  # the last answer is written, and what still comes is read and forgotten
        self._discarded = 0
        # One timer that runs on: whatever it waits for mostly comes in time, and only `_deadline` is moved.
        self._awaiting = False  # a request, or the rest of one
        self._deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._end_timer: asyncio.TimerHandle | None = None

    # The transport's calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self._peer = peer[0] if isinstance(peer, tuple) else ""
        self._shared.connections.add(self)
        self._shared.none_left.clear()
        if self._shared.stopping:
            transport.close()
        else:
            self._await_request()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._cancel_end_timer()
        self._queue.clear()
        self._left()

    def data_received(self, data: bytes) -> None:
        if self._refusal is not None or self._last:
            self._discarded += len(data)
            if self._discarded > self._shared.bounds.linger_bytes_max:
                self.transport.abort()
            return
        begun_before = self._receiving
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._upgrading:
                self._upgrade(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError as error:
            cause = error.__context__  # what one of the callbacks below raised
            self._refuse(cause if isinstance(cause, ApiError) else BadRequest("The request is not valid HTTP/1.1."))
            return
        if self._receiving:
            self._bound(len(data) if begun_before else 0)
            self._await_request()
            if self._continue_wanted and not self._in_head and not self._outstanding:
                self._say_continue()
        elif not self._outstanding:
            self._await_request()  # empty lines between requests

    def eof_received(self) -> bool:
        """True keeps the sending half open: a client may end its own and still read the answer."""
        self._at_eof = True
        if self._receiving:
            self._refuse(BadRequest("The connection ended before the request was complete."))
        return self._outstanding and not self._shared.over_tls  # asyncio has no half-closed TLS

    def pause_writing(self) -> None:
        self._blocked = True
        self._end_after(self._shared.bounds.send_timeout_s)

    def resume_writing(self) -> None:
        self._blocked = False
        if self.transport.is_closing():
            return
        if not self._ended:
            self._cancel_end_timer()
        if self._answering is None:
            self._go_on()

    # The parser's calls.

    def on_message_begin(self) -> None:
        self._receiving = self._in_head = True
        self._wire_bytes = self._head_bytes = self._body_bytes = 0
        self._target = b""
        self._headers = {}
        self._body = []
        self._continue_wanted = self._upgrading = False
        self._origin = None

    def on_url(self, url: bytes) -> None:
        self._target += url
        self._head_bytes += len(url)
        self._check_head(self._head_bytes)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > self._shared.bounds.head_bytes_max:
            self._check_head(self._head_bytes)
        if not self._in_head:
            return  # a trailer after a chunked body: the request must not get it as its own
        key, text = name.lower().decode("latin-1"), value.decode("latin-1")
        headers = self._headers
        headers[key] = f"{headers[key]},{text}" if key in headers else text  # as SigV4 signs repeated ones

    def on_headers_complete(self) -> None:
        self._in_head = False
        headers = self._headers
        self._origin = headers.get("origin")
        if (length := headers.get("content-length")) is not None:
            self._check_body(int(length))
        self._continue_wanted = (
            headers.get("expect", "").lower() == "100-continue" and self._parser.get_http_version() == "1.1"
        )
        if self._parser.should_upgrade():
            self._upgrading = headers.get("upgrade", "").lower() == "websocket"

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        self._check_body(self._body_bytes)
        self._body.append(body)

    def on_message_complete(self) -> None:
        self._receiving = self._awaiting = False
        self._deadline = None
        if self._upgrading:
            return
        parser = self._parser
        raw_path, raw_query = _split(self._target)
        request = HttpRequest(
            parser.get_method().decode(), raw_path, raw_query, self._headers, b"".join(self._body), self._peer
        )
        # An upgrade to something else, such as h2c, is answered as if not asked, and no request may follow.
        self._last = parser.should_upgrade()
        keep_alive = not self._last and parser.should_keep_alive() and parser.get_http_version() != "1.0"
        if self._outstanding:
            self._queue.append(Answering(request, keep_alive))
            self._paused = True
            self.transport.pause_reading()
        else:
            self._begin(Answering(request, keep_alive))

    # Answers.

    @property
    def _outstanding(self) -> bool:
        """Whether an answer is still to be written."""
        return self._answering is not None or bool(self._queue)

    def _begin(self, answering: Answering) -> None:
        task = self._answering = self._loop.create_task(self._answer(answering))
        self._shared.tasks.add(task)
        task.add_done_callback(self._shared.tasks.discard)

    async def _answer(self, answering: Answering) -> None:
        request, keep_alive = answering.request, answering.keep_alive
        request_id = self._shared.front.ids.uuid()
        response = await self._shared.front.answer(request, request_id)
        self._answering = None
        if self.transport.is_closing():
            return
        wanted = keep_alive
        if self._at_eof or self._shared.leaving:
            # Not before what has begun to arrive: a request behind the last answer would get none.
            keep_alive = keep_alive and (bool(self._queue) or self._receiving or self._refusal is not None)
        self._write(
            response,
            request_id,
            request.headers.get("origin"),
            more=() if keep_alive else _CLOSE,
            without_body=request.method == "HEAD",
        )
        if keep_alive:
            self._go_on()
        elif wanted and not self._at_eof and not self._shared.stopping:
            self._take_leave()
        else:
            self._close()

    def _go_on(self) -> None:
        """After an answer: the next request, the refusal, or patience."""
        if self._blocked or self._ended:
            return
        if self._queue:
            self._begin(self._queue.popleft())
        elif self._refusal is not None:
            self._answer_refusal()
        else:
            self._resume_reading()
            if self._receiving:
                if self._continue_wanted and not self._in_head:
                    self._say_continue()
            else:
                self._awaiting = False
                self._set_deadline(self._shared.keep_alive_s)

    def _resume_reading(self) -> None:
        if self._paused:
            self._paused = False
            self.transport.resume_reading()

    def _say_continue(self) -> None:
        self._continue_wanted = False
        if self._body_bytes == 0:
            self.transport.write(CONTINUE)

    def _write(
        self,
        response: HttpResponse,
        request_id: str,
        origin: str | None,
        *,
        more: Iterable[tuple[bytes, bytes]] = (),
        without_body: bool = False,
    ) -> None:
        """Head and body in one piece."""
        body = response.body
        pieces = [STATUS_LINES[response.status], self._shared.date, b"x-amzn-requestid: ", request_id.encode(), b"\r\n"]
        for name, value in (*self._shared.front.cors.headers(origin), *response.headers, *more):
            pieces += (name, b": ", value, b"\r\n")
        if response.status != 204:
            pieces.append(b"content-length: %d\r\n" % len(body))
        pieces.append(b"\r\n")
        if not without_body:
            pieces.append(body)
        self.transport.write(b"".join(pieces))

    # Bounds.

    def _check_head(self, size: int) -> None:
        if size > self._shared.bounds.head_bytes_max:
            raise HeadTooLarge(f"The request's headers may hold at most {self._shared.bounds.head_bytes_max} bytes.")

    def _check_body(self, size: int) -> None:
        if size > self._shared.bounds.body_bytes_max:
            raise RequestTooLarge(f"The request's body may hold at most {self._shared.bounds.body_bytes_max} bytes.")

    def _bound(self, size: int) -> None:
        """Bound what the parser keeps to itself: a header without end, a chunk's extensions, trailers."""
        self._wire_bytes += size
        try:
            if self._in_head:
                self._check_head(self._wire_bytes)
            else:
                self._check_body(self._wire_bytes // 2 - self._shared.bounds.head_bytes_max)
        except ApiError as error:
            self._refuse(error)

    def _await_request(self) -> None:
        if not self._awaiting and self._refusal is None:
            self._awaiting = True
            self._set_deadline(self._shared.bounds.request_timeout_s)

    def _set_deadline(self, seconds: float) -> None:
        deadline = self._deadline = self._loop.time() + seconds
        if self._timer is not None and self._timer.when() > deadline:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._deadline is None or self._refusal is not None:
            return
        if self._deadline > self._loop.time():
            self._timer = self._loop.call_at(self._deadline, self._on_timer)
        elif self._receiving:
            seconds = self._shared.bounds.request_timeout_s
            self._refuse(RequestTimeout(f"The request took longer than {seconds} s to arrive."))
        else:
            self._close()

    # Refusals.

    def _refuse(self, error: ApiError) -> None:
        """Answer `error` when its turn comes, execute nothing more, and end."""
        self._refusal = error
        self._receiving = False
        self._body = []
        self._resume_reading()
        if not self._outstanding:
            self._answer_refusal()

    def _answer_refusal(self) -> None:
        assert self._refusal is not None
        if self._ended or self.transport.is_closing():
            return
        self._shared.front.metrics.calls.refused_early(self._refusal.status)
        more = (*_refusal_headers(self._refusal), *_CLOSE)
        self._write(codec.refuse(self._refusal), self._shared.front.ids.uuid(), self._origin, more=more)
        if self._at_eof:
            self._ended = True
            self._close()
        else:
            self._linger()

    # Ends.

    def _take_leave(self) -> None:
        """End a connection that its client would have kept, and may just now be using."""
        self._last = True
        self._resume_reading()
        self._linger()

    def _linger(self) -> None:
        """End our half and read on for a moment: with something unread the connection would be reset, and with it the
        last answer."""
        self._ended = True
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._end_after(self._shared.bounds.linger_s)

    def shutdown(self) -> None:
        """End now, or with the answers that are under way."""
        if self._outstanding or (self._receiving and not self._in_head) or self._refusal is not None:
            return
        self.transport.close()
        unread = self.transport.get_write_buffer_size()
        self._end_after(self._shared.bounds.send_timeout_s if unread else self._shared.bounds.goodbye_s)

    def _upgrade(self, rest: bytes) -> None:
        """Make the connection a WebSocket; `rest` came after the handshake, in one piece with it."""
        sockets = self._shared.sockets
        try:
            raw_path, raw_query = _split(self._target)
            if sockets is None or raw_path != websocket.PATH:
                raise NotFound("There is no WebSocket here.")
            if self._outstanding:
                raise BadRequest("A WebSocket handshake cannot follow a request that is not answered.")
            method = self._parser.get_method().decode()
            accepted = sockets.handshake(method, self._headers)
        except ApiError as error:
            self._refuse(error)
            return
        transport = self.transport
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._resume_reading()
        self._left()
        request_id = self._shared.front.ids.uuid()
        transport.write(accepted[:-2] + b"x-amzn-requestid: " + request_id.encode() + b"\r\n\r\n")
        request = HttpRequest(method, raw_path, raw_query, self._headers, b"", self._peer)
        socket = sockets.open(transport, request, request_id)
        if rest:
            socket.data_received(rest)
        # The parser and this object hold each other: free both now, a socket lives for hours.
        del self._parser

    def _left(self) -> None:
        self._shared.connections.discard(self)
        if not self._shared.connections:
            self._shared.none_left.set()

    def _close(self) -> None:
        """A closed transport waits for its client to read; not for ever."""
        self.transport.close()
        if self.transport.get_write_buffer_size():
            self._end_after(self._shared.bounds.send_timeout_s)

    def _end_after(self, seconds: float) -> None:
        if self._end_timer is None:
            self._end_timer = self._loop.call_later(seconds, self.transport.abort)

    def _cancel_end_timer(self) -> None:
        if self._end_timer is not None:
            self._end_timer.cancel()
            self._end_timer = None


_CLOSE: Final = ((b"connection", b"close"),)


def _split(target: bytes) -> tuple[str, str]:
    """The path and the query of a request's target, as they came. Raises BadRequest."""
    if not target.startswith(b"/") or b"#" in target:
        if target == b"*":
            return "*", ""
        try:
            url = httptools.parse_url(target)  # that of a proxy's client: with scheme and host before the path
        except httptools.HttpParserInvalidURLError:
            raise BadRequest("The request's target is not valid.") from None
        if not url.schema:
            raise BadRequest("The request's target is not valid.")
        target = (url.path or b"/") + (b"?" + url.query if url.query else b"")
    if not target.isascii():
        raise BadRequest("The request's target must be ASCII.")
    raw_path, _, raw_query = target.decode("ascii").partition("?")
    return raw_path, raw_query


def _refusal_headers(error: ApiError) -> tuple[tuple[bytes, bytes], ...]:
    if isinstance(error, UpgradeRequired):
        return ((b"upgrade", b"websocket"), (b"sec-websocket-version", b"13"))
    return ()
