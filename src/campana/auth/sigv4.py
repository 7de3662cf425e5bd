"""AWS Signature Version 4: what a request claims, and whether its signature holds (spec/wire.md §7).

Pure: values in, a decision out; no store, no clock. The caller looks up the secret of `Signed.access_key_id`
between `claims` and `verify`, and turns `BadSignature` into an answer.

Path, query and header values are taken as they came: nothing unescaped, one character per octet (ISO-8859-1).
Header names are in lower case; the values of a repeated header are joined by a comma without a space.
"""

import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from urllib.parse import quote_from_bytes, unquote, unquote_to_bytes

import msgspec

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
SKEW_MS = 300_000
EXPIRES_MAX_S = 604_800  # a presigned request; a WebSocket takes `WEBSOCKET_EXPIRES_MAX_S` (spec/realtime.md §2)
WEBSOCKET_EXPIRES_MAX_S = 300


class Reason(StrEnum):
    """Why a request is refused."""

    MISSING = "missing"  # it is not signed at all
    MALFORMED = "malformed"  # what signs it cannot be read, or lacks a part
    SCOPE = "scope"  # signed for another service, region or day
    SKEWED = "skewed"  # signed too long ago, or in the future
    EXPIRED = "expired"  # presigned, and its lifetime is over
    UNSIGNED = "unsigned"  # a header that must be signed is not
    MISMATCH = "mismatch"  # the signature is not the one of this request


