import pytest

from tests.harness import App, User, refused
from tests.operations.helpers import answered, bot, counted, during, pages, rest_of, room_for, rows, set_limit


def members_of(channel: str, seen_by: User, **more: str) -> list[str]:
    found = seen_by.list_channel_memberships(ChannelArn=channel, **more)["ChannelMemberships"]
    return [each["Member"]["Name"] for each in found]


# Creating


def test_a_member_is_added_and_described_and_listed(app: App) -> None:
    ann, bob = app.users("ann", "bob")
    channel = ann.makes_channel()

    with during(app.server) as just_now:
        created = ann.create_channel_membership(ChannelArn=channel, MemberArn=bob.arn, Type="DEFAULT")
        found = ann.describe_channel_membership(ChannelArn=channel, MemberArn=bob.arn)

        just_now(made := found["ChannelMembership"]["CreatedTimestamp"])
    who = {"Arn": bob.arn, "Name": "Bob"}
    assert answered(201, created) == {"ChannelArn": channel, "Member": who}
    assert answered(200, found)["ChannelMembership"] == {
        "InvitedBy": {"Arn": ann.arn, "Name": "Ann"},
        "Type": "DEFAULT",
        "Member": who,
        "ChannelArn": channel,
        "CreatedTimestamp": made,
        "LastUpdatedTimestamp": made,
    }
    assert answered(200, bob.list_channel_memberships(ChannelArn=channel)) == {
        "ChannelArn": channel,
        "ChannelMemberships": [{"Member": {"Arn": ann.arn, "Name": "Ann"}}, {"Member": who}],
    }


def test_all_members_and_the_new_one_hear_of_it(app: App) -> None:
    ann, bob, cid = app.users("ann", "bob", "cid")
    channel = ann.makes_channel(members=[bob])
    heard = [user.connects() for user in (ann, bob, cid)]

    ann.create_channel_membership(ChannelArn=channel, MemberArn=cid.arn, Type="DEFAULT")
    ann.sends(channel, "welcome")

    for session in heard:
        event = session.next()
        assert (event.type, event.message_type) == ("CREATE_CHANNEL_MEMBERSHIP", "SYSTEM")
        assert event.payload.pop("CreatedTimestamp") == event.payload.pop("LastUpdatedTimestamp")
        assert event.payload == {
            "InvitedBy": {"Arn": ann.arn, "Name": "Ann"},
            "Type": "DEFAULT",
            "Member": {"Arn": cid.arn, "Name": "Cid"},
            "ChannelArn": channel,
        }
        assert session.next().payload["Content"] == "welcome"


@pytest.mark.parametrize("type", ["DEFAULT", "HIDDEN"])
def test_a_member_is_added_once(app: App, type: str) -> None:
    ann, bob = app.users("ann", "bob")
    channel = ann.makes_channel(members=[bob])

    with refused("Conflict"):
        ann.create_channel_membership(ChannelArn=channel, MemberArn=bob.arn, Type=type)

    assert members_of(channel, ann) == ["Ann", "Bob"]
    assert counted(app.server, channel, "memberships") == 2


def test_only_live_users_and_bots_of_the_app_instance_become_members(app: App) -> None:
    ann, gone, stranger = app.user("ann"), app.user("gone"), App(app.server).user("stranger")
    app.identity.delete_app_instance_user(AppInstanceUserArn=gone.arn)
    channel = ann.makes_channel()

    for arn in (f"{app.arn}/user/nobody", gone.arn, stranger.arn, channel, app.arn, "nonsense"):
        with refused("BadRequest"):
            ann.create_channel_membership(ChannelArn=channel, MemberArn=arn, Type="DEFAULT")

    assert members_of(channel, ann) == ["Ann"]


def test_a_type_that_does_not_exist_is_a_bad_request(app: App) -> None:
    ann, bob = app.users("ann", "bob")
    channel = ann.makes_channel()

    with refused("BadRequest"):
        ann.create_channel_membership(ChannelArn=channel, MemberArn=bob.arn, Type="LOUD")


def test_a_banned_user_can_neither_join_nor_be_added(app: App) -> None:
    ann, bob = app.users("ann", "bob")
    channel = ann.makes_channel(Privacy="PUBLIC")
    ann.create_channel_ban(ChannelArn=channel, MemberArn=bob.arn)

    for user in (ann, bob):
        with refused("Forbidden"):
            user.create_channel_membership(ChannelArn=channel, MemberArn=bob.arn, Type="DEFAULT")


