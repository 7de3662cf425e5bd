"""Hostile and broken requests at the front door: each gets its refusal, and leaves nothing behind."""

import http.client
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import stores
from tests.harness import LAMBDA, PATIENCE_S, App, RunningServer, User, refused, running
from tests.operations.helpers import whole
from tests.operations.raw import Answer, send, signature, signed


@dataclass(frozen=True)
class World:
    """A server of its own with a little of everything in it."""

    server: RunningServer
    app: App
    ann: User
    names: dict[str, str]

    def target(self, template: str) -> str:
        """`/channels/{channel}` with the ARN in its place, percent-encoded."""
        return template.format(**{name: quote(text, safe="") for name, text in self.names.items()})

    def rows(self) -> dict[str, list[Any]]:
        """Everything in the database."""
        return stores.everything(self.server.settings.database_url)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running(tmp_path_factory.mktemp("bad-input")) as server:
        yield furnished(server)


def furnished(server: RunningServer) -> World:
    app = App(server)
    ann, bob = app.admin("ann"), app.user("bob")
    channel = ann.makes_channel(members=[bob], Privacy="PUBLIC", Mode="UNRESTRICTED")
    names = {
        "app": app.arn,
        "ann": ann.arn,
        "bob": bob.arn,
        "channel": channel,
        "message": ann.sends(channel, "hello"),
        "flow": app.flow(f"{LAMBDA}f"),
        "nobody": f"{app.arn}/user/nobody",
        "bot": app.identity.create_app_instance_bot(AppInstanceArn=app.arn, Name="helper", Configuration={"Lex": LEX})[
            "AppInstanceBotArn"
        ],
    }
    return World(server, app, ann, names)


LEX = {
    "LexBotAliasArn": "arn:aws:lex:us-east-1:123456789012:bot-alias/ABCDEFGHIJ/ABCDEFGHIJ",
    "LocaleId": "en_US",
    "InvokedBy": {"StandardMessages": "AUTO", "TargetedMessages": "NONE"},
    "WelcomeIntent": "Hello",
}
BEARER = "x-amz-chime-bearer"
SEND = "/channels/{channel}/messages"
GOOD = {"Content": "hello", "Type": "STANDARD", "Persistence": "PERSISTENT"}


def check_refused(world: World, before: dict[str, list[Any]], answer: Answer, status: int, error: str) -> None:
    assert (answer.status, answer.error) == (status, error), answer.body
    assert world.rows() == before


# Paths and methods


@pytest.mark.parametrize(("status", "error", "requests"), [
    (404, "UnknownOperationException", [
        "GET /",
        "GET /nothing",
        "GET /channels/",
        "GET //channels",
        "GET /Channels",
        "GET /channels/{channel}/messages/",
        "GET /channels/{channel}/nothing",
        "PUT /channels/{channel}/readmarker",
        "GET /channels?scope=nothing",
        "GET /channels?scope=",
        "POST /channels?operation=nothing",
        "POST /channels?operation=SEARCH",
        "POST /channels/{channel}/messages?operation=redact",
        "GET /channels/{channel}?scope=app-instance-user-memberships",
    ]),
    (405, "MethodNotAllowedException", [
        "DELETE /channels",
        "PATCH /channels/{channel}",
        "PUT /channels/{channel}/messages",
        "POST /endpoints/messaging-session",
    ]),
    (400, "BadRequestException", [
        "GET /channels/%zz",
        "GET /channels/%f",
        "GET /channels/%ff",
        "GET /channels/%ed%a0%80",
        "GET /channels/{channel}%00",
        "GET /channels/nonsense",
        "GET /channels/arn%3A",
        "GET /channels/{channel}%0A",
        "GET /channels/{channel}/messages/a%20b",
        "GET /channels/{channel}/messages/{message}%0A",
        "GET /channels/{channel}/messages?max-results=0",
        "GET /channels/{channel}/messages?max-results=51",
        "GET /channels/{channel}/messages?max-results=-1",
        "GET /channels/{channel}/messages?max-results=",
        "GET /channels/{channel}/messages?max-results=five",
        "GET /channels/{channel}/messages?max-results=5.0",
        "GET /channels/{channel}/messages?max-results=%D9%A3",
        "GET /channels/{channel}/messages?max-results=99999999999999999999999",
        "GET /channels/{channel}/messages?max-results=1&max-results=2",
        "GET /channels/{channel}/messages?sort-order=descending",
        "GET /channels/{channel}/messages?not-before=yesterday",
        "GET /channels/{channel}/messages?not-before=2024-13-01T00%3A00%3A00Z",
        "GET /channels/{channel}/messages?not-before=2024-01-01",
        "GET /channels/{channel}/messages?not-before=0001-01-01T00%3A00%3A00%2B23%3A59x",
        "GET /channels/{channel}/messages?not-before=999999999999999",
        "GET /channels/{channel}/messages?next-token=%00",
        "GET /channels/{channel}/messages?next-token=%ff",
        "GET /channels/{channel}/messages?next-token=nonsense",
        "GET /channels/{channel}/messages?next-token=%F0%9F%94%94",
        "GET /channels?app-instance-arn={app}&privacy=SECRET",
        "GET /channels",
        "GET /channels?scope=app-instance-user-memberships&app-instance-user-arn=nonsense",
    ]),
    (403, "ForbiddenException", [
        "GET /channels/{channel}%2Fmore",
        "GET /channels/{channel}x",
        "GET /channels/{app}",
        "GET /channels/{ann}",
        "GET /app-instances/{channel}",
        "GET /app-instance-users/{nobody}",
        "GET /channel-flows/{channel}",
    ]),
])  # fmt: skip
def test_a_path_a_method_or_a_query_that_makes_no_sense(
    world: World, status: int, error: str, requests: list[str]
) -> None:
    before = world.rows()

    for request in requests:
        method, template = request.split(" ")
        answer = signed(world.server.url, method, world.target(template), headers={BEARER: world.ann.arn})
        assert (request, answer.status, answer.error) == (request, status, error)

    assert world.rows() == before


