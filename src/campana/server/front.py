"""What every request goes through before the API, and what every answer gets: health, metrics, preflights, ids, CORS.

How a request arrives, and how long and large it may be, is the connection's business (server/connection.py).
"""

import asyncio
from collections.abc import Awaitable, Callable

from campana import log
from campana.clock import Ids
from campana.errors import MethodNotAllowed, NotFound, ServiceFailure, ServiceUnavailable
from campana.metrics import CONTENT_TYPE, Metrics
from campana.server.cors import Cors
from campana.wire import codec
from campana.wire.http import HttpRequest, HttpResponse

Handle = Callable[[HttpRequest, str], Awaitable[HttpResponse]]  # the request and its id, for logs and failures

ALIVE = HttpResponse(200, ((b"content-type", b"text/plain"), (b"cache-control", b"no-store")), b"ok\n")
HEALTH_PATHS = frozenset({"/healthz", "/readyz"})
METRICS_PATH = "/metrics"


class Front:
    """Answers every request, by `handle` if it is neither a preflight nor about health.

    `ready` says whether /readyz is to answer 200, `shows_metrics` whether there is a /metrics.
    An exception of `handle` becomes 500 with the request's id,
    its cancellation (the end of a shutdown's grace) 503.
    """

    def __init__(
        self,
        handle: Handle,
        *,
        ids: Ids,
        cors: Cors,
        ready: Callable[[], bool],
        metrics: Metrics | None = None,
        shows_metrics: bool = False,
    ) -> None:
        self.metrics = metrics or Metrics()
        self._shows_metrics = shows_metrics
        self.ids = ids
        self.cors = cors
        self._handle = handle
        self._ready = ready

    async def answer(self, request: HttpRequest, request_id: str) -> HttpResponse:
        """The answer, whatever happens."""
        try:
            if request.method == "OPTIONS":
                return self.cors.preflight(request.headers)
            if request.raw_path in HEALTH_PATHS:
                return self._health(request)
            if self._shows_metrics and request.raw_path == METRICS_PATH:
                return await self._exposition(request)
            return await self._handle(request, request_id)
        except asyncio.CancelledError:
            return codec.refuse(ServiceUnavailable("The server is shutting down. Try again."))
        except Exception:
            log.exception("request.failed", request=request_id)
            return codec.refuse(ServiceFailure(f"The request failed inside the server. Its id is {request_id}."))

    async def _exposition(self, request: HttpRequest) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            return codec.refuse(MethodNotAllowed("Metrics are asked for with GET or HEAD."))
        text = await asyncio.to_thread(self.metrics.text)
        return HttpResponse(200, ((b"content-type", CONTENT_TYPE.encode()), (b"cache-control", b"no-store")), text)

    def _health(self, request: HttpRequest) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            return codec.refuse(MethodNotAllowed("Health is asked for with GET or HEAD."))
        if request.raw_path == "/readyz" and not self._ready():
            return codec.refuse(ServiceUnavailable("The server is not ready."))
        return ALIVE


async def nothing_else(request: HttpRequest, request_id: str) -> HttpResponse:
    """The `handle` of a front for health and metrics alone."""
    return codec.refuse(NotFound("Here are /metrics, /healthz and /readyz."))
