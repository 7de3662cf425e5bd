import re

import pytest

from campana.store.moderators import find as find_moderator
from tests.harness import App, refused
from tests.operations.helpers import (
    answered,
    bot,
    clean_up_held,
    counted,
    during,
    pages,
    rest_of,
    room_for,
    rows,
    whole,
)

# Creating


def test_a_channel_is_created_and_described(app: App) -> None:
    ann = app.user("ann")

    with during(app.server) as just_now:
        created = answered(
            201,
            ann.create_channel(
                AppInstanceArn=app.arn,
                Name="Lobby",
                Mode="UNRESTRICTED",
                Privacy="PUBLIC",
                Metadata="m",
                ChannelId="lobby",
            ),
        )
        found = answered(200, ann.describe_channel(ChannelArn=created["ChannelArn"]))["Channel"]

        just_now(made := found["CreatedTimestamp"])
    assert created == {"ChannelArn": f"{app.arn}/channel/lobby"}
    assert found == {
        "Name": "Lobby",
        "ChannelArn": created["ChannelArn"],
        "Mode": "UNRESTRICTED",
        "Privacy": "PUBLIC",
        "Metadata": "m",
        "CreatedBy": {"Arn": ann.arn, "Name": "Ann"},
        "CreatedTimestamp": made,
        "LastUpdatedTimestamp": made,
    }


def test_a_channel_is_private_and_restricted_unless_it_says_otherwise(app: App) -> None:
    ann = app.user("ann")

    channel = ann.create_channel(AppInstanceArn=app.arn, Name="Lobby", Metadata="")["ChannelArn"]

    found = ann.describe_channel(ChannelArn=channel)["Channel"]
    assert (found["Privacy"], found["Mode"]) == ("PRIVATE", "RESTRICTED")
    assert "Metadata" not in found
    assert re.fullmatch(re.escape(app.arn) + "/channel/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", channel)


def test_the_creator_is_member_and_moderator_and_the_named_are_what_they_are_named(app: App) -> None:
    ann, bob, cid = app.users("ann", "bob", "cid")

    channel = ann.makes_channel(members=[bob, ann, bob], ModeratorArns=[cid.arn, ann.arn, cid.arn])

    members = ann.list_channel_memberships(ChannelArn=channel)["ChannelMemberships"]
    assert [each["Member"]["Name"] for each in members] == ["Ann", "Bob"]
    moderators = [who.arn for who in (ann, bob, cid) if app.server.writes(find_moderator, channel, who.arn) is not None]
    assert moderators == [ann.arn, cid.arn]
    assert counted(app.server, channel, "memberships") == 2
    assert counted(app.server, channel, "moderators") == 2
    with refused("Forbidden"):
        cid.sends(channel, "a moderator who is no member cannot send")


def test_members_hear_of_their_own_membership_and_of_those_after_it(app: App) -> None:
    ann, bob, cid = app.users("ann", "bob", "cid")
    heard = {user.arn: user.connects() for user in (ann, bob, cid)}

    channel = ann.makes_channel(members=[bob, cid])
    ann.update_channel(ChannelArn=channel, Name="end")

    for user, expected in ((ann, "Ann Bob Cid"), (bob, "Bob Cid"), (cid, "Cid")):
        *joined, _ = heard[user.arn].until("UPDATE_CHANNEL")
        assert [event.payload["Member"]["Name"] for event in joined] == expected.split()
        assert {event.type for event in joined} == {"CREATE_CHANNEL_MEMBERSHIP"}
        assert {event.payload["InvitedBy"]["Name"] for event in joined} == {"Ann"}


@pytest.mark.parametrize("id", ["x", "room:1@x.y", "a" * 64, "A.b_c-d"])
def test_a_channels_id_may_look_like_this(app: App, id: str) -> None:
    ann = app.user("ann")

    channel = ann.makes_channel(ChannelId=id)
    message = ann.sends(channel, "hello")

    assert channel == f"{app.arn}/channel/{id}"
    assert ann.get_channel_message(ChannelArn=channel, MessageId=message)["ChannelMessage"]["ChannelArn"] == channel


