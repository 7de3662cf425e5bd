"""The journal: contiguous numbers for each topic, and what travels with an entry."""

import asyncio

import msgspec
import pytest

from campana.errors import BadRequest
from campana.store import channels, memberships, topics
from campana.store.channels import Channel
from campana.store.database import Database, Tx
from campana.store.memberships import Membership
from campana.store.topics import Entry

NOW = 1_800_000_000_000
LOBBY, GARDEN = topics.of_channel("lobby"), topics.of_channel("garden")
ANN, BOB = topics.of_user("ann"), topics.of_user("bob")


def append(db: Database, *entries: Entry, now: int = NOW) -> None:
    db.write_now(lambda tx: topics.append(tx, entries, now))


def journal(db: Database, topic: str, after: int = 0, limit: int = 1000) -> list[Entry]:
    return db.read_now(lambda tx: topics.after(tx, topic, after, limit))


def numbers(entries: list[Entry]) -> list[int]:
    return [entry.number for entry in entries]


def has_member(tx: Tx, channel_arn: str, member_arn: str, sub_channel_id: str = "") -> None:
    channels.insert(tx, Channel(channel_arn, "app", "n", "RESTRICTED", "PUBLIC", None, "ann", NOW, NOW, None, None))
    memberships.insert(tx, Membership(channel_arn, member_arn, sub_channel_id, "DEFAULT", "ann", NOW, NOW, None))


def test_entries_are_numbered_for_each_topic_from_one(db: Database) -> None:
    append(db, Entry(topic=LOBBY, frame="a"), Entry(topic=GARDEN, frame="b"), Entry(topic=LOBBY, frame="c"))
    append(db, Entry(topic=LOBBY, frame="d"))

    assert [(entry.number, entry.frame) for entry in journal(db, LOBBY)] == [(1, "a"), (2, "c"), (3, "d")]
    assert [(entry.number, entry.frame) for entry in journal(db, GARDEN)] == [(1, "b")]


def test_an_entry_comes_back_as_it_was_announced(db: Database) -> None:
    heard: list[object] = []
    db.listen(heard.extend)

    append(
        db,
        Entry(topic=LOBBY, frame="ünï😀", only=("ann",), joins=("bob",), leaves=("eve",), ends=True),
        Entry(topic=LOBBY, only=()),
        Entry(topic=LOBBY, frame="plain"),
        Entry(topic=BOB, follow=LOBBY, close=4003),
    )

    assert heard == [*journal(db, BOB), *journal(db, LOBBY)] or heard == [*journal(db, LOBBY), *journal(db, BOB)]
    assert journal(db, LOBBY)[1].only == ()  # nobody, which is not everybody


def test_concurrent_writers_leave_no_gap_and_refused_ones_take_no_number(db: Database) -> None:
    heard: list[object] = []
    db.listen(heard.extend)

    def refused(tx: Tx) -> None:
        topics.append(tx, [Entry(topic=LOBBY), Entry(topic=GARDEN)], NOW)
        raise BadRequest("no")

    async def story() -> None:
        calls = [
            db.write(refused) if n % 5 == 0 else db.write(topics.append, [Entry(topic=(LOBBY, GARDEN)[n % 2])] * 2, NOW)
            for n in range(200)
        ]
        await asyncio.gather(*calls, return_exceptions=True)

    asyncio.run(story())
    for topic in (LOBBY, GARDEN):
        assert numbers(journal(db, topic)) == list(range(1, 161))
        announced = [entry for entry in heard if isinstance(entry, Entry) and entry.topic == topic]
        if not db.exclusive:  # transactions that ran side by side may be told of in another order
            announced.sort(key=lambda entry: entry.number)
        assert announced == journal(db, topic)