def test_anybody_joins_a_public_channel_by_themselves_only(app: App) -> None:
    ann, bob, cid = app.users("ann", "bob", "cid")
    public, private = ann.makes_channel(Privacy="PUBLIC"), ann.makes_channel(Privacy="PRIVATE")

    bob.create_channel_membership(ChannelArn=public, MemberArn=bob.arn, Type="DEFAULT")

    found = bob.describe_channel_membership(ChannelArn=public, MemberArn=bob.arn)["ChannelMembership"]
    assert found["InvitedBy"]["Name"] == "Bob"
    with refused("Forbidden"):
        cid.create_channel_membership(ChannelArn=public, MemberArn=cid.arn, Type="HIDDEN")
    with refused("Forbidden"):
        bob.create_channel_membership(ChannelArn=public, MemberArn=cid.arn, Type="DEFAULT")
    with refused("Forbidden"):
        bob.create_channel_membership(ChannelArn=private, MemberArn=bob.arn, Type="DEFAULT")


def test_members_of_an_unrestricted_channel_add_others_until_it_is_restricted(app: App) -> None:
    ann, bob, cid, dan, eve = app.users("ann", "bob", "cid", "dan", "eve")
    channel = ann.makes_channel(members=[bob], Mode="UNRESTRICTED")

    bob.create_channel_membership(ChannelArn=channel, MemberArn=cid.arn, Type="DEFAULT")
    bob.batch_create_channel_membership(ChannelArn=channel, MemberArns=[dan.arn])
    with refused("Forbidden"):
        bob.create_channel_membership(ChannelArn=channel, MemberArn=eve.arn, Type="HIDDEN")
    with refused("Forbidden"):
        bob.batch_create_channel_membership(ChannelArn=channel, MemberArns=[eve.arn], Type="HIDDEN")
    ann.update_channel(ChannelArn=channel, Mode="RESTRICTED")

    with refused("Forbidden"):
        bob.create_channel_membership(ChannelArn=channel, MemberArn=eve.arn, Type="DEFAULT")
    with refused("Forbidden"):
        bob.batch_create_channel_membership(ChannelArn=channel, MemberArns=[eve.arn])
    assert members_of(channel, ann) == ["Ann", "Bob", "Cid", "Dan"]


def test_the_quotas_of_memberships_are_kept_and_given_back(app: App) -> None:
    ann, bob, cid = app.users("ann", "bob", "cid")
    channel = ann.makes_channel(members=[bob])

    room_for(app.server, channel, "memberships", 0)
    with refused("ResourceLimitExceeded"):
        ann.create_channel_membership(ChannelArn=channel, MemberArn=cid.arn, Type="DEFAULT")
    bob.delete_channel_membership(ChannelArn=channel, MemberArn=bob.arn)
    ann.create_channel_membership(ChannelArn=channel, MemberArn=cid.arn, Type="DEFAULT")

    set_limit(app.server, app.arn, "memberships-per-channel", 10)
    set_limit(app.server, app.arn, "memberships-per-user", 1)
    with refused("ResourceLimitExceeded"):
        ann.makes_channel()
    with refused("ResourceLimitExceeded"):
        bob.makes_channel(members=[cid])
    ann.create_channel_membership(ChannelArn=channel, MemberArn=bob.arn, Type="DEFAULT")
    assert members_of(channel, ann) == ["Ann", "Cid", "Bob"]


def test_sub_channels_are_for_elastic_channels_only(app: App) -> None:
    ann, bob, admin = app.user("ann"), app.user("bob"), app.admin("admin")
    channel = ann.makes_channel(members=[bob])
    sent = ann.sends(channel, "hello")

    for user in (ann, bob, admin):
        one = {"ChannelArn": channel, "MemberArn": bob.arn, "SubChannelId": "s"}
        for call in (
            lambda user=user, one=one: user.describe_channel_membership(**one),
            lambda user=user, one=one: user.delete_channel_membership(**one),
            lambda user=user: user.list_channel_memberships(ChannelArn=channel, SubChannelId="s"),
            lambda user=user: user.list_channel_messages(ChannelArn=channel, SubChannelId="s"),
            lambda user=user: user.get_channel_message(ChannelArn=channel, MessageId=sent, SubChannelId="s"),
        ):
            with refused("BadRequest"):
                call()
    one = {"ChannelArn": channel, "MessageId": sent, "SubChannelId": "s"}
    for call in (
        lambda: ann.create_channel_membership(ChannelArn=channel, MemberArn=bob.arn, Type="DEFAULT", SubChannelId="s"),
        lambda: ann.batch_create_channel_membership(ChannelArn=channel, MemberArns=[bob.arn], SubChannelId="s"),
        lambda: ann.sends(channel, "hello", SubChannelId="s"),
        lambda: ann.update_channel_message(Content="new", **one),
        lambda: ann.redact_channel_message(**one),
        lambda: ann.get_channel_message_status(**one),
        lambda: admin.delete_channel_message(**one),
    ):
        with refused("BadRequest"):
            call()
    assert [each["Content"] for each in ann.reads(channel)] == ["hello"]


