from tests.harness import App, User, refused
from tests.operations.helpers import answered, bot, counted, during, heard_before, rest_of, room_for, rows, whole


def moderators_of(channel: str, seen_by: User) -> list[str]:
    return [
        each["Moderator"]["Name"]
        for each in whole(seen_by.list_channel_moderators, "ChannelModerators", ChannelArn=channel)
    ]


# Creating and describing


def test_a_moderator_is_made_described_and_listed(app: App) -> None:
    ann, bob = app.users("ann", "bob")
    channel = ann.makes_channel()

    with during(app.server) as just_now:
        made = ann.create_channel_moderator(ChannelArn=channel, ChannelModeratorArn=bob.arn)
        found = answered(200, bob.describe_channel_moderator(ChannelArn=channel, ChannelModeratorArn=bob.arn))

        just_now(found["ChannelModerator"].pop("CreatedTimestamp"))
    who = {"Arn": bob.arn, "Name": "Bob"}
    assert answered(201, made) == {"ChannelArn": channel, "ChannelModerator": who}
    assert found == {
        "ChannelModerator": {
            "Moderator": who, "ChannelArn": channel, "CreatedBy": {"Arn": ann.arn, "Name": "Ann"},
        }
    }  # fmt: skip
    assert answered(200, bob.list_channel_moderators(ChannelArn=channel)) == {
        "ChannelArn": channel,
        "ChannelModerators": [{"Moderator": {"Arn": ann.arn, "Name": "Ann"}}, {"Moderator": who}],
    }


def test_a_moderator_is_no_member_and_hears_nothing(app: App) -> None:
    ann, bob = app.users("ann", "bob")
    channel = ann.makes_channel()
    of_ann, of_bob = ann.connects(), bob.connects()

    ann.create_channel_moderator(ChannelArn=channel, ChannelModeratorArn=bob.arn)
    ann.sends(channel, "hello")
    ann.delete_channel_moderator(ChannelArn=channel, ChannelModeratorArn=bob.arn)
    own = bob.makes_channel()

    with refused("Forbidden"):
        bob.sends(channel, "hello")
    assert of_bob.next().payload["ChannelArn"] == own
    assert heard_before(of_ann, lambda: ann.update_channel(ChannelArn=channel, Name="end")) == [
        "CREATE_CHANNEL_MESSAGE"
    ], "there is no event for moderators"


def test_a_moderator_must_be_a_member_to_make_others(app: App) -> None:
    ann, bob, cid, admin = app.user("ann"), app.user("bob"), app.user("cid"), app.admin("admin")
    channel = ann.makes_channel(ModeratorArns=[bob.arn])

    with refused("Forbidden"):
        bob.create_channel_moderator(ChannelArn=channel, ChannelModeratorArn=cid.arn)
    bob.create_channel_membership(ChannelArn=channel, MemberArn=bob.arn, Type="DEFAULT")
    bob.create_channel_moderator(ChannelArn=channel, ChannelModeratorArn=cid.arn)
    admin.create_channel_moderator(ChannelArn=channel, ChannelModeratorArn=admin.arn)

    assert moderators_of(channel, cid) == ["Ann", "Bob", "Cid", "Admin"]


def test_a_moderator_is_made_once(app: App) -> None:
    ann, bob = app.users("ann", "bob")
    channel = ann.makes_channel(ModeratorArns=[bob.arn, ann.arn, bob.arn])

    for user in (ann, bob):
        with refused("Conflict"):
            ann.create_channel_moderator(ChannelArn=channel, ChannelModeratorArn=user.arn)

    assert moderators_of(channel, ann) == ["Ann", "Bob"]
    assert counted(app.server, channel, "moderators") == 2


def test_only_live_users_and_bots_of_the_app_instance_become_moderators(app: App) -> None:
    ann, gone, stranger = app.user("ann"), app.user("gone"), App(app.server).user("stranger")
    app.identity.delete_app_instance_user(AppInstanceUserArn=gone.arn)
    channel = ann.makes_channel()

    for arn in (f"{app.arn}/user/nobody", gone.arn, stranger.arn, channel, app.arn, "nonsense"):
        with refused("BadRequest"):
            ann.create_channel_moderator(ChannelArn=channel, ChannelModeratorArn=arn)

    assert moderators_of(channel, ann) == ["Ann"]


