"""Memberships of both types, in plain and elastic channels; moderators, bans, preferences."""

import pytest

from tests.conformance.marks import choice, operation
from tests.conformance.world import Members, World, refused


def without_times(shape: Members) -> Members:
    return {name: value for name, value in shape.items() if not name.endswith("Timestamp")}


@operation("CreateChannelMembership", "DescribeChannelMembership")
@pytest.mark.parametrize("type", ["DEFAULT", "HIDDEN"])
def test_a_member_is_described_as_added(world: World, type: str) -> None:
    user = world.user()
    member = {"ChannelArn": world.room, "MemberArn": user.arn}

    answer = world.mod.create_channel_membership(**member, Type=type)

    found = world.ann.describe_channel_membership(**member)["ChannelMembership"]
    assert answer == {"ChannelArn": world.room, "Member": user.identity}
    assert found["CreatedTimestamp"] == found["LastUpdatedTimestamp"]
    assert without_times(found) == {
        "InvitedBy": world.mod.identity,
        "Type": type,
        "Member": user.identity,
        "ChannelArn": world.room,
    }


@operation("CreateChannelMembership")
@choice("anybody may join a PUBLIC channel, and members of an UNRESTRICTED one may add others")
def test_who_may_join_and_add(world: World) -> None:
    square = world.ann.makes_channel(world.bob, Privacy="PUBLIC", Mode="UNRESTRICTED")
    joining, added = world.user(), world.user()

    joining.create_channel_membership(ChannelArn=square, MemberArn=joining.arn, Type="DEFAULT")
    world.bob.create_channel_membership(ChannelArn=square, MemberArn=added.arn, Type="DEFAULT")

    members = world.bob.list_channel_memberships(ChannelArn=square)["ChannelMemberships"]
    assert {each["Member"]["Arn"] for each in members} == {user.arn for user in (world.ann, world.bob, joining, added)}


@operation("CreateChannelMembership")
def test_a_bot_can_be_a_member(world: World) -> None:
    channel = world.ann.makes_channel()

    answer = world.ann.create_channel_membership(ChannelArn=channel, MemberArn=world.bot.arn, Type="DEFAULT")

    assert answer["Member"] == world.bot.identity


@operation("BatchCreateChannelMembership")
@choice("who can't be added is told with a reason, and the others are added; Type is DEFAULT unless said")
def test_many_are_added_at_once(world: World) -> None:
    one, two, banned = (world.user() for _ in range(3))
    channel = world.ann.makes_channel(world.bob)
    world.ann.create_channel_ban(ChannelArn=channel, MemberArn=banned.arn)
    arns = [one.arn, world.bob.arn, world.nobody, banned.arn, two.arn, one.arn]

    answer = world.ann.batch_create_channel_membership(ChannelArn=channel, MemberArns=arns)

    assert answer["BatchChannelMemberships"] == {
        "InvitedBy": world.ann.identity,
        "Type": "DEFAULT",
        "Members": [one.identity, two.identity],
        "ChannelArn": channel,
    }
    assert [(error["MemberArn"], error["ErrorCode"]) for error in answer["Errors"]] == [
        (world.bob.arn, "Conflict"),
        (world.nobody, "BadRequest"),
        (banned.arn, "Forbidden"),
    ]
    assert all(error["ErrorMessage"] for error in answer["Errors"])


@operation("BatchCreateChannelMembership")
def test_a_hundred_are_added_at_once(world: World) -> None:
    users = world.crowd[:10]
    channel = world.ann.makes_channel()

    world.ann.batch_create_channel_membership(
        ChannelArn=channel, MemberArns=[user.arn for user in users], Type="HIDDEN"
    )

    hidden = world.ann.list_channel_memberships(ChannelArn=channel, Type="HIDDEN")["ChannelMemberships"]
    assert {each["Member"]["Arn"] for each in hidden} == {user.arn for user in users}


