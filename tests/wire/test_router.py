"""Paths and queries that are not quite those of the SDKs, and hostile ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campana.api.routes import ROUTES
from campana.errors import ApiError, BadRequest, MethodNotAllowed, UnknownOperation
from campana.wire import router

APP = "arn:aws:chime:us-east-1:123456789012:app-instance/6f9d"
CHANNEL, USER, FLOW = f"{APP}/channel/room:1@x.y", f"{APP}/user/us-east-1:6c41", f"{APP}/channel-flow/f1"


def encoded(arn: str) -> str:
    return arn.replace(":", "%3A").replace("/", "%2F").replace("@", "%40")


@pytest.mark.parametrize(("method", "path", "query", "operation"), [
    ("POST", "/channels", "", "CreateChannel"),
    ("POST", "/channels", "operation=search&max-results=3", "SearchChannels"),
    ("POST", "/channels", "max-results=3&operation=search", "SearchChannels"),
    ("GET", "/channels", "scope=app-instance-user-memberships", "ListChannelMembershipsForAppInstanceUser"),
    ("GET", f"/channels/{CHANNEL}", "scope=app-instance-user-moderated-channel",
     "DescribeChannelModeratedByAppInstanceUser"),
    ("PUT", f"/channels/{CHANNEL}/readMarker", "", "UpdateChannelReadMarker"),
    ("GET", "/endpoints/messaging-session", "", "GetMessagingSessionEndpoint"),
    ("POST", "/tags", "operation=untag-resource", "UntagResource"),
    ("GET", "/channels", "&&app-instance-arn=x&", "ListChannels"),
])  # fmt: skip
def test_method_path_and_one_query_pair_name_the_operation(method: str, path: str, query: str, operation: str):
    route, _, _ = router.match(method, path, query)

    assert route.operation == operation


@pytest.mark.parametrize("spelled", [encoded, lambda arn: arn, lambda arn: arn.replace("/", "%2f"),
                                     lambda arn: arn.replace(":", "%3a")])  # fmt: skip
@pytest.mark.parametrize(("method", "path", "operation", "labels"), [
    ("GET", (CHANNEL,), "DescribeChannel", {"channelArn": CHANNEL}),
    ("POST", (CHANNEL, "messages"), "SendChannelMessage", {"channelArn": CHANNEL}),
    ("GET", (CHANNEL, "messages", "m1"), "GetChannelMessage", {"channelArn": CHANNEL, "messageId": "m1"}),
    ("DELETE", (CHANNEL, "channel-flow", FLOW), "DisassociateChannelFlow",
     {"channelArn": CHANNEL, "channelFlowArn": FLOW}),
    ("PUT", (CHANNEL, "memberships", USER, "preferences"), "PutChannelMembershipPreferences",
     {"channelArn": CHANNEL, "memberArn": USER}),
])  # fmt: skip
def test_arns_are_read_however_they_are_escaped(spelled, method, path, operation, labels):
    raw = "/".join(["", "channels", *(spelled(part) for part in path)])

    route, found, _ = router.match(method, raw, "")

    assert (route.operation, found) == (operation, labels)


def test_an_app_instance_is_an_arn_too():
    for path, operation in (("", "DescribeAppInstance"), ("/admins", "ListAppInstanceAdmins")):
        route, labels, _ = router.match("GET", f"/app-instances/{APP}{path}", "")
        assert (route.operation, labels) == (operation, {"appInstanceArn": APP})


def test_labels_and_values_are_decoded_once_and_plus_is_plus():
    _, labels, pairs = router.match("GET", "/channels/a%252Fb%20c", "app-instance-user-arn=a+b%2Bc%2520&x")

    assert labels == {"channelArn": "a%2Fb c"}
    assert pairs == [("app-instance-user-arn", "a+b+c%20"), ("x", "")]


@pytest.mark.parametrize(("method", "path", "query", "refusal"), [
    ("GET", "/", "", UnknownOperation),
    ("GET", "", "", UnknownOperation),
    ("GET", "*", "", UnknownOperation),
    ("GET", "x/channels", "", UnknownOperation),
    ("GET", "channels", "", UnknownOperation),
    ("GET", "/channels/", "", UnknownOperation),
    ("GET", "//channels", "", UnknownOperation),
    ("GET", "/channels/a/messages/", "", UnknownOperation),
    ("GET", "/channels/a/b", "", UnknownOperation),
    ("PUT", "/channels/a/readmarker", "", UnknownOperation),
    ("POST", "/channels", "operation=Search", UnknownOperation),
    ("GET", "/channels", "operation=search", UnknownOperation),
    ("GET", "/channels", "scope=app-instance-user-membership", UnknownOperation),
    ("POST", "/tags", "", UnknownOperation),
    ("PATCH", "/channels", "", MethodNotAllowed),
    ("HEAD", "/channels", "", MethodNotAllowed),
    ("get", "/channels", "", MethodNotAllowed),
    ("GET", "/channels/%ff", "", BadRequest),
    ("GET", "/channels/%ed%a0%80", "", BadRequest),
    ("GET", "/channels/a%00", "", BadRequest),
    ("GET", "/channels/a%2", "", BadRequest),
    ("GET", "/channels/a%zz", "", BadRequest),
    ("GET", "/channels/\u20ac", "", BadRequest),
    ("GET", "/channels", "next-token=%c3", BadRequest),
    ("GET", "/channels", "next-token=%00", BadRequest),
])  # fmt: skip
def test_what_names_no_operation_is_refused(method: str, path: str, query: str, refusal: type[ApiError]):
    with pytest.raises(refusal):
        router.match(method, path, query)


def test_raw_utf_8_in_a_path_is_read():
    raw = "/channels/é".encode().decode("latin-1")

    assert router.match("GET", raw, "")[1] == {"channelArn": "é"}


PARTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["channels", "messages", "tags", "", "%", "%2F", APP, CHANNEL, encoded(CHANNEL), "operation", "="]),
    st.sampled_from([word for route in ROUTES for word in route.path]),
)


@given(
    st.sampled_from(["GET", "PUT", "POST", "DELETE", "OPTIONS"]),
    st.lists(PARTS, max_size=9).map(lambda parts: "/" + "/".join(parts)),
    st.lists(PARTS, max_size=5).map("&".join),
)
def test_no_target_raises_anything_but_a_refusal(method: str, path: str, query: str):
    try:
        route, labels, _ = router.match(method, path, query)
    except ApiError:
        return
    assert set(labels) == {label.name for label in route.labels}
