"""Bodies, headers and queries that no SDK sends; how answers and refusals look."""

import json
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from campana.api import messaging
from campana.api.base import Shape, Timestamp, encode_frame, encode_rest, iso, wire_names
from campana.api.routes import BY_OPERATION, ROUTES
from campana.errors import ApiError, BadRequest, Conflict, Throttled
from campana.wire import codec, router
from campana.wire.http import HttpRequest

USER = "arn:aws:chime:us-east-1:123456789012:app-instance/6f9d/user/ann"
SEND = HttpRequest("POST", "/channels/arn%3Aa%3A%3A%3A%3Ab/messages", "", {"x-amz-chime-bearer": USER}, b"")
LIST = HttpRequest("GET", "/channels/arn%3Aa%3A%3A%3A%3Ab/messages", "", {"x-amz-chime-bearer": USER}, b"")
GOOD = {"Content": "hello", "Type": "STANDARD", "Persistence": "PERSISTENT"}


def decoded(request: HttpRequest) -> Shape:
    route, labels, query = router.match(request.method, request.raw_path, request.raw_query)
    return codec.decode(route, labels, query, request.headers, request.body)


def sent(body: bytes) -> messaging.SendChannelMessageRequest:
    request = decoded(replace(SEND, body=body))
    assert isinstance(request, messaging.SendChannelMessageRequest)
    return request


def listed(query: str) -> messaging.ListChannelMessagesRequest:
    request = decoded(replace(LIST, raw_query=query))
    assert isinstance(request, messaging.ListChannelMessagesRequest)
    return request


@pytest.mark.parametrize("body", [
    b"{", b"null", b"[]", b'"x"', b"5", b"nope", b" ", b"{} {}", b"\xef\xbb\xbf{}", b"\xff", b'{"Content":"\xff"}',
    b'{"Unknown":"\xff"}', b'{"Unknown":NaN}', b'{"Unknown":Infinity}', b'{"Unknown":1e999}',
    b'{"Unknown":' + b"9" * 10_000 + b"}", b'{"Unknown":"\\ud800"}', b'{"Unknown":"\\udc00"}',
    b'{"Unknown":"\\ud83dx     "}', b'{"Unknown":"\xed\xa0\x80"}', b'{"Content":"\\u0000"}', b'{"Content":"\x00"}',
    b'{"\\u0000":1}', b'{"Unknown":[[{"a":"b\\u0000"}]]}', b'{"Unknown":' + b"[" * 500_000,
    b'{"Unknown":' + b"[" * 100_000 + b"]" * 100_000 + b"}", b'{"a":' * 100_000,
    b'{"Unknown":"\\u0000",' + b'"a":[' * 50_000 + b"]" * 50_000 + b"}",
])  # fmt: skip
def test_what_is_no_json_object_of_texts_is_refused(body: bytes):
    with pytest.raises(BadRequest, match="request body"):
        sent(body)


@pytest.mark.parametrize(("wrong", "message"), [
    ({"Content": ""}, "'content' .*length greater than or equal to 1"),
    ({"Content": 5}, "'content' .*must be a string"),
    ({"Content": None}, "'content' .*must not be null"),
    ({"Content": ["a"]}, "'content' .*must be a string"),
    ({"Type": "standard"}, r"'type' .*enum value set: \[STANDARD, CONTROL\]"),
    ({"Type": 1}, "'type'"),
    ({"Metadata": "a\nb"}, "'metadata' .*regular expression"),
    ({"Metadata": "a\u2028b"}, "'metadata' .*regular expression"),
    ({"Metadata": "a" * 1025}, "'metadata' .*length less than or equal to 1024"),
    ({"ClientRequestToken": "a"}, "'clientRequestToken' .*length greater than or equal to 2"),
    ({"ClientRequestToken": "ab\n"}, "'clientRequestToken' .*regular expression"),
    ({"ClientRequestToken": "a b"}, "'clientRequestToken' .*regular expression"),
    ({"Target": []}, "'target' .*length greater than or equal to 1"),
    ({"Target": [{}, {}]}, "'target' .*length less than or equal to 1"),
    ({"Target": {}}, "'target' .*must be a list"),
    ({"Target": [{"MemberArn": "x:y:z"}]}, r"'target\[0\].memberArn' .*regular expression"),
    ({"Target": [None]}, r"'target\[0\]' .*must not be null"),
    ({"PushNotification": []}, "'pushNotification' .*must be a structure"),
    ({"PushNotification": {"Type": "x"}}, r"'pushNotification.type' .*\[DEFAULT, VOIP\]"),
    ({"PushNotification": {"Title": "a\r"}}, "'pushNotification.title' .*regular expression"),
    ({"MessageAttributes": {"": {}}}, "'messageAttributes' .*length"),
    ({"MessageAttributes": {"a": {"StringValues": [""]}}}, r"'messageAttributes\[...\].stringValues\[0\]' .*length"),
    ({"MessageAttributes": {"a": None}}, r"'messageAttributes\[...\]' .*must not be null"),
])  # fmt: skip
def test_a_violation_names_the_member(wrong: dict[str, object], message: str):
    with pytest.raises(BadRequest, match=message):
        sent(json.dumps(GOOD | wrong).encode())


