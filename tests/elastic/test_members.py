from collections.abc import Callable
from typing import Any

import pytest

from tests.elastic.hall import Hall
from tests.harness import App, User, refused
from tests.operations.helpers import answered, bot, heard_before, pages

Act = Callable[[Hall, User, str], Any]


# Members are assigned


def test_members_fill_a_sub_channel_before_there_is_another(hall: Hall) -> None:
    joined = [hall.joins(member) for member in hall.app.users("a", "b", "c", "d")]

    assert hall.sizes() == {joined[0]: 4}
    assert hall.names_in(joined[0]) == ["A", "B", "C", "D"]


def test_the_answer_and_the_lists_say_where_a_member_is(hall: Hall) -> None:
    ann = hall.app.user("ann")
    created = hall.mod.create_channel_membership(ChannelArn=hall.channel, MemberArn=ann.arn, Type="DEFAULT")
    place = created["SubChannelId"]

    assert answered(201, created) == {
        "ChannelArn": hall.channel,
        "Member": {"Arn": ann.arn, "Name": "Ann"},
        "SubChannelId": place,
    }
    assert hall.place_of(ann) == place
    one = ann.describe_channel_membership_for_app_instance_user(ChannelArn=hall.channel, AppInstanceUserArn=ann.arn)
    assert one["ChannelMembership"]["AppInstanceUserMembershipSummary"] == {"Type": "DEFAULT", "SubChannelId": place}


def test_when_all_are_full_the_newest_members_go_to_a_new_one_with_the_newcomer(hall: Hall) -> None:
    hall.filled(4)

    second = hall.joins(hall.app.user("new"))

    first = next(iter(hall.sizes()))
    assert hall.names_in(first) == ["U00", "U01"]
    assert hall.names_in(second) == ["U02", "U03", "New"]


def test_newcomers_go_to_the_fullest_that_has_room(hall: Hall) -> None:
    rooms = hall.two_rooms()

    joined = [hall.joins(member) for member in hall.app.users("a", "b", "c")]

    assert joined == [rooms.second, rooms.first, rooms.first]
    assert hall.sizes() == {rooms.first: 4, rooms.second: 4}


def test_there_is_no_room_beyond_the_last_sub_channel(app: App) -> None:
    hall = Hall.of(app, sub_channels=2, target=2)
    hall.filled(4)

    with refused("ResourceLimitExceeded"):
        hall.joins(app.user("late"))

    assert list(hall.sizes().values()) == [2, 2]


def test_a_transfer_is_told_to_the_one_who_is_moved_alone(hall: Hall) -> None:
    stays, _, _, moved = hall.filled(4)
    with stays.connects() as left_behind, moved.connects() as ear, hall.mod.connects() as moderating:
        second = hall.joins(hall.app.user("new"))

        event = ear.next()
        assert (event.type, event.message_type) == ("UPDATE_CHANNEL_MEMBERSHIP", "SYSTEM")
        assert event.payload.pop("LastUpdatedTimestamp") >= event.payload.pop("CreatedTimestamp")
        assert event.payload == {
            "InvitedBy": {"Arn": hall.mod.arn, "Name": "Mod"},
            "Type": "DEFAULT",
            "Member": {"Arn": moved.arn, "Name": "U03"},
            "ChannelArn": hall.channel,
            "SubChannelId": second,
        }
        event = ear.next()
        assert (event.type, event.payload["Member"]["Name"]) == ("CREATE_CHANNEL_MEMBERSHIP", "New")
        assert heard_before(left_behind, lambda: hall.mod.update_channel(ChannelArn=hall.channel, Name="H")) == []
        hall.joins(hall.mod, second)
        assert moderating.next().type == "CREATE_CHANNEL_MEMBERSHIP"  # the first thing a moderator hears


