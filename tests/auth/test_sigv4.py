"""Signatures against AWS's own vectors, against what botocore signs, and against everything else."""

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, urlsplit

import boto3
import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from hypothesis import example, given, settings
from hypothesis import strategies as st

from campana.auth import sigv4
from campana.auth.sigv4 import BadSignature, Reason

ACCESS_KEY_ID = "AKIDEXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
TOKEN = "FwoGZXIvYXdzEXAMPLE+/tok==~.-_"
APP = "arn:aws:chime:us-east-1:123456789012:app-instance/6f9d3c1e-0000-4000-8000-0123456789ab"
CHANNEL = f"{APP}/channel/room:1@x.y"
BEARER = f"{APP}/user/us-east-1:ann@x.y"


@dataclass(frozen=True)
class Request:
    """A request as it comes off the wire."""

    method: str = "GET"
    path: str = "/"
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def with_header(self, name: str, value: str) -> "Request":
        return replace(self, headers={**self.headers, name: value})

    def without_header(self, name: str) -> "Request":
        return replace(self, headers={key: value for key, value in self.headers.items() if key != name})


def claims(request: Request) -> sigv4.Signed:
    return sigv4.claims(request.method, request.path, request.query, request.headers)


def check(request: Request, *, seconds_later: float = 0, secret: str = SECRET, **options: Any) -> sigv4.Signed:
    """Both steps, as the server takes them; raises `BadSignature`."""
    signed = claims(request)
    if signed.access_key_id != ACCESS_KEY_ID:
        raise BadSignature(Reason.MISMATCH, "no such key")
    options.setdefault("now", signed.timestamp_ms + int(seconds_later * 1000))
    options.setdefault("body", request.body)
    sigv4.verify(
        signed,
        secret=secret,
        method=request.method,
        raw_path=request.path,
        raw_query=request.query,
        headers=request.headers,
        **options,
    )
    return signed


def refusal(request: Request, **options: Any) -> BadSignature:
    with pytest.raises(BadSignature) as caught:
        check(request, **options)
    return caught.value


# AWS's vectors.

VECTORS = json.loads(Path(__file__).with_name("sigv4_vectors.json").read_text("utf-8"))
CASES: dict[str, dict[str, str]] = VECTORS["cases"]
of_all_vectors = pytest.mark.parametrize("name", CASES)


def vector(name: str) -> Request:
    """The request of a vector, with its Authorization header."""
    head, _, body = CASES[name]["request"].partition("\n\n")
    request_line, *lines = head.replace("\n ", " ").splitlines()
    method, _, target = request_line.removesuffix(" HTTP/1.1").partition(" ")
    path, _, query = target.encode().decode("latin-1").partition("?")
    headers: dict[str, str] = {"authorization": CASES[name]["authorization"]}
    for line in lines:
        key, _, value = line.partition(":")
        headers[key.lower()] = f"{headers[key.lower()]},{value}" if key.lower() in headers else value
    return Request(method, path, query, headers, body.encode())


@of_all_vectors
def test_the_canonical_request_and_string_to_sign_of_a_vector(name: str) -> None:
    request = vector(name)
    signed = claims(request)
    payload_hash = hashlib.sha256(request.body).hexdigest()

    texts = list(
        sigv4.canonical_requests(signed, request.method, request.path, request.query, request.headers, payload_hash)
    )

    assert texts == [CASES[name]["canonical_request"]]
    assert sigv4.string_to_sign(signed, texts[0]) == CASES[name]["string_to_sign"]


@of_all_vectors
def test_a_vector_is_accepted_and_for_another_secret_refused(name: str) -> None:
    check(vector(name), service=("service",))

    assert refusal(vector(name), service=("service",), secret=SECRET + "x").reason is Reason.MISMATCH


def flips(text: str) -> Iterator[str]:
    """The text with the lowest bit of one letter or digit flipped, for each."""
    for i, character in enumerate(text):
        if character.isalnum():
            yield text[:i] + chr(ord(character) ^ 1) + text[i + 1 :]


def flipped(request: Request) -> Iterator[Request]:
    yield from (replace(request, method=text) for text in flips(request.method))
    yield from (replace(request, path=text) for text in flips(request.path))
    yield from (replace(request, query=text) for text in flips(request.query))
    yield from (replace(request, body=text.encode()) for text in flips(request.body.decode()))
    for name, value in request.headers.items():
        yield from (request.with_header(name, text) for text in flips(value))