@pytest.mark.parametrize("members", [
    {"ChannelId": "a" * 65},
    {"ChannelId": "a/b"},
    {"ChannelId": "-a"},
    {"ChannelId": "a:"},
    {"ChannelId": "é"},
    {"Name": "n" * 257},
    {"Name": "bell\x07"},
    {"Metadata": "m" * 1025},
    {"Metadata": "two\nlines"},
    {"Mode": "LOOSE"},
    {"Privacy": "SECRET"},
    {"ClientRequestToken": "t" * 65},
    {"AppInstanceArn": "nonsense"},
    {"MemberArns": ["nonsense"]},
    {"ModeratorArns": ["nonsense"]},
])  # fmt: skip
def test_what_breaks_a_shape_is_a_bad_request(app: App, members: dict[str, str]) -> None:
    ann = app.admin("ann")

    with refused("BadRequest"):
        ann.create_channel(**{"AppInstanceArn": app.arn, "Name": "Lobby", **members})

    assert _channels(app) == 0


@pytest.mark.parametrize("list_of", ["MemberArns", "ModeratorArns"])
def test_ten_can_be_named_and_eleven_cannot(app: App, list_of: str) -> None:
    ann, *others = app.users("ann", *(f"user{n}" for n in range(11)))
    arns = [user.arn for user in others]

    with refused("BadRequest"):
        ann.makes_channel(**{list_of: arns})
    ann.makes_channel(**{list_of: arns[:10]})


@pytest.mark.parametrize("list_of", ["MemberArns", "ModeratorArns"])
def test_a_channel_is_made_whole_or_not_at_all(app: App, list_of: str) -> None:
    ann, gone, stranger = app.user("ann"), app.user("gone"), App(app.server).user("stranger")
    app.identity.delete_app_instance_user(AppInstanceUserArn=gone.arn)
    heard, home = ann.connects(), ann.makes_channel()

    for arn in (f"{app.arn}/user/nobody", gone.arn, stranger.arn, app.arn):
        with refused("BadRequest"):
            ann.makes_channel(ChannelId="lobby", **{list_of: [ann.arn, arn]})

    assert _channels(app) == counted(app.server, app.arn, "channels") == 1
    assert counted(app.server, ann.arn, "memberships of a user") == 1
    ann.update_channel(ChannelArn=home, Name="end")
    assert [event.type for event in heard.until("UPDATE_CHANNEL")] == ["CREATE_CHANNEL_MEMBERSHIP", "UPDATE_CHANNEL"]
    ann.makes_channel(ChannelId="lobby")


def test_a_channel_is_made_in_the_bearers_own_app_instance(app: App) -> None:
    ann = app.user("ann")

    with refused("Forbidden"):
        ann.create_channel(AppInstanceArn=App(app.server).arn, Name="Lobby")
    with refused("Forbidden"):
        ann.create_channel(AppInstanceArn=app.arn.replace("app-instance/", "app-instance/0"), Name="Lobby")


def test_an_id_can_be_used_once(app: App) -> None:
    ann, bob = app.users("ann", "bob")
    ann.makes_channel(ChannelId="lobby")

    for user in (ann, bob):
        with refused("Conflict"):
            user.makes_channel(ChannelId="lobby")

    assert counted(app.server, app.arn, "channels") == 1


def test_a_repeated_token_gets_the_first_answer(app: App) -> None:
    ann, bob = app.users("ann", "bob")
    request = {"AppInstanceArn": app.arn, "Name": "Lobby", "ClientRequestToken": "again"}
    first = answered(201, ann.create_channel(**request))

    assert answered(201, ann.create_channel(**request)) == first
    with refused("Conflict"):
        ann.create_channel(**{**request, "Name": "Other"})
    other = answered(201, bob.create_channel(**request))
    assert other != first, "another bearer's tokens are their own"
    assert _channels(app) == 2


def test_a_refused_request_leaves_its_token_free(app: App) -> None:
    ann = app.user("ann")
    request = {"AppInstanceArn": app.arn, "Name": "Lobby", "ClientRequestToken": "again"}
    with refused("BadRequest"):
        ann.create_channel(**request, MemberArns=[f"{app.arn}/user/nobody"])

    answered(201, ann.create_channel(**request))