# Creating many


def test_a_batch_adds_whom_it_can_and_says_why_not_the_others(app: App) -> None:
    ann, bob, cid, dan, eve = app.users("ann", "bob", "cid", "dan", "eve")
    helper = bot(app, "helper")
    channel = ann.makes_channel(members=[bob])
    ann.create_channel_ban(ChannelArn=channel, MemberArn=cid.arn)
    heard = [user.connects() for user in (ann, dan)]
    nobody = f"{app.arn}/user/nobody"
    room_for(app.server, channel, "memberships", 2)

    answer = ann.batch_create_channel_membership(
        ChannelArn=channel,
        MemberArns=[bob.arn, nobody, dan.arn, cid.arn, dan.arn, "arn:x:::no:t", helper.arn, nobody, eve.arn],
    )

    joined = {
        "InvitedBy": {"Arn": ann.arn, "Name": "Ann"},
        "Type": "DEFAULT",
        "Members": [{"Arn": dan.arn, "Name": "Dan"}, {"Arn": helper.arn, "Name": "Helper"}],
        "ChannelArn": channel,
    }
    found = answered(200, answer)
    assert all(error.pop("ErrorMessage") for error in found["Errors"])
    assert found == {
        "BatchChannelMemberships": joined,
        "Errors": [
            {"MemberArn": bob.arn, "ErrorCode": "Conflict"},
            {"MemberArn": nobody, "ErrorCode": "BadRequest"},
            {"MemberArn": cid.arn, "ErrorCode": "Forbidden"},
            {"MemberArn": "arn:x:::no:t", "ErrorCode": "BadRequest"},
            {"MemberArn": eve.arn, "ErrorCode": "ResourceLimitExceeded"},
        ],
    }
    for session in heard:
        event = session.next()
        assert (event.type, event.message_type) == ("BATCH_CREATE_CHANNEL_MEMBERSHIP", "SYSTEM")
        assert event.payload == joined
    assert set(members_of(channel, ann)) == {"Ann", "Bob", "Dan", "Helper"}
    assert counted(app.server, channel, "memberships") == 4


def test_who_is_at_their_own_quota_is_left_out_of_a_batch(app: App) -> None:
    ann, bob, cid = app.users("ann", "bob", "cid")
    bob.makes_channel()
    channel = ann.makes_channel()
    set_limit(app.server, app.arn, "memberships-per-user", 1)

    answer = ann.batch_create_channel_membership(ChannelArn=channel, MemberArns=[bob.arn, cid.arn])

    assert [error["ErrorCode"] for error in answer["Errors"]] == ["ResourceLimitExceeded"]
    assert members_of(channel, ann) == ["Ann", "Cid"]
    assert counted(app.server, channel, "memberships") == 2
    assert counted(app.server, bob.arn, "memberships of a user") == 1


def test_a_batch_without_anybody_new_tells_nobody(app: App) -> None:
    ann, bob = app.users("ann", "bob")
    channel = ann.makes_channel(members=[bob])
    heard = bob.connects()

    answer = ann.batch_create_channel_membership(ChannelArn=channel, MemberArns=[ann.arn, bob.arn])
    ann.sends(channel, "end")

    assert answer["BatchChannelMemberships"]["Members"] == []
    assert [error["ErrorCode"] for error in answer["Errors"]] == ["Conflict", "Conflict"]
    assert heard.next().type == "CREATE_CHANNEL_MESSAGE"