@pytest.mark.parametrize("name", [name for name in CASES if "relative" not in name])  # there segments vanish
def test_a_flipped_bit_anywhere_in_a_vector_is_refused(name: str) -> None:
    request = vector(name)
    now = claims(request).timestamp_ms

    for other in flipped(request):
        with pytest.raises(BadSignature):
            check(other, now=now, service=("service",))


def test_a_token_added_after_signing_is_refused() -> None:
    request = vector("post-sts-header-after").with_header("x-amz-security-token", TOKEN)

    assert refusal(request, service=("service",)).reason is Reason.UNSIGNED


# What boto3 signs.


class Captured(Exception):
    """Carries a prepared request out of the client instead of sending it."""


def client(service: str, endpoint: str = "http://127.0.0.1:8080", token: str | None = None) -> Any:
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name="eu-central-1",
        aws_access_key_id=ACCESS_KEY_ID,
        aws_secret_access_key=SECRET,
        aws_session_token=token,
        config=Config(retries={"total_max_attempts": 1}),
    )


def sent(
    url: str, method: str = "GET", headers: dict[str, str] | None = None, body: bytes | str | None = None
) -> Request:
    """The request as the server receives it."""
    parts = urlsplit(url)
    received = {name.lower(): value for name, value in (headers or {}).items()}
    octets = body.encode() if isinstance(body, str) else body or b""
    return Request(method, parts.path or "/", parts.query, {"host": parts.netloc, **received}, octets)


def captured(api: Any, operation: str, **parameters: Any) -> Request:
    """What the client puts on the wire for a call."""

    def capture(request: Any, **_: Any) -> None:
        raise Captured(request)

    api.meta.events.register("before-send", capture)
    with pytest.raises(Captured) as caught:
        getattr(api, operation)(**parameters)
    request = caught.value.args[0]
    headers = {
        name: value.decode("latin-1") if isinstance(value, bytes) else value for name, value in request.headers.items()
    }
    return sent(request.url, request.method, headers, request.body)


def a_sent_message(**options: Any) -> Request:
    return captured(
        client("chime-sdk-messaging", **options),
        "send_channel_message",
        ChannelArn=CHANNEL,
        ChimeBearer=BEARER,
        Content="Grüße, 世界 \U0001f44b",
        Type="STANDARD",
        Persistence="PERSISTENT",
        ClientRequestToken="once",
    )


CALLS: list[tuple[str, str, dict[str, Any]]] = [
    (
        "chime-sdk-messaging",
        "list_channel_messages",
        {
            "ChannelArn": CHANNEL,
            "ChimeBearer": BEARER,
            "NextToken": "a+b/c== d&e=f~*'",
            "NotBefore": datetime(2026, 3, 4, 5, 6, 7, 89000, tzinfo=UTC),
            "MaxResults": 50,
        },
    ),
    (
        "chime-sdk-messaging",
        "search_channels",
        {"ChimeBearer": BEARER, "Fields": [{"Key": "MEMBERS", "Values": [BEARER], "Operator": "INCLUDES"}]},
    ),
    ("chime-sdk-messaging", "get_messaging_session_endpoint", {}),
    ("chime-sdk-messaging", "update_channel_read_marker", {"ChannelArn": CHANNEL, "ChimeBearer": BEARER}),
    (
        "chime-sdk-messaging",
        "delete_channel_message",
        {"ChannelArn": CHANNEL, "MessageId": "a" * 64, "ChimeBearer": BEARER},
    ),
    ("chime-sdk-messaging", "list_tags_for_resource", {"ResourceARN": CHANNEL}),
    (
        "chime-sdk-identity",
        "create_app_instance_user",
        {"AppInstanceArn": APP, "AppInstanceUserId": "bob", "Name": "Zoë", "ClientRequestToken": "once"},
    ),
]


@pytest.mark.parametrize("token", [None, TOKEN])
@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:8080", "https://Chat.Example.test", "http://[::1]:81/prefix"])
@pytest.mark.parametrize(("service", "operation", "parameters"), CALLS)
def test_calls_of_boto3_are_accepted(
    service: str, operation: str, parameters: dict[str, Any], endpoint: str, token: str | None
) -> None:
    signed = check(captured(client(service, endpoint, token), operation, **parameters))

    assert (signed.region, signed.service) == ("eu-central-1", "chime")
    assert signed.session_token == token
    assert not signed.presigned


