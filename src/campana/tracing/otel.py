"""Spans of OpenTelemetry, sent to a collector over HTTP (OTLP). Needs `campana[otel]`."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from campana.tracing import TRACEPARENT, Attribute, Kind, Span, under_way

_KINDS: Final[Mapping[Kind, SpanKind]] = {kind: SpanKind[kind.name] for kind in Kind}
CLOSE_TIMEOUT_S: Final = 2.0
"""How long the end of the server may be held up by a collector that is away."""
LINKS_MAX: Final = 32


class _OtelSpan:
    """A `Span`."""

    __slots__ = ("_linked", "_span", "traceparent")

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        self._linked: set[str] = set()
        context = span.get_span_context()
        self.traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def set(self, name: str, value: Attribute) -> None:
        self._span.set_attribute(name, value)

    def link(self, traceparent: str) -> None:
        found = _context_of(traceparent)
        if found is not None and traceparent not in self._linked and len(self._linked) < LINKS_MAX:
            self._linked.add(traceparent)
            self._span.add_link(found)

    def failed(self, reason: str) -> None:
        self._span.set_status(Status(StatusCode.ERROR, reason))


class OtelTracing:
    """Makes spans and sends them in batches, from a thread of its own. What the collector does not take is dropped."""

    on = True

    def __init__(self, endpoint: str, *, sample_ratio: float, version: str) -> None:
        """`endpoint`: the URL that traces are posted to. OTEL_RESOURCE_ATTRIBUTES is heeded, and so are the
        exporter's variables (headers, certificates, compression)."""
        # What a request's caller has decided on sampling holds; the ratio is for traces that begin here.
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": "campana", "service.version": version}),
            sampler=ParentBased(TraceIdRatioBased(sample_ratio)),
            shutdown_on_exit=False,
        )
        self._exporter = OTLPSpanExporter(endpoint=endpoint)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("campana", version)

    @contextmanager
    def span(
        self,
        name: str,
        kind: Kind = Kind.INTERNAL,
        *,
        parent: str | None = None,
        links: Sequence[str] = (),
        **attributes: Attribute,
    ) -> Iterator[Span]:
        span = self._tracer.start_span(
            name,
            context=_parent(under_way.get().traceparent if parent is None else parent),
            kind=_KINDS[kind],
            links=[Link(found) for each in links if (found := _context_of(each)) is not None],
            attributes={name.replace("__", "."): value for name, value in attributes.items()},
        )
        ours = _OtelSpan(span)
        before = under_way.set(ours)
        # For instrumented code that runs inside: functions in this process, clients.
        token = attach(trace.set_span_in_context(span))
        try:
            yield ours
        except Exception as error:
            ours.failed(type(error).__name__)
            raise
        finally:
            detach(token)
            under_way.reset(before)
            span.end()

    def close(self) -> None:
        patience = threading.Timer(CLOSE_TIMEOUT_S, self._exporter.shutdown)  # which ends its retrying
        patience.start()
        self._provider.shutdown()
        patience.cancel()


def _context_of(traceparent: str) -> SpanContext | None:
    found = TRACEPARENT.match(traceparent)
    if found is None:
        return None
    trace_id, span_id, flags = (int(found[each], 16) for each in ("trace", "span", "flags"))
    return SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags & 1))


def _parent(traceparent: str) -> Context:
    """A context of its own: nothing that is under way by chance becomes the parent."""
    found = _context_of(traceparent)
    return Context() if found is None else trace.set_span_in_context(trace.NonRecordingSpan(found), Context())
