"""Calls that share a transaction, and look up together what they need: each as if it were alone."""

import asyncio
from typing import Any

import pytest

from campana.clock import Ids
from campana.store import app_instances, channels, idempotency, identities, memberships, standing, topics
from campana.store.app_instances import AppInstance
from campana.store.channels import Channel
from campana.store.database import Ahead, Database, Question, Tx
from campana.store.idempotency import Kept
from campana.store.identities import Identity
from campana.store.memberships import Membership
from campana.store.standing import Standing, Wanted
from campana.store.topics import Entry

NOW = 1_800_000_000_000
APP = "arn:aws:chime:us-east-1:123456789012:app-instance/a"
CHANNEL, ANN, BOB = f"{APP}/channel/c", f"{APP}/user/ann", f"{APP}/user/bob"
TOKENS = [f"token-{number:02}" for number in range(40)]


@pytest.fixture
def hall(db: Database) -> Database:
    """A channel with Ann and Bob in it."""

    def fill(tx: Tx) -> None:
        app_instances.insert(tx, AppInstance(APP, "123456789012", "a", None, NOW, NOW))
        for arn in (ANN, BOB):
            identities.insert(tx, Identity(arn, APP, "user", arn[-3:], None, NOW, NOW, None))
        channels.insert(tx, Channel(CHANNEL, APP, "c", "UNRESTRICTED", "PUBLIC", None, ANN, NOW, NOW, None, None))
        for arn in (ANN, BOB):
            memberships.insert(tx, Membership(CHANNEL, arn, "", "DEFAULT", ANN, NOW, NOW, None))

    db.write_now(fill)
    return db


def ahead(bearer_arn: str, token: str = "") -> Ahead:
    return Ahead(standing.look_ahead, Wanted(bearer_arn, CHANNEL, token))


async def together(hall: Database, bearer_arn: str, work: Any, token: str = "") -> Any:
    return await hall.write_together(CHANNEL, ahead(bearer_arn, token), work)


def says(token: str) -> Any:
    """A call that answers what it found, and writes an entry to the channel's topic unless the token was used."""

    def call(tx: Tx) -> tuple[Standing, str]:
        tx.lock(CHANNEL)
        found = standing.find(tx, ANN, CHANNEL)
        if (kept := idempotency.find(tx, token, NOW)) is not None:
            return found, kept.response
        topics.append(tx, [Entry(topic=topics.of_channel(CHANNEL), frame=token)], NOW)
        assert idempotency.keep(tx, Kept(token, "", f"first {token}", NOW), NOW)
        return found, f"first {token}"

    return call


def test_each_of_many_gets_what_it_would_have_found_alone(hall: Database) -> None:
    async def story() -> list[Any]:
        alone = await hall.read(standing.find, ANN, CHANNEL)
        calls = [together(hall, ANN, says(token), token) for token in (*TOKENS, *TOKENS, *TOKENS[:5])]
        return [alone, *await asyncio.gather(*calls)]

    alone, *answers = asyncio.run(story())

    assert alone.bearer is not None
    assert alone.channel is not None
    assert alone.membership is not None
    assert answers == [(alone, f"first {token}") for token in (*TOKENS, *TOKENS, *TOKENS[:5])]
    entries = hall.read_now(lambda tx: topics.after(tx, topics.of_channel(CHANNEL), 0, 100))
    assert [(each.number, each.frame) for each in entries] == [*enumerate(TOKENS, 1)]
    assert hall.read_now(lambda tx: topics.head(tx, topics.of_channel(CHANNEL))) == len(TOKENS)


def test_one_that_is_not_there_is_none(hall: Database) -> None:
    async def story() -> list[Standing]:
        nobody, nowhere = f"{APP}/user/nobody", f"{APP}/channel/none"
        return list(
            await asyncio.gather(
                together(hall, nobody, lambda tx: standing.find(tx, nobody, CHANNEL)),
                hall.write_together(
                    nowhere,
                    Ahead(standing.look_ahead, Wanted(ANN, nowhere, "")),
                    lambda tx: standing.find(tx, ANN, nowhere),
                ),
            )
        )

    unknown, nowhere = asyncio.run(story())

    assert (unknown.bearer, unknown.membership) == (None, None)
    assert unknown.channel is not None
    assert (nowhere.channel, nowhere.membership) == (None, None)
    assert nowhere.bearer is not None


def test_who_was_put_out_between_two_of_them_is_out(hall: Database) -> None:
    def whether_in(tx: Tx) -> bool:
        return standing.find(tx, BOB, CHANNEL).membership is not None

    def put_out(tx: Tx) -> None:
        tx.lock(CHANNEL)
        memberships.delete(tx, CHANNEL, BOB, "")

    async def story() -> list[Any]:
        return await asyncio.gather(
            together(hall, BOB, whether_in),
            together(hall, BOB, whether_in),
            hall.write_in_turn(CHANNEL, put_out),
            hall.write_in_turn(CHANNEL, whether_in),
            together(hall, BOB, whether_in),
        )

    assert asyncio.run(story()) == [True, True, None, False, False]


def test_the_newest_message_is_noted_whichever_of_them_came_last(hall: Database) -> None:
    ids = Ids(1)
    older, newer = ids.message(NOW), ids.message(NOW + 5)

    async def story() -> None:
        for first, second in ((newer, older), (older, newer)):
            await asyncio.gather(
                together(
                    hall, ANN, lambda tx, id=first: channels.has_new_message(tx, CHANNEL, id, NOW + 5, not_behind=NOW)
                ),
                together(
                    hall, ANN, lambda tx, id=second: channels.has_new_message(tx, CHANNEL, id, NOW, not_behind=NOW + 9)
                ),
            )

    asyncio.run(story())

    found = hall.read_now(lambda tx: channels.find(tx, CHANNEL))
    assert found is not None
    assert (found.last_message_id, found.last_message_at, found.last_untargeted_at) == (newer, NOW + 5, NOW + 5)


def test_one_whose_rows_collide_fails_alone(hall: Database) -> None:
    def write(name: str) -> Any:
        def call(tx: Tx) -> str:
            tx.put("INSERT INTO secrets (name, value) VALUES (:name, :value)", name=name, value="1")
            return name

        return call

    async def story() -> list[Any]:
        await together(hall, ANN, write("there"))
        calls = [together(hall, ANN, write(name)) for name in ("a", "there", "b")]
        return await asyncio.gather(*calls, return_exceptions=True)

    first, failed, second = asyncio.run(story())

    assert (first, second) == ("a", "b")
    assert isinstance(failed, Exception)
    names = hall.read_now(
        lambda tx: tx.answers([Question("SELECT name FROM secrets WHERE value = '1' ORDER BY name", {})])[0]
    )
    assert names == [("a",), ("b",), ("there",)]


def test_who_looks_after_one_that_collides_suffers_nothing_and_hides_nothing(hall: Database) -> None:
    def write(tx: Tx) -> str:
        tx.put("INSERT INTO secrets (name, value) VALUES ('there', '1')")
        return "written"

    def look(tx: Tx) -> int:
        return int(tx.scalar("SELECT COUNT(*) FROM secrets WHERE name = 'there'"))

    async def story() -> list[Any]:
        await together(hall, ANN, write)
        calls = [together(hall, ANN, each) for each in (look, write, look)]
        return await asyncio.gather(*calls, return_exceptions=True)

    before, failed, after = asyncio.run(story())

    assert (before, after) == (1, 1)
    assert isinstance(failed, Exception)
