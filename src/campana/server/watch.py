"""What is seen of every call: its count and time, its span, its line in the audit log, its id in all log lines."""

from collections.abc import Awaitable, Callable
from typing import Final

from campana import log, tracing
from campana.clock import stopwatch
from campana.metrics import UNKNOWN, Metrics
from campana.tracing import Kind, Span, Tracing
from campana.wire.http import HttpRequest, HttpResponse

SERVICE: Final = "chime.amazonaws.com"  # as CloudTrail names it (spec/integrations.md §6)
STS: Final = "sts.amazonaws.com"


class Seen:
    """A call, as it becomes known on its way."""

    __slots__ = ("bearer", "caller", "error", "operation", "request_id", "resource", "service")

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        self.service = SERVICE
        self.operation = UNKNOWN
        """Never what a client made up."""
        self.caller = ""
        """The ARN of whose credentials signed it."""
        self.bearer = ""
        self.resource = ""
        """The ARN of what it is about."""
        self.error = ""


Handle = Callable[[HttpRequest, Seen], Awaitable[HttpResponse]]


class Watch:
    """Has calls answered and looks on."""

    def __init__(self, metrics: Metrics, tracing: Tracing, *, audits: bool) -> None:
        """`audits`: write a log line for each call."""
        self._calls = metrics.calls
        self._tracing = tracing
        self._audits = audits

    async def over(self, handle: Handle, request: HttpRequest, request_id: str) -> HttpResponse:
        """The answer of `handle`; what it raises is counted as what the front makes of it."""
        begun = stopwatch()
        seen = Seen(request_id)
        status = 503  # cancelled: the end of a shutdown's grace
        try:
            if self._tracing.on:
                response = await self._traced(handle, request, seen)
            else:
                log.about(request=request_id)
                response = await handle(request, seen)
            status = response.status
            return response
        except Exception:
            status = 500
            raise
        finally:
            seconds = stopwatch() - begun
            self._calls.answered(seen.operation, status, seconds)
            if self._audits:
                _audit(seen, status, seconds, request.peer)

    async def _traced(self, handle: Handle, request: HttpRequest, seen: Seen) -> HttpResponse:
        with self._tracing.span("request", Kind.SERVER, parent=tracing.of_headers(request.headers)) as span:
            log.about(request=seen.request_id, trace=tracing.trace_of(span.traceparent))
            response = await handle(request, seen)
            _describe(span, seen, response.status)
            return response


def _describe(span: Span, seen: Seen, status: int) -> None:
    span.rename(seen.operation)
    span.set("rpc.system", "aws-api")
    span.set("rpc.method", seen.operation)
    span.set("http.response.status_code", status)
    span.set("campana.request_id", seen.request_id)
    if seen.error:
        span.set("error.type", seen.error)
    if status >= 500:
        span.failed(seen.error or "InternalFailure")


def _audit(seen: Seen, status: int, seconds: float, peer: str) -> None:
    """As CloudTrail has it, without what was said."""
    log.info(
        "call.answered",
        service=seen.service,
        operation=seen.operation,
        status=status,
        error=seen.error,
        ms=round(seconds * 1000, 3),
        caller=seen.caller,
        bearer=seen.bearer,
        resource=seen.resource,
        peer=peer,
    )