def test_a_batch_has_up_to_a_hundred_members(app: App) -> None:
    ann = app.user("ann")
    channel = ann.makes_channel()
    arns = [user.arn for user in app.users(*(f"user{n}" for n in range(100)))]

    with refused("BadRequest"):
        ann.batch_create_channel_membership(ChannelArn=channel, MemberArns=[*arns, ann.arn])
    answer = ann.batch_create_channel_membership(ChannelArn=channel, MemberArns=arns)

    assert answer["Errors"] == []
    assert [each["Arn"] for each in answer["BatchChannelMemberships"]["Members"]] == arns
    found = pages(ann.list_channel_memberships, "ChannelMemberships", ChannelArn=channel)
    assert [len(page) for page in found] == [50, 50, 1]
    assert {each["Member"]["Arn"] for page in found for each in page} == {ann.arn, *arns}


# HIDDEN members


def test_hidden_members_read_and_hear_and_cannot_send(app: App) -> None:
    ann, bob, ghost = app.users("ann", "bob", "ghost")
    channel = ann.makes_channel(members=[bob])
    ann.create_channel_membership(ChannelArn=channel, MemberArn=ghost.arn, Type="HIDDEN")
    heard = ghost.connects()

    message = bob.sends(channel, "hello")

    assert heard.next().payload["Content"] == "hello"
    assert [each["Content"] for each in ghost.reads(channel)] == ["hello"]
    assert ghost.get_channel_message(ChannelArn=channel, MessageId=message)["ChannelMessage"]["Content"] == "hello"
    assert ghost.describe_channel(ChannelArn=channel)["Channel"]["Name"] == "Lobby"
    with refused("Forbidden"):
        ghost.sends(channel, "boo")


def test_hidden_members_are_seen_by_moderators_admins_and_themselves(app: App) -> None:
    ann, bob, ghost, admin = app.user("ann"), app.user("bob"), app.user("ghost"), app.admin("admin")
    channel = ann.makes_channel(members=[bob])
    ann.create_channel_membership(ChannelArn=channel, MemberArn=ghost.arn, Type="HIDDEN")

    for user in (ann, admin, ghost):
        found = user.describe_channel_membership(ChannelArn=channel, MemberArn=ghost.arn)["ChannelMembership"]
        assert found["Type"] == "HIDDEN"
    for user in (ann, admin):
        assert members_of(channel, user, Type="HIDDEN") == ["Ghost"]
    with refused("NotFound"):
        bob.describe_channel_membership(ChannelArn=channel, MemberArn=ghost.arn)
    for user in (bob, ghost):
        with refused("Forbidden"):
            members_of(channel, user, Type="HIDDEN")
    for user in (ann, bob, ghost, admin):
        assert members_of(channel, user) == members_of(channel, user, Type="DEFAULT") == ["Ann", "Bob"]
    (own,) = ghost.list_channel_memberships_for_app_instance_user()["ChannelMemberships"]
    assert own["AppInstanceUserMembershipSummary"] == {"Type": "HIDDEN"}


@pytest.mark.parametrize("many", [False, True])
def test_only_moderators_hear_hidden_members_come_and_go(app: App, many: bool) -> None:
    ann, bob, ghost = app.users("ann", "bob", "ghost")
    channel = ann.makes_channel(members=[bob])
    heard = {user.arn: user.connects() for user in (ann, bob, ghost)}

    if many:
        ann.batch_create_channel_membership(ChannelArn=channel, MemberArns=[ghost.arn], Type="HIDDEN")
    else:
        ann.create_channel_membership(ChannelArn=channel, MemberArn=ghost.arn, Type="HIDDEN")
    ann.delete_channel_membership(ChannelArn=channel, MemberArn=ghost.arn)
    ann.update_channel(ChannelArn=channel, Name="end")

    joined = "BATCH_CREATE_CHANNEL_MEMBERSHIP" if many else "CREATE_CHANNEL_MEMBERSHIP"
    assert [heard[ghost.arn].next().type for _ in range(2)] == [joined, "DELETE_CHANNEL_MEMBERSHIP"]
    assert [event.type for event in heard[ann.arn].until("UPDATE_CHANNEL")[:-1]] == [
        joined,
        "DELETE_CHANNEL_MEMBERSHIP",
    ]
    assert heard[bob.arn].next().type == "UPDATE_CHANNEL"
    own = ghost.makes_channel()
    assert heard[ghost.arn].next().payload["ChannelArn"] == own, "gone: no update was heard"


# Describing and listing


