"""A sub-channel that became too small is joined with another (SCALE_IN), and what takes several transactions."""

from dataclasses import dataclass

import pytest

from campana.operations import elastic_members
from campana.store import channels, sub_channels
from campana.unit_of_work import UnitOfWork
from tests.elastic.hall import Hall
from tests.harness import App, Processor, User, calls_back, refused
from tests.operations.helpers import rows


def test_a_sub_channel_too_small_is_joined_with_one_that_has_room(hall: Hall) -> None:
    rooms = hall.two_rooms()
    moved = rooms.in_first[0]
    moved.sends(hall.channel, "going", SubChannelId=rooms.first)
    rooms.in_second[0].sends(hall.channel, "staying", SubChannelId=rooms.second)

    hall.leaves(rooms.in_first[1])
    hall.settles()

    assert hall.sizes() == {rooms.second: 4}
    assert sorted(hall.names_in(rooms.second)) == ["U00", "U02", "U03", "U04"]
    assert [each["Content"] for each in moved.reads(hall.channel, SubChannelId=rooms.second)] == ["staying"]
    for who in (moved, hall.mod, hall.root):
        with refused("Forbidden"):
            who.reads(hall.channel, SubChannelId=rooms.first)
    assert rows(hall.server, "messages", sub_channel_id=rooms.first) == 0


def test_the_moved_hear_of_their_transfer_and_then_what_happens_there(hall: Hall) -> None:
    rooms = hall.two_rooms()
    moved, there = rooms.in_first[0], rooms.in_second[0]
    hall.leaves(rooms.in_first[1])
    with moved.connects() as ear, there.connects() as host:
        hall.settles()
        there.sends(hall.channel, "welcome", SubChannelId=rooms.second)

        event = ear.next()
        assert (event.type, event.payload["SubChannelId"]) == ("UPDATE_CHANNEL_MEMBERSHIP", rooms.second)
        assert event.payload["InvitedBy"]["Arn"] == hall.mod.arn
        assert ear.next().payload["Content"] == "welcome"
        assert host.next().payload["Content"] == "welcome"  # those who were there already hear of no transfer


def test_moderators_in_it_are_told_that_it_is_deleted(hall: Hall) -> None:
    rooms = hall.two_rooms()
    for sub_channel in (rooms.first, rooms.second):
        hall.joins(hall.mod, sub_channel)
    hall.leaves(rooms.in_first[1])
    with hall.mod.connects() as ear, rooms.in_first[0].connects() as other:
        hall.settles()
        rooms.in_second[0].sends(hall.channel, "still heard", SubChannelId=rooms.second)

        event = ear.next()
        assert (event.type, event.reason) == ("DELETE_CHANNEL_MEMBERSHIP", "subchannel_DELETED")
        assert (event.payload["Member"]["Arn"], event.payload["SubChannelId"]) == (hall.mod.arn, rooms.first)
        assert ear.next().payload["Content"] == "still heard"
        assert [other.next().type for _ in range(2)] == ["UPDATE_CHANNEL_MEMBERSHIP", "CREATE_CHANNEL_MESSAGE"]
    listed = hall.mod.list_channel_memberships_for_app_instance_user()["ChannelMemberships"]
    assert [each["AppInstanceUserMembershipSummary"]["SubChannelId"] for each in listed] == [rooms.second]


def test_nothing_is_joined_before_its_time(hall: Hall) -> None:
    rooms = hall.two_rooms()

    hall.leaves(rooms.in_first[1])
    hall.server.settle()

    assert hall.sizes() == {rooms.first: 1, rooms.second: 3}


def test_nothing_is_joined_without_room_and_later_there_is(hall: Hall) -> None:
    rooms = hall.two_rooms()
    hall.joins(hall.app.user("new"))
    hall.leaves(rooms.in_first[1])
    hall.settles()
    assert hall.sizes() == {rooms.first: 1, rooms.second: 4}

    hall.leaves(rooms.in_second[0])
    hall.settles()

    assert hall.sizes() == {rooms.second: 4}


def test_the_last_sub_channel_stays_even_empty(hall: Hall) -> None:
    members = hall.filled(2)
    [place] = hall.sizes()

    hall.leaves(*members)
    hall.settles()

    assert hall.sizes() == {place: 0}
    assert hall.joins(members[0]) == place


def test_several_are_joined_one_after_the_other(app: App) -> None:
    hall = Hall.of(app, sub_channels=4)
    members = hall.filled(12)
    places = {member.arn: hall.place_of(member) for member in members}
    assert len(hall.sizes()) > 2
    one_of_each = list({place: member for member in members if (place := places[member.arn])}.values())

    hall.leaves(*(member for member in members if member not in one_of_each))
    hall.settles()

    [(place, size)] = hall.sizes().items()
    assert size == len(one_of_each)
    assert {hall.place_of(member) for member in one_of_each} == {place}


