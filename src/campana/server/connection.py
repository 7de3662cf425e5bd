"""One HTTP connection: uvicorn's protocol, with the bounds and the patience that it lacks.

A request has a time to arrive in, a largest head and a largest body; what is refused here gets the API's JSON like
everything else, and is read on for a moment: closing at once would reset the connection, and the refusal with it.
WebSocket handshakes leave from here to server/websocket.py.
"""

import asyncio
from dataclasses import dataclass

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from campana.errors import ApiError, BadRequest, NotFound, RequestTimeout, RequestTooLarge
from campana.server import websocket
from campana.server.asgi import Front, header_map
from campana.server.websocket import Sockets, UpgradeRequired
from campana.wire import codec
from campana.wire.http import HttpRequest


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


class Listener(ServerState):
    """What the connections of one listener share; `none_left` is set while there is none."""

    def __init__(self) -> None:
        super().__init__()
        self.stopping = False
        self.none_left = asyncio.Event()
        self.none_left.set()


class Connection(HttpToolsProtocol):
    """From the first byte to the last; made for each connection that the listener accepts."""

    def __init__(
        self, config: Config, listener: Listener, *, front: Front, sockets: Sockets | None, bounds: Bounds
    ) -> None:
        super().__init__(config=config, server_state=listener, app_state={})
        self._listener = listener
        self._front = front
        self._sockets = sockets
        self._bounds = bounds
        self._receiving = False  # between the first byte of a request and its last
        self._in_head = False
        self._wire_bytes = 0  # of the request coming in, before the chunk at hand
        self._body_bytes = 0
        self._websocket = False
        self._origin: str | None = None
        self._refusal: ApiError | None = None  # the last answer of this connection
        self._refused = False  # it is written
        self._discarded = 0
        self._at_eof = False
        self._receive_timer: asyncio.TimerHandle | None = None
        self._end_timer: asyncio.TimerHandle | None = None

    # The transport's calls.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._listener.none_left.clear()
        if self._listener.stopping:
            transport.close()
        else:
            self._await_request()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._cancel_receive_timer()
        self._cancel_end_timer()
        self._left()

    def data_received(self, data: bytes) -> None:
        if self._refusal is not None:
            self._discarded += len(data)
            if self._discarded > self._bounds.linger_bytes_max:
                self.transport.abort()
            return
        self._unset_keepalive_if_required()
        begun_before = self._receiving
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._websocket:
                self._upgrade(data[upgrade.args[0] :])
            else:  # to something else, such as h2c: answered as if not asked, and no request may follow
                self.cycle.keep_alive = False
                self._cancel_receive_timer()
            return
        except httptools.HttpParserError as error:
            cause = error.__context__  # what one of the callbacks below raised
            self._refuse(cause if isinstance(cause, ApiError) else BadRequest("The request is not valid HTTP/1.1."))
            return
        if self._receiving:
            self._bound(len(data) if begun_before else 0)
            self._await_request()
        elif self.cycle is None or self.cycle.response_complete:
            self._await_request()  # empty lines between requests
        else:
            self._cancel_receive_timer()

    def eof_received(self) -> bool:  # type: ignore[override]
        """True keeps the sending half open: a client may end its own and still read the answer."""
        self._at_eof = True
        if self._receiving:
            self._refuse(BadRequest("The connection ended before the request was complete."))
        outstanding = self.cycle is not None and not self.cycle.response_complete and not self.cycle.disconnected
        if outstanding:
            self.cycle.keep_alive = False
        return outstanding and self.scheme == "http"  # asyncio has no half-closed TLS

    def pause_writing(self) -> None:
        super().pause_writing()
        self._end_after(self._bounds.send_timeout_s)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._refusal is None and not self.transport.is_closing():
            self._cancel_end_timer()

    # The parser's calls.

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._receiving = self._in_head = True
        self._wire_bytes = self._body_bytes = 0
        self._websocket = False
        self._origin = None

    def on_headers_complete(self) -> None:
        self._in_head = False
        head_bytes = len(self.url)
        body_bytes = 0
        for name, value in self.headers:
            head_bytes += len(name) + len(value)
            if name == b"content-length":
                body_bytes = int(value)
            elif name == b"origin":
                self._origin = value.decode("latin-1")
        self._check_head(head_bytes)
        self._check_body(body_bytes)
        self._websocket = self.parser.should_upgrade() and self._get_upgrade() == b"websocket"
        super().on_headers_complete()
        self.headers = []  # of the trailers after a chunked body: the request must not get them as its own

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        self._check_body(self._body_bytes)
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._receiving = False

    # uvicorn's calls.

    def _should_upgrade(self) -> bool:
        return self._websocket

    def on_response_complete(self) -> None:
        more = bool(self.pipeline)
        super().on_response_complete()
        if self.transport.is_closing():
            self._flush_in_time()
        elif self._refusal is not None and not more:
            self._answer_refusal()

    def timeout_keep_alive_handler(self) -> None:
        self.transport.close()
        self._flush_in_time()

    def shutdown(self) -> None:
        """End now, or with the answer that is under way."""
        super().shutdown()
        if self.transport.is_closing():
            unread = self.transport.get_write_buffer_size()
            self._end_after(self._bounds.send_timeout_s if unread else self._bounds.goodbye_s)

    # Bounds.

    def _check_head(self, size: int) -> None:
        if size > self._bounds.head_bytes_max:
            raise HeadTooLarge(f"The request's headers may hold at most {self._bounds.head_bytes_max} bytes.")

    def _check_body(self, size: int) -> None:
        if size > self._bounds.body_bytes_max:
            raise RequestTooLarge(f"The request's body may hold at most {self._bounds.body_bytes_max} bytes.")

    def _bound(self, size: int) -> None:
        """Bound what the parser keeps to itself: a header without end, a chunk's extensions, trailers."""
        self._wire_bytes += size
        try:
            if self._in_head:
                self._check_head(self._wire_bytes)
            else:
                self._check_body(self._wire_bytes // 2 - self._bounds.head_bytes_max)
        except ApiError as error:
            self._refuse(error)

    def _await_request(self) -> None:
        if self._receive_timer is None and self._refusal is None:
            self._receive_timer = self.loop.call_later(self._bounds.request_timeout_s, self._too_late)

    def _too_late(self) -> None:
        self._receive_timer = None
        if self._receiving:
            self._refuse(RequestTimeout(f"The request took longer than {self._bounds.request_timeout_s} s to arrive."))
        else:
            self.transport.close()

    # Refusals.

    def _refuse(self, error: ApiError) -> None:
        """Answer `error` when its turn comes, execute nothing more, and end."""
        self._refusal = error
        self._cancel_receive_timer()
        self._unset_keepalive_if_required()
        cycle = self.cycle
        outstanding = cycle is not None and not cycle.response_complete
        if outstanding and self._receiving and cycle.more_body and not self._in_head:
            # The request that is being refused: its handler waits for the rest of the body.
            if self.pipeline and self.pipeline[0][0] is cycle:
                self.pipeline.popleft()  # not begun: an earlier one is being answered
            else:
                cycle.disconnected = True
                cycle.message_event.set()
                outstanding = False
        self._receiving = False
        self.flow.resume_reading()
        if not outstanding:
            self._answer_refusal()

    def _answer_refusal(self) -> None:
        assert self._refusal is not None
        self._unset_keepalive_if_required()
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        response = codec.refuse(self._refusal)
        lines = [STATUS_LINE[response.status]]
        for name, value in (
            *self._listener.default_headers,
            (b"x-amzn-requestid", self._front.ids.uuid().encode()),
            *self._front.cors.headers(self._origin),
            *response.headers,
            *_refusal_headers(self._refusal),
            (b"content-length", b"%d" % len(response.body)),
            (b"connection", b"close"),
        ):
            lines += [name, b": ", value, b"\r\n"]
        lines += [b"\r\n", response.body]
        self.transport.write(b"".join(lines))
        if self._at_eof:
            self.transport.close()
            self._flush_in_time()
        else:
            if self.transport.can_write_eof():
                self.transport.write_eof()
            self._end_after(self._bounds.linger_s)

    # Ends.

    def _upgrade(self, rest: bytes) -> None:
        """Make the connection a WebSocket; `rest` came after the handshake, in one piece with it."""
        target = self.url.decode("latin-1")
        raw_path, _, raw_query = target.partition("?")
        if self._sockets is None or raw_path != websocket.PATH:
            self._refuse(NotFound("There is no WebSocket here."))
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self._refuse(BadRequest("A WebSocket handshake cannot follow a request that is not answered."))
            return
        headers = self.scope["headers"]
        try:
            accepted = self._sockets.handshake(self.scope["method"], headers)
        except ApiError as error:
            self._refuse(error)
            return
        transport = self.transport
        self._cancel_receive_timer()
        self.flow.resume_reading()
        self.connections.discard(self)
        self._left()
        transport.write(accepted[:-2] + b"x-amzn-requestid: " + self._front.ids.uuid().encode() + b"\r\n\r\n")
        peer = (self.scope.get("client") or ("",))[0]
        request = HttpRequest(self.scope["method"], raw_path, raw_query, header_map(headers), b"", peer)
        socket = self._sockets.open(transport, request)
        if rest:
            socket.data_received(rest)
        # The parser and this object hold each other: free both now, a socket lives for hours.
        self.parser = self.scope = self.headers = None  # type: ignore[assignment]

    def _left(self) -> None:
        if not self.connections:
            self._listener.none_left.set()

    def _flush_in_time(self) -> None:
        """A closed transport waits for its client to read; not for ever."""
        if self.transport.get_write_buffer_size():
            self._end_after(self._bounds.send_timeout_s)

    def _end_after(self, seconds: float) -> None:
        if self._end_timer is None:
            self._end_timer = self.loop.call_later(seconds, self.transport.abort)

    def _cancel_end_timer(self) -> None:
        if self._end_timer is not None:
            self._end_timer.cancel()
            self._end_timer = None

    def _cancel_receive_timer(self) -> None:
        if self._receive_timer is not None:
            self._receive_timer.cancel()
            self._receive_timer = None


def _refusal_headers(error: ApiError) -> tuple[tuple[bytes, bytes], ...]:
    if isinstance(error, UpgradeRequired):
        return ((b"upgrade", b"websocket"), (b"sec-websocket-version", b"13"))
    return ()