def test_who_joins_and_leaves_is_told_in_the_sub_channel(hall: Hall) -> None:
    rooms = hall.two_rooms()
    here, there, new = rooms.in_second[0], rooms.in_first[0], hall.app.user("new")
    with here.connects() as inside, there.connects() as outside, new.connects() as newcomer:
        hall.joins(new)
        hall.leaves(new)
        ending = heard_before(outside, lambda: hall.mod.update_channel(ChannelArn=hall.channel, Name="H"))

        for ear in (inside, newcomer):
            for kind in ("CREATE_CHANNEL_MEMBERSHIP", "DELETE_CHANNEL_MEMBERSHIP"):
                event = ear.next()
                assert (event.type, event.payload["SubChannelId"]) == (kind, rooms.second)
                assert event.payload["Member"]["Name"] == "New"
        assert ending == []


def test_what_concerns_the_whole_channel_is_heard_once_by_every_session(hall: Hall) -> None:
    rooms = hall.two_rooms()
    for sub_channel in hall.sizes():
        hall.joins(hall.mod, sub_channel)
    listening = [rooms.in_first[0], rooms.in_second[0], hall.mod, hall.mod]
    heard = [user.connects() for user in listening]

    hall.mod.update_channel(ChannelArn=hall.channel, Name="Renamed")
    hall.mod.delete_channel(ChannelArn=hall.channel)
    ordinary = hall.mod.makes_channel(members=[rooms.in_first[0], rooms.in_second[0]])

    for session in heard:
        events = session.until("CREATE_CHANNEL_MEMBERSHIP", ChannelArn=ordinary)[:-1]
        assert [event.type for event in events] == ["UPDATE_CHANNEL", "DELETE_CHANNEL"]
        assert [event.payload["Name"] for event in events] == ["Renamed", "Renamed"]
        session.close()


def test_a_public_one_is_joined_by_its_members_themselves_and_a_private_one_is_not(app: App) -> None:
    hall = Hall.of(app, Privacy="PUBLIC")
    ann, bob = app.users("ann", "bob")

    joined = hall.joins(ann, by=ann)

    assert hall.sizes() == {joined: 1}
    with refused("Forbidden"):
        hall.joins(bob, by=ann)  # RESTRICTED: nobody brings others in


def test_nobody_lets_themselves_into_a_private_one(hall: Hall) -> None:
    ann = hall.app.user("ann")

    with refused("Forbidden"):
        hall.joins(ann, by=ann)


def test_a_member_is_a_member_once(hall: Hall) -> None:
    ann = hall.app.user("ann")
    hall.joins(ann)

    with refused("Conflict"):
        hall.joins(ann)

    assert list(hall.sizes().values()) == [1]


def test_nobody_chooses_a_members_sub_channel(hall: Hall) -> None:
    ann, bob = hall.app.users("ann", "bob")
    place = hall.joins(ann)

    with refused("BadRequest"):
        hall.joins(bob, place)
    with refused("BadRequest"):
        hall.mod.delete_channel_membership(ChannelArn=hall.channel, MemberArn=ann.arn, SubChannelId=place)
    with refused("BadRequest"):
        ann.delete_channel_membership(ChannelArn=hall.channel, MemberArn=ann.arn, SubChannelId=place)

    assert hall.names_in(place) == ["Ann"]


def test_a_member_leaves_and_a_second_time_changes_nothing(hall: Hall) -> None:
    ann, bob = hall.app.users("ann", "bob")
    place = hall.joins(ann)
    hall.joins(bob)

    for _ in range(2):
        hall.mod.delete_channel_membership(ChannelArn=hall.channel, MemberArn=ann.arn)
    bob.delete_channel_membership(ChannelArn=hall.channel, MemberArn=bob.arn)

    assert hall.sizes() == {place: 0}


def test_bots_are_members_like_others(hall: Hall) -> None:
    helper = bot(hall.app, "helper")

    place = hall.joins(helper)

    assert hall.names_in(place) == ["Helper"]
    assert helper.sends(hall.channel, "hello", SubChannelId=place)