# Bodies


def nested(depth: int) -> bytes:
    return b'{"Content":' + b"[" * depth + b"]" * depth + b"}"


@pytest.mark.parametrize("body", [
    b"",
    b"{",
    b"null",
    b"[]",
    b'"text"',
    b"{} {}",
    b"\xef\xbb\xbf{}",
    b"\xff\xfe",
    b"\x1f\x8b\x08\x00compressed",
    b"Content=hello&Type=STANDARD",
    b'{"Content":"\xff","Type":"STANDARD","Persistence":"PERSISTENT"}',
    b'{"Content":"a\x00b","Type":"STANDARD","Persistence":"PERSISTENT"}',
    b'{"Content":"a\\u0000b","Type":"STANDARD","Persistence":"PERSISTENT"}',
    b'{"Content":"\\ud800","Type":"STANDARD","Persistence":"PERSISTENT"}',
    b'{"Content":"\\udc00\\ud800","Type":"STANDARD","Persistence":"PERSISTENT"}',
    b'{"Content":"c","Type":"STANDARD","Persistence":"PERSISTENT","Unknown":"\\u0000"}',
    b'{"Content":"c","Type":"STANDARD","Persistence":"PERSISTENT","MessageAttributes":{"\\u0000":{}}}',
    nested(100),
    nested(100_000),
    b'{"Content":' * 50_000,
    b'{"Content":1e999,"Type":"STANDARD","Persistence":"PERSISTENT"}',
    b'{"Content":NaN,"Type":"STANDARD","Persistence":"PERSISTENT"}',
    b'{"Content":' + b"9" * 100_000 + b',"Type":"STANDARD","Persistence":"PERSISTENT"}',
])  # fmt: skip
def test_a_body_that_is_no_request(world: World, body: bytes) -> None:
    before = world.rows()

    answer = signed(world.server.url, "POST", world.target(SEND), body, {BEARER: world.ann.arn})

    check_refused(world, before, answer, 400, "BadRequestException")


PROCESSOR = {
    "Name": "f",
    "Configuration": {"Lambda": {"ResourceArn": f"{LAMBDA}f", "InvocationType": "ASYNC"}},
    "ExecutionOrder": 1,
    "FallbackAction": "ABORT",
}
FLOW = {"AppInstanceArn": "{app}", "Name": "f", "Processors": [PROCESSOR]}


