import pytest

from tests.harness import App, User, refused
from tests.operations.helpers import answered, bot, counted, during, heard_before, rest_of, rows, whole


def banned_in(channel: str, seen_by: User) -> list[str]:
    return [each["Member"]["Name"] for each in whole(seen_by.list_channel_bans, "ChannelBans", ChannelArn=channel)]


# Creating


def test_a_ban_is_made_described_and_listed(app: App) -> None:
    ann, bob, admin = app.user("ann"), app.user("bob"), app.admin("admin")
    channel = ann.makes_channel()

    with during(app.server) as just_now:
        made = admin.create_channel_ban(ChannelArn=channel, MemberArn=bob.arn)
        found = answered(200, ann.describe_channel_ban(ChannelArn=channel, MemberArn=bob.arn))

        just_now(found["ChannelBan"].pop("CreatedTimestamp"))
    who = {"Arn": bob.arn, "Name": "Bob"}
    assert answered(201, made) == {"ChannelArn": channel, "Member": who}
    assert found == {
        "ChannelBan": {"Member": who, "ChannelArn": channel, "CreatedBy": {"Arn": admin.arn, "Name": "Admin"}}
    }
    assert answered(200, ann.list_channel_bans(ChannelArn=channel)) == {
        "ChannelArn": channel,
        "ChannelBans": [{"Member": who}],
    }


def test_who_is_banned_is_removed_and_everybody_hears_of_that_alone(app: App) -> None:
    ann, bob, cid = app.users("ann", "bob", "cid")
    channel = ann.makes_channel(members=[bob, cid])
    heard = {user.arn: user.connects() for user in (ann, bob, cid)}

    ann.create_channel_ban(ChannelArn=channel, MemberArn=bob.arn)
    ann.delete_channel_ban(ChannelArn=channel, MemberArn=bob.arn)
    own = bob.makes_channel()

    event = heard[bob.arn].next()
    assert (event.type, event.message_type) == ("DELETE_CHANNEL_MEMBERSHIP", "SYSTEM")
    assert event.payload["Member"] == {"Arn": bob.arn, "Name": "Bob"}
    assert event.payload["InvitedBy"]["Name"] == "Ann"
    for user in (ann, cid):
        end = heard_before(heard[user.arn], lambda: ann.update_channel(ChannelArn=channel, Name="end"))
        assert end == ["DELETE_CHANNEL_MEMBERSHIP"]
    assert heard[bob.arn].next().payload["ChannelArn"] == own, "nothing more was heard"
    assert counted(app.server, channel, "memberships") == rows(app.server, "memberships", channel_arn=channel) == 2
    assert counted(app.server, bob.arn, "memberships of a user") == 1


def test_somebody_who_is_no_member_can_be_banned_and_nobody_hears(app: App) -> None:
    ann, bob = app.users("ann", "bob")
    channel = ann.makes_channel(Privacy="PUBLIC")
    of_ann, of_bob = ann.connects(), bob.connects()

    ann.create_channel_ban(ChannelArn=channel, MemberArn=bob.arn)
    own = bob.makes_channel()

    assert heard_before(of_ann, lambda: ann.update_channel(ChannelArn=channel, Name="end")) == []
    assert of_bob.next().payload["ChannelArn"] == own


def test_the_ban_of_a_hidden_member_is_seen_by_moderators_alone(app: App) -> None:
    ann, bob, ghost = app.users("ann", "bob", "ghost")
    channel = ann.makes_channel(members=[bob])
    ann.create_channel_membership(ChannelArn=channel, MemberArn=ghost.arn, Type="HIDDEN")
    heard = {user.arn: user.connects() for user in (ann, bob, ghost)}

    ann.create_channel_ban(ChannelArn=channel, MemberArn=ghost.arn)
    ann.update_channel(ChannelArn=channel, Name="end")

    assert heard[ghost.arn].next().type == heard[ann.arn].next().type == "DELETE_CHANNEL_MEMBERSHIP"
    assert heard[bob.arn].next().type == "UPDATE_CHANNEL"


def test_who_is_banned_reads_nothing_of_a_public_channel_and_cannot_come_back(app: App) -> None:
    ann, bob = app.users("ann", "bob")
    channel = ann.makes_channel(members=[bob], Privacy="PUBLIC", Mode="UNRESTRICTED")
    message = bob.sends(channel, "hello")
    ann.create_channel_ban(ChannelArn=channel, MemberArn=bob.arn)

    for call in (
        lambda: bob.describe_channel(ChannelArn=channel),
        lambda: bob.reads(channel),
        lambda: bob.get_channel_message(ChannelArn=channel, MessageId=message),
        lambda: bob.list_channel_memberships(ChannelArn=channel),
        lambda: bob.get_channel_membership_preferences(ChannelArn=channel, MemberArn=bob.arn),
        lambda: bob.sends(channel, "again"),
        lambda: bob.create_channel_membership(ChannelArn=channel, MemberArn=bob.arn, Type="DEFAULT"),
        lambda: ann.create_channel_membership(ChannelArn=channel, MemberArn=bob.arn, Type="DEFAULT"),
    ):
        with refused("Forbidden"):
            call()
    answer = ann.batch_create_channel_membership(ChannelArn=channel, MemberArns=[bob.arn])
    assert [each["ErrorCode"] for each in answer["Errors"]] == ["Forbidden"]