def test_the_quota_of_channels_is_kept_and_given_back(app: App) -> None:
    ann = app.user("ann")
    channel = ann.makes_channel()
    room_for(app.server, app.arn, "channels", 0)

    with refused("ResourceLimitExceeded"):
        ann.makes_channel()

    assert _channels(app) == 1
    ann.delete_channel(ChannelArn=channel)
    ann.makes_channel()


def test_bots_make_channels_too(app: App) -> None:
    helper, ann = bot(app, "helper"), app.user("ann")
    heard = ann.connects()

    channel = helper.makes_channel(members=[ann])
    helper.sends(channel, "beep")

    assert helper.describe_channel(ChannelArn=channel)["Channel"]["CreatedBy"] == {"Arn": helper.arn, "Name": "Helper"}
    assert [heard.next().type for _ in range(2)] == ["CREATE_CHANNEL_MEMBERSHIP", "CREATE_CHANNEL_MESSAGE"]


# Looking


def test_a_channel_that_is_not_there_is_forbidden(app: App) -> None:
    ann = app.admin("ann")
    elsewhere = App(app.server).user("stranger").makes_channel(Privacy="PUBLIC")

    for arn in (f"{app.arn}/channel/nothing", elsewhere, ann.arn, app.arn):
        for call in (
            lambda arn=arn: ann.describe_channel(ChannelArn=arn),
            lambda arn=arn: ann.update_channel(ChannelArn=arn, Name="n"),
            lambda arn=arn: ann.delete_channel(ChannelArn=arn),
            lambda arn=arn: ann.list_channel_memberships(ChannelArn=arn),
            lambda arn=arn: ann.describe_channel_membership(ChannelArn=arn, MemberArn=ann.arn),
            lambda arn=arn: ann.create_channel_membership(ChannelArn=arn, MemberArn=ann.arn, Type="DEFAULT"),
            lambda arn=arn: ann.list_channel_messages(ChannelArn=arn),
            lambda arn=arn: ann.get_channel_message(ChannelArn=arn, MessageId="m"),
            lambda arn=arn: ann.sends(arn, "hello"),
        ):
            with refused("Forbidden"):
                call()


def test_the_time_of_the_last_message_is_that_of_a_persistent_standard_one(app: App) -> None:
    ann = app.user("ann")
    channel = ann.makes_channel(Privacy="PUBLIC")

    ann.sends(channel, "gone at once", Persistence="NON_PERSISTENT")
    ann.sends(channel, "typing", Type="CONTROL")
    assert "LastMessageTimestamp" not in ann.describe_channel(ChannelArn=channel)["Channel"]
    ann.sends(channel, "hello")

    sent = ann.reads(channel)[0]["CreatedTimestamp"]
    (summary,) = ann.list_channels(AppInstanceArn=app.arn)["Channels"]
    assert ann.describe_channel(ChannelArn=channel)["Channel"]["LastMessageTimestamp"] == sent
    assert summary["LastMessageTimestamp"] == sent


# Updating


def test_what_an_update_leaves_out_stays(app: App) -> None:
    ann = app.user("ann")
    channel = ann.makes_channel(Metadata="m", Mode="UNRESTRICTED", Privacy="PUBLIC")
    before = ann.describe_channel(ChannelArn=channel)["Channel"]

    def after(**changes: str) -> dict[str, str]:
        assert answered(200, ann.update_channel(ChannelArn=channel, **changes)) == {"ChannelArn": channel}
        found = ann.describe_channel(ChannelArn=channel)["Channel"]
        assert found.pop("LastUpdatedTimestamp") >= before["LastUpdatedTimestamp"]
        changed = {
            name: found.get(name) for name in found.keys() | before.keys() if found.get(name) != before.get(name)
        }
        changed.pop("LastUpdatedTimestamp", None)
        return changed

    assert after() == {}
    assert after(Name="Hall") == {"Name": "Hall"}
    assert after(Mode="RESTRICTED") == {"Name": "Hall", "Mode": "RESTRICTED"}
    assert after(Metadata="n") == {"Name": "Hall", "Mode": "RESTRICTED", "Metadata": "n"}
    assert after(Metadata="", Name="Lobby") == {"Mode": "RESTRICTED", "Metadata": None}