class BadSignature(ValueError):
    """The request is not signed as it must be; `message` is for the client."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class Signed(msgspec.Struct, frozen=True):
    """What a request claims about its signature, not yet verified.

    `timestamp` has the form 20260304T050607Z and lies on `day`; `expires_s` is there when `presigned` only.
    """

    access_key_id: str
    day: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str
    timestamp: str
    timestamp_ms: int
    session_token: str | None
    expires_s: int | None

    def __repr__(self) -> str:
        return f"Signed({self.access_key_id}, {self.scope})"  # neither the signature nor the token

    @property
    def presigned(self) -> bool:
        return self.expires_s is not None

    @property
    def scope(self) -> str:
        return f"{self.day}/{self.region}/{self.service}/aws4_request"


def claims(method: str, raw_path: str, raw_query: str, headers: Mapping[str, str]) -> Signed:
    """Who signed the request, for what and when, by its Authorization header or its query; raises `BadSignature`."""
    is_path = _is_path if len(raw_path) <= _CACHED_MAX else _is_path.__wrapped__
    if not _METHOD.fullmatch(method) or not is_path(raw_path) or not _QUERY.fullmatch(raw_query):
        raise BadSignature(Reason.MALFORMED, "The request line is malformed.")
    authorization = headers.get("authorization", "").strip()
    parameters = _presigned_parameters(raw_query)
    if not authorization and not parameters:
        raise BadSignature(Reason.MISSING, "Missing Authentication Token")
    if authorization and parameters:
        raise BadSignature(
            Reason.MALFORMED,
            "Only one auth mechanism allowed: the Authorization header or the X-Amz-Algorithm query parameter.",
        )
    return _by_header(authorization, headers) if authorization else _by_query(parameters)


def verify(
    signed: Signed,
    *,
    secret: str,
    method: str,
    raw_path: str,
    raw_query: str,
    headers: Mapping[str, str],
    body: bytes | str,
    now: int,
    skew_ms: int = SKEW_MS,
    service: frozenset[str] | tuple[str, ...] = ("chime",),
    region: str | None = None,
    expires_max_s: int = EXPIRES_MAX_S,
    unsigned_payload_allowed: bool = False,
) -> None:
    """Returns if the request is `signed` with `secret`; raises `BadSignature`.

    The request is the one `claims` read. `body` is its octets, or their SHA-256 in lower-case hexadecimal; `now` and
    `skew_ms` are milliseconds. `service` holds the services, `region` the one region (None: any) that a signature
    may be for. `unsigned_payload_allowed` suits TLS, where nobody between can change the body.
    """
    _require_scope(signed, service, region)
    _require_current(signed, now, skew_ms, expires_max_s)
    _require_signed_headers(signed, headers)
    payload_hash = _payload_hash(headers, body, unsigned_payload_allowed)
    keyed = _signing(secret, signed.day, signed.region, signed.service)
    for canonical_request in canonical_requests(signed, method, raw_path, raw_query, headers, payload_hash):
        computed = keyed.copy()
        computed.update(string_to_sign(signed, canonical_request).encode())
        if hmac.compare_digest(computed.hexdigest(), signed.signature):
            return
    raise BadSignature(
        Reason.MISMATCH,
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access "
        "Key and signing method. Consult the service documentation for details.",
    )


def canonical_requests(
    signed: Signed, method: str, raw_path: str, raw_query: str, headers: Mapping[str, str], payload_hash: str
) -> Iterator[str]:
    """The texts a client may have signed: one for nearly every request, four at most.

    Every header in `signed.signed_headers` is in `headers`.
    """
    path = _canonical_path(raw_path) if len(raw_path) <= _CACHED_MAX else _canonical_path.__wrapped__(raw_path)
    names = ";".join(signed.signed_headers)
    for header_lines in _canonical_headers(signed.signed_headers, headers):
        for query in _canonical_queries(raw_query):
            yield f"{method}\n{path}\n{query}\n{header_lines}\n{names}\n{payload_hash}"


def string_to_sign(signed: Signed, canonical_request: str) -> str:
    """What the signing key is applied to."""
    digest = hashlib.sha256(canonical_request.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{ALGORITHM}\n{signed.timestamp}\n{signed.scope}\n{digest}"


# Reading the claims.

_METHOD = re.compile(r"[A-Za-z]{1,16}")
_PATH = re.compile(r"/[ -~\x80-\xff]*")
_QUERY = re.compile(r"[ -~\x80-\xff]*")
_CREDENTIAL = re.compile(r"([!-.0-~]{1,128})/([0-9]{8})/([A-Za-z0-9-]{1,64})/([A-Za-z0-9-]{1,64})/aws4_request")
_SIGNED_HEADERS = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+(?:;[a-z0-9!#$%&'*+.^_`|~-]+)*")
_SIGNATURE = re.compile(r"[0-9a-f]{64}")
_TIMESTAMP = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_EXPIRES = re.compile(r"[0-9]{1,7}")
_HTTP_DATE = re.compile(
    r"(?:[A-Z][a-z]{2}, )?([0-9]{1,2}) ([A-Z][a-z]{2}) ([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) (?:GMT|UTC|[+-]0000)"
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_HEADER_PARTS = ("Credential", "SignedHeaders", "Signature")
_PRESIGNED_PARTS = ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders")
_PRESIGNED_NAMES = frozenset({*_PRESIGNED_PARTS, "X-Amz-Signature", "X-Amz-Security-Token"})


@lru_cache(maxsize=2048)
def _is_path(raw_path: str) -> bool:
    return _PATH.fullmatch(raw_path) is not None


def _by_header(authorization: str, headers: Mapping[str, str]) -> Signed:
    scheme, _, rest = authorization.partition(" ")
    if scheme != ALGORITHM:
        raise BadSignature(Reason.MALFORMED, f"Unsupported authorization type: requests are signed with {ALGORITHM}.")
    parts: dict[str, str] = {}
    for part in rest.split(","):
        name, _, value = part.strip().partition("=")
        if name not in _HEADER_PARTS or name in parts:
            raise BadSignature(Reason.MALFORMED, "Authorization header holds something that is not one of its parts.")
        parts[name] = value
    for name in _HEADER_PARTS:
        if not parts.get(name):
            raise BadSignature(Reason.MALFORMED, f"Authorization header requires '{name}' parameter.")
    timestamp = headers.get("x-amz-date") or _timestamp_of_http_date(headers.get("date"))
    return _signed(
        credential=parts["Credential"],
        signed_headers=parts["SignedHeaders"],
        signature=parts["Signature"],
        timestamp=timestamp.strip(),
        session_token=headers.get("x-amz-security-token"),
        expires_s=None,
    )


def _by_query(parameters: Mapping[str, str]) -> Signed:
    for name in (*_PRESIGNED_PARTS, "X-Amz-Signature"):
        if not parameters.get(name):
            raise BadSignature(Reason.MALFORMED, f"AWS query-string parameters must include '{name}'.")
    if parameters["X-Amz-Algorithm"] != ALGORITHM:
        raise BadSignature(Reason.MALFORMED, f"X-Amz-Algorithm only supports '{ALGORITHM}'.")
    if not _EXPIRES.fullmatch(parameters["X-Amz-Expires"]):
        raise BadSignature(Reason.MALFORMED, "X-Amz-Expires should be a number of seconds.")
    return _signed(
        credential=parameters["X-Amz-Credential"],
        signed_headers=parameters["X-Amz-SignedHeaders"],
        signature=parameters["X-Amz-Signature"],
        timestamp=parameters["X-Amz-Date"],
        session_token=parameters.get("X-Amz-Security-Token"),
        expires_s=int(parameters["X-Amz-Expires"]),
    )


def _signed(
    *,
    credential: str,
    signed_headers: str,
    signature: str,
    timestamp: str,
    session_token: str | None,
    expires_s: int | None,
) -> Signed:
    scoped = _scoped if len(credential) + len(signed_headers) <= _CACHED_MAX else _scoped.__wrapped__
    access_key_id, day, region, service, names = scoped(credential, signed_headers)
    if not _SIGNATURE.fullmatch(signature):
        raise BadSignature(Reason.MALFORMED, "Signature must be 64 lower-case hexadecimal characters.")
    timestamp_ms = _milliseconds(timestamp)
    if timestamp[:8] != day:
        raise BadSignature(
            Reason.SCOPE,
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
            f"'{day}' != '{timestamp[:8]}', from '{timestamp}'.",
        )
    return Signed(
        access_key_id, day, region, service, names, signature, timestamp, timestamp_ms, session_token, expires_s
    )


@lru_cache(maxsize=2048)
def _scoped(credential: str, signed_headers: str) -> tuple[str, str, str, str, tuple[str, ...]]:
    """What a client says alike of all its requests of a day: its key, day, region and service; the headers' names."""
    match = _CREDENTIAL.fullmatch(credential)
    if match is None:
        raise BadSignature(
            Reason.MALFORMED,
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/aws4_request.",
        )
    access_key_id, day, region, service = match.groups()
    names = tuple(signed_headers.split(";"))
    if not _SIGNED_HEADERS.fullmatch(signed_headers) or len(set(names)) != len(names):
        raise BadSignature(Reason.MALFORMED, "SignedHeaders must be lower-case header names, separated by semicolons.")
    if "host" not in names:
        raise BadSignature(Reason.UNSIGNED, "'Host' must be a 'SignedHeader' in the AWS Authorization.")
    return access_key_id, day, region, service, names