def test_a_ban_is_made_once(app: App) -> None:
    ann, bob, admin = app.user("ann"), app.user("bob"), app.admin("admin")
    channel = ann.makes_channel()
    ann.create_channel_ban(ChannelArn=channel, MemberArn=bob.arn)

    with refused("Conflict"):
        admin.create_channel_ban(ChannelArn=channel, MemberArn=bob.arn)

    found = ann.describe_channel_ban(ChannelArn=channel, MemberArn=bob.arn)["ChannelBan"]
    assert found["CreatedBy"]["Name"] == "Ann"


def test_admins_and_moderators_cannot_be_banned(app: App) -> None:
    ann, bob, admin = app.user("ann"), app.user("bob"), app.admin("admin")
    channel = ann.makes_channel(members=[bob, admin], ModeratorArns=[bob.arn])

    for by in (ann, admin):
        for whom in (ann, bob, admin):
            with refused("Forbidden"):
                by.create_channel_ban(ChannelArn=channel, MemberArn=whom.arn)

    assert banned_in(channel, ann) == []
    assert counted(app.server, channel, "memberships") == 3
    ann.delete_channel_moderator(ChannelArn=channel, ChannelModeratorArn=bob.arn)
    ann.create_channel_ban(ChannelArn=channel, MemberArn=bob.arn)
    assert banned_in(channel, ann) == ["Bob"]


def test_only_live_users_and_bots_of_the_app_instance_are_banned(app: App) -> None:
    ann, gone, stranger = app.user("ann"), app.user("gone"), App(app.server).user("stranger")
    helper = bot(app, "helper")
    app.identity.delete_app_instance_user(AppInstanceUserArn=gone.arn)
    channel = ann.makes_channel(members=[helper])

    for arn in (f"{app.arn}/user/nobody", gone.arn, stranger.arn, channel, app.arn, "nonsense"):
        with refused("BadRequest"):
            ann.create_channel_ban(ChannelArn=channel, MemberArn=arn)
    ann.create_channel_ban(ChannelArn=channel, MemberArn=helper.arn)

    assert banned_in(channel, ann) == ["Helper"]
    with refused("Forbidden"):
        helper.sends(channel, "hello")


# Lifting


def test_a_lifted_ban_does_not_bring_the_membership_back(app: App) -> None:
    ann, bob = app.users("ann", "bob")
    channel = ann.makes_channel(members=[bob])
    ann.create_channel_ban(ChannelArn=channel, MemberArn=bob.arn)

    answered(204, ann.delete_channel_ban(ChannelArn=channel, MemberArn=bob.arn))

    with refused("Forbidden"):
        bob.reads(channel)
    with refused("NotFound"):
        ann.describe_channel_ban(ChannelArn=channel, MemberArn=bob.arn)
    ann.create_channel_membership(ChannelArn=channel, MemberArn=bob.arn, Type="DEFAULT")
    bob.sends(channel, "back")


def test_lifting_a_ban_that_is_not_there_changes_nothing(app: App) -> None:
    ann, bob = app.users("ann", "bob")
    channel = ann.makes_channel(members=[bob])

    for arn in (bob.arn, f"{app.arn}/user/nobody"):
        answered(204, ann.delete_channel_ban(ChannelArn=channel, MemberArn=arn))
        with refused("NotFound"):
            ann.describe_channel_ban(ChannelArn=channel, MemberArn=arn)
    bob.sends(channel, "still here")


def test_bans_go_with_the_user_and_with_the_channel(app: App) -> None:
    ann, bob, cid = app.users("ann", "bob", "cid")
    one, other = ann.makes_channel(ChannelId="one"), ann.makes_channel()
    for channel in (one, other):
        for user in (bob, cid):
            ann.create_channel_ban(ChannelArn=channel, MemberArn=user.arn)

    app.identity.delete_app_instance_user(AppInstanceUserArn=bob.arn)
    ann.delete_channel(ChannelArn=one)
    app.server.settle()
    app.user("bob")
    ann.makes_channel(ChannelId="one")

    assert banned_in(other, ann) == ["Cid"]
    assert banned_in(one, ann) == []


# Listing


@pytest.mark.parametrize("size", [1, 2])
def test_bans_are_listed_in_the_order_of_making_while_they_come_and_go(app: App, size: int) -> None:
    ann, *others, late = app.users("ann", "user1", "user2", "user3", "user4", "late")
    channel = ann.makes_channel()
    for user in others:
        ann.create_channel_ban(ChannelArn=channel, MemberArn=user.arn)

    first = ann.list_channel_bans(ChannelArn=channel, MaxResults=size)
    ann.delete_channel_ban(ChannelArn=channel, MemberArn=others[0].arn)
    ann.delete_channel_ban(ChannelArn=channel, MemberArn=others[2].arn)
    ann.create_channel_ban(ChannelArn=channel, MemberArn=late.arn)
    rest = rest_of(ann.list_channel_bans, "ChannelBans", first, ChannelArn=channel, MaxResults=size)

    found = [each["Member"]["Name"] for each in [*first["ChannelBans"], *rest]]
    assert found == ["User1", "User2", "User4", "Late"]