def test_members_hear_of_an_update(app: App) -> None:
    ann, bob, cid = app.users("ann", "bob", "cid")
    channel = ann.makes_channel(members=[bob], ModeratorArns=[cid.arn], Metadata="m")
    mine, theirs = bob.connects(), cid.connects()

    ann.update_channel(ChannelArn=channel, Name="Hall")
    own = cid.makes_channel()

    event = mine.next()
    assert (event.type, event.message_type) == ("UPDATE_CHANNEL", "SYSTEM")
    found = ann.describe_channel(ChannelArn=channel)["Channel"]
    times = {name: event.payload.pop(name) for name in ("CreatedTimestamp", "LastUpdatedTimestamp")}
    assert event.payload == {name: value for name, value in found.items() if name not in times}
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time) for time in times.values())
    assert theirs.next().payload["ChannelArn"] == own, "moderators who are no members hear nothing"


@pytest.mark.parametrize("members", [{"Name": "n" * 257}, {"Mode": "LOOSE"}, {"Metadata": "a\nb"}])
def test_a_bad_update_changes_nothing(app: App, members: dict[str, str]) -> None:
    ann = app.user("ann")
    channel = ann.makes_channel()
    before = ann.describe_channel(ChannelArn=channel)["Channel"]

    with refused("BadRequest"):
        ann.update_channel(ChannelArn=channel, **members)

    assert ann.describe_channel(ChannelArn=channel)["Channel"] == before


# Deleting


def test_members_hear_of_the_deletion_and_nothing_more(app: App) -> None:
    ann, bob = app.users("ann", "bob")
    channel = ann.makes_channel(members=[bob], Metadata="m")
    heard = bob.connects()

    answered(204, ann.delete_channel(ChannelArn=channel))
    app.server.settle()
    own = bob.makes_channel()

    event = heard.next()
    assert (event.type, event.message_type) == ("DELETE_CHANNEL", "SYSTEM")
    assert (event.payload["ChannelArn"], event.payload["Metadata"]) == (channel, "m")
    assert heard.next().payload["ChannelArn"] == own


def test_a_deleted_channel_is_gone_at_once(app: App) -> None:
    ann = app.admin("ann")
    flow = app.flow("https://example.com/processor")
    channel = ann.makes_channel(Privacy="PUBLIC", flow=flow)
    message = ann.sends(channel, "hello", Type="CONTROL")

    ann.delete_channel(ChannelArn=channel)

    for call in (
        lambda: ann.delete_channel(ChannelArn=channel),
        lambda: ann.describe_channel(ChannelArn=channel),
        lambda: ann.sends(channel, "hello"),
        lambda: ann.get_channel_message(ChannelArn=channel, MessageId=message),
        lambda: ann.list_channel_messages(ChannelArn=channel),
        lambda: ann.list_channel_memberships(ChannelArn=channel),
        lambda: ann.describe_channel_membership_for_app_instance_user(ChannelArn=channel, AppInstanceUserArn=ann.arn),
    ):
        with refused("Forbidden"):
            call()
    assert ann.list_channels(AppInstanceArn=app.arn)["Channels"] == []
    assert ann.list_channel_memberships_for_app_instance_user()["ChannelMemberships"] == []
    assert app.messaging.list_channels_associated_with_channel_flow(ChannelFlowArn=flow)["Channels"] == []
    app.messaging.delete_channel_flow(ChannelFlowArn=flow)


def test_an_id_is_free_again_when_its_channel_is_gone_for_good(app: App) -> None:
    ann, bob = app.users("ann", "bob")
    channel = ann.makes_channel(members=[bob], ChannelId="lobby")
    ann.sends(channel, "old")
    ann.create_channel_ban(ChannelArn=channel, MemberArn=bob.arn)
    heard = ann.connects()

    with clean_up_held(app.server):
        ann.delete_channel(ChannelArn=channel)
        with refused("Conflict"):
            ann.makes_channel(ChannelId="lobby")
    app.server.settle()
    for table in ("memberships", "moderators", "bans", "messages", "executions"):
        assert rows(app.server, table, channel_arn=channel) == 0, table
    assert rows(app.server, "counts", owner=channel) == 0
    assert counted(app.server, bob.arn, "memberships of a user") == 0

    assert bob.makes_channel(ChannelId="lobby") == channel
    assert bob.reads(channel) == []
    with refused("Forbidden"):
        ann.reads(channel)
    bob.create_channel_membership(ChannelArn=channel, MemberArn=ann.arn, Type="DEFAULT")
    bob.sends(channel, "new")
    assert [heard.next().type for _ in range(3)] == [
        "DELETE_CHANNEL", "CREATE_CHANNEL_MEMBERSHIP", "CREATE_CHANNEL_MESSAGE",
    ]  # fmt: skip