def test_who_joins_follows_from_the_very_entry_that_says_so(db: Database) -> None:
    append(db, Entry(topic=LOBBY), Entry(topic=LOBBY))

    append(
        db,
        Entry(topic=ANN, follow=LOBBY),  # named first: the order in which they are handed over does not matter
        Entry(topic=BOB, follow=LOBBY),
        Entry(topic=LOBBY, joins=("bob",)),
        Entry(topic=LOBBY),
        Entry(topic=LOBBY, joins=("ann",)),
    )

    assert [entry.joins for entry in journal(db, LOBBY, after=2)] == [("bob",), (), ("ann",)]
    assert [(entry.follow, entry.follow_from) for entry in journal(db, BOB)] == [(LOBBY, 3)]
    assert [(entry.follow, entry.follow_from) for entry in journal(db, ANN)] == [(LOBBY, 5)]


def test_nobody_is_made_to_follow_without_having_joined(db: Database) -> None:
    with pytest.raises(KeyError):
        append(db, Entry(topic=ANN, follow=LOBBY), Entry(topic=LOBBY, joins=("bob",)))

    assert journal(db, LOBBY) == []


def test_what_follows_a_number_is_read_in_order_and_in_parts(db: Database) -> None:
    append(db, *[Entry(topic=LOBBY)] * 12)

    assert numbers(journal(db, LOBBY, after=9)) == [10, 11, 12]
    assert numbers(journal(db, LOBBY, after=2, limit=3)) == [3, 4, 5]
    assert journal(db, LOBBY, after=12) == []
    assert journal(db, "channel/unknown") == []


def test_heads_of_many_topics(db: Database) -> None:
    many = [topics.of_channel(f"{n}") for n in range(1100)]
    append(db, *(Entry(topic=each) for each in many), Entry(topic=many[7]))

    heads = db.read_now(lambda tx: topics.heads(tx, [*many, "channel/silent"]))
    assert heads == dict.fromkeys(many, 1) | {many[7]: 2}
    assert db.read_now(lambda tx: topics.head(tx, many[7])) == 2
    assert db.read_now(lambda tx: topics.head(tx, "channel/silent")) == 0


def test_a_user_follows_the_own_topic_and_those_of_the_own_channels(db: Database) -> None:
    def story(tx: Tx) -> None:
        has_member(tx, "lobby", "ann")
        has_member(tx, "garden", "bob")
        has_member(tx, "arena", "ann", sub_channel_id="s1")
        has_member(tx, "deleted", "ann")
        channels.delete(tx, "deleted")
        arena = topics.of_channel("arena", "s1")
        everywhere = [LOBBY, LOBBY, GARDEN, arena, topics.of_channel("arena"), topics.of_channel("deleted"), ANN]
        topics.append(tx, [Entry(topic=each) for each in everywhere], NOW)

    db.write_now(story)

    own, *others = db.read_now(lambda tx: topics.following(tx, "ann"))
    assert own == (ANN, 1)
    assert sorted(others) == [("channel/arena", 1), ("channel/arena/s1", 1), ("channel/lobby", 2)]
    assert db.read_now(lambda tx: topics.following(tx, "stranger")) == [("user/stranger", 0)]


def test_old_entries_are_forgotten_in_batches_and_numbers_go_on(db: Database) -> None:
    append(db, *[Entry(topic=LOBBY)] * 5, now=NOW)
    append(db, Entry(topic=GARDEN), now=NOW + 1)

    forgotten = [db.write_now(lambda tx: topics.forget(tx, NOW + 1, limit=3)) for _ in range(3)]
    append(db, Entry(topic=LOBBY), now=NOW + 2)

    assert forgotten == [3, 2, 0]
    assert numbers(journal(db, LOBBY)) == [6]
    assert numbers(journal(db, GARDEN)) == [1]


def test_an_entry_without_steering_costs_no_json(db: Database) -> None:
    append(db, Entry(topic=LOBBY, frame="f"), Entry(topic=LOBBY, ends=True))

    steering = db.read_now(
        lambda tx: [tx.scalar("SELECT steering FROM journal WHERE number = :n", n=n) for n in (1, 2)]
    )
    assert steering[0] is None
    assert msgspec.json.decode(steering[1]) == {"ends": True}