@pytest.mark.parametrize(("request_line", "body"), [
    *(("POST " + SEND, GOOD | changes) for changes in [
        {"Content": None},
        {"Content": ""},
        {"Content": 5},
        {"Content": ["hello"]},
        {"Content": {"S": "hello"}},
        {"Content": "x" * 4097},
        {"Type": "standard"},
        {"Type": ""},
        {"Persistence": True},
        {"Metadata": 0},
        {"Metadata": "m" * 1025},
        {"Metadata": "a\nb"},
        {"ClientRequestToken": "t"},
        {"ClientRequestToken": "t" * 65},
        {"ClientRequestToken": "é" * 2},
        {"Target": {}},
        {"Target": []},
        {"Target": [None]},
        {"Target": [{"MemberArn": "{nobody}"}]},
        {"MessageAttributes": []},
        {"MessageAttributes": {"": {"StringValues": ["v"]}}},
        {"MessageAttributes": {"n": {"StringValues": [""]}}},
        {"MessageAttributes": {"n": {"StringValues": "v"}}},
        {"MessageAttributes": {"n": {"StringValues": [None]}}},
        {"MessageAttributes": {"n": None}},
        {"PushNotification": "beep"},
        {"PushNotification": {"Title": ""}},
        {"SubChannelId": "s"},
    ]),
    *(("POST /channel-flows", FLOW | {"Processors": processors}) for processors in [
        None,
        [],
        {},
        [None],
        [[]],
        [{}],
        [PROCESSOR] * 4,
        *([PROCESSOR | {"ExecutionOrder": order}] for order in
          (0, 4, -1, 1.5, 1.0, "1", True, None, 10**30, 1e300, [1])),
        [PROCESSOR | {"Configuration": {}}],
        [PROCESSOR | {"Configuration": {"Lambda": None}}],
        [PROCESSOR | {"Name": "\ufffe\uffff"}],
    ]),
    ("POST /channels", {"AppInstanceArn": "{app}"}),
    ("POST /channels", {"AppInstanceArn": "{app}", "Name": "n", "MemberArns": []}),
    ("POST /channels", {"AppInstanceArn": "{app}", "Name": "n", "MemberArns": ["{ann}"] * 11}),
    ("POST /channels", {"AppInstanceArn": "{app}", "Name": "n", "MemberArns": ["{ann}", "{nobody}"]}),
    ("POST /channels", {"AppInstanceArn": "{app}", "Name": "n", "ChannelId": "a/b"}),
    ("PUT /channels/{channel}", {"Name": ""}),
    ("PUT /channels/{channel}", {"Mode": "loose"}),
    ("PUT /channels/{channel}/messages/{message}", {}),
    ("POST /channels/{channel}/memberships", {}),
    ("POST /channels/{channel}/memberships", {"MemberArn": "{channel}", "Type": "DEFAULT"}),
    ("POST /channels/{channel}/memberships?operation=batch-create", {"MemberArns": []}),
    ("POST /channels/{channel}/memberships?operation=batch-create", {"MemberArns": "{bob}"}),
    ("PUT /channels/{channel}/channel-flow", {"ChannelFlowArn": 7}),
    ("POST /channels/{channel}?operation=channel-flow-callback", {"CallbackId": "x"}),
    ("POST /app-instances", {"Name": {}}),
    ("POST /app-instance-users", {"AppInstanceArn": "{app}", "AppInstanceUserId": "", "Name": "n"}),
    ("POST /app-instance-users", {"AppInstanceArn": "{app}", "AppInstanceUserId": "x", "Name": " \t"}),
    ("PUT /app-instance-users/{ann}", {"Name": "n"}),
    ("POST /app-instances/{app}/admins", {"AppInstanceAdminArn": "{nobody}"}),
])  # fmt: skip
def test_a_member_that_breaks_its_shape(world: World, request_line: str, body: dict[str, Any]) -> None:
    method, template = request_line.split(" ")
    text = json.dumps(body)
    for name, arn in world.names.items():
        text = text.replace("{" + name + "}", arn)
    before = world.rows()

    answer = signed(world.server.url, method, world.target(template), text.encode(), {BEARER: world.ann.arn})

    check_refused(world, before, answer, 400, "BadRequestException")
    assert "x" * 20 not in answer.json["Message"], "what was sent is not repeated"


def test_what_is_odd_and_yet_clear_is_taken(world: World) -> None:
    rest = b'"Unknown":[{}],"Metadata":null,"Type":"STANDARD","Persistence":"PERSISTENT"}'
    text = b'{"Content":"first","Content":"\\u00e9",' + rest
    channel = world.names["channel"]
    before = len(whole(world.ann.list_channel_messages, "ChannelMessages", ChannelArn=channel))

    for target, headers in (
        (world.target(SEND), {}),
        (world.target(SEND), {"content-type": "text/plain"}),
        (world.target(SEND), {"content-type": "application/x-amz-json-1.1; charset=x"}),
        (f"/channels/{channel}/messages", {}),
    ):
        answer = signed(world.server.url, "POST", target, text, {BEARER: world.ann.arn, **headers})
        assert answer.status == 201, answer.body
        assert world.ann.reads(channel)[0]["Content"] == "é"

    after = len(whole(world.ann.list_channel_messages, "ChannelMessages", ChannelArn=channel))
    assert after == before + 4, "a request without a token is a new one each time"