def test_a_refusal_tells_nothing_of_what_was_sent():
    for member in ("Type", "Metadata", "ClientRequestToken", "Target", "PushNotification", "MessageAttributes"):
        for value in ("SECRET\n", ["SECRET"], {"SECRET" * 20: {}, "Type": "SECRET"}):
            with pytest.raises(BadRequest) as refused:
                sent(json.dumps(GOOD | {member: value}).encode())
            assert "SECRET" not in refused.value.message


@pytest.mark.parametrize(("name", "member", "value", "right"), [
    ("CreateAppInstanceUser", "Name", "\u00a0", True),  # space is ASCII's, as in Java
    ("CreateAppInstanceUser", "Name", "  ", False),
    ("CreateAppInstanceUser", "AppInstanceUserId", "us-east-1:6c41@x.y", True),
    ("CreateAppInstanceUser", "AppInstanceUserId", "-a", False),
    ("CreateChannel", "Name", "😀 \t", True),
    ("CreateChannel", "Name", "😀" * 256, True),  # characters are counted, not bytes or UTF-16 units
    ("CreateChannel", "Name", "😀" * 257, False),
    ("CreateChannel", "Name", "bell \x07", False),
    ("CreateChannel", "Name", "\uffff", False),
    ("CreateChannel", "Tags", [], False),
    ("CreateChannel", "MemberArns", [USER] * 11, False),
    ("CreateChannel", "ElasticChannelConfiguration",
     {"MaximumSubChannels": 2**31, "TargetMembershipsPerSubChannel": 2, "MinimumMembershipPercentage": 1}, False),
    ("CreateChannel", "ElasticChannelConfiguration",
     {"MaximumSubChannels": 5.0, "TargetMembershipsPerSubChannel": 2, "MinimumMembershipPercentage": 1}, False),
    ("CreateChannel", "ElasticChannelConfiguration",
     {"MaximumSubChannels": True, "TargetMembershipsPerSubChannel": 2, "MinimumMembershipPercentage": 1}, False),
    ("CreateChannel", "ElasticChannelConfiguration",
     {"MaximumSubChannels": 5, "TargetMembershipsPerSubChannel": 2, "MinimumMembershipPercentage": 41}, False),
    ("CreateChannel", "AppInstanceArn", "arn:aws:chime:us-east-1:1:/x", False),
    ("CreateChannel", "AppInstanceArn", USER + "\n", False),
    ("ChannelFlowCallback", "DeleteResource", None, True),
    ("ChannelFlowCallback", "DeleteResource", "true", False),
    ("ChannelFlowCallback", "DeleteResource", 1, False),
    ("CreateChannelMembership", "Type", None, True),
    ("PutChannelExpirationSettings", "ExpirationSettings", None, True),
])  # fmt: skip
def test_constraints_are_those_of_the_model(name: str, member: str, value: object, right: bool):
    route = BY_OPERATION[name]
    body = REQUIRED[name] | {member: value}
    labels = {label.name: USER for label in route.labels}

    if right:
        codec.decode(route, labels, [], {}, json.dumps(body).encode())
    else:
        with pytest.raises(BadRequest, match=f"(?i)'{member}"):
            codec.decode(route, labels, [], {}, json.dumps(body).encode())


REQUIRED: dict[str, dict[str, object]] = {
    "CreateAppInstanceUser": {"AppInstanceArn": USER, "Name": "Ann", "AppInstanceUserId": "ann"},
    "CreateChannel": {"AppInstanceArn": USER, "Name": "room"},
    "CreateChannelMembership": {"MemberArn": USER},
    "ChannelFlowCallback": {"CallbackId": "c" * 32, "ChannelMessage": {"MessageId": "m"}},
    "PutChannelExpirationSettings": {},
}


