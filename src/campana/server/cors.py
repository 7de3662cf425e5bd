"""What lets pages of other origins call the API (spec/wire.md §9). Pure.

No cookies are used and every call is signed, so an origin that is let in gains nothing but the right to read answers.
"""

import re
from collections.abc import Collection, Mapping

from campana.wire.http import HttpResponse

Headers = tuple[tuple[bytes, bytes], ...]

ANY_ORIGIN = "*"
METHODS = b"GET, POST, PUT, DELETE, HEAD, OPTIONS"
# Sent where a preflight names none; else its own list comes back.
REQUEST_HEADERS = (
    b"authorization, content-type, x-amz-date, x-amz-security-token, x-amz-user-agent, x-amz-content-sha256, "
    b"x-amz-chime-bearer, amz-sdk-invocation-id, amz-sdk-request"
)
# Without x-amzn-errortype a browser's SDK cannot name the exception.
EXPOSED_HEADERS = b"x-amzn-requestid, x-amzn-errortype, x-amzn-trace-id, date"
MAX_AGE_S = b"172800"

_HEADER_LIST = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~, \t-]{1,4096}")


class Cors:
    """The rule for the origins that may call: all with "*", else those listed, compared as text."""

    def __init__(self, origins: Collection[str] = (ANY_ORIGIN,)) -> None:
        expose = (b"access-control-expose-headers", EXPOSED_HEADERS)
        self._others: Headers
        self._listed: dict[str, Headers]
        if ANY_ORIGIN in origins:
            self._listed = {}
            self._others = ((b"access-control-allow-origin", b"*"), expose)
        else:
            vary = (b"vary", b"origin")  # a cache must not hand one origin's answer to another
            self._listed = {
                origin: ((b"access-control-allow-origin", origin.encode("latin-1")), expose, vary) for origin in origins
            }
            self._others = (vary,)

    def headers(self, origin: str | None) -> Headers:
        """What an answer to a request of this `Origin` carries, refusals included."""
        return self._listed.get(origin, self._others) if origin is not None else self._others

    def preflight(self, headers: Mapping[str, str]) -> HttpResponse:
        """The answer to OPTIONS, on any path and unsigned; `headers()` comes on top of it."""
        asked = headers.get("access-control-request-headers", "")
        allowed = asked.encode("latin-1") if _HEADER_LIST.fullmatch(asked) else REQUEST_HEADERS
        return HttpResponse(
            204,
            (
                (b"access-control-allow-methods", METHODS),
                (b"access-control-allow-headers", allowed),
                (b"access-control-max-age", MAX_AGE_S),
            ),
        )
