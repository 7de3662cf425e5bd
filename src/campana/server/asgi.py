"""The ASGI app: an HTTP exchange in, values handed on, values sent back. Above it nothing knows ASGI.

It never looks at the decoded path: ARNs carry `%2F` (spec/wire.md §1). How long and how large a request may be is
the connection's business (server/connection.py).
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from campana import log
from campana.clock import Ids
from campana.errors import MethodNotAllowed, ServiceFailure, ServiceUnavailable
from campana.server.cors import Cors
from campana.wire import codec
from campana.wire.http import HttpRequest, HttpResponse

Handle = Callable[[HttpRequest, str], Awaitable[HttpResponse]]  # the request and its id, for logs and failures
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

ALIVE = HttpResponse(200, ((b"content-type", b"text/plain"), (b"cache-control", b"no-store")), b"ok\n")
HEALTH_PATHS = frozenset({"/healthz", "/readyz"})


class Front:
    """What every request goes through: health, preflights, `handle` for the rest; and what every answer gets.

    `ready` says whether /readyz is to answer 200. An exception of `handle` becomes 500 with the request's id,
    its cancellation (the end of a shutdown's grace) 503.
    """

    def __init__(self, handle: Handle, *, ids: Ids, cors: Cors, ready: Callable[[], bool]) -> None:
        self.ids = ids
        self.cors = cors
        self._handle = handle
        self._ready = ready

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI's entry, for scopes of type http."""
        request_id = self.ids.uuid()
        headers = header_map(scope["headers"])
        try:
            body = await _whole_body(receive)
            if body is None:
                return  # the client left before the end of its request: nothing is executed
            request = HttpRequest(
                scope["method"],
                scope["raw_path"].decode("latin-1"),
                scope["query_string"].decode("latin-1"),
                headers,
                body,
                (scope.get("client") or ("",))[0],
            )
            response = await self._answer(request, request_id)
        except asyncio.CancelledError:
            response = codec.refuse(ServiceUnavailable("The server is shutting down. Try again."))
        except Exception:
            log.exception("request.failed", request=request_id)
            response = codec.refuse(ServiceFailure(f"The request failed inside the server. Its id is {request_id}."))
        sent = [(b"x-amzn-requestid", request_id.encode()), *self.cors.headers(headers.get("origin"))]
        sent += response.headers
        if response.status != 204:
            sent.append((b"content-length", b"%d" % len(response.body)))
        await send({"type": "http.response.start", "status": response.status, "headers": sent})
        await send({"type": "http.response.body", "body": response.body})

    async def _answer(self, request: HttpRequest, request_id: str) -> HttpResponse:
        if request.method == "OPTIONS":
            return self.cors.preflight(request.headers)
        if request.raw_path in HEALTH_PATHS:
            return self._health(request)
        return await self._handle(request, request_id)

    def _health(self, request: HttpRequest) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            return codec.refuse(MethodNotAllowed("Health is asked for with GET or HEAD."))
        if request.raw_path == "/readyz" and not self._ready():
            return codec.refuse(ServiceUnavailable("The server is not ready."))
        return ALIVE


def header_map(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers as text by their (lower-case) names; repeated ones are joined with a comma, as SigV4 signs them."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in pairs:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return headers


async def _whole_body(receive: Receive) -> bytes | None:
    message = await receive()
    if message["type"] == "http.disconnect":
        return None
    if not message.get("more_body"):
        return bytes(message.get("body", b""))
    parts = [message.get("body", b"")]
    while message.get("more_body"):
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
    return b"".join(parts)