@operation("ListChannelMemberships", "DescribeChannelMembership")
@choice("HIDDEN members are found by admins, moderators and themselves, and listed for the first two")
def test_hidden_members_are_hidden(world: World) -> None:
    hidden = world.user()
    channel = world.ann.makes_channel(world.bob, ModeratorArns=[world.mod.arn])
    member = {"ChannelArn": channel, "MemberArn": hidden.arn}
    world.ann.create_channel_membership(**member, Type="HIDDEN")

    for user in (world.bob, world.ann, hidden, world.admin):
        shown = user.list_channel_memberships(ChannelArn=channel)["ChannelMemberships"]
        assert hidden.arn not in [each["Member"]["Arn"] for each in shown]
    for user in (world.mod, world.admin):
        shown = user.list_channel_memberships(ChannelArn=channel, Type="HIDDEN")["ChannelMemberships"]
        assert shown == [{"Member": hidden.identity}]
    for user in (world.mod, world.admin, hidden):
        assert user.describe_channel_membership(**member)["ChannelMembership"]["Type"] == "HIDDEN"
    with refused("NotFound"):
        world.bob.describe_channel_membership(**member)
    with refused("Forbidden"):
        world.bob.list_channel_memberships(ChannelArn=channel, Type="HIDDEN")


@operation("DeleteChannelMembership")
def test_a_membership_can_be_ended_by_either_side(world: World) -> None:
    leaving, removed = world.user(), world.user()
    channel = world.ann.makes_channel(leaving, removed)

    assert leaving.delete_channel_membership(ChannelArn=channel, MemberArn=leaving.arn) == {}
    assert world.ann.delete_channel_membership(ChannelArn=channel, MemberArn=removed.arn) == {}

    for user in (leaving, removed):
        with refused("NotFound"):
            world.ann.describe_channel_membership(ChannelArn=channel, MemberArn=user.arn)
        with refused("Forbidden"):
            user.list_channel_messages(ChannelArn=channel)


@operation("CreateChannelModerator", "DescribeChannelModerator", "ListChannelModerators", "DeleteChannelModerator")
def test_a_moderator_is_made_and_unmade(world: World) -> None:
    channel = world.ann.makes_channel(world.bob)
    of_bob = {"ChannelArn": channel, "ChannelModeratorArn": world.bob.arn}

    answer = world.ann.create_channel_moderator(**of_bob)

    found = world.bob.describe_channel_moderator(**of_bob)["ChannelModerator"]
    assert answer == {"ChannelArn": channel, "ChannelModerator": world.bob.identity}
    assert without_times(found) == {
        "Moderator": world.bob.identity,
        "ChannelArn": channel,
        "CreatedBy": world.ann.identity,
    }
    assert world.bob.list_channel_moderators(ChannelArn=channel) == {
        "ChannelArn": channel,
        "ChannelModerators": [{"Moderator": world.ann.identity}, {"Moderator": world.bob.identity}],
    }
    assert world.bob.delete_channel_moderator(**of_bob) == {}
    with refused("NotFound"):
        world.ann.describe_channel_moderator(**of_bob)
    with refused("Forbidden"):
        world.bob.list_channel_moderators(ChannelArn=channel)


@operation("CreateChannelBan", "DescribeChannelBan", "ListChannelBans", "DeleteChannelBan")
def test_a_ban_keeps_somebody_out_until_it_is_lifted(world: World) -> None:
    channel = world.ann.makes_channel(world.bob)
    of_bob = {"ChannelArn": channel, "MemberArn": world.bob.arn}

    answer = world.ann.create_channel_ban(**of_bob)

    found = world.ann.describe_channel_ban(**of_bob)["ChannelBan"]
    assert answer == {"ChannelArn": channel, "Member": world.bob.identity}
    assert without_times(found) == {
        "Member": world.bob.identity,
        "ChannelArn": channel,
        "CreatedBy": world.ann.identity,
    }
    assert world.ann.list_channel_bans(ChannelArn=channel) == {
        "ChannelArn": channel,
        "ChannelBans": [{"Member": world.bob.identity}],
    }
    with refused("NotFound"):
        world.ann.describe_channel_membership(**of_bob)
    with refused("Forbidden"):
        world.ann.create_channel_membership(**of_bob, Type="DEFAULT")

    assert world.ann.delete_channel_ban(**of_bob) == {}
    with refused("NotFound"):
        world.ann.describe_channel_ban(**of_bob)
    world.ann.create_channel_membership(**of_bob, Type="DEFAULT")


@operation("CreateChannelBan")
@choice("moderators and admins can't be banned")
def test_moderators_and_admins_cannot_be_banned(world: World) -> None:
    for user in (world.mod, world.admin, world.ann):
        with refused("Forbidden"):
            world.ann.create_channel_ban(ChannelArn=world.room, MemberArn=user.arn)


