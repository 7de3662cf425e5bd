"""The hub as values: entries in, who hears them out."""

from collections.abc import Iterable
from typing import Any

import pytest

from campana.delivery.hub import Follower, Hub
from campana.store.topics import Entry

LOBBY = "channel/lobby"
ANN, BOB = "user/ann", "user/bob"


def opened(hub: Hub, user: str, *topics: tuple[str, int]) -> Follower:
    follower = Follower(user)
    hub.open(follower, [(f"user/{user}", 1), *topics])
    return follower


def entry(number: int, topic: str = LOBBY, **steering: Any) -> Entry:
    return Entry(topic=topic, number=number, frame=f"{topic} {number}", **steering)


def read_nothing(hub: Hub) -> list[str]:
    """What the hub wants to read, in order of names."""
    return sorted(name for name, _ in hub.to_read(100)[0])


def users(followers: Iterable[Follower]) -> list[str]:
    return [follower.user for follower in followers]


def test_followers_hear_an_entry_once_and_in_order() -> None:
    hub = Hub()
    ann, bob = opened(hub, "ann", (LOBBY, 1)), opened(hub, "bob", (LOBBY, 1))

    assert hub.take(entry(1)) == [ann, bob]
    assert hub.take(entry(1)) == ()
    assert hub.take(entry(2)) == [ann, bob]


def test_nobody_hears_a_topic_that_nobody_follows() -> None:
    hub = Hub()

    assert hub.take(entry(1)) == ()
    assert not hub.waits()


def test_a_gap_is_read_and_not_skipped() -> None:
    hub = Hub()
    ann = opened(hub, "ann", (LOBBY, 1))
    read_nothing(hub)

    assert hub.take(entry(2)) == ()
    assert hub.to_read(10) == ([(LOBBY, 0)], [])
    assert [hub.take(entry(number)) for number in (1, 2)] == [[ann], [ann]]


def test_only_those_named_see_a_targeted_entry() -> None:
    hub = Hub()
    _, bob, cid = (opened(hub, user, (LOBBY, 1)) for user in ("ann", "bob", "cid"))
    opened(hub, "dan")  # named, but no follower

    assert hub.take(entry(1, only=("cid", "bob", "cid", "dan"))) == [cid, bob]


@pytest.mark.parametrize("last", [{"leaves": ("ann",)}, {"ends": True}])
def test_who_leaves_sees_that_entry_and_no_more(last: dict[str, Any]) -> None:
    hub = Hub()
    ann = opened(hub, "ann", (LOBBY, 1))

    assert hub.take(entry(1, **last)) == [ann]
    assert hub.take(entry(2)) == ()
    assert hub.cursor(LOBBY) is None  # not followed any more, so it costs nothing


def test_a_user_who_joins_hears_the_entry_that_says_so() -> None:
    hub = Hub()
    ann, bob = opened(hub, "ann", (LOBBY, 1)), opened(hub, "bob")
    hub.take(entry(1))

    hub.take(entry(1, BOB, follow=LOBBY, follow_from=2))

    assert hub.take(entry(2, joins=("bob",))) == [ann, bob]


def test_a_follow_ahead_of_the_cursor_waits_for_its_number() -> None:
    hub = Hub()
    ann, bob = opened(hub, "ann", (LOBBY, 1)), opened(hub, "bob")
    hub.take(entry(1, BOB, follow=LOBBY, follow_from=3))

    assert [users(hub.take(entry(number))) for number in (1, 2, 3)] == [["ann"], ["ann"], ["ann", "bob"]]
    assert hub.take(entry(4)) == [ann, bob]