def test_a_call_of_sts_is_accepted_where_sts_is() -> None:
    request = captured(client("sts"), "assume_role", RoleArn="arn:aws:iam::123456789012:role/r", RoleSessionName="ann")

    check(request, service=frozenset({"chime", "sts"}))

    refused = refusal(request)
    assert refused.reason is Reason.SCOPE
    assert refused.message == "Credential should be scoped to correct service: 'chime'."


def test_the_body_may_be_given_as_its_hash() -> None:
    request = a_sent_message()

    check(request, body=hashlib.sha256(request.body).hexdigest())

    assert refusal(request, body=hashlib.sha256(b"").hexdigest()).reason is Reason.MISMATCH


@pytest.mark.parametrize(
    "tamper",
    [
        lambda request: replace(request, method="PUT"),
        lambda request: replace(request, path=request.path.replace("room", "hall")),
        lambda request: replace(request, path=request.path.replace("%2F", "/")),
        lambda request: replace(request, query="operation=redact"),
        lambda request: replace(request, body=request.body + b" "),
        lambda request: replace(request, body=b""),
        lambda request: request.with_header("x-amz-chime-bearer", BEARER.replace("ann", "bob")),
        lambda request: request.with_header("x-amz-security-token", TOKEN + "x"),
        lambda request: request.with_header("content-type", "text/plain"),
        lambda request: request.with_header("host", "127.0.0.1:8081"),
        lambda request: request.without_header("x-amz-chime-bearer"),
        lambda request: request.without_header("x-amz-security-token"),
        lambda request: request.without_header("host"),
    ],
)
def test_a_changed_call_does_not_match(tamper: Callable[[Request], Request]) -> None:
    request = a_sent_message(token=TOKEN)
    check(request)

    assert refusal(tamper(request)).reason is Reason.MISMATCH


def test_a_bearer_added_on_the_way_is_refused() -> None:
    request = captured(client("chime-sdk-messaging"), "get_messaging_session_endpoint")

    refused = refusal(request.with_header("x-amz-chime-bearer", BEARER))

    assert refused.reason is Reason.UNSIGNED


def test_flipping_any_bit_of_a_call_is_refused() -> None:
    request = a_sent_message(token=TOKEN)
    signed_names = {*claims(request).signed_headers, "authorization"}
    request = replace(request, headers={name: value for name, value in request.headers.items() if name in signed_names})
    now = claims(request).timestamp_ms

    for other in flipped(request):
        with pytest.raises(BadSignature):
            check(other, now=now)


# Any request, signed by botocore's signer itself.


def signed_by_botocore(
    *,
    method: str = "GET",
    path: str = "/",
    query: str = "",
    headers: dict[str, str] | None = None,
    body: bytes = b"",
    presign: int | None = None,
    at: str | None = None,
) -> Request:
    url = f"http://localhost:8080{path}" + (f"?{query}" if query else "")
    request = AWSRequest(method, url, headers=headers, data=body)
    credentials = Credentials(ACCESS_KEY_ID, SECRET)
    if presign is None:
        SigV4Auth(credentials, "chime", "us-east-1").add_auth(request)
    else:
        SigV4QueryAuth(credentials, "chime", "us-east-1", expires=presign).add_auth(request)
    return sent(request.url, method, dict(request.headers.items()), body)


VISIBLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=30)
ANYTHING = st.text(max_size=30)
HEADER_VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=30)


@settings(deadline=None)
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE"]),
    segments=st.lists(ANYTHING, max_size=4),
    parameters=st.dictionaries(st.text(min_size=1, max_size=8), ANYTHING, max_size=4),
    header=HEADER_VALUES,
    body=st.binary(max_size=50),
)
@example(method="POST", segments=["..", "a", ".", "", "b", ""], parameters={}, header="  a   b ", body=b"{}")
@example(method="GET", segments=["a:b@c"], parameters={"a": "1", "a-b": "2", "B": "+"}, header="", body=b"")
def test_what_botocore_signs_is_accepted(
    method: str, segments: list[str], parameters: dict[str, str], header: str, body: bytes
) -> None:
    request = signed_by_botocore(
        method=method,
        path="/" + "/".join(quote(segment, safe="", errors="replace") for segment in segments),
        query="&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in parameters.items()),
        headers={"x-amz-chime-bearer": header},
        body=body,
    )

    check(request)

    assert refusal(request, secret="another").reason is Reason.MISMATCH