@operation("PutChannelMembershipPreferences", "GetChannelMembershipPreferences")
def test_preferences_are_kept(world: World) -> None:
    channel = world.ann.makes_channel(world.bob)
    of_bob = {"ChannelArn": channel, "MemberArn": world.bob.arn}
    rule = '{"type": [{"anything-but": ["Low"]}]}'
    preferences = {"PushNotifications": {"AllowNotifications": "FILTERED", "FilterRule": rule}}
    expected = {"ChannelArn": channel, "Member": world.bob.identity, "Preferences": preferences}

    assert world.bob.put_channel_membership_preferences(**of_bob, Preferences=preferences) == expected
    assert world.bob.get_channel_membership_preferences(**of_bob) == expected


@operation("PutChannelMembershipPreferences", "GetChannelMembershipPreferences")
@choice("preferences that were never set, or were set to nothing, are empty")
def test_preferences_can_be_empty(world: World) -> None:
    channel = world.ann.makes_channel(world.bob)
    of_bob = {"ChannelArn": channel, "MemberArn": world.bob.arn}
    some = {"PushNotifications": {"AllowNotifications": "NONE"}}

    assert world.bob.get_channel_membership_preferences(**of_bob)["Preferences"] == {}
    world.bob.put_channel_membership_preferences(**of_bob, Preferences=some)
    assert world.bob.put_channel_membership_preferences(**of_bob, Preferences={})["Preferences"] == {}
    assert world.bob.get_channel_membership_preferences(**of_bob)["Preferences"] == {}


# Elastic channels


@operation("CreateChannelMembership", "DescribeChannelMembership", "ListChannelMemberships", "DeleteChannelMembership")
def test_a_member_of_an_elastic_channel_is_in_a_sub_channel(world: World) -> None:
    channel, user = world.elastic, world.user()
    member = {"ChannelArn": channel, "MemberArn": user.arn}

    answer = world.ann.create_channel_membership(**member, Type="DEFAULT")

    sub = {"SubChannelId": world.sub_channel}
    assert answer == {"ChannelArn": channel, "Member": user.identity, **sub}
    found = world.ann.describe_channel_membership(**member, **sub)["ChannelMembership"]
    assert without_times(found) == {
        "InvitedBy": world.ann.identity,
        "Type": "DEFAULT",
        "Member": user.identity,
        "ChannelArn": channel,
        **sub,
    }
    listed = world.ann.list_channel_memberships(ChannelArn=channel, **sub)["ChannelMemberships"]
    assert {"Member": user.identity} in listed
    assert world.ann.delete_channel_membership(**member) == {}
    listed = world.ann.list_channel_memberships(ChannelArn=channel, **sub)["ChannelMemberships"]
    assert {"Member": user.identity} not in listed


@operation("CreateChannelModerator", "CreateChannelMembership", "DeleteChannelMembership")
def test_a_moderator_of_an_elastic_channel_names_the_sub_channel(world: World) -> None:
    channel, user = world.elastic, world.user()
    world.ann.create_channel_moderator(ChannelArn=channel, ChannelModeratorArn=user.arn)
    member = {"ChannelArn": channel, "MemberArn": user.arn, "SubChannelId": world.sub_channel}

    assert world.ann.create_channel_membership(**member, Type="DEFAULT")["SubChannelId"] == world.sub_channel
    assert user.sends(channel, SubChannelId=world.sub_channel)
    assert world.ann.delete_channel_membership(**member) == {}
    with refused("Forbidden"):
        user.sends(channel, SubChannelId=world.sub_channel)


@operation("CreateChannelModerator")
def test_who_is_promoted_in_an_elastic_channel_leaves_their_sub_channel(world: World) -> None:
    channel, user = world.elastic, world.user()
    world.ann.create_channel_membership(ChannelArn=channel, MemberArn=user.arn, Type="DEFAULT")

    world.ann.create_channel_moderator(ChannelArn=channel, ChannelModeratorArn=user.arn)

    with refused("NotFound"):
        world.ann.describe_channel_membership(ChannelArn=channel, MemberArn=user.arn, SubChannelId=world.sub_channel)