def test_somebody_who_is_no_member_is_not_found(app: App) -> None:
    ann, bob = app.users("ann", "bob")
    channel = ann.makes_channel()

    for arn in (bob.arn, f"{app.arn}/user/nobody"):
        with refused("NotFound"):
            ann.describe_channel_membership(ChannelArn=channel, MemberArn=arn)
    with refused("Forbidden"):
        bob.describe_channel_membership(ChannelArn=channel, MemberArn=bob.arn)


def test_members_are_listed_in_the_order_of_joining_while_they_come_and_go(app: App) -> None:
    ann, *others, late = app.users("ann", "user1", "user2", "user3", "user4", "late")
    channel = ann.makes_channel()
    for user in others:
        ann.create_channel_membership(ChannelArn=channel, MemberArn=user.arn, Type="DEFAULT")

    first = ann.list_channel_memberships(ChannelArn=channel, MaxResults=2)
    for user in (others[0], others[2]):
        ann.delete_channel_membership(ChannelArn=channel, MemberArn=user.arn)
    ann.create_channel_membership(ChannelArn=channel, MemberArn=late.arn, Type="DEFAULT")
    rest = rest_of(ann.list_channel_memberships, "ChannelMemberships", first, ChannelArn=channel, MaxResults=1)

    found = [each["Member"]["Name"] for each in [*first["ChannelMemberships"], *rest]]
    assert found == ["Ann", "User1", "User2", "User4", "Late"]


def test_a_token_of_another_channel_is_refused(app: App) -> None:
    ann, bob = app.users("ann", "bob")
    one, other = (ann.makes_channel(members=[bob]) for _ in range(2))
    token = ann.list_channel_memberships(ChannelArn=one, MaxResults=1)["NextToken"]

    assert len(ann.list_channel_memberships(ChannelArn=one, NextToken=token)["ChannelMemberships"]) == 1
    with refused("BadRequest"):
        ann.list_channel_memberships(ChannelArn=other, NextToken=token)
    with refused("BadRequest"):
        ann.list_channel_memberships(ChannelArn=one, MaxResults=51)


def test_a_membership_is_shown_with_its_channel(app: App) -> None:
    ann, bob = app.users("ann", "bob")
    channel = ann.makes_channel(members=[bob], Metadata="m")
    expected = {
        "ChannelSummary": {
            "Name": "Lobby",
            "ChannelArn": channel,
            "Mode": "RESTRICTED",
            "Privacy": "PRIVATE",
            "Metadata": "m",
        },
        "AppInstanceUserMembershipSummary": {"Type": "DEFAULT"},
    }

    found = bob.describe_channel_membership_for_app_instance_user(ChannelArn=channel, AppInstanceUserArn=bob.arn)
    listed = bob.list_channel_memberships_for_app_instance_user()

    assert answered(200, found) == {"ChannelMembership": expected}
    assert answered(200, listed) == {"ChannelMemberships": [expected]}


def test_memberships_of_a_user_are_for_the_user_and_for_admins(app: App) -> None:
    ann, bob, admin = app.user("ann"), app.user("bob"), app.admin("admin")
    stranger = App(app.server).user("stranger")
    channel = ann.makes_channel(members=[bob])

    for user in (bob, admin):
        found = user.list_channel_memberships_for_app_instance_user(AppInstanceUserArn=bob.arn)
        assert [each["ChannelSummary"]["ChannelArn"] for each in found["ChannelMemberships"]] == [channel]
        user.describe_channel_membership_for_app_instance_user(ChannelArn=channel, AppInstanceUserArn=bob.arn)
    for user, whose in ((ann, bob), (admin, stranger), (stranger, bob)):
        with refused("Forbidden"):
            user.list_channel_memberships_for_app_instance_user(AppInstanceUserArn=whose.arn)
        with refused("Forbidden"):
            user.describe_channel_membership_for_app_instance_user(ChannelArn=channel, AppInstanceUserArn=whose.arn)
    with refused("Forbidden"):
        admin.describe_channel_membership_for_app_instance_user(ChannelArn=channel, AppInstanceUserArn=admin.arn)


def test_memberships_of_a_user_are_listed_in_the_order_of_joining(app: App) -> None:
    ann = app.user("ann")
    made = [ann.makes_channel(ChannelId=f"room{n}") for n in range(5)]
    listing = ann.list_channel_memberships_for_app_instance_user

    first = listing(MaxResults=2)
    ann.delete_channel(ChannelArn=made[1])
    ann.delete_channel(ChannelArn=made[3])
    made.append(ann.makes_channel(ChannelId="room5"))
    rest = rest_of(listing, "ChannelMemberships", first, MaxResults=1)

    found = [each["ChannelSummary"]["ChannelArn"] for each in [*first["ChannelMemberships"], *rest]]
    assert found == [made[0], made[1], made[2], made[4], made[5]]


