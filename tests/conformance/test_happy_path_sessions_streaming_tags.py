"""The endpoint of live sessions, streaming configurations, tags."""

from collections.abc import Callable

import pytest

from tests.conformance.marks import choice, operation
from tests.conformance.world import World, refused


@operation("GetMessagingSessionEndpoint")
def test_live_sessions_have_a_host(world: World) -> None:
    url = world.api("GetMessagingSessionEndpoint")["Endpoint"]["Url"]

    assert "/" not in url  # clients put wss:// before it and /connect behind
    with world.eve.connects() as session:  # raises unless the first frame is SESSION_ESTABLISHED
        assert session


@operation("GetMessagingSessionEndpoint")
@pytest.mark.parametrize("network", ["IPV4_ONLY", "DUAL_STACK"])
def test_live_sessions_have_a_host_on_each_network(world: World, network: str) -> None:
    assert world.api("GetMessagingSessionEndpoint", {"NetworkType": network})["Endpoint"]["Url"]


@operation(
    "PutMessagingStreamingConfigurations",
    "GetMessagingStreamingConfigurations",
    "DeleteMessagingStreamingConfigurations",
)
@choice("a put replaces all; none is NotFound")
def test_streaming_configurations_are_kept(world: World) -> None:
    app = {"AppInstanceArn": world.app_instance("streaming")}
    stream = world.target.resource("KINESIS_STREAM_ARN")
    both = [{"DataType": kind, "ResourceArn": stream} for kind in ("Channel", "ChannelMessage")]

    for given in (both, both[:1]):
        expected = {"StreamingConfigurations": given}
        assert world.api("PutMessagingStreamingConfigurations", {**app, **expected}) == expected
        assert world.api("GetMessagingStreamingConfigurations", app) == expected

    assert world.api("DeleteMessagingStreamingConfigurations", app) == {}
    with refused("NotFound"):
        world.api("GetMessagingStreamingConfigurations", app)


TAGGED: dict[str, Callable[[World], str]] = {
    "channel": lambda world: world.ann.makes_channel(),
    "channel flow": lambda world: world.flow,
    "app instance": lambda world: world.app,
    "user": lambda world: world.user().arn,
    "bot": lambda world: world.new_bot().arn,
}


@operation("TagResource", "UntagResource", "ListTagsForResource")
@pytest.mark.parametrize(("service_name", "what"), [
    pytest.param("chime-sdk-messaging", "channel", id="channel"),
    pytest.param("chime-sdk-messaging", "channel flow", id="channel flow"),
    pytest.param("chime-sdk-identity", "app instance", id="app instance"),
    pytest.param("chime-sdk-identity", "user", id="user"),
    pytest.param("chime-sdk-identity", "bot", id="bot"),
])  # fmt: skip
def test_tags_are_set_and_removed(world: World, service_name: str, what: str) -> None:
    arn = {"ResourceARN": TAGGED[what](world)}

    def tags() -> dict[str, str]:
        listed = world.api("ListTagsForResource", arn, service=service_name)["Tags"]
        return {tag["Key"]: tag["Value"] for tag in listed}

    def tag(**values: str) -> None:
        given = [{"Key": key, "Value": value} for key, value in values.items()]
        assert world.api("TagResource", {**arn, "Tags": given}, service=service_name) == {}

    assert tags() == {}
    tag(team="blue", floor="1")
    assert tags() == {"team": "blue", "floor": "1"}
    tag(team="red")
    assert tags() == {"team": "red", "floor": "1"}

    assert world.api("UntagResource", {**arn, "TagKeys": ["team", "floor", "unknown"]}, service=service_name) == {}
    assert tags() == {}


@operation("TagResource", "ListTagsForResource")
@choice("either service tags the resources of both")
def test_either_service_tags_everything(world: World) -> None:
    arn = {"ResourceARN": world.user().arn}
    tags = {"Tags": [{"Key": "team", "Value": "blue"}]}

    world.api("TagResource", {**arn, **tags}, service="chime-sdk-messaging")

    assert world.api("ListTagsForResource", arn, service="chime-sdk-identity") == tags