def test_many_are_added_at_once_and_announced_one_by_one(hall: Hall) -> None:
    watching, banned = hall.app.users("watching", "banned")
    place = hall.joins(watching)
    hall.mod.create_channel_ban(ChannelArn=hall.channel, MemberArn=banned.arn)
    fresh = hall.app.users("a", "b")
    with watching.connects() as ear:
        answer = hall.mod.batch_create_channel_membership(
            ChannelArn=hall.channel, MemberArns=[fresh[0].arn, watching.arn, banned.arn, fresh[1].arn, hall.mod.arn]
        )

        events = [ear.next(), ear.next()]
        assert [event.type for event in events] == ["CREATE_CHANNEL_MEMBERSHIP"] * 2
        assert [event.payload["Member"]["Name"] for event in events] == ["A", "B"]
        assert {event.payload["SubChannelId"] for event in events} == {place}
        assert heard_before(ear, lambda: hall.mod.update_channel(ChannelArn=hall.channel, Name="H")) == []
    assert [each["Name"] for each in answer["BatchChannelMemberships"]["Members"]] == ["A", "B"]
    assert [(each["MemberArn"], each["ErrorCode"]) for each in answer["Errors"]] == [
        (watching.arn, "Conflict"),
        (banned.arn, "Forbidden"),
        (hall.mod.arn, "BadRequest"),  # moderators say which sub-channel
    ]


def test_many_added_at_once_may_need_a_new_sub_channel(hall: Hall) -> None:
    fresh = hall.app.users(*(f"u{n}" for n in range(7)))

    answer = hall.mod.batch_create_channel_membership(ChannelArn=hall.channel, MemberArns=[user.arn for user in fresh])

    assert answer["Errors"] == []
    assert sorted(hall.sizes().values()) == [3, 4]


# Moderators choose


def test_a_moderator_joins_sub_channels_by_name_several_if_wanted(hall: Hall) -> None:
    rooms = hall.two_rooms()

    with refused("BadRequest"):
        hall.joins(hall.mod)
    with refused("NotFound"):
        hall.joins(hall.mod, "nowhere")
    for sub_channel in (rooms.first, rooms.second):
        assert hall.joins(hall.mod, sub_channel) == sub_channel
    with refused("Conflict"):
        hall.joins(hall.mod, rooms.first)

    listed = hall.mod.list_channel_memberships_for_app_instance_user()["ChannelMemberships"]
    assert [each["AppInstanceUserMembershipSummary"]["SubChannelId"] for each in listed] == [rooms.first, rooms.second]


def test_moderators_count_for_nothing_and_are_never_moved(hall: Hall) -> None:
    members = hall.filled(3)
    place = hall.place_of(members[0])
    hall.joins(hall.mod, place)
    assert hall.sizes() == {place: 3}

    hall.joins(hall.app.user("fourth"))
    second = hall.joins(hall.app.user("fifth"))

    assert hall.sizes() == {place: 2, second: 3}
    assert hall.names_in(place) == ["U00", "U01", "Mod"]


def test_a_moderator_leaves_one_sub_channel_or_all(hall: Hall) -> None:
    rooms = hall.two_rooms()
    for sub_channel in (rooms.first, rooms.second):
        hall.joins(hall.mod, sub_channel)

    hall.mod.delete_channel_membership(ChannelArn=hall.channel, MemberArn=hall.mod.arn, SubChannelId=rooms.first)
    assert "Mod" not in hall.names_in(rooms.first)
    assert "Mod" in hall.names_in(rooms.second)
    hall.joins(hall.mod, rooms.first)
    hall.leaves(hall.mod)

    assert "Mod" not in hall.names_in(rooms.first) + hall.names_in(rooms.second)
    assert hall.sizes() == {rooms.first: 2, rooms.second: 3}


def test_a_moderator_hears_the_sub_channels_that_he_joined(hall: Hall) -> None:
    rooms = hall.two_rooms()
    hall.joins(hall.mod, rooms.first)
    with hall.mod.connects() as ear:
        rooms.in_second[0].sends(hall.channel, "not heard", SubChannelId=rooms.second)
        rooms.in_first[0].sends(hall.channel, "heard", SubChannelId=rooms.first)
        hall.joins(hall.mod, rooms.second)
        rooms.in_second[0].sends(hall.channel, "heard too", SubChannelId=rooms.second)
        hall.mod.delete_channel_membership(ChannelArn=hall.channel, MemberArn=hall.mod.arn, SubChannelId=rooms.first)
        rooms.in_first[0].sends(hall.channel, "not heard", SubChannelId=rooms.first)
        hall.mod.update_channel(ChannelArn=hall.channel, Name="H")

        heard = [(event.type, event.payload.get("Content")) for event in ear.until("UPDATE_CHANNEL")]
        assert heard == [
            ("CREATE_CHANNEL_MESSAGE", "heard"),
            ("CREATE_CHANNEL_MEMBERSHIP", None),
            ("CREATE_CHANNEL_MESSAGE", "heard too"),
            ("DELETE_CHANNEL_MEMBERSHIP", None),
            ("UPDATE_CHANNEL", None),
        ]