def test_a_body_hash_in_a_header_must_be_the_body_s() -> None:
    stated = signed_by_botocore(
        method="POST", headers={"X-Amz-Content-SHA256": hashlib.sha256(b"{}").hexdigest()}, body=b"{}"
    )
    check(stated)

    refused = refusal(replace(stated, body=b"{ }"))

    assert refused.reason is Reason.MISMATCH
    assert refused.message == "The provided 'x-amz-content-sha256' header does not match what was computed."


def test_an_unsigned_payload_is_accepted_only_where_it_is_allowed() -> None:
    request = signed_by_botocore(method="POST", headers={"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"}, body=b"{}")

    check(request, unsigned_payload_allowed=True)

    assert refusal(request).reason is Reason.MISMATCH


def test_the_region_may_be_any_or_one() -> None:
    request = signed_by_botocore()

    check(request, region="us-east-1")

    assert refusal(request, region="eu-central-1").reason is Reason.SCOPE


# Presigned URLs.


def presigned_listing(token: str | None = None, expires_s: int = 60) -> Request:
    api = client("chime-sdk-messaging", token=token)
    url = api.generate_presigned_url(
        "list_channel_messages",
        Params={"ChannelArn": CHANNEL, "ChimeBearer": BEARER, "NextToken": "a+b/c=="},
        ExpiresIn=expires_s,
    )
    return sent(url, headers={"x-amz-chime-bearer": BEARER})


@pytest.mark.parametrize("token", [None, TOKEN])
def test_presigned_urls_of_boto3_are_accepted(token: str | None) -> None:
    signed = check(presigned_listing(token))

    assert signed.presigned
    assert signed.expires_s == 60
    assert signed.session_token == token
    assert signed.signed_headers == ("host", "x-amz-chime-bearer")


@pytest.mark.parametrize(
    "tamper",
    [
        lambda request: replace(request, method="DELETE"),
        lambda request: replace(request, path=request.path + "/x"),
        lambda request: replace(request, query=request.query.replace("X-Amz-Expires=60", "X-Amz-Expires=61")),
        lambda request: replace(request, query=request.query.replace("next-token", "next-Token")),
        lambda request: replace(request, query=request.query + "&more=1"),
        lambda request: replace(request, body=b"{}"),
        lambda request: request.with_header("x-amz-chime-bearer", BEARER.replace("ann", "bob")),
    ],
)
def test_a_changed_presigned_url_does_not_match(tamper: Callable[[Request], Request]) -> None:
    assert refusal(tamper(presigned_listing())).reason is Reason.MISMATCH


def test_a_presigned_url_cannot_be_made_to_live_longer_as_a_header() -> None:
    request = presigned_listing()
    signed = claims(request)
    query, _, signature = request.query.partition("&X-Amz-Signature=")
    header = f"{sigv4.ALGORITHM} Credential={ACCESS_KEY_ID}/{signed.scope}, SignedHeaders=host;x-amz-chime-bearer"
    request = request.with_header("date", signed.timestamp).with_header(
        "authorization", f"{header}, Signature={signature}"
    )

    for disguised in (query, query.replace("X-Amz-", "X%2DAmz%2D")):
        refused = refusal(replace(request, query=disguised), seconds_later=61)
        assert refused.message.startswith("Only one auth mechanism allowed")


# The WebSocket's URL.

# What amazon-chime-sdk-js 3.32.0 made of these keys at 2026-03-04T05:06:07Z.
JS_URL = (
    "wss://Node001.Example.test:8443/connect?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20260304"
    "%2Fus-east-1%2Fchime%2Faws4_request&X-Amz-Date=20260304T050607Z&X-Amz-Expires=10&X-Amz-Security-Token=FwoGZXIvYX"
    "dzEXAMPLE%2B%2Ftok%3D%3D~.-_&X-Amz-SignedHeaders=host&X-Amzn-User-Agent=node-NaN&X-Amzn-Version=3.32.0&prefetch-"
    "on=connect&sessionId=1234567890&userArn=arn%3Aaws%3Achime%3Aus-east-1%3A123456789012%3Aapp-instance%2F6f9d3c1e-0"
    "000-4000-8000-0123456789ab%2Fuser%2Fus-east-1%3Ait's(an*odd)user!%40x.y&X-Amz-Signature=2678577483fb486d4c46aac6"
    "83867cbdc22de6b370ef38fd7facedb11a66675d"
)