def test_who_is_banned_cannot_become_a_moderator(app: App) -> None:
    ann, bob = app.users("ann", "bob")
    channel = ann.makes_channel()
    ann.create_channel_ban(ChannelArn=channel, MemberArn=bob.arn)

    with refused("Forbidden"):
        ann.create_channel_moderator(ChannelArn=channel, ChannelModeratorArn=bob.arn)


def test_a_bot_moderates(app: App) -> None:
    ann, bob, helper = app.user("ann"), app.user("bob"), bot(app, "helper")
    channel = ann.makes_channel(members=[bob, helper])

    ann.create_channel_moderator(ChannelArn=channel, ChannelModeratorArn=helper.arn)
    helper.create_channel_ban(ChannelArn=channel, MemberArn=bob.arn)

    assert moderators_of(channel, helper) == ["Ann", "Helper"]
    with refused("Forbidden"):
        bob.reads(channel)


def test_the_quota_of_moderators_is_kept_and_given_back(app: App) -> None:
    ann, bob, cid, dan = app.users("ann", "bob", "cid", "dan")
    channel = ann.makes_channel()
    room_for(app.server, channel, "moderators", 1)

    def appoint(user: User) -> None:
        ann.create_channel_moderator(ChannelArn=channel, ChannelModeratorArn=user.arn)

    appoint(bob)
    with refused("ResourceLimitExceeded"):
        appoint(cid)
    with refused("Conflict"):
        appoint(bob)
    ann.delete_channel_moderator(ChannelArn=channel, ChannelModeratorArn=bob.arn)
    ann.delete_channel_moderator(ChannelArn=channel, ChannelModeratorArn=bob.arn)
    appoint(cid)
    with refused("ResourceLimitExceeded"):
        appoint(dan)
    app.identity.delete_app_instance_user(AppInstanceUserArn=cid.arn)
    app.server.settle()
    appoint(dan)

    assert moderators_of(channel, ann) == ["Ann", "Dan"]


def test_somebody_who_is_no_moderator_is_not_found(app: App) -> None:
    ann, bob = app.users("ann", "bob")
    channel = ann.makes_channel(members=[bob])

    for arn in (bob.arn, f"{app.arn}/user/nobody"):
        with refused("NotFound"):
            ann.describe_channel_moderator(ChannelArn=channel, ChannelModeratorArn=arn)
    with refused("Forbidden"):
        bob.describe_channel_moderator(ChannelArn=channel, ChannelModeratorArn=ann.arn)


# Deleting


def test_moderators_take_the_role_from_others_and_themselves_to_the_last_one(app: App) -> None:
    ann, bob, admin = app.user("ann"), app.user("bob"), app.admin("admin")
    channel = ann.makes_channel(members=[bob], ModeratorArns=[bob.arn])

    answered(204, bob.delete_channel_moderator(ChannelArn=channel, ChannelModeratorArn=ann.arn))
    answered(204, bob.delete_channel_moderator(ChannelArn=channel, ChannelModeratorArn=bob.arn))

    for user in (ann, bob):
        with refused("Forbidden"):
            user.list_channel_moderators(ChannelArn=channel)
        assert len(user.list_channel_memberships(ChannelArn=channel)["ChannelMemberships"]) == 2
    assert moderators_of(channel, admin) == []
    admin.create_channel_moderator(ChannelArn=channel, ChannelModeratorArn=ann.arn)
    assert moderators_of(channel, ann) == ["Ann"]


def test_taking_the_role_from_somebody_who_has_none_changes_nothing(app: App) -> None:
    ann, bob = app.users("ann", "bob")
    channel = ann.makes_channel(members=[bob])

    for arn in (bob.arn, f"{app.arn}/user/nobody", "arn:x:::no:t"):
        answered(204, ann.delete_channel_moderator(ChannelArn=channel, ChannelModeratorArn=arn))

    assert counted(app.server, channel, "moderators") == rows(app.server, "moderators", channel_arn=channel) == 1


# Listing