def _presigned_parameters(raw_query: str) -> dict[str, str]:
    """The query's parameters that sign it, decoded.

    Names too: else a presigned query, its names written with escapes, could pass as one signed by header, and live on.
    """
    parameters: dict[str, str] = {}
    if not raw_query:
        return parameters
    for raw_name, value in _pairs(raw_query):
        name = unquote(raw_name)
        if name in parameters:
            raise BadSignature(Reason.MALFORMED, f"Query parameter '{name}' must not be repeated.")
        if name in _PRESIGNED_NAMES:
            parameters[name] = unquote(value)
    return parameters


def _pairs(raw_query: str) -> list[tuple[str, str]]:
    """Names and values as they came; "+" stands for itself."""
    parted = (pair.partition("=") for pair in raw_query.split("&") if pair)
    return [(name, value) for name, _, value in parted]


def _timestamp_of_http_date(date: str | None) -> str:
    if date is None:
        raise BadSignature(
            Reason.MALFORMED,
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.",
        )
    match = _HTTP_DATE.fullmatch(date.strip())
    if match is None or match[2] not in _MONTHS:
        return date  # the basic ISO form is allowed here, too
    day, month, year, hours, minutes, seconds = match.groups()
    return f"{year}{_MONTHS.index(month) + 1:02}{int(day):02}T{hours}{minutes}{seconds}Z"


@lru_cache(maxsize=256)  # those of one second have the same; only good ones are kept
def _milliseconds(timestamp: str) -> int:
    try:
        if _TIMESTAMP.fullmatch(timestamp):
            return int(datetime.fromisoformat(timestamp).timestamp()) * 1000
    except ValueError:
        pass  # no such day or time; the same answer
    raise BadSignature(Reason.MALFORMED, "Date must be in ISO-8601 'basic format', e.g. 20260304T050607Z.")


# What is required of the claims.

# The signature covers the date in any case, and a token belongs to one key; yet AWS wants both signed. Were the
# bearer unsigned, somebody between could let the request speak for another user.
_SIGNED_IF_PRESENT = ("x-amz-chime-bearer", "x-amz-date", "x-amz-security-token")


def _require_scope(signed: Signed, services: frozenset[str] | tuple[str, ...], region: str | None) -> None:
    if signed.service not in services:
        named = "' or '".join(sorted(services))
        raise BadSignature(Reason.SCOPE, f"Credential should be scoped to correct service: '{named}'.")
    if region is not None and signed.region != region:
        raise BadSignature(Reason.SCOPE, f"Credential should be scoped to a valid region: '{region}'.")


