"""An HTTP exchange as values: what the listener hands in, and what it is to send."""

from collections.abc import Mapping

import msgspec


class HttpRequest(msgspec.Struct, frozen=True):
    """A request as it was received.

    `raw_path` and `raw_query` are still percent-encoded, one character for each byte (latin-1), without the `?`;
    header names are lower case.
    """

    method: str
    raw_path: str
    raw_query: str
    headers: Mapping[str, str]
    body: bytes
    peer: str = ""
    """The address that the connection came from; '' if unknown."""


class HttpResponse(msgspec.Struct, frozen=True):
    """An answer, but for what every answer gets: request id, date, length, CORS."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""
