"""Traces: which request a piece of work belongs to, on whatever node and however much later it is done.

Here is what everything else sees: spans, and the one that is under way. Without `tracing.endpoint` there are none and
`NoTracing` stands in; with it, OpenTelemetry's are made (tracing/otel.py), which is imported then only. What has to
outlive a process (a flow execution, a journal entry) keeps a span as its W3C traceparent. Never content or names.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from enum import Enum
from typing import Final, Protocol

Attribute = str | bool | int | float


class Kind(Enum):
    """Which side of a conversation a span is."""

    INTERNAL = "internal"
    SERVER = "server"
    CLIENT = "client"
    PRODUCER = "producer"
    CONSUMER = "consumer"


class Span(Protocol):
    """A piece of work under way."""

    traceparent: str
    """What names it to others."""

    def rename(self, name: str) -> None: ...
    def set(self, name: str, value: Attribute) -> None: ...
    def link(self, traceparent: str) -> None:
        """It has to do with that span too; a second time changes nothing."""

    def failed(self, reason: str) -> None:
        """`reason`: a word, not a user's text."""


class Tracing(Protocol):
    """Makes spans."""

    on: bool
    """Whether there are any."""

    def span(
        self,
        name: str,
        kind: Kind = Kind.INTERNAL,
        *,
        parent: str | None = None,
        links: Sequence[str] = (),
        **attributes: Attribute,
    ) -> AbstractContextManager[Span]:
        """A span that is under way inside `with`; `current` then is this one.

        `parent`: a traceparent; None: the span that is under way; '': none.
        """

    def close(self) -> None:
        """Send what is left to be sent. It may wait for some seconds."""


class _NoSpan:
    traceparent = ""

    def rename(self, name: str) -> None: ...
    def set(self, name: str, value: Attribute) -> None: ...
    def link(self, traceparent: str) -> None: ...
    def failed(self, reason: str) -> None: ...


NO_SPAN: Final = _NoSpan()


class NoTracing:
    """There are no traces."""

    on = False
    _nothing = nullcontext(NO_SPAN)

    def span(
        self,
        name: str,
        kind: Kind = Kind.INTERNAL,
        *,
        parent: str | None = None,
        links: Sequence[str] = (),
        **attributes: Attribute,
    ) -> AbstractContextManager[Span]:
        return self._nothing

    def close(self) -> None:
        """Nothing to send."""


under_way: ContextVar[Span] = ContextVar("campana.tracing", default=NO_SPAN)


def current() -> Span:
    """The span under way; one that does nothing if there is none."""
    return under_way.get()


# Spans in text

TRACEPARENT: Final = re.compile(
    r"(00(?=.{53}\Z)|(?!00|ff)[0-9a-f]{2})-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})(?P<span>[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})(?![^-])"
)
"""Later versions may have more at the end."""
_ROOT: Final = re.compile(r"Root=1-([0-9a-f]{8})-([0-9a-f]{24})(?:;|\Z)")
_PARENT: Final = re.compile(r"Parent=([0-9a-f]{16})(?:;|\Z)")


def trace_of(traceparent: str) -> str:
    """The trace's id: 32 hexadecimal characters; '' for what is no traceparent."""
    found = TRACEPARENT.match(traceparent)
    return "" if found is None else found["trace"]


def of_headers(headers: Mapping[str, str]) -> str:
    """The caller's span as a traceparent; '' if it names none.

    From W3C's header, or from AWS's, which their SDKs send in Lambda functions.
    """
    given = TRACEPARENT.match(headers.get("traceparent", ""))
    if given is not None:
        return f"00-{given['trace']}-{given['span']}-{given['flags']}"
    aws = headers.get("x-amzn-trace-id", "")
    root, parent = _ROOT.search(aws), _PARENT.search(aws)
    if root is None or parent is None:
        return ""
    said = f"00-{root[1]}{root[2]}-{parent[1]}-{'01' if 'Sampled=1' in aws else '00'}"
    return said if TRACEPARENT.match(said) else ""


def for_aws(traceparent: str) -> str:
    """A traceparent in the form of AWS's header `X-Amzn-Trace-Id`; '' for ''."""
    found = TRACEPARENT.match(traceparent)
    if found is None:
        return ""
    trace, span, flags = found["trace"], found["span"], found["flags"]
    return f"Root=1-{trace[:8]}-{trace[8:]};Parent={span};Sampled={int(flags, 16) & 1}"