# Bearers


@pytest.mark.parametrize(("bearer", "status", "error"), [
    (None, 400, "BadRequestException"),
    ("", 400, "BadRequestException"),
    ("nonsense", 400, "BadRequestException"),
    ("arn:aws:chime:::x", 403, "ForbiddenException"),
    ("arn:" + "a" * 1600, 400, "BadRequestException"),
    ("{nobody}", 403, "ForbiddenException"),
    ("{channel}", 403, "ForbiddenException"),
    ("{app}", 403, "ForbiddenException"),
    ("{ann}, {bob}", 403, "ForbiddenException"),
    ("{ann}%2Fx", 403, "ForbiddenException"),
])  # fmt: skip
def test_a_bearer_who_is_nobody(world: World, bearer: str | None, status: int, error: str) -> None:
    before = world.rows()

    headers = {} if bearer is None else {BEARER: bearer.format(**world.names)}
    answer = signed(world.server.url, "POST", world.target(SEND), json.dumps(GOOD).encode(), headers)

    check_refused(world, before, answer, status, error)


# Signatures


def test_a_signature_that_does_not_hold(world: World) -> None:
    url, target, body = world.server.url, world.target(SEND), json.dumps(GOOD).encode()
    good = signature(url, "POST", target, body, {BEARER: world.ann.arn})
    bearer = {BEARER: world.ann.arn}
    unsigned = {name: value for name, value in good.items() if name != "Authorization"}
    before = world.rows()

    def answer(headers: dict[str, str], *, to: str = target, text: bytes = body, method: str = "POST") -> Answer:
        return send(url, method, to, text, headers)

    def scrambled(**changes: str) -> dict[str, str]:
        authorization = good["Authorization"]
        for old, new in changes.items():
            assert old in authorization
            authorization = authorization.replace(old, new)
        return good | {"Authorization": authorization}

    other = world.target("/channels/{app}/messages")
    for wrong, error in (
        (answer(bearer), "MissingAuthenticationToken"),
        (answer(unsigned), "MissingAuthenticationToken"),
        (answer(unsigned | {"Authorization": "Basic YTpi"}), "InvalidSignature"),
        (answer(unsigned | {"Authorization": "AWS4-HMAC-SHA256"}), "InvalidSignature"),
        (answer(unsigned | {"Authorization": "AWS4-HMAC-SHA256 nonsense"}), "InvalidSignature"),
        (answer(scrambled(Signature="Sigmature")), "InvalidSignature"),
        (answer(scrambled(chime="s3")), "InvalidSignature"),
        (answer(scrambled(aws4_request="aws5_request")), "InvalidSignature"),
        (answer(scrambled(SignedHeaders="SignedHeaders=;")), "InvalidSignature"),
        (answer(scrambled(CAMPTESTROOT="CAMPNOBODY")), "UnrecognizedClient"),
        (answer(good | {"X-Amz-Security-Token": "t"}), "UnrecognizedClient"),
        (answer(good | {"X-Amz-Date": "yesterday"}), "InvalidSignature"),
        (answer(good | {BEARER: world.names["bob"]}), "InvalidSignature"),
        (answer(good, text=body.replace(b"hello", b"hallo")), "InvalidSignature"),
        (answer(good, to=other), "InvalidSignature"),
        (answer(good, to=f"{target}?more=1"), "InvalidSignature"),
        (answer(good, method="GET"), "InvalidSignature"),
        (answer(signature(url, "POST", target, body) | bearer), "InvalidSignature"),
        (answer(signature(url, "POST", target, body, bearer, secret="guessed")), "InvalidSignature"),
        (answer(signature(url, "POST", target, body, bearer, service="s3")), "InvalidSignature"),
    ):
        assert (wrong.status, wrong.error) == (403, f"{error}Exception"), wrong.body
    assert world.rows() == before
    assert answer(good).status == 201