def test_a_url_made_by_the_javascript_client_is_accepted() -> None:
    request = sent(JS_URL)

    signed = check(request, now=1_772_600_767_000, expires_max_s=sigv4.WEBSOCKET_EXPIRES_MAX_S)

    assert signed.session_token == TOKEN
    assert signed.expires_s == 10
    check(request.with_header("host", "node001.example.test:8443"))
    assert refusal(replace(request, query=request.query.replace("it's", "its"))).reason is Reason.MISMATCH


def encode_uri_component(text: str) -> str:
    """JavaScript's."""
    return quote(text, safe="!*'()")


def url_encoder(text: str) -> str:
    """Java's, which Android's session uses."""
    return quote_plus(text, safe="*").replace("~", "%7E")


def strictly(text: str) -> str:
    return quote(text, safe="")


def connect(sign: Callable[[str], str], write: Callable[[str], str], parameters: dict[str, str]) -> Request:
    """A connect URL whose values are signed in one encoding and written in another."""
    date, scope = "20260304T050607Z", "20260304/us-east-1/chime/aws4_request"
    parameters = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{ACCESS_KEY_ID}/{scope}",
        "X-Amz-Date": date,
        "X-Amz-Expires": "10",
        "X-Amz-SignedHeaders": "host",
        **parameters,
    }
    canonical_query = "&".join(f"{sign(name)}={sign(value)}" for name, value in sorted(parameters.items()))
    empty = hashlib.sha256(b"").hexdigest()
    canonical = f"GET\n/connect\n{canonical_query}\nhost:node1.example.test\n\nhost\n{empty}"
    text = f"AWS4-HMAC-SHA256\n{date}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{SECRET}".encode()
    for part in (*scope.split("/"), text):
        key = hmac.digest(key, part.encode(), "sha256")
    query = "&".join(f"{write(name)}={write(value)}" for name, value in parameters.items())
    return sent(f"wss://Node1.example.test/connect?{query}&X-Amz-Signature={key.hex()}")


@pytest.mark.parametrize(
    ("sign", "write"),
    [
        (encode_uri_component, encode_uri_component),
        (url_encoder, url_encoder),
        (strictly, strictly),
        (strictly, encode_uri_component),
    ],
)
@settings(deadline=None)
@given(session=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30))
@example(session="it's (an*odd) ~session~ !+/=")
def test_connect_urls_are_accepted_as_clients_encode_them(
    sign: Callable[[str], str], write: Callable[[str], str], session: str
) -> None:
    parameters = {"X-Amzn-Version": "3.32.0", "X-Amz-Security-Token": TOKEN, "sessionId": session, "userArn": BEARER}

    signed = check(connect(sign, write, parameters), expires_max_s=sigv4.WEBSOCKET_EXPIRES_MAX_S)

    assert signed.session_token == TOKEN


def test_a_connect_url_may_not_live_long() -> None:
    request = connect(strictly, strictly, {"userArn": BEARER})

    refused = refusal(request, expires_max_s=9)

    assert refused.reason is Reason.MALFORMED
    assert refused.message == "X-Amz-Expires must be between 1 and 9 seconds."


# Time.


@pytest.mark.parametrize("seconds", [-300, -1, 0, 1, 300])
def test_a_clock_may_be_off_by_five_minutes(seconds: float) -> None:
    check(vector("get-vanilla"), seconds_later=seconds, service=("service",))


@pytest.mark.parametrize(
    ("seconds", "message"),
    [
        (
            300.001,
            "Signature expired: 20150830T123600Z is now earlier than 20150830T123600Z (20150830T124100Z - 5 min.)",
        ),
        (
            3600,
            "Signature expired: 20150830T123600Z is now earlier than 20150830T133100Z (20150830T133600Z - 5 min.)",
        ),
        (
            -301,
            "Signature not yet current: 20150830T123600Z is still later than 20150830T123559Z "
            "(20150830T123059Z + 5 min.)",
        ),
    ],
)
def test_a_clock_that_is_off_by_more_is_told(seconds: float, message: str) -> None:
    refused = refusal(vector("get-vanilla"), seconds_later=seconds, service=("service",))

    assert refused.reason is Reason.SKEWED
    assert refused.message == message