def test_a_follow_behind_the_cursor_catches_up_alone() -> None:
    hub = Hub()
    ann, bob = opened(hub, "ann", (LOBBY, 1)), opened(hub, "bob")
    missed = [entry(number) for number in (1, 2, 3)]
    for each in missed:
        hub.take(each)
    hub.take(entry(1, BOB, follow=LOBBY, follow_from=2))
    (catch_up,) = hub.to_read(10)[1]

    assert hub.take(entry(4)) == [ann]  # the others do not wait
    assert hub.take_missed(catch_up, missed[1:]) == missed[1:]
    (catch_up,) = hub.to_read(10)[1]
    assert hub.take_missed(catch_up, [entry(4)]) == [entry(4)]
    assert hub.take(entry(5)) == [ann, bob]
    assert hub.to_read(10)[1] == []


def test_catching_up_ends_where_the_user_left() -> None:
    hub = Hub()
    ann, bob = opened(hub, "ann", (LOBBY, 1)), opened(hub, "bob")
    journal = [entry(1), entry(2, leaves=("bob",)), entry(3), entry(4, joins=("bob",)), entry(5)]
    for each in journal:
        hub.take(each)
    hub.take(entry(1, BOB, follow=LOBBY, follow_from=1))
    hub.take(entry(2, BOB, follow=LOBBY, follow_from=4))

    (first,) = hub.to_read(10)[1]
    assert hub.take_missed(first, journal) == journal[:2]
    (second,) = hub.to_read(10)[1]
    assert hub.take_missed(second, journal[3:]) == journal[3:]
    assert hub.take(entry(6)) == [ann, bob]


def test_a_return_announced_while_catching_up_waits_for_it() -> None:
    hub = Hub()
    opened(hub, "ann", (LOBBY, 1))
    bob = opened(hub, "bob")
    hub.take(entry(1))
    hub.take(entry(1, BOB, follow=LOBBY, follow_from=1))
    hub.take(entry(2, BOB, follow=LOBBY, follow_from=3))
    (catch_up,) = hub.to_read(10)[1]

    assert users(hub.take(entry(2, leaves=("bob",)))) == ["ann"]
    assert users(hub.take(entry(3, joins=("bob",)))) == ["ann"]  # or bob would hear it before 1 and 2
    assert len(hub.take_missed(catch_up, [entry(1), entry(2, leaves=("bob",))])) == 2
    (catch_up,) = hub.to_read(10)[1]
    assert catch_up.next == 3
    hub.take_missed(catch_up, [entry(3)])
    assert bob in hub.take(entry(4))


def test_a_user_who_is_gone_is_closed_and_hears_the_last_entry() -> None:
    hub = Hub()
    ann = opened(hub, "ann")

    assert hub.take(entry(1, ANN, close=4003)) == [ann]
    assert hub.to_close() == [(ann, 4003)]
    assert hub.to_close() == []


def test_a_topic_just_followed_is_looked_at_since_entries_may_have_passed() -> None:
    hub = Hub()
    opened(hub, "ann", (LOBBY, 8))

    assert hub.to_read(10) == ([(ANN, 0), (LOBBY, 7)], [])
    assert not hub.waits()


def test_closing_frees_everything() -> None:
    hub = Hub()
    ann, bob = opened(hub, "ann", (LOBBY, 1)), opened(hub, "bob", (LOBBY, 1))

    for follower in (ann, bob, ann):
        hub.close(follower)

    assert hub.cursor(LOBBY) is None
    assert not hub.waits()
    assert vars(hub) == vars(Hub())


def test_what_the_journal_lost_names_those_who_miss_it() -> None:
    hub = Hub()
    ann, bob = opened(hub, "ann", (LOBBY, 1)), opened(hub, "bob", (LOBBY, 5))

    assert hub.lost(LOBBY) == [ann, bob]
    hub.close(ann)
    hub.close(bob)
    assert hub.cursor(LOBBY) is None


@pytest.mark.parametrize("number", [1, 2])
def test_following_what_one_follows_already_changes_nothing(number: int) -> None:
    hub = Hub()
    ann = opened(hub, "ann", (LOBBY, 1))
    hub.take(entry(1))

    hub.take(entry(1, ANN, follow=LOBBY, follow_from=number))

    assert hub.to_read(10)[1] == []
    assert hub.take(entry(2)) == [ann]