def test_a_signature_that_is_too_old(world: World) -> None:
    body = json.dumps(GOOD).encode()
    headers = signature(world.server.url, "POST", world.target(SEND), body, {BEARER: world.ann.arn})
    before = world.rows()
    world.server.clock.advance(ms=360_000)

    answer = send(world.server.url, "POST", world.target(SEND), body, headers)

    world.server.clock.advance(ms=-360_000)
    check_refused(world, before, answer, 403, "InvalidSignatureException")


# Requests that are broken on the wire


def test_a_body_of_two_megabytes(world: World) -> None:
    body = json.dumps(GOOD | {"Unknown": "x" * 2_000_000}).encode()
    before = world.rows()

    answer = signed(world.server.url, "POST", world.target(SEND), body, {BEARER: world.ann.arn})

    check_refused(world, before, answer, 413, "RequestEntityTooLargeException")


@pytest.mark.parametrize("after", ["a close", "an end"])
def test_a_request_that_is_cut_off_does_nothing(world: World, after: str) -> None:
    body = json.dumps(GOOD).encode()
    headers = signature(world.server.url, "POST", world.target(SEND), body, {BEARER: world.ann.arn})
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    netloc = urlsplit(world.server.url)
    before = world.rows()

    with socket.create_connection((netloc.hostname, netloc.port), PATIENCE_S) as peer:
        peer.sendall(
            f"POST {world.target(SEND)} HTTP/1.1\r\nhost: {netloc.netloc}\r\n{lines}"
            f"content-length: {len(body)}\r\n\r\n".encode()
            + body[:-1]
        )
        if after == "an end":
            peer.shutdown(socket.SHUT_WR)
            response = http.client.HTTPResponse(peer)
            response.begin()
            answer = Answer(response.status, response.headers, response.read())
            assert (answer.status, answer.error) == (400, "BadRequestException")

    world.ann.describe_channel(ChannelArn=world.names["channel"])
    assert world.rows() == before


# Whatever else