def test_null_is_absent():
    everything = dict.fromkeys(("Metadata", "ClientRequestToken", "Target", "PushNotification", "Unknown"), None)

    assert sent(json.dumps(GOOD | everything).encode()) == sent(json.dumps(GOOD).encode())


def test_unknown_members_are_ignored_and_the_path_wins_over_the_body():
    stray = {"ChannelArn": "x", "ChimeBearer": "x", "channel_arn": "x", "content": 5, "Unknown": {"a": [1]}}

    request = sent(json.dumps(GOOD | stray).encode())

    assert request.channel_arn == "arn:a::::b"
    assert request.chime_bearer == USER


def test_a_header_or_query_member_in_the_body_does_not_stand_in_for_it():
    request = decoded(replace(SEND, headers={}, body=json.dumps(GOOD | {"ChimeBearer": USER}).encode()))
    assert request.chime_bearer is None  # type: ignore[attr-defined]

    body = b'{"Fields":[{"Key":"MEMBERS","Operator":"EQUALS","Values":["a"]}],"MaxResults":9}'
    search = HttpRequest("POST", "/channels", "operation=search", {}, body)
    assert decoded(search).max_results is None  # type: ignore[attr-defined]


@pytest.mark.parametrize("body", [b"", b"{}", b'{"Unknown":null}'])
def test_no_body_and_an_empty_one_are_the_same(body: bytes):
    request = decoded(
        replace(SEND, method="PUT", raw_path="/channels/arn%3Aa%3A%3A%3A%3Ab/expiration-settings", body=body)
    )

    assert request == messaging.PutChannelExpirationSettingsRequest(channel_arn="arn:a::::b", chime_bearer=USER)


def test_a_body_where_none_belongs_is_not_read():
    assert decoded(replace(LIST, body=b"\xff")) == decoded(LIST)


def test_escaped_text_that_only_looks_like_nul_is_kept():
    assert sent(json.dumps(GOOD | {"Content": "\\u0000"}).encode()).content == "\\u0000"


@pytest.mark.parametrize("bearer", ["", "x", "arn:\0", "arn:aws:chime:us-east-1:1:app-instance/é/user/a", "a" * 1601])
def test_a_bearer_must_look_like_an_arn(bearer: str):
    with pytest.raises(BadRequest):
        decoded(replace(SEND, headers={"x-amz-chime-bearer": bearer}, body=json.dumps(GOOD).encode()))


@pytest.mark.parametrize("query", [
    "max-results=0", "max-results=51", "max-results=", "max-results=5.0", "max-results=+5", "max-results=%D9%A5",
    "max-results=1_0", "max-results=" + "9" * 5000, "max-results=-99999999999999999999", "max-results=1&max-results=1",
    "sort-order=UP", "sort-order=", "next-token=a%0Ab", "next-token=" + "a" * 2049, "sub-channel-id=",
    "not-before=", "not-before=yesterday", "not-before=2024-05-06", "not-before=2024-05-06T07:08:09",
    "not-before=2024-13-06T07:08:09Z", "not-before=2024-05-06T25:08:09Z", "not-before=2024-05-06T07:08:09.1234567890Z",
    "not-before=0000-05-06T07:08:09Z", "not-before=9999-12-31T23:59:59%2B99:99", "not-before=1e9", "not-before=NaN",
    "not-before=" + "9" * 12, "not-before=2024-05-06T07:08:09+00:00x",
])  # fmt: skip
def test_a_bad_query_is_refused(query: str):
    with pytest.raises(BadRequest):
        listed(query)


@pytest.mark.parametrize(("text", "ms"), [
    ("2024-05-06T07:08:09Z", 1_714_979_289_000),
    ("2024-05-06T07:08:09.123456Z", 1_714_979_289_123),
    ("2024-05-06T07:08:09.1Z", 1_714_979_289_100),
    ("2024-05-06T07:08:09.123456789%2B02:00", 1_714_972_089_123),
    ("2024-05-06T07:08:09-0130", 1_714_984_689_000),
    ("1970-01-01T00:00:00Z", 0),
    ("1969-12-31T23:59:59.999Z", -1),
    ("1717000000", 1_717_000_000_000),
    ("1717000000.123", 1_717_000_000_123),
    ("1717000000.1239", 1_717_000_000_123),
    ("-1.5", -1_500),
])  # fmt: skip
def test_times_in_a_query_are_read_in_all_their_forms(text: str, ms: int):
    assert listed(f"not-before={text}").not_before == Timestamp(ms)


