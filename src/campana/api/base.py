"""What the generated shapes and routes rest on: `Shape`, `Timestamp`, `Route`, and how values are written.

Absent and null are the same thing: an optional member that is `None` is left out of every encoding.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import cache, lru_cache, total_ordering
from typing import Literal

import msgspec


class Shape(msgspec.Struct, frozen=True, kw_only=True, rename="pascal", omit_defaults=True):
    """A structure of the API: a request, a response or a part of one. Fields are snake case, the wire Pascal case."""


@total_ordering
class Timestamp:
    """A point in time in whole milliseconds since the epoch. How it is written depends on where (spec/wire.md §5)."""

    # Neither a dataclass nor a Struct: msgspec would write those as objects, without asking.
    __slots__ = ("ms",)
    ms: int

    def __init__(self, ms: int) -> None:
        object.__setattr__(self, "ms", ms)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a Timestamp does not change")

    def __reduce__(self) -> tuple[type["Timestamp"], tuple[int]]:
        return Timestamp, (self.ms,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Timestamp) and self.ms == other.ms

    def __lt__(self, other: "Timestamp") -> bool:
        return self.ms < other.ms

    def __hash__(self) -> int:
        return hash(self.ms)

    def __repr__(self) -> str:
        return f"Timestamp({self.ms})"

    @staticmethod
    def parse(text: str) -> "Timestamp":
        """ISO-8601 with `Z` or an offset and up to nine fraction digits, or epoch seconds; raises `ValueError`.

        What is finer than a millisecond is cut off.
        """
        if epoch := _EPOCH.fullmatch(text):
            seconds, fraction = epoch.groups()
            moment = _EPOCH_START + timedelta(seconds=abs(int(seconds)), milliseconds=_milliseconds(fraction))
            if text.startswith("-"):
                moment = _EPOCH_START - (moment - _EPOCH_START)
        elif iso_8601 := _ISO.fullmatch(text):
            date, fraction, zone = iso_8601.groups()
            moment = datetime.fromisoformat(date + ("+00:00" if zone in "Zz" else zone))
            moment += timedelta(milliseconds=_milliseconds(fraction))
        else:
            raise ValueError("not a timestamp")
        return Timestamp((moment - _EPOCH_START) // timedelta(milliseconds=1))


_EPOCH_START = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH = re.compile(r"(-?[0-9]{1,11})(?:\.([0-9]{0,9}))?")
_ISO = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{0,9}))?([Zz]|[+-][0-9]{2}:?[0-9]{2})"
)


def _milliseconds(fraction: str | None) -> int:
    return int(((fraction or "") + "000")[:3])


@lru_cache(256)  # of all that is written, most is of now, and a new message says it twice
def iso(ms: int) -> str:
    """`2026-03-04T05:06:07.089Z`: exactly three digits, the only form all clients read."""
    seconds, rest = divmod(ms, 1000)
    return f"{_iso_second(seconds)}.{rest:03d}Z"


@lru_cache(256)
def _iso_second(seconds: int) -> str:
    return (_EPOCH_START + timedelta(seconds=seconds)).isoformat()[:19]


def encode_rest(value: object) -> bytes:
    """JSON as REST bodies carry it: timestamps are epoch seconds with milliseconds as their fraction."""
    return _REST.encode(value)


def encode_frame(value: object) -> str:
    """JSON as WebSocket, processor and stream payloads carry it: timestamps are ISO-8601 text."""
    return _FRAME.encode(value).decode()


def _encoder(write: Callable[[int], object]) -> msgspec.json.Encoder:
    def hook(value: object) -> object:
        if isinstance(value, Timestamp):
            return write(value.ms)
        raise NotImplementedError(f"{type(value).__name__} is no part of the contract")

    return msgspec.json.Encoder(enc_hook=hook)


_REST = _encoder(lambda ms: ms / 1000)
_FRAME = _encoder(iso)


class Kind(Enum):
    """What the text of a path, header or query member stands for."""

    TEXT = "text"
    INTEGER = "integer"
    TIMESTAMP = "timestamp"


@dataclass(frozen=True, slots=True)
class Member:
    """A request's member that travels outside the body.

    `field` is its name in the Struct, `key` in the model, `name` that of the path label, header or query parameter.
    """

    field: str
    key: str
    name: str
    kind: Kind = Kind.TEXT


@dataclass(frozen=True, slots=True)
class Route:
    """Where an operation is found on the wire and what it takes and gives.

    `path` holds fixed words and `{labels}`; `fixed` is the query pair that tells it from others on the same path;
    `idempotency` names the field of the client's token; `errors` are the exceptions of its model.
    """

    operation: str
    service: Literal["messaging", "identity", "both"]
    method: str
    path: tuple[str, ...]
    status: int
    request: type[Shape]
    response: type[Shape] | None = None
    fixed: tuple[str, str] | None = None
    labels: tuple[Member, ...] = ()
    headers: tuple[Member, ...] = ()
    query: tuple[Member, ...] = ()
    body: bool = False
    idempotency: str | None = None
    errors: tuple[str, ...] = ()


@cache
def wire_names(shape: type[Shape]) -> dict[str, str]:
    """Field name → name on the wire: `resource_arn` → `ResourceARN`."""
    return dict(zip(shape.__struct_fields__, shape.__struct_encode_fields__, strict=True))