BASES: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/app-instances", {"Name": "n", "Metadata": "m"}),
    ("GET", "/app-instances/{app}", {}),
    ("PUT", "/app-instances/{app}", {"Name": "n", "Metadata": "m"}),
    ("GET", "/app-instances?max-results=2", {}),
    ("POST", "/app-instances/{app}/admins", {"AppInstanceAdminArn": "{bob}"}),
    ("GET", "/app-instances/{app}/admins/{ann}", {}),
    ("GET", "/app-instances/{app}/admins?max-results=2", {}),
    ("DELETE", "/app-instances/{app}/admins/{bob}", {}),
    ("POST", "/app-instance-users", {"AppInstanceArn": "{app}", "AppInstanceUserId": "cid", "Name": "n"}),
    ("GET", "/app-instance-users/{bob}", {}),
    ("PUT", "/app-instance-users/{bob}", {"Name": "n", "Metadata": "m"}),
    ("DELETE", "/app-instance-users/{nobody}", {}),
    ("GET", "/app-instance-users?app-instance-arn={app}", {}),
    ("POST", "/channels", {"AppInstanceArn": "{app}", "Name": "n", "ChannelId": "c", "MemberArns": ["{bob}"],
                           "ModeratorArns": ["{bob}"], "Mode": "RESTRICTED", "Privacy": "PUBLIC", "Metadata": "m",
                           "ClientRequestToken": "tt"}),
    ("GET", "/channels/{channel}", {}),
    ("PUT", "/channels/{channel}", {"Name": "n", "Mode": "UNRESTRICTED", "Metadata": "m"}),
    ("GET", "/channels?app-instance-arn={app}&privacy=PRIVATE&max-results=1", {}),
    ("GET", "/channels?scope=app-instance-user-memberships&app-instance-user-arn={bob}", {}),
    ("GET", "/channels/{channel}?scope=app-instance-user-membership&app-instance-user-arn={bob}", {}),
    ("POST", "/channels/{channel}/memberships", {"MemberArn": "{bob}", "Type": "HIDDEN"}),
    ("POST", "/channels/{channel}/memberships?operation=batch-create", {"MemberArns": ["{bob}"], "Type": "DEFAULT"}),
    ("GET", "/channels/{channel}/memberships/{bob}", {}),
    ("GET", "/channels/{channel}/memberships?type=HIDDEN&max-results=5", {}),
    ("DELETE", "/channels/{channel}/memberships/{nobody}", {}),
    ("POST", SEND, GOOD | {"Metadata": "m", "ContentType": "t", "Target": [{"MemberArn": "{bob}"}],
                           "MessageAttributes": {"n": {"StringValues": ["v"]}},
                           "PushNotification": {"Title": "t", "Body": "b", "Type": "VOIP"},
                           "ClientRequestToken": "tt"}),
    ("GET", "/channels/{channel}/messages/{message}", {}),
    ("GET", "/channels/{channel}/messages/{message}?scope=message-status", {}),
    ("GET", "/channels/{channel}/messages?sort-order=ASCENDING&not-before=0&not-after=2030-01-01T00:00:00Z", {}),
    ("PUT", "/channels/{channel}/messages/{message}", {"Content": "c", "Metadata": "m", "ContentType": "t"}),
    ("POST", "/channels/{channel}/messages/{message}?operation=redact", {}),
    ("DELETE", "/channels/{channel}/messages/none", {}),
    ("POST", "/channel-flows", FLOW),
    ("GET", "/channel-flows/{flow}", {}),
    ("PUT", "/channel-flows/{flow}", {"Name": "n", "Processors": [PROCESSOR]}),
    ("GET", "/channel-flows?app-instance-arn={app}", {}),
    ("GET", "/channels?scope=channel-flow-associations&channel-flow-arn={flow}", {}),
    ("PUT", "/channels/{channel}/channel-flow", {"ChannelFlowArn": "{flow}"}),
    ("DELETE", "/channels/{channel}/channel-flow/{flow}", {}),
    ("POST", "/channels/{channel}?operation=channel-flow-callback",
     {"CallbackId": "c" * 32, "DeleteResource": False, "ChannelMessage": {"MessageId": "{message}", "Content": "c"}}),
    ("GET", "/endpoints/messaging-session?network-type=DUAL_STACK", {}),
    ("GET", "/tags?arn={channel}", {}),
    ("POST", "/tags?operation=tag-resource", {"ResourceARN": "{bob}", "Tags": [{"Key": "k", "Value": "v"}]}),
    ("POST", "/tags?operation=untag-resource", {"ResourceARN": "{bob}", "TagKeys": ["k"]}),
    ("POST", "/channels?operation=search&max-results=2",
     {"Fields": [{"Key": "MEMBERS", "Operator": "INCLUDES", "Values": ["{bob}"]}]}),
    ("PUT", "/channels/{channel}/expiration-settings",
     {"ExpirationSettings": {"ExpirationDays": 2, "ExpirationCriterion": "LAST_MESSAGE_TIMESTAMP"}}),
    ("PUT", "/channels/{channel}/readMarker", {}),
    ("POST", "/channels", {"AppInstanceArn": "{app}", "Name": "n", "ClientRequestToken": "tu",
                           "ElasticChannelConfiguration": {"MaximumSubChannels": 2,
                           "TargetMembershipsPerSubChannel": 2, "MinimumMembershipPercentage": 1}}),
    ("GET", "/channels/{channel}/subchannels", {}),
    ("POST", "/channels/{channel}/moderators", {"ChannelModeratorArn": "{bob}"}),
    ("GET", "/channels/{channel}/moderators/{ann}", {}),
    ("GET", "/channels/{channel}/moderators?max-results=1", {}),
    ("DELETE", "/channels/{channel}/moderators/{nobody}", {}),
    ("GET", "/channels?scope=app-instance-user-moderated-channels&app-instance-user-arn={ann}", {}),
    ("GET", "/channels/{channel}?scope=app-instance-user-moderated-channel&app-instance-user-arn={ann}", {}),
    ("POST", "/channels/{channel}/bans", {"MemberArn": "{bob}"}),
    ("GET", "/channels/{channel}/bans/{bob}", {}),
    ("GET", "/channels/{channel}/bans", {}),
    ("DELETE", "/channels/{channel}/bans/{nobody}", {}),
    ("PUT", "/channels/{channel}/memberships/{ann}/preferences",
     {"Preferences": {"PushNotifications": {"AllowNotifications": "FILTERED", "FilterRule": "{\"a\": [\"b\"]}"}}}),
    ("GET", "/channels/{channel}/memberships/{ann}/preferences", {}),
    ("PUT", "/app-instances/{app}/streaming-configurations", {"StreamingConfigurations": [
        {"DataType": "Channel", "ResourceArn": "arn:aws:kinesis:us-east-1:123456789012:stream/chime-messaging-x"}]}),
    ("GET", "/app-instances/{app}/streaming-configurations", {}),
    ("DELETE", "/app-instances/{app}/streaming-configurations", {}),
    ("PUT", "/app-instances/{app}/retention-settings",
     {"AppInstanceRetentionSettings": {"ChannelRetentionSettings": {"RetentionDays": 1}}}),
    ("GET", "/app-instances/{app}/retention-settings", {}),
    ("PUT", "/app-instance-users/{bob}/expiration-settings",
     {"ExpirationSettings": {"ExpirationDays": 1, "ExpirationCriterion": "CREATED_TIMESTAMP"}}),
    ("POST", "/app-instance-bots", {"AppInstanceArn": "{app}", "Name": "n", "Metadata": "m", "ClientRequestToken": "tv",
                                    "Configuration": {"Lex": LEX}}),
    ("GET", "/app-instance-bots?app-instance-arn={app}", {}),
    ("PUT", "/app-instance-bots/{bot}", {"Name": "n", "Metadata": "m", "Configuration": {"Lex": LEX}}),
    ("GET", "/app-instance-bots/{bot}", {}),
    ("POST", "/app-instance-users/{bob}/endpoints",
     {"Name": "n", "Type": "APNS", "ResourceArn": "arn:aws:mobiletargeting:us-east-1:123456789012:apps/x",
      "EndpointAttributes": {"DeviceToken": "d", "VoipDeviceToken": "v"}, "AllowMessages": "NONE",
      "ClientRequestToken": "tw"}),
    ("GET", "/app-instance-users/{bob}/endpoints", {}),
    ("GET", "/app-instance-users/{bob}/endpoints/{nobody}", {}),
    ("PUT", "/app-instance-users/{bob}/endpoints/{nobody}", {"Name": "n", "AllowMessages": "ALL"}),
    ("DELETE", "/app-instance-users/{bob}/endpoints/{nobody}", {}),
]  # fmt: skip