# Leaving


def test_members_leave_or_are_removed_and_everybody_hears_of_it(app: App) -> None:
    ann, bob, cid = app.users("ann", "bob", "cid")
    channel = ann.makes_channel(members=[bob, cid])
    heard = {user.arn: user.connects() for user in (ann, bob, cid)}

    answered(204, bob.delete_channel_membership(ChannelArn=channel, MemberArn=bob.arn))
    answered(204, ann.delete_channel_membership(ChannelArn=channel, MemberArn=cid.arn))
    ann.sends(channel, "end")
    mine = {user.arn: user.makes_channel() for user in (bob, cid)}

    def names(user: User, count: int) -> list[str]:
        events = [heard[user.arn].next() for _ in range(count)]
        assert {event.type for event in events} == {"DELETE_CHANNEL_MEMBERSHIP"}
        assert {event.payload["InvitedBy"]["Name"] for event in events} == {"Ann"}
        return [event.payload["Member"]["Name"] for event in events]

    assert names(ann, 2) == ["Bob", "Cid"]
    assert names(bob, 1) == ["Bob"]
    assert names(cid, 2) == ["Bob", "Cid"]
    assert heard[ann.arn].next().type == "CREATE_CHANNEL_MESSAGE"
    for user in (bob, cid):
        assert heard[user.arn].next().payload["ChannelArn"] == mine[user.arn]
        with refused("Forbidden"):
            user.reads(channel)
        with refused("Forbidden"):
            user.sends(channel, "hello")
    assert members_of(channel, ann) == ["Ann"]
    assert counted(app.server, channel, "memberships") == 1


def test_removing_somebody_who_is_no_member_changes_nothing(app: App) -> None:
    ann, bob = app.users("ann", "bob")
    channel = ann.makes_channel()
    heard = ann.connects()

    for arn in (bob.arn, bob.arn, f"{app.arn}/user/nobody"):
        answered(204, ann.delete_channel_membership(ChannelArn=channel, MemberArn=arn))

    ann.sends(channel, "end")
    assert heard.next().type == "CREATE_CHANNEL_MESSAGE"
    assert counted(app.server, channel, "memberships") == 1


def test_plain_members_remove_nobody_but_themselves(app: App) -> None:
    ann, bob, cid = app.users("ann", "bob", "cid")
    channel = ann.makes_channel(members=[bob, cid], Mode="UNRESTRICTED")

    with refused("Forbidden"):
        bob.delete_channel_membership(ChannelArn=channel, MemberArn=cid.arn)

    assert members_of(channel, ann) == ["Ann", "Bob", "Cid"]


def test_a_moderator_who_leaves_still_moderates(app: App) -> None:
    ann, bob = app.users("ann", "bob")
    channel = ann.makes_channel(members=[bob])
    ann.delete_channel_membership(ChannelArn=channel, MemberArn=ann.arn)

    ann.delete_channel_membership(ChannelArn=channel, MemberArn=bob.arn)
    ann.create_channel_membership(ChannelArn=channel, MemberArn=ann.arn, Type="DEFAULT")

    assert members_of(channel, ann) == ["Ann"]
    assert rows(app.server, "moderators", channel_arn=channel) == 1


def test_who_comes_back_hears_again_and_sees_all_there_was(app: App) -> None:
    ann, bob = app.users("ann", "bob")
    channel = ann.makes_channel(members=[bob])
    heard = bob.connects()

    ann.delete_channel_membership(ChannelArn=channel, MemberArn=bob.arn)
    ann.sends(channel, "unheard")
    ann.create_channel_membership(ChannelArn=channel, MemberArn=bob.arn, Type="DEFAULT")
    ann.sends(channel, "heard")

    assert [heard.next().type for _ in range(3)] == [
        "DELETE_CHANNEL_MEMBERSHIP", "CREATE_CHANNEL_MEMBERSHIP", "CREATE_CHANNEL_MESSAGE",
    ]  # fmt: skip
    assert [each["Content"] for each in bob.reads(channel)] == ["heard", "unheard"]
