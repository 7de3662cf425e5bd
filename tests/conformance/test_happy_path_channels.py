"""Channels: made, described, changed, deleted, listed and searched; read markers, expiration, sub-channels."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.conformance.marks import choice, operation
from tests.conformance.requests import CHANNEL_EXPIRATION, GOOD, TAGS
from tests.conformance.world import Members, User, World, pages, refused


def described(user: User, channel: str) -> Members:
    found: Members = user.describe_channel(ChannelArn=channel)["Channel"]
    return found


def without_times(shape: Members) -> Members:
    return {name: value for name, value in shape.items() if not name.endswith("Timestamp")}


def summary(user: User, channel: str) -> Members:
    """The channel as lists show it."""
    members = ("Name", "ChannelArn", "Mode", "Privacy", "Metadata", "LastMessageTimestamp")
    return {name: value for name, value in described(user, channel).items() if name in members}


@operation("CreateChannel", "DescribeChannel")
def test_a_channel_is_described_as_it_was_made(world: World) -> None:
    request = GOOD["CreateChannel"][0](world)

    channel = world.api("CreateChannel", request)["ChannelArn"]

    found = described(world.ann, channel)
    assert channel == f"{world.app}/channel/{request['ChannelId']}"
    assert found["CreatedTimestamp"] == found["LastUpdatedTimestamp"]
    assert without_times(found) == {
        "ChannelArn": channel,
        "Name": "Lobby",
        "Mode": "RESTRICTED",
        "Privacy": "PRIVATE",
        "Metadata": "m",
        "CreatedBy": world.ann.identity,
        "ExpirationSettings": CHANNEL_EXPIRATION,
    }
    assert world.api("ListTagsForResource", {"ResourceARN": channel})["Tags"] == TAGS


@operation("CreateChannel")
def test_the_maker_of_a_channel_is_member_and_moderator(world: World) -> None:
    channel = world.ann.makes_channel(world.bob, ModeratorArns=[world.mod.arn])

    members = world.ann.list_channel_memberships(ChannelArn=channel)["ChannelMemberships"]
    moderators = world.ann.list_channel_moderators(ChannelArn=channel)["ChannelModerators"]

    assert [each["Member"] for each in members] == [world.ann.identity, world.bob.identity]
    assert [each["Moderator"] for each in moderators] == [world.ann.identity, world.mod.identity]


@operation("CreateChannel")
@choice("a channel is RESTRICTED and PRIVATE unless something else is said, and its id is a UUID")
def test_a_channel_is_closed_by_default(world: World) -> None:
    channel = world.ann.makes_channel()

    found = described(world.ann, channel)

    assert without_times(found) == {
        "ChannelArn": channel,
        "Name": "Lobby",
        "Mode": "RESTRICTED",
        "Privacy": "PRIVATE",
        "CreatedBy": world.ann.identity,
    }
    assert len(channel.removeprefix(f"{world.app}/channel/")) == 36


@operation("CreateChannel")
@choice("a channel whose member is not there is not made")
def test_a_channel_is_made_whole_or_not_at_all(world: World) -> None:
    request = {**GOOD["CreateChannel"][0](world), "MemberArns": [world.bob.arn, world.nobody]}
    with refused("BadRequest"):
        world.api("CreateChannel", request)

    with refused("Forbidden"):
        world.ann.describe_channel(ChannelArn=f"{world.app}/channel/{request['ChannelId']}")


@operation("CreateChannel", "DescribeChannel")
def test_an_elastic_channel_has_no_member_but_a_moderator(world: World) -> None:
    found = described(world.ann, world.elastic)

    assert found["ElasticChannelConfiguration"] == {
        "MaximumSubChannels": 5,
        "TargetMembershipsPerSubChannel": 50,
        "MinimumMembershipPercentage": 10,
    }
    moderators = world.ann.list_channel_moderators(ChannelArn=world.elastic)["ChannelModerators"]
    assert world.ann.identity in [each["Moderator"] for each in moderators]


@operation("UpdateChannel")
def test_a_channel_can_be_changed(world: World) -> None:
    channel = world.ann.makes_channel(Metadata="m", Mode="RESTRICTED")
    before = described(world.ann, channel)

    answer = world.ann.update_channel(ChannelArn=channel, Name="Hall", Mode="UNRESTRICTED", Metadata="n")

    after = described(world.ann, channel)
    assert answer == {"ChannelArn": channel}
    assert (after["Name"], after["Mode"], after["Metadata"]) == ("Hall", "UNRESTRICTED", "n")
    assert after["LastUpdatedTimestamp"] > before["LastUpdatedTimestamp"]
    assert after["CreatedTimestamp"] == before["CreatedTimestamp"]


@operation("UpdateChannel")
@choice("what is left out of a change stays; empty metadata is none")
def test_what_is_left_out_of_a_change_stays(world: World) -> None:
    channel = world.ann.makes_channel(Metadata="m", Mode="RESTRICTED")

    world.ann.update_channel(ChannelArn=channel, Metadata="")

    after = described(world.ann, channel)
    assert (after["Name"], after["Mode"], "Metadata" in after) == ("Lobby", "RESTRICTED", False)


@operation("DeleteChannel")
def test_a_deleted_channel_is_out_of_reach(world: World) -> None:
    channel = world.ann.makes_channel(world.bob, Privacy="PUBLIC")

    assert world.ann.delete_channel(ChannelArn=channel) == {}

    for user in (world.ann, world.bob, world.admin):
        with refused("Forbidden"):
            user.describe_channel(ChannelArn=channel)
        with refused("Forbidden"):
            user.list_channel_messages(ChannelArn=channel)


@operation("ListChannels")
def test_channels_are_listed_by_privacy(world: World) -> None:
    public, private = (world.ann.makes_channel(Privacy=privacy, Metadata="m") for privacy in ("PUBLIC", "PRIVATE"))

    def listed(privacy: str) -> list[Members]:
        request = {"AppInstanceArn": world.app, "Privacy": privacy, "ChimeBearer": world.admin.arn}
        return [item for page in pages(world.api, "ListChannels", "Channels", request) for item in page]

    assert summary(world.ann, public) in listed("PUBLIC")
    assert summary(world.ann, private) in listed("PRIVATE")
    assert {item["Privacy"] for item in listed("PUBLIC")} == {"PUBLIC"}
    assert {item["Privacy"] for item in listed("PRIVATE")} == {"PRIVATE"}


@operation("ListChannels")
@choice("without a privacy, public channels are listed")
def test_public_channels_are_listed_by_default(world: World) -> None:
    request = {"AppInstanceArn": world.app, "ChimeBearer": world.eve.arn, "MaxResults": 2}

    assert world.square
    assert {each["Privacy"] for each in world.api("ListChannels", request)["Channels"]} == {"PUBLIC"}


SEARCHES: list[tuple[str, Callable[[list[str]], list[tuple[str, list[str]]]], set[str]]] = [
    ("includes one", lambda who: [("INCLUDES", who[:1])], {"one", "two", "three"}),
    ("includes two", lambda who: [("INCLUDES", who[:2])], {"two", "three"}),
    ("equals two", lambda who: [("EQUALS", who[:2])], {"two"}),
    ("equals two the other way round", lambda who: [("EQUALS", who[1::-1])], {"two"}),
    ("includes one and one", lambda who: [("INCLUDES", who[:1]), ("INCLUDES", who[2:3])], {"three"}),
    ("includes one and equals two", lambda who: [("INCLUDES", who[:1]), ("EQUALS", who[:2])], {"two"}),
    ("equals two different ones", lambda who: [("EQUALS", who[:1]), ("EQUALS", who[:2])], set()),
]


@pytest.fixture(scope="module")
def searched(world: World) -> tuple[dict[str, str], list[User]]:
    """Channels of one, two and three members, and these."""
    first, second, third = (world.user() for _ in range(3))
    channels = {
        "one": first.makes_channel(),
        "two": first.makes_channel(second),
        "three": first.makes_channel(second, third),
    }
    return channels, [first, second, third]


@operation("SearchChannels")
@pytest.mark.parametrize(("fields", "expected"), [
    pytest.param(fields, expected, id=name, marks=[choice("several fields all have to hold")] if "and" in name else [])
    for name, fields, expected in SEARCHES
])  # fmt: skip
def test_channels_are_found_by_their_members(world: World, searched: Any, fields: Any, expected: set[str]) -> None:
    channels, people = searched
    arns = [user.arn for user in people]
    wanted = [{"Key": "MEMBERS", "Operator": operator, "Values": values} for operator, values in fields(arns)]

    for user in (people[0], world.admin):
        found = user.search_channels(Fields=wanted)["Channels"]
        assert {each["ChannelArn"] for each in found} == {channels[name] for name in expected}
    assert [summary(people[0], each["ChannelArn"]) for each in found] == found


@operation("SearchChannels")
def test_only_own_channels_are_found(world: World, searched: Any) -> None:
    channels, (first, _, third) = searched
    wanted = [{"Key": "MEMBERS", "Operator": "INCLUDES", "Values": [first.arn]}]

    found = third.search_channels(Fields=wanted)["Channels"]

    assert [each["ChannelArn"] for each in found] == [channels["three"]]


@operation("PutChannelExpirationSettings")
def test_expiration_can_be_set_and_taken_back(world: World) -> None:
    channel = world.ann.makes_channel()

    answer = world.ann.put_channel_expiration_settings(ChannelArn=channel, ExpirationSettings=CHANNEL_EXPIRATION)
    assert answer == {"ChannelArn": channel, "ExpirationSettings": CHANNEL_EXPIRATION}
    assert described(world.ann, channel)["ExpirationSettings"] == CHANNEL_EXPIRATION

    assert world.ann.put_channel_expiration_settings(ChannelArn=channel) == {"ChannelArn": channel}
    assert "ExpirationSettings" not in described(world.ann, channel)


@operation("UpdateChannelReadMarker", "DescribeChannelMembershipForAppInstanceUser")
def test_a_read_marker_is_the_time_of_reading(world: World) -> None:
    channel = world.ann.makes_channel(world.bob)
    world.ann.sends(channel)

    def of_bob() -> Members:
        answer = world.bob.describe_channel_membership_for_app_instance_user(
            ChannelArn=channel, AppInstanceUserArn=world.bob.arn
        )
        found: Members = answer["ChannelMembership"]
        return found

    before = of_bob()
    assert world.bob.update_channel_read_marker(ChannelArn=channel) == {"ChannelArn": channel}
    after = of_bob()

    assert before == {
        "ChannelSummary": summary(world.bob, channel),
        "AppInstanceUserMembershipSummary": {"Type": "DEFAULT"},
    }
    marked = after["AppInstanceUserMembershipSummary"]["ReadMarkerTimestamp"]
    assert marked >= after["ChannelSummary"]["LastMessageTimestamp"]


@operation("ListChannelMembershipsForAppInstanceUser")
def test_the_memberships_of_a_user_are_listed(world: World) -> None:
    user = world.user()
    first, second = (world.ann.makes_channel(user) for _ in range(2))
    world.ann.makes_channel()

    for bearer, more in (
        (user, {}),
        (user, {"AppInstanceUserArn": user.arn}),
        (world.admin, {"AppInstanceUserArn": user.arn}),
    ):
        found = bearer.list_channel_memberships_for_app_instance_user(**more)["ChannelMemberships"]
        assert {each["ChannelSummary"]["ChannelArn"] for each in found} == {first, second}
    assert found[0] == {
        "ChannelSummary": summary(user, found[0]["ChannelSummary"]["ChannelArn"]),
        "AppInstanceUserMembershipSummary": {"Type": "DEFAULT"},
    }


@operation("ListChannelMembershipsForAppInstanceUser", "DescribeChannelMembershipForAppInstanceUser")
def test_a_membership_of_an_elastic_channel_names_its_sub_channel(world: World) -> None:
    channel = world.elastic
    request = {"ChannelArn": channel, "AppInstanceUserArn": world.bob.arn}

    described = world.bob.describe_channel_membership_for_app_instance_user(**request)["ChannelMembership"]
    listed = [
        item
        for page in pages(
            world.api,
            "ListChannelMembershipsForAppInstanceUser",
            "ChannelMemberships",
            {"ChimeBearer": world.bob.arn},
        )
        for item in page
        if item["ChannelSummary"]["ChannelArn"] == channel
    ]

    assert described["AppInstanceUserMembershipSummary"] == {"Type": "DEFAULT", "SubChannelId": world.sub_channel}
    assert listed == [described]


@operation("DescribeChannelModeratedByAppInstanceUser", "ListChannelsModeratedByAppInstanceUser")
def test_the_channels_that_a_user_moderates(world: World) -> None:
    user = world.user()
    channel = world.ann.makes_channel(ModeratorArns=[user.arn])
    expected = {"ChannelSummary": summary(world.ann, channel)}

    one = user.describe_channel_moderated_by_app_instance_user(ChannelArn=channel, AppInstanceUserArn=user.arn)

    assert one == {"Channel": expected}
    assert user.list_channels_moderated_by_app_instance_user() == {"Channels": [expected]}
    by_admin = world.admin.list_channels_moderated_by_app_instance_user(AppInstanceUserArn=user.arn)
    assert by_admin == {"Channels": [expected]}


@operation("ListSubChannels")
def test_sub_channels_are_listed_with_their_sizes(world: World) -> None:
    channel = world.elastic

    answer = world.ann.list_sub_channels(ChannelArn=channel)

    assert answer["ChannelArn"] == channel
    (sub,) = answer["SubChannels"]
    assert sub["SubChannelId"] == world.sub_channel
    assert sub["MembershipCount"] >= 1


@operation("CreateChannel", "ListSubChannels")
@choice("an elastic channel has no sub-channel before its first member")
def test_an_elastic_channel_begins_empty(world: World) -> None:
    channel = world.api("CreateChannel", GOOD["CreateChannel"][1](world))["ChannelArn"]

    answer = world.stranger.list_sub_channels(ChannelArn=channel)

    world.stranger.delete_channel(ChannelArn=channel)
    assert answer == {"ChannelArn": channel, "SubChannels": []}
