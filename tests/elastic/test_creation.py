from typing import Any

import pytest

from tests.elastic.hall import Hall, configured
from tests.harness import App, client, refused
from tests.operations.helpers import counted, rows


def test_the_creator_and_the_moderators_named_moderate_it_and_nobody_is_a_member(app: App) -> None:
    ann, bob = app.users("ann", "bob")

    channel = ann.makes_channel(
        ElasticChannelConfiguration=configured(100, 1_000, 1), ModeratorArns=[bob.arn], Privacy="PUBLIC"
    )

    made = ann.describe_channel(ChannelArn=channel)["Channel"]
    assert made["ElasticChannelConfiguration"] == configured(100, 1_000, 1)
    assert (made["Mode"], made["Privacy"]) == ("RESTRICTED", "PUBLIC")
    moderators = ann.list_channel_moderators(ChannelArn=channel)["ChannelModerators"]
    assert [each["Moderator"]["Name"] for each in moderators] == ["Ann", "Bob"]
    assert ann.list_channel_memberships_for_app_instance_user()["ChannelMemberships"] == []
    assert bob.list_sub_channels(ChannelArn=channel)["SubChannels"] == []


@pytest.mark.parametrize(
    ("configuration", "more", "error"),
    [
        (configured(2, 2), {"MemberArns": ["the creator"]}, "BadRequest"),
        (configured(2, 2), {"Mode": "UNRESTRICTED"}, "BadRequest"),
        (configured(1, 2), {}, "BadRequest"),
        (configured(2, 1), {}, "BadRequest"),
        (configured(2, 2, 0), {}, "BadRequest"),
        (configured(2, 2, 41), {}, "BadRequest"),
        ({"TargetMembershipsPerSubChannel": 2, "MinimumMembershipPercentage": 1}, {}, "BadRequest"),
        ({"MaximumSubChannels": 2, "MinimumMembershipPercentage": 1}, {}, "BadRequest"),
        ({"MaximumSubChannels": 2, "TargetMembershipsPerSubChannel": 2}, {}, "BadRequest"),
        (configured(101, 2), {}, "ResourceLimitExceeded"),
        (configured(2, 1_001), {}, "ResourceLimitExceeded"),
        (configured(1_001, 1_000), {}, "BadRequest"),  # more than a million, which is no quota
    ],
)
def test_a_configuration_that_cannot_be_is_refused_and_nothing_is_made(
    app: App, configuration: dict[str, int], more: dict[str, Any], error: str
) -> None:
    ann = app.user("ann")
    ann.messaging = client("chime-sdk-messaging", app.server.url, validates=False)
    if "MemberArns" in more:
        more = {"MemberArns": [ann.arn]}

    with refused(error):
        ann.makes_channel(ElasticChannelConfiguration=configuration, ChannelId="hall", **more)

    assert (counted(app.server, app.arn, "channels"), counted(app.server, app.arn, "elastic channels")) == (0, 0)
    assert ann.makes_channel(ElasticChannelConfiguration=configured(2, 2), ChannelId="hall")


def test_it_can_never_be_unrestricted(hall: Hall) -> None:
    with refused("BadRequest"):
        hall.mod.update_channel(ChannelArn=hall.channel, Mode="UNRESTRICTED")

    assert hall.mod.describe_channel(ChannelArn=hall.channel)["Channel"]["Mode"] == "RESTRICTED"


def test_an_app_instance_has_one_and_another_when_that_is_gone(hall: Hall) -> None:
    with refused("ResourceLimitExceeded"):
        hall.mod.makes_channel(ElasticChannelConfiguration=configured(2, 2))

    hall.mod.delete_channel(ChannelArn=hall.channel)

    assert hall.mod.makes_channel(ElasticChannelConfiguration=configured(2, 2))


def test_one_that_expires_makes_room_for_another(app: App) -> None:
    hall = Hall.of(app, ExpirationSettings={"ExpirationDays": 1, "ExpirationCriterion": "CREATED_TIMESTAMP"})

    hall.settles_after(hours=31)

    with refused("Forbidden"):
        hall.mod.describe_channel(ChannelArn=hall.channel)
    assert hall.mod.makes_channel(ElasticChannelConfiguration=configured(2, 2))


def test_of_one_that_is_deleted_with_its_members_nothing_is_left(hall: Hall) -> None:
    rooms = hall.two_rooms()
    rooms.in_first[0].sends(hall.channel, "hello", SubChannelId=rooms.first)

    hall.mod.delete_channel(ChannelArn=hall.channel)
    hall.server.settle()

    for table in ("sub_channels", "memberships", "moderators", "messages"):
        assert rows(hall.server, table, channel_arn=hall.channel) == 0, table
    assert counted(hall.server, rooms.in_first[0].arn, "memberships of a user") == 0


def test_an_app_instance_goes_with_its_elastic_channel(hall: Hall) -> None:
    hall.two_rooms()

    hall.app.identity.delete_app_instance(AppInstanceArn=hall.app.arn)
    hall.settles()

    for table in ("sub_channels", "memberships", "moderators"):
        assert rows(hall.server, table, channel_arn=hall.channel) == 0, table
    assert counted(hall.server, hall.app.arn, "elastic channels") == 0


def test_only_elastic_channels_have_sub_channels(app: App) -> None:
    ann, bob = app.users("ann", "bob")
    channel = ann.makes_channel(members=[bob])

    with refused("BadRequest"):
        ann.list_sub_channels(ChannelArn=channel)
    with refused("BadRequest"):
        ann.sends(channel, "hello", SubChannelId="any")
    with refused("Forbidden"):
        app.user("cid").reads(channel, SubChannelId="any")