def test_a_presigned_url_lives_as_long_as_it_says() -> None:
    request = sent(JS_URL)
    check(request, seconds_later=10)

    late, early = refusal(request, seconds_later=10.001), refusal(request, seconds_later=-301)

    assert (late.reason, early.reason) == (Reason.EXPIRED, Reason.SKEWED)
    assert late.message == (
        "Signature expired: 20260304T050607Z is now earlier than 20260304T050607Z (20260304T050617Z - 10 s)"
    )


@pytest.mark.parametrize("expires_s", [0, 604_801, 9_999_999])
def test_a_presigned_url_lives_a_week_at_most(expires_s: int) -> None:
    assert refusal(signed_by_botocore(presign=expires_s)).reason is Reason.MALFORMED


def test_the_date_header_serves_where_x_amz_date_is_absent() -> None:
    request = signed_by_botocore(headers={"Date": "Wed, 04 Mar 2026 05:06:07 GMT"})  # botocore puts the time itself

    signed = check(request)

    assert "x-amz-date" not in request.headers
    assert signed.timestamp[:8] == signed.day
    assert refusal(request.without_header("date")).reason is Reason.MALFORMED


# What cannot be read.

AUTHORIZATION = CASES["get-vanilla"]["authorization"]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (AUTHORIZATION, "", Reason.MISSING),
        (AUTHORIZATION, "   ", Reason.MISSING),
        (AUTHORIZATION, "Bearer abc", Reason.MALFORMED),
        (AUTHORIZATION, "AWS4-HMAC-SHA256", Reason.MALFORMED),
        (AUTHORIZATION, f"{AUTHORIZATION},{AUTHORIZATION}", Reason.MALFORMED),
        ("SHA256", "SHA512", Reason.MALFORMED),
        ("Credential=", "Credentials=", Reason.MALFORMED),
        ("AKIDEXAMPLE/", "/", Reason.MALFORMED),
        ("AKIDEXAMPLE/", "AKID/EXAMPLE/", Reason.MALFORMED),
        ("AKIDEXAMPLE", "A" * 129, Reason.MALFORMED),
        ("20150830/", "20150831/", Reason.SCOPE),
        ("20150830/", "2015083/", Reason.MALFORMED),
        ("20150830/", "２０１５０８３０/", Reason.MALFORMED),
        ("aws4_request", "aws5_request", Reason.MALFORMED),
        ("host;", "", Reason.UNSIGNED),
        (";x-amz-date", "", Reason.UNSIGNED),
        ("host;", "host;host;", Reason.MALFORMED),
        ("host;", "Host;", Reason.MALFORMED),
        ("host;", "host;;", Reason.MALFORMED),
        ("host;", "host;absent;", Reason.MISMATCH),
        ("Signature=", "Signature=0", Reason.MALFORMED),
        ("Signature=5", "Signature=é", Reason.MALFORMED),
        ("Signature=5", "Signature=4", Reason.MISMATCH),
        ("SignedHeaders=host;x-amz-date, ", "", Reason.MALFORMED),
    ],
)
def test_an_authorization_header_that_is_wrong_is_refused_with_its_reason(old: str, new: str, reason: Reason) -> None:
    request = vector("get-vanilla").with_header("authorization", AUTHORIZATION.replace(old, new))

    refused = refusal(request, service=("service",))

    assert refused.reason is reason
    assert str(refused) == refused.message
    assert SECRET not in refused.message


@pytest.mark.parametrize("spacing", [",", ",  ", " , "])
def test_the_parts_of_the_header_may_be_spaced_and_ordered_freely(spacing: str) -> None:
    parts = AUTHORIZATION.removeprefix("AWS4-HMAC-SHA256 ").split(", ")
    request = vector("get-vanilla").with_header("authorization", f"AWS4-HMAC-SHA256 {spacing.join(reversed(parts))}")

    check(request, service=("service",))