texts = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        ["", "\0", "\ud800", "\n", "x" * 5000, "\U0001f514" * 65, "\ufffe", "-1", "1e400", "HIDDEN", "%2F"]
    ),
    st.sampled_from(["{app}", "{ann}", "{bob}", "{channel}", "{flow}", "{message}", "{nobody}", "{bot}"]),
)
values = st.recursive(
    st.one_of(texts, st.none(), st.booleans(), st.integers(), st.floats(), st.integers(-(10**40), 10**40)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, str, bytes, str]:
    """A request that was right before something was done to it: method, target, body, bearer."""
    method, target, members = draw(st.sampled_from(BASES))
    body: Any = json.loads(json.dumps(members))
    bearer = "{ann}"
    for what in draw(st.lists(st.sampled_from(["member", "path", "query", "bearer", "method"]), max_size=3)):
        match what:
            case "member":
                body = draw(_changed(body))
            case "path":
                words = target.partition("?")[0].split("/")
                words[draw(st.sampled_from([at for at, word in enumerate(words) if "{" in word] or [1]))] = quote(
                    draw(texts).encode("utf-8", "replace"), safe="{}"
                )
                target = "/".join(words) + "".join(target.partition("?")[1:])
            case "query":
                name = draw(
                    st.sampled_from(["max-results", "next-token", "not-before", "type", "sub-channel-id", "scope"])
                )
                value = quote(draw(texts).encode("utf-8", "surrogatepass"), safe="{}")
                target += f"{'&' if '?' in target else '?'}{name}={value}"
            case "bearer":
                bearer = draw(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30) | texts)
            case "method":
                method = draw(st.sampled_from(["GET", "PUT", "POST", "DELETE", "PATCH"]))
    text = json.dumps(body).encode() if body or method in ("POST", "PUT") else b""
    if text and draw(st.integers(0, 9)) == 0:
        cut = draw(st.integers(0, len(text)))
        text = text[:cut] + draw(st.binary(max_size=5)) + text[cut + draw(st.integers(0, 5)) :]
    return method, target, text, bearer


def _changed(value: Any) -> st.SearchStrategy[Any]:
    """The value with one thing in it, at any depth, left out, put in or something else."""
    ways: list[st.SearchStrategy[Any]] = [values]
    if isinstance(value, dict):
        ways += [_changed(value[name]).map(lambda new, name=name: value | {name: new}) for name in value]
        ways += [st.just({other: value[other] for other in value if other != name}) for name in value]
        ways.append(st.tuples(texts, values).map(lambda pair: value | {pair[0]: pair[1]}))
    elif isinstance(value, list):
        ways += [
            _changed(each).map(lambda new, at=at: [*value[:at], new, *value[at + 1 :]]) for at, each in enumerate(value)
        ]
        ways += [st.just([]), st.just(value * 120)]
    return st.one_of(ways)