# Listing


def test_public_channels_are_listed_unless_private_ones_are_asked_for(app: App) -> None:
    ann, admin = app.user("ann"), app.admin("admin")
    public, private = ann.makes_channel(Privacy="PUBLIC", Metadata="m"), ann.makes_channel(Privacy="PRIVATE")
    summary = {"Name": "Lobby", "ChannelArn": public, "Mode": "RESTRICTED", "Privacy": "PUBLIC", "Metadata": "m"}

    for user in (ann, admin):
        assert answered(200, user.list_channels(AppInstanceArn=app.arn)) == {"Channels": [summary]}
        assert user.list_channels(AppInstanceArn=app.arn, Privacy="PUBLIC")["Channels"] == [summary]
    found = admin.list_channels(AppInstanceArn=app.arn, Privacy="PRIVATE")["Channels"]
    assert [each["ChannelArn"] for each in found] == [private]
    with refused("Forbidden"):
        ann.list_channels(AppInstanceArn=app.arn, Privacy="PRIVATE")
    with refused("Forbidden"):
        admin.list_channels(AppInstanceArn=App(app.server).arn)


def test_channels_are_listed_to_the_end_while_they_come_and_go(app: App) -> None:
    ann = app.user("ann")
    made = [ann.makes_channel(Privacy="PUBLIC", ChannelId=f"room{n}") for n in range(6)]

    first = ann.list_channels(AppInstanceArn=app.arn, MaxResults=3)
    ann.delete_channel(ChannelArn=made[2])
    ann.delete_channel(ChannelArn=made[4])
    made.append(ann.makes_channel(Privacy="PUBLIC", ChannelId="room6"))
    rest = rest_of(ann.list_channels, "Channels", first, AppInstanceArn=app.arn, MaxResults=2)

    assert [each["ChannelArn"] for each in first["Channels"]] == made[:3]
    assert [each["ChannelArn"] for each in rest] == [made[3], made[5], made[6]]


def test_max_results_is_between_1_and_50(app: App) -> None:
    ann = app.user("ann")
    for _ in range(2):
        ann.makes_channel(Privacy="PUBLIC")

    sizes = {
        asked: [len(page) for page in pages(ann.list_channels, "Channels", AppInstanceArn=app.arn, MaxResults=asked)]
        for asked in (1, 2, 50)
    }
    assert sizes == {1: [1, 1], 2: [2], 50: [2]}
    with refused("BadRequest"):
        ann.list_channels(AppInstanceArn=app.arn, MaxResults=51)


def test_a_token_is_good_for_everybody_who_lists_the_same_and_for_nothing_else(app: App) -> None:
    ann, bob = app.users("ann", "bob")
    made = [ann.makes_channel(Privacy="PUBLIC", ChannelId=f"room{n}") for n in range(2)]
    token = ann.list_channels(AppInstanceArn=app.arn, MaxResults=1)["NextToken"]

    found = bob.list_channels(AppInstanceArn=app.arn, NextToken=token)["Channels"]

    assert [each["ChannelArn"] for each in found] == made[1:]
    for call in (
        lambda: ann.list_channel_memberships(ChannelArn=made[0], NextToken=token),
        lambda: ann.list_channel_memberships_for_app_instance_user(NextToken=token),
        lambda: ann.list_channels(AppInstanceArn=app.arn, NextToken="nonsense"),
    ):
        with refused("BadRequest"):
            call()


def _channels(app: App) -> int:
    admin = app.admin(f"counter{counted(app.server, app.arn, 'admins')}")
    return sum(len(whole(admin.list_channels, "Channels", AppInstanceArn=app.arn, Privacy=privacy))
               for privacy in ("PUBLIC", "PRIVATE"))  # fmt: skip
