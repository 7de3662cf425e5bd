"""HTTP/1.1 as far as runtime clients speak it: one request after the other on a kept connection.

Knows no routes. The peer is a process of ours running code of the user's, so every length is bounded.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import cast

import httptools

HEAD_BYTES_MAX = 1_310_720  # a client may put up to 1 MiB about an error into one header
BODY_BYTES_MAX = 6_291_456 + 102_400  # Lambda's own limit, and a little


@dataclass(slots=True)
class Request:
    """One request. Header names are in lower case; the body of one that is `too_large` is not kept."""

    method: str = ""
    target: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    too_large: bool = False
    keep_alive: bool = True


class Connection(asyncio.Protocol):
    """A client's connection. `serve` is called with each request and must `answer`, at once or later."""

    def __init__(
        self, serve: Callable[["Connection", Request], None], opened: Callable[["Connection"], None],
        lost: Callable[["Connection"], None],
    ) -> None:  # fmt: skip
        self._serve = serve
        self._opened = opened
        self._lost = lost
        self._parser = httptools.HttpRequestParser(self)
        self._request = Request()
        self._head_bytes = 0
        self._in_head = True
        self._answering = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are not subclasses of it
        self._opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._lost(self)

    def data_received(self, data: bytes) -> None:
        if self._in_head:  # counted here, as the parser collects a header of any length
            self._head_bytes += len(data)
        if self._answering or self._head_bytes > HEAD_BYTES_MAX:
            return self.abort()
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.abort()
        return None

    def answer(self, status: HTTPStatus, body: bytes = b"{}", headers: Mapping[str, str] | None = None) -> None:
        """Send the answer to the request under way.

        The content type is application/json and nothing else: without one AWS's clients crash, with parameters
        the Python client does not parse the event (spec/clients.md §7).
        """
        if self._transport is None or self._transport.is_closing():
            return
        lines = [f"HTTP/1.1 {status.value} {status.phrase}", "Content-Type: application/json",
                 f"Content-Length: {len(body)}"]  # fmt: skip
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        self._transport.write("\r\n".join((*lines, "\r\n")).encode("latin-1") + body)
        self._answering = False
        if not self._request.keep_alive:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # What httptools calls.

    def on_message_begin(self) -> None:
        if self._answering:
            raise ValueError("A second request before the first one's answer.")
        self._request = Request()
        self._head_bytes = 0
        self._in_head = True

    def on_url(self, url: bytes) -> None:
        self._request.target += url.decode("latin-1")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._request.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._request.method = self._parser.get_method().decode("latin-1")
        if self._request.headers.get("expect", "").lower() == "100-continue" and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        if len(self._request.body) + len(body) > BODY_BYTES_MAX:
            self._request.too_large = True
            self._request.body.clear()
        if not self._request.too_large:
            self._request.body += body

    def on_message_complete(self) -> None:
        self._answering = True
        self._request.keep_alive = self._parser.should_keep_alive()
        self._serve(self, self._request)