def test_a_member_made_moderator_is_no_member_any_more(hall: Hall) -> None:
    ann, bob = hall.app.users("ann", "bob")
    place = hall.joins(ann)
    hall.joins(bob)
    with ann.connects() as ear:
        hall.mod.create_channel_moderator(ChannelArn=hall.channel, ChannelModeratorArn=ann.arn)
        bob.sends(hall.channel, "not heard", SubChannelId=place)
        hall.joins(ann, place)

        heard = [ear.next().type for _ in range(2)]
        assert heard == ["DELETE_CHANNEL_MEMBERSHIP", "CREATE_CHANNEL_MEMBERSHIP"]
    assert hall.sizes() == {place: 1}


def test_a_moderator_who_is_none_any_more_is_no_member_either(hall: Hall) -> None:
    rooms = hall.two_rooms()
    ann = hall.app.user("ann")
    hall.mod.create_channel_moderator(ChannelArn=hall.channel, ChannelModeratorArn=ann.arn)
    for sub_channel in (rooms.first, rooms.second):
        hall.joins(ann, sub_channel)

    hall.mod.delete_channel_moderator(ChannelArn=hall.channel, ChannelModeratorArn=ann.arn)

    assert ann.list_channel_memberships_for_app_instance_user()["ChannelMemberships"] == []
    assert hall.sizes() == {rooms.first: 2, rooms.second: 3}
    assert hall.joins(ann) == rooms.second  # as anybody else


def test_a_ban_is_from_the_whole_channel(hall: Hall) -> None:
    rooms = hall.two_rooms()
    ann = rooms.in_second[0]

    hall.mod.create_channel_ban(ChannelArn=hall.channel, MemberArn=ann.arn)

    assert hall.sizes() == {rooms.first: 2, rooms.second: 2}
    with refused("Forbidden"):
        hall.joins(ann)
    for sub_channel in (rooms.first, rooms.second):
        with refused("Forbidden"):
            ann.reads(hall.channel, SubChannelId=sub_channel)


# Who sees whom


def test_admins_and_moderators_list_and_describe_in_any_sub_channel(hall: Hall) -> None:
    rooms = hall.two_rooms()
    ann = rooms.in_second[0]

    for who in (hall.mod, hall.root):
        listed = who.list_channel_memberships(ChannelArn=hall.channel, SubChannelId=rooms.second)
        assert [each["Member"]["Name"] for each in listed["ChannelMemberships"]] == ["U02", "U03", "U04"]
        for named in ({}, {"SubChannelId": rooms.second}):
            found = who.describe_channel_membership(ChannelArn=hall.channel, MemberArn=ann.arn, **named)
            assert found["ChannelMembership"]["SubChannelId"] == rooms.second
        with refused("NotFound"):
            who.describe_channel_membership(ChannelArn=hall.channel, MemberArn=ann.arn, SubChannelId=rooms.first)
        with refused("BadRequest"):
            who.list_channel_memberships(ChannelArn=hall.channel)
        with refused("Forbidden"):
            who.list_channel_memberships(ChannelArn=hall.channel, SubChannelId="nowhere")