@pytest.mark.parametrize(
    "date",
    ["", "now", "20150830", "20150830T246060Z", "20150231T000000Z", "00000830T123600Z", "2015-08-30T12:36:00Z", "\0"],
)
def test_a_date_that_is_none_is_malformed(date: str) -> None:
    request = vector("get-vanilla").with_header("x-amz-date", date)

    assert refusal(request, service=("service",)).reason is Reason.MALFORMED


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("X-Amz-Algorithm=AWS4-HMAC-SHA256", "X-Amz-Algorithm=AWS4-ECDSA-P256-SHA256"),
        ("X-Amz-Algorithm=AWS4-HMAC-SHA256&", ""),
        ("X-Amz-Expires=10", "X-Amz-Expires=-10"),
        ("X-Amz-Expires=10", "X-Amz-Expires=" + "9" * 5000),
        ("X-Amz-Expires=10", "X-Amz-Expires=%FF%00"),
        ("X-Amz-Expires=10", "X-Amz-Expires=10&X-Amz-Expires=10"),
        ("X-Amz-Expires=10", "X-Amz-Expires=10&X-Amz%2DExpires=300"),
        ("X-Amz-Signature=", "x-amz-signature="),
        ("AKIDEXAMPLE%2F", "AKIDEXAMPLE%252F"),
    ],
)
def test_a_presigned_query_that_is_wrong_is_malformed(old: str, new: str) -> None:
    request = sent(JS_URL)

    refused = refusal(replace(request, query=request.query.replace(old, new)))

    assert refused.reason is Reason.MALFORMED


@pytest.mark.parametrize(
    "request_line",
    [{"method": "GET\n"}, {"method": ""}, {"path": "*"}, {"path": "/\n"}, {"path": "/ሴ"}, {"query": "a\r"}],
)
def test_a_request_line_that_http_does_not_know_is_malformed(request_line: dict[str, Any]) -> None:
    assert refusal(replace(vector("get-vanilla"), **request_line)).reason is Reason.MALFORMED


def test_what_is_shown_of_a_claim_tells_neither_signature_nor_token() -> None:
    shown = repr(claims(sent(JS_URL)))

    assert TOKEN not in shown
    assert "26785774" not in shown


ANY_TEXT = st.text(st.characters(), max_size=40) | st.text(alphabet="%/;,=&+ .-_AX\0\xff0Zz", max_size=40)
HEADER_NAMES = st.sampled_from(
    [
        "authorization",
        "host",
        "x-amz-date",
        "date",
        "x-amz-content-sha256",
        "x-amz-security-token",
        "x-amz-chime-bearer",
    ]
)


@settings(deadline=None)
@given(
    method=ANY_TEXT,
    path=ANY_TEXT | ANY_TEXT.map("/".__add__),
    query=ANY_TEXT,
    headers=st.dictionaries(HEADER_NAMES | ANY_TEXT, ANY_TEXT, max_size=6),
)
def test_noise_is_refused_and_nothing_worse(method: str, path: str, query: str, headers: dict[str, str]) -> None:
    refusal(Request(method, path, query, headers))


@settings(deadline=None)
@given(
    start=st.sampled_from([vector("get-vanilla"), vector("post-sts-header-before"), sent(JS_URL)]),
    names=st.lists(HEADER_NAMES, max_size=2),
    place=st.integers(0, 10_000),
    cut=st.integers(0, 40),
    text=ANY_TEXT,
    where=st.sampled_from(["path", "query", "headers"]),
)
def test_a_good_request_with_noise_in_it_is_refused_or_the_same(
    start: Request, names: list[str], place: int, cut: int, text: str, where: str
) -> None:
    def spoil(good: str) -> str:
        at = place % (len(good) + 1)
        return good[:at] + text + good[at + cut :]

    if where == "path":
        spoilt = replace(start, path=spoil(start.path))
    elif where == "query":
        spoilt = replace(start, query=spoil(start.query))
    else:
        spoilt = replace(start, headers=start.headers | {name: spoil(start.headers.get(name, "")) for name in names})

    try:
        check(spoilt, now=claims(start).timestamp_ms, service=("service", "chime"))
    except BadSignature:
        return
    signed, original = claims(spoilt), claims(start)
    assert signed.scope == original.scope
    assert signed.signed_headers == original.signed_headers
    assert signed.expires_s == original.expires_s


def test_giant_values_are_refused() -> None:
    giant = "a;b,c=%41&/" * 20_000
    request = vector("get-vanilla")

    for other in (
        request.with_header("authorization", giant),
        request.with_header("authorization", AUTHORIZATION.replace("host;", f"host;{giant}")),
        replace(request, path="/" + giant),
        replace(request, query=giant),
    ):
        refusal(other, service=("service",))