def test_what_is_pending_in_it_is_dropped_and_its_callback_refused(hall: Hall, processor: Processor) -> None:
    rooms = hall.two_rooms()
    hall.mod.associate_channel_flow(ChannelArn=hall.channel, ChannelFlowArn=hall.app.flow(processor.arn))
    sender = rooms.in_first[0]
    sender.sends(hall.channel, "pending", SubChannelId=rooms.first)
    event = processor.takes()

    hall.leaves(rooms.in_first[1])
    hall.settles()

    with refused("Forbidden"):
        calls_back(hall.app, event)
    assert sender.reads(hall.channel, SubChannelId=rooms.second) == []
    assert rows(hall.server, "executions", channel_arn=hall.channel) == 0


def balances(hall: Hall) -> None:
    """One transaction of it."""

    def balance(unit: UnitOfWork) -> None:
        channel = channels.find(unit.tx, hall.channel)
        assert channel is not None
        elastic_members.balance(unit, channel)

    hall.server.writes(hall.server.server._units.run, balance)


# While it goes on: a large sub-channel is emptied in several transactions.


@dataclass(frozen=True)
class Moving:
    """The first of two sub-channels for eight has two members left where four are wanted; u03 has been moved."""

    hall: Hall
    first: str
    second: str
    still_there: User
    moved: User
    newcomers: list[User]

    def step(self) -> None:
        """One transaction more."""
        balances(self.hall)


@pytest.fixture
def moving(app: App, monkeypatch: pytest.MonkeyPatch) -> Moving:
    monkeypatch.setattr(sub_channels, "to_balance", lambda tx, now: None)  # the sweeper keeps out
    hall = Hall.of(app, sub_channels=2, target=8)
    members = hall.filled(9)
    first, second = hall.sizes()
    hall.leaves(*members[:2])
    monkeypatch.setattr(elastic_members, "MOVED_AT_ONCE", 1)
    story = Moving(hall, first, second, members[2], members[3], app.users("new", "newer"))
    story.step()
    assert hall.sizes() == {first: 1, second: 6}
    return story


def test_who_has_not_been_moved_yet_goes_on_in_the_old_one(moving: Moving) -> None:
    hall = moving.hall
    with moving.still_there.connects() as ear:
        moving.still_there.sends(hall.channel, "alone?", SubChannelId=moving.first)
        with refused("Forbidden"):
            moving.moved.sends(hall.channel, "no", SubChannelId=moving.first)
        assert ear.next().payload["Content"] == "alone?"
    assert (hall.place_of(moving.still_there), hall.place_of(moving.moved)) == (moving.first, moving.second)


def test_it_ends_when_all_have_been_moved_and_moderators_have_left(moving: Moving) -> None:
    hall = moving.hall
    hall.joins(hall.mod, moving.first)

    for _ in range(3):  # the last member, the moderator, the sub-channel
        moving.step()

    assert hall.sizes() == {moving.second: 7}
    assert hall.mod.list_channel_memberships_for_app_instance_user()["ChannelMemberships"] == []


def test_room_is_kept_for_those_who_are_still_to_come_and_nobody_new_goes_to_the_old_one(moving: Moving) -> None:
    assert moving.hall.joins(moving.newcomers[0]) == moving.second

    moving.step()
    moving.step()
    assert moving.hall.sizes() == {moving.second: 8}


def test_the_old_one_stays_when_it_is_needed_again(moving: Moving) -> None:
    hall = moving.hall
    hall.joins(moving.newcomers[0])

    assert hall.joins(moving.newcomers[1]) == moving.first  # or it would have been refused

    moving.step()
    assert hall.sizes() == {moving.first: 2, moving.second: 7}


def test_the_sweeper_finishes_what_another_process_began(moving: Moving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()

    moving.hall.settles()

    assert moving.hall.sizes() == {moving.second: 7}


def test_a_new_sub_channel_is_filled_in_several_transactions_while_others_join(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sub_channels, "to_balance", lambda tx, now: None)  # the sweeper keeps out
    monkeypatch.setattr(elastic_members, "MOVED_AT_ONCE", 1)
    hall = Hall.of(app, sub_channels=2, target=8)
    members = hall.filled(9)
    first, second = hall.sizes()
    assert hall.sizes() == {first: 7, second: 2}

    hall.joins(app.user("new"))
    hall.leaves(members[0])  # fewer than the minimum are in the new one, and the old one would have room for them
    for _ in range(3):
        balances(hall)
    assert hall.sizes() == {first: 4, second: 5}

    balances(hall)
    balances(hall)
    assert hall.sizes() == {first: 4, second: 5}


def test_the_sweeper_fills_it(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elastic_members, "MOVED_AT_ONCE", 1)
    hall = Hall.of(app, sub_channels=2, target=8)
    hall.filled(9)

    hall.server.settle()

    assert list(hall.sizes().values()) == [4, 5]