def _require_current(signed: Signed, now: int, skew_ms: int, expires_max_s: int) -> None:
    if signed.timestamp_ms > now + skew_ms:
        raise BadSignature(
            Reason.SKEWED,
            f"Signature not yet current: {signed.timestamp} is still later than {_basic_iso(now + skew_ms)} "
            f"({_basic_iso(now)} + {skew_ms / 60_000:g} min.)",
        )
    if signed.expires_s is None:
        if signed.timestamp_ms < now - skew_ms:
            raise BadSignature(
                Reason.SKEWED,
                f"Signature expired: {signed.timestamp} is now earlier than {_basic_iso(now - skew_ms)} "
                f"({_basic_iso(now)} - {skew_ms / 60_000:g} min.)",
            )
        return
    if not 1 <= signed.expires_s <= expires_max_s:
        raise BadSignature(Reason.MALFORMED, f"X-Amz-Expires must be between 1 and {expires_max_s} seconds.")
    if signed.timestamp_ms < now - signed.expires_s * 1000:
        raise BadSignature(
            Reason.EXPIRED,
            f"Signature expired: {signed.timestamp} is now earlier than {_basic_iso(now - signed.expires_s * 1000)} "
            f"({_basic_iso(now)} - {signed.expires_s} s)",
        )


def _require_signed_headers(signed: Signed, headers: Mapping[str, str]) -> None:
    for name in signed.signed_headers:
        if name not in headers:
            raise BadSignature(Reason.MISMATCH, "A header named in SignedHeaders is not in the request.")
    for name in _SIGNED_IF_PRESENT:
        if name in headers and name not in signed.signed_headers:
            raise BadSignature(Reason.UNSIGNED, f"'{name}' must be a 'SignedHeader' in the AWS Authorization.")


def _basic_iso(milliseconds: int) -> str:
    return f"{_EPOCH + timedelta(milliseconds=milliseconds):%Y%m%dT%H%M%SZ}"


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


# The parts of what is signed.

_CACHED_MAX = 1024  # characters


@lru_cache(maxsize=2048)
def _canonical_path(raw_path: str) -> str:
    """The path without empty, "." and ".." segments, and encoded once more: every service's rule but S3's."""
    segments: list[str] = []
    for segment in raw_path.split("/"):
        if segment == "..":
            del segments[-1:]
        elif segment not in ("", "."):
            segments.append(segment)
    end = "/" if segments and raw_path.endswith("/") else ""
    return quote_from_bytes(f"/{'/'.join(segments)}{end}".encode("latin-1"), safe="/")


def _canonical_queries(raw_query: str) -> Sequence[str]:
    """Both forms: Chime's WebSocket clients leave ! * ' ( ) unescaped or write "+", and sign that."""
    if not raw_query:
        return ("",)
    pairs = [pair for pair in _pairs(raw_query) if unquote(pair[0]) != "X-Amz-Signature"]
    as_received = _joined(pairs)
    strict = _joined([(_strictly_encoded(name), _strictly_encoded(value)) for name, value in pairs])
    if as_received != strict and as_received.isascii():
        return as_received, strict
    return (strict,)


def _joined(pairs: list[tuple[str, str]]) -> str:
    return "&".join([f"{name}={value}" for name, value in sorted(pairs)])


def _strictly_encoded(text: str) -> str:
    return quote_from_bytes(unquote_to_bytes(text.encode("latin-1")), safe="")


def _canonical_headers(names: tuple[str, ...], headers: Mapping[str, str]) -> Sequence[str]:
    """One line for each name, with the host as it came; then, as Chime's WebSocket clients sign it, in lower case."""
    as_received = _lines(names, headers)
    host = headers["host"]
    if host == (lower := host.lower()):
        return (as_received,)
    return as_received, _lines(names, {**headers, "host": lower})


def _lines(names: tuple[str, ...], headers: Mapping[str, str]) -> str:
    return "".join([f"{name}:{' '.join(headers[name].split())}\n" for name in names])


def _payload_hash(headers: Mapping[str, str], body: bytes | str, unsigned_payload_allowed: bool) -> str:
    """What stands for the body in the canonical request."""
    stated = headers.get("x-amz-content-sha256", "").strip()
    if stated == UNSIGNED_PAYLOAD and unsigned_payload_allowed:
        return stated
    payload_hash = body if isinstance(body, str) else hashlib.sha256(body).hexdigest()
    if stated not in ("", payload_hash):
        raise BadSignature(
            Reason.MISMATCH, "The provided 'x-amz-content-sha256' header does not match what was computed."
        )
    return payload_hash


@lru_cache(maxsize=1024)
def _signing(secret: str, day: str, region: str, service: str) -> hmac.HMAC:
    """The signature of nothing yet, to be copied: at two thirds of what it costs to begin anew with the key."""
    key = f"AWS4{secret}".encode()
    for text in (day, region, service, "aws4_request"):
        key = hmac.digest(key, text.encode(), "sha256")
    return hmac.new(key, digestmod="sha256")