@given(requests())
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_request_makes_the_server_fail(server: RunningServer, request: tuple[str, str, bytes, str]) -> None:
    world = furnished(server)
    method, target, body, bearer = request
    for name, text in world.names.items():
        target = target.replace("{" + name + "}", quote(text, safe=""))
        body = body.replace(b"{" + name.encode() + b"}", text.encode())
        bearer = bearer.replace("{" + name + "}", text)
    headers = {BEARER: "".join(each for each in bearer if " " <= each <= "~")}

    answer = signed(world.server.url, method, target, body, headers)

    assert answer.status < 500, answer.body
    if answer.status >= 400:
        assert answer.error
    try:
        _read_everything(world)
    except ClientError as error:  # the request may well have deleted who reads
        assert error.response["Error"]["Code"] == "ForbiddenException"  # noqa: PT017


def _read_everything(world: World) -> None:
    ann, identity, within = world.ann, world.app.identity, {"AppInstanceArn": world.app.arn}
    for privacy in ("PUBLIC", "PRIVATE"):
        for summary in whole(ann.list_channels, "Channels", **within, Privacy=privacy):
            channel = {"ChannelArn": summary["ChannelArn"]}
            described = ann.describe_channel(**channel)["Channel"]
            whole(ann.list_channel_moderators, "ChannelModerators", **channel)
            whole(ann.list_channel_bans, "ChannelBans", **channel)
            if "ElasticChannelConfiguration" in described:
                whole(ann.list_sub_channels, "SubChannels", **channel)
            else:
                whole(ann.list_channel_messages, "ChannelMessages", **channel)
                whole(ann.list_channel_memberships, "ChannelMemberships", **channel)
    whole(identity.list_app_instance_users, "AppInstanceUsers", **within)
    whole(identity.list_app_instance_admins, "AppInstanceAdmins", **within)
    whole(identity.list_app_instance_bots, "AppInstanceBots", **within)
    whole(world.app.messaging.list_channel_flows, "ChannelFlows", **within)


# A store that cannot write


@pytest.mark.sqlite
@pytest.mark.parametrize(("fails", "mends"), [
    ("PRAGMA max_page_count = 1", "PRAGMA max_page_count = 1000000"),  # a full disk; 1: as large as it is now
    ("PRAGMA query_only = ON", "PRAGMA query_only = OFF"),  # a folder gone read-only
], ids=["full", "read-only"])  # fmt: skip
def test_a_store_that_cannot_write_says_so_and_keeps_what_it_took(tmp_path: Path, fails: str, mends: str) -> None:
    with running(tmp_path) as server:
        app = App(server)
        ann, bob = app.users("ann", "bob")
        channel = ann.makes_channel(members=[bob])
        heard = bob.connects()
        ann.sends(channel, "before")
        database = server.server._db._writing

        database.execute(fails).fetchall()
        taken = ["before"]
        with refused("ServiceUnavailable"):
            for n in range(1000):
                ann.sends(channel, f"{n}:".ljust(4096, "x"), ClientRequestToken=f"token-{n}")
                taken.append(f"{n}:".ljust(4096, "x"))
        failed = len(taken) - 1
        with refused("ServiceUnavailable"):
            ann.sends(channel, "x" * 4096)

        assert _contents(bob, channel) == taken
        assert [heard.next().payload["Content"] for _ in taken] == taken

        database.execute(mends).fetchall()
        taken += [f"{failed}:".ljust(4096, "x"), "after"]
        ann.sends(channel, taken[-2], ClientRequestToken=f"token-{failed}")
        ann.sends(channel, taken[-1])
        assert _contents(bob, channel) == taken
        assert [heard.next().payload["Content"] for _ in range(2)] == taken[-2:]
        app.user("cid")

    with running(tmp_path) as server:
        again = User(app, bob.arn)
        again.messaging = server.client("chime-sdk-messaging")
        assert _contents(again, channel) == taken


def _contents(user: User, channel: str) -> list[str]:
    found = whole(user.list_channel_messages, "ChannelMessages", ChannelArn=channel, SortOrder="ASCENDING")
    return [each["Content"] for each in found]