def test_an_empty_page_token_is_a_token():
    assert listed("next-token=").next_token == ""


@pytest.mark.parametrize(("ms", "rest", "frame"), [
    (0, b"[0.0]", '["1970-01-01T00:00:00.000Z"]'),
    (1_717_000_000_123, b"[1717000000.123]", '["2024-05-29T16:26:40.123Z"]'),
    (1_772_600_767_089, b"[1772600767.089]", '["2026-03-04T05:06:07.089Z"]'),
    (253_402_300_799_999, b"[253402300799.999]", '["9999-12-31T23:59:59.999Z"]'),
    (-1, b"[-0.001]", '["1969-12-31T23:59:59.999Z"]'),
])  # fmt: skip
def test_a_time_is_a_number_over_rest_and_text_in_frames(ms: int, rest: bytes, frame: str):
    assert encode_rest([Timestamp(ms)]) == rest
    assert encode_frame([Timestamp(ms)]) == frame


@given(st.integers(min_value=-62_135_596_800_000, max_value=253_402_300_799_999))
def test_a_time_survives_both_ways_of_writing_it(ms: int):
    assert Timestamp.parse(iso(ms)).ms == ms
    assert round(json.loads(encode_rest(Timestamp(ms))) * 1000) == ms


def test_false_is_sent_and_absence_is_not():
    message = messaging.ChannelMessage(redacted=False, content="", message_attributes={})

    assert json.loads(encode_rest(message)) == {"Redacted": False, "Content": "", "MessageAttributes": {}}


def test_fields_know_their_names_on_the_wire():
    assert wire_names(messaging.TagResourceRequest) == {"resource_arn": "ResourceARN", "tags": "Tags"}
    assert wire_names(messaging.ProcessorConfiguration) == {"lambda_": "Lambda"}


def test_only_throttling_says_when_to_come_back():
    def retry_after(error: ApiError) -> bytes | None:
        return dict(codec.refuse(error).headers).get(b"retry-after")

    assert retry_after(Throttled("slow down")) == b"1"
    assert retry_after(Throttled("slow down", retry_after_s=7)) == b"7"
    assert retry_after(Conflict("no")) is None


BODIES = st.one_of(
    st.binary(max_size=200),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
        max_leaves=12,
    ).map(lambda value: json.dumps(value).encode()),
)


@st.composite
def nearly_right(draw: st.DrawFn) -> tuple[str, bytes]:
    """An operation with its members' own names, and anything at all for their values."""
    route = draw(st.sampled_from(ROUTES))
    values = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(USER) | st.lists(st.text())
    deeper = values | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=4), values, max_size=4)
    members = draw(st.dictionaries(st.sampled_from(route.request.__struct_encode_fields__), deeper | st.lists(deeper)))
    return route.operation, json.dumps(members).encode()


NAMES = ["Key", "Value", "MemberArn", "Type", "Lex", "Lambda", "MessageId", "ExpirationDays", "DeviceToken", "Title"]


@given(nearly_right() | st.tuples(st.sampled_from(sorted(BY_OPERATION)), BODIES), st.dictionaries(st.text(), st.text()))
@example(("SendChannelMessage", b'{"Content":"\\ud800"}'), {})
def test_no_body_raises_anything_but_a_refusal(request_of: tuple[str, bytes], headers: dict[str, str]):
    name, body = request_of
    route = BY_OPERATION[name]
    try:
        request = codec.decode(route, {label.name: USER for label in route.labels}, [], headers, body)
    except ApiError as refused:
        json.loads(codec.refuse(refused).body)
    else:
        encode_rest(request).decode()


@given(st.lists(st.tuples(st.sampled_from(["not-before", "max-results", "sort-order", "next-token"]), st.text())))
def test_no_query_raises_anything_but_a_refusal(pairs: list[tuple[str, str]]):
    route = BY_OPERATION["ListChannelMessages"]
    with suppress(BadRequest):
        codec.decode(route, {"channelArn": USER}, pairs, {"x-amz-chime-bearer": USER}, b"")