def test_moderators_are_listed_in_the_order_of_becoming_it_while_they_come_and_go(app: App) -> None:
    ann, *others, late = app.users("ann", "user1", "user2", "user3", "user4", "late")
    channel = ann.makes_channel()
    for user in others:
        ann.create_channel_moderator(ChannelArn=channel, ChannelModeratorArn=user.arn)
    listing = ann.list_channel_moderators

    first = listing(ChannelArn=channel, MaxResults=2)
    for user in (others[0], others[2]):
        ann.delete_channel_moderator(ChannelArn=channel, ChannelModeratorArn=user.arn)
    ann.create_channel_moderator(ChannelArn=channel, ChannelModeratorArn=late.arn)
    rest = rest_of(listing, "ChannelModerators", first, ChannelArn=channel, MaxResults=1)

    found = [each["Moderator"]["Name"] for each in [*first["ChannelModerators"], *rest]]
    assert found == ["Ann", "User1", "User2", "User4", "Late"]


# The channels of a moderator


def test_the_channels_of_a_moderator_are_listed_and_described(app: App) -> None:
    ann, bob, admin = app.user("ann"), app.user("bob"), app.admin("admin")
    channel = ann.makes_channel(ModeratorArns=[bob.arn], Metadata="m", Privacy="PUBLIC")
    expected = {
        "ChannelSummary": {
            "Name": "Lobby", "ChannelArn": channel, "Mode": "RESTRICTED", "Privacy": "PUBLIC", "Metadata": "m",
        }
    }  # fmt: skip

    for user in (bob, admin):
        found = user.describe_channel_moderated_by_app_instance_user(ChannelArn=channel, AppInstanceUserArn=bob.arn)
        listed = user.list_channels_moderated_by_app_instance_user(AppInstanceUserArn=bob.arn)
        assert answered(200, found) == {"Channel": expected}
        assert answered(200, listed) == {"Channels": [expected]}
    assert answered(200, bob.list_channels_moderated_by_app_instance_user()) == {"Channels": [expected]}
    assert answered(200, admin.list_channels_moderated_by_app_instance_user()) == {"Channels": []}


def test_the_channels_of_a_moderator_are_for_that_one_and_for_admins(app: App) -> None:
    ann, bob, admin = app.user("ann"), app.user("bob"), app.admin("admin")
    stranger = App(app.server).user("stranger")
    channel = ann.makes_channel(members=[bob], Privacy="PUBLIC")

    for user, whose in ((bob, ann), (admin, stranger), (stranger, ann)):
        with refused("Forbidden"):
            user.list_channels_moderated_by_app_instance_user(AppInstanceUserArn=whose.arn)
        with refused("Forbidden"):
            user.describe_channel_moderated_by_app_instance_user(ChannelArn=channel, AppInstanceUserArn=whose.arn)
    with refused("Forbidden"):
        bob.describe_channel_moderated_by_app_instance_user(ChannelArn=channel, AppInstanceUserArn=bob.arn)


def test_the_channels_of_a_moderator_are_listed_to_the_end_while_they_come_and_go(app: App) -> None:
    ann = app.user("ann")
    made = [ann.makes_channel(ChannelId=f"room{n}") for n in range(5)]
    listing = ann.list_channels_moderated_by_app_instance_user

    first = listing(MaxResults=2)
    ann.delete_channel(ChannelArn=made[1])
    ann.delete_channel_moderator(ChannelArn=made[3], ChannelModeratorArn=ann.arn)
    made.append(ann.makes_channel(ChannelId="room5"))
    rest = rest_of(listing, "Channels", first, MaxResults=1)

    found = [each["ChannelSummary"]["ChannelArn"] for each in [*first["Channels"], *rest]]
    assert found == [made[0], made[1], made[2], made[4], made[5]]


def test_a_token_of_another_users_list_is_refused(app: App) -> None:
    ann, admin = app.user("ann"), app.admin("admin")
    for _ in range(2):
        ann.makes_channel()
    token = admin.list_channels_moderated_by_app_instance_user(AppInstanceUserArn=ann.arn, MaxResults=1)["NextToken"]

    with refused("BadRequest"):
        admin.list_channels_moderated_by_app_instance_user(AppInstanceUserArn=admin.arn, NextToken=token)