def test_a_member_sees_the_own_sub_channel_and_no_other(hall: Hall) -> None:
    rooms = hall.two_rooms()
    ann, beside, elsewhere = rooms.in_second[0], rooms.in_second[1], rooms.in_first[0]

    for named in ({}, {"SubChannelId": rooms.second}):
        listed = ann.list_channel_memberships(ChannelArn=hall.channel, **named)["ChannelMemberships"]
        assert [each["Member"]["Name"] for each in listed] == ["U02", "U03", "U04"]
        for who in (ann, beside):
            found = ann.describe_channel_membership(ChannelArn=hall.channel, MemberArn=who.arn, **named)
            assert found["ChannelMembership"]["SubChannelId"] == rooms.second
    with refused("Forbidden"):
        ann.list_channel_memberships(ChannelArn=hall.channel, SubChannelId=rooms.first)
    with refused("Forbidden"):
        ann.describe_channel_membership(ChannelArn=hall.channel, MemberArn=elsewhere.arn, SubChannelId=rooms.first)
    with refused("NotFound"):
        ann.describe_channel_membership(ChannelArn=hall.channel, MemberArn=elsewhere.arn)


def test_sub_channels_are_listed_page_by_page_for_moderators_and_admins(app: App) -> None:
    hall = Hall.of(app, target=2)
    members = hall.filled(5)
    order = list(hall.sizes())

    for who in (hall.mod, hall.root):
        found = pages(who.list_sub_channels, "SubChannels", ChannelArn=hall.channel, MaxResults=2)
        assert [[each["SubChannelId"] for each in page] for page in found] == [order[:2], order[2:]]
    assert sum(hall.sizes().values()) == 5
    for who in (members[0], app.user("outsider")):
        with refused("Forbidden"):
            who.list_sub_channels(ChannelArn=hall.channel)


@pytest.mark.parametrize(
    "act",
    [
        lambda hall, ann, place: hall.mod.create_channel_membership(
            ChannelArn=hall.channel, MemberArn=hall.app.user("new").arn, Type="HIDDEN"
        ),
        lambda hall, ann, place: hall.mod.batch_create_channel_membership(
            ChannelArn=hall.channel, MemberArns=[hall.app.user("new").arn], Type="HIDDEN"
        ),
        lambda hall, ann, place: hall.mod.list_channel_memberships(
            ChannelArn=hall.channel, Type="HIDDEN", SubChannelId=place
        ),
        lambda hall, ann, place: ann.put_channel_membership_preferences(
            ChannelArn=hall.channel,
            MemberArn=ann.arn,
            Preferences={"PushNotifications": {"AllowNotifications": "NONE"}},
        ),
        lambda hall, ann, place: ann.get_channel_membership_preferences(ChannelArn=hall.channel, MemberArn=ann.arn),
        lambda hall, ann, place: ann.update_channel_read_marker(ChannelArn=hall.channel),
        lambda hall, ann, place: hall.mod.describe_channel_moderated_by_app_instance_user(
            ChannelArn=hall.channel, AppInstanceUserArn=hall.mod.arn
        ),
    ],
    ids=["hidden", "hidden batch", "list hidden", "put preferences", "preferences", "read marker", "moderated"],
)
def test_what_elastic_channels_do_not_have_is_a_bad_request(hall: Hall, act: Act) -> None:
    ann = hall.app.user("ann")
    place = hall.joins(ann)

    with refused("BadRequest"):
        act(hall, ann, place)


def test_a_deleted_user_leaves_and_the_sub_channel_is_told(hall: Hall) -> None:
    rooms = hall.two_rooms()
    gone, stays = rooms.in_second[0], rooms.in_second[1]
    hall.joins(hall.mod, rooms.first)
    with stays.connects() as ear:
        hall.app.identity.delete_app_instance_user(AppInstanceUserArn=gone.arn)
        hall.app.identity.delete_app_instance_user(AppInstanceUserArn=hall.mod.arn)
        hall.server.settle()

        event = ear.next()
        assert (event.type, event.payload["Member"]["Name"]) == ("DELETE_CHANNEL_MEMBERSHIP", "U02")
    listed = hall.root.list_sub_channels(ChannelArn=hall.channel)["SubChannels"]
    assert [each["MembershipCount"] for each in listed] == [2, 2]
    left = hall.root.list_channel_memberships(ChannelArn=hall.channel, SubChannelId=rooms.first)
    assert [each["Member"]["Name"] for each in left["ChannelMemberships"]] == ["U00", "U01"]
