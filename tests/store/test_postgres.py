"""PostgreSQL: what several connections, lost ones and other versions beside this one make of a call."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests import stores

from campana.errors import BadRequest, Conflict, ServiceUnavailable
from campana.store import app_instances, migrate, postgres_connection, secrets, topics
from campana.store.app_instances import AppInstance
from campana.store.database import CannotOpen, Question, Row, Tx
from campana.store.postgres import PostgresDatabase
from campana.store.postgres_tx import PostgresTx
from campana.store.topics import Entry

pytestmark = pytest.mark.postgres
NOW = 1_800_000_000_000


@pytest.fixture
def pg(db: PostgresDatabase) -> PostgresDatabase:
    db.write_now(lambda tx: tx.run("CREATE TABLE counted (name TEXT PRIMARY KEY, number BIGINT NOT NULL)"))
    return db


@pytest.fixture
def other(pg: PostgresDatabase, tmp_path: Path) -> Iterator[PostgresDatabase]:
    """Another node's connections to the same database."""
    opened = stores.opened(tmp_path)
    assert isinstance(opened, PostgresDatabase)
    yield opened
    opened.close_now()


def count(tx: Tx, name: str = "calls") -> int:
    found: int = tx.scalar(
        "INSERT INTO counted (name, number) VALUES (:name, 1)"
        " ON CONFLICT (name) DO UPDATE SET number = counted.number + 1 RETURNING number",
        name=name,
    )
    tx.announce(f"{name} {found}")
    return found


def counted(tx: Tx, name: str = "calls") -> int:
    return tx.scalar("SELECT number FROM counted WHERE name = :name", name=name) or 0


def others(tx: Tx) -> list[int]:
    """The server's processes for all other connections to this database."""

    class Backend(Row, frozen=True):
        pid: int

    rows = tx.all(
        Backend,
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND backend_type = 'client backend'",
    )
    return [row.pid for row in rows]


def end(tx: Tx, pids: list[int]) -> None:
    for pid in pids:
        tx.scalar("SELECT pg_terminate_backend(:pid::int, 5000)", pid=pid)


def test_connections_that_were_lost_are_not_noticed(pg: PostgresDatabase, other: PostgresDatabase) -> None:
    async def busy() -> list[int]:
        return sorted(await asyncio.gather(*(pg.write(count) for _ in range(20))))

    assert asyncio.run(busy()) == [*range(1, 21)]
    other.write_now(lambda tx: end(tx, others(tx)))

    assert asyncio.run(busy()) == [*range(21, 41)]
    assert pg.read_now(counted) == 40


def test_a_database_that_is_away_is_a_503_and_back_when_it_is(
    pg: PostgresDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[object] = []
    pg.listen(heard.extend)
    monkeypatch.setattr(pg._pool, "timeout", 0.3)
    pg.write_now(count)

    with stores.closed(tmp_path):
        for _ in range(3):
            with pytest.raises(ServiceUnavailable):
                pg.write_now(count)
            with pytest.raises(ServiceUnavailable):
                pg.read_now(counted)
            with pytest.raises(ServiceUnavailable):
                asyncio.run(pg.peek(counted))

    monkeypatch.setattr(pg._pool, "timeout", 20.0)
    assert pg.write_now(count) == 2
    assert heard == ["calls 1", "calls 2"]


def test_a_call_whose_commit_may_have_been_is_not_made_again(
    pg: PostgresDatabase, other: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish: Callable[[PostgresTx], None] = PostgresTx.finish
    runs = []

    def lost(tx: PostgresTx) -> None:
        if tx in runs:  # not of another server in this process
            other.write_now(lambda beside: end(beside, [tx._connection.info.backend_pid]))
        finish(tx)

    def call(tx: Any) -> int:
        runs.append(tx)
        return count(tx)

    monkeypatch.setattr(PostgresTx, "finish", lost)
    with pytest.raises(ServiceUnavailable):
        pg.write_now(call)

    assert len(runs) == 1
    assert pg.read_now(counted) == 0


def test_a_database_that_keeps_silent_is_a_503_and_its_connections_are_given_up(
    pg: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that is frozen, or a proxy before it: the connection stays, and there is never an answer."""
    runs = []

    def ask(tx: Tx) -> None:
        runs.append(count(tx))
        tx.scalar("SELECT 1 FROM pg_sleep(30)")

    async def all_at_once() -> list[object]:
        return await asyncio.gather(*(pg.write(ask) for _ in range(4)), return_exceptions=True)

    asyncio.run(pg.write(count, "others"))
    monkeypatch.setattr(postgres_connection, "SILENCE_MAX_S", 0.5)

    answers = asyncio.run(all_at_once())

    assert [type(each) for each in answers] == [ServiceUnavailable] * 4
    assert len(runs) <= 4  # nobody waits for it a second time
    assert pg.write_now(lambda tx: count(tx, "others")) == 2
    assert pg.read_now(counted) == 0


def test_a_migration_may_take_its_time(pg: PostgresDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_connection, "SILENCE_MAX_S", 0.1)

    assert pg.write_now(lambda tx: tx.scalar("SELECT 1 FROM pg_sleep(0.5)")) == 1
    with pytest.raises(ServiceUnavailable):  # the next one on this connection may not
        pg.read_now(lambda tx: tx.scalar("SELECT 1 FROM pg_sleep(0.5)"))


def test_calls_that_wait_for_one_another_are_run_again(pg: PostgresDatabase) -> None:
    heard: list[object] = []
    pg.listen(heard.extend)
    both_have_one = threading.Barrier(2)
    runs = {"a": 0, "b": 0}

    def call(tx: Tx, first: str, second: str) -> None:
        runs[first] += 1
        tx.lock(first)
        if runs[first] == 1:
            both_have_one.wait()
        tx.lock(second)
        count(tx)

    async def both() -> None:
        await asyncio.gather(pg.write(call, "a", "b"), pg.write(call, "b", "a"))

    asyncio.run(both())
    assert pg.read_now(counted) == 2
    assert sum(runs.values()) == 3
    assert sorted(map(str, heard)) == ["calls 1", "calls 2"]  # of one transaction each, once


def test_a_refused_call_leaves_and_announces_nothing(pg: PostgresDatabase) -> None:
    heard: list[object] = []
    pg.listen(heard.extend)

    def refused(tx: Tx) -> None:
        tx.lock("a")
        count(tx)
        raise BadRequest("no")

    with pytest.raises(BadRequest):
        pg.write_now(refused)
    assert pg.read_now(counted) == 0
    assert heard == []
    assert pg.write_now(lambda tx: tx.try_lock("a"))


def test_a_lock_is_had_by_one_until_the_end_of_its_transaction(pg: PostgresDatabase, other: PostgresDatabase) -> None:
    def tried(tx: Tx) -> list[bool]:
        tx.lock("a", "b", "a")
        tx.lock("b")
        return other.write_now(lambda theirs: [theirs.try_lock(each) for each in ("a", "b", "c")])

    assert pg.write_now(tried) == [False, False, True]
    assert other.write_now(lambda tx: tx.try_lock("a"))


def test_calls_that_wait_for_one_thing_leave_room_for_all_others(pg: PostgresDatabase, other: PostgresDatabase) -> None:
    held, release = threading.Event(), threading.Event()

    def hold(tx: Tx) -> None:
        tx.lock("busy")
        held.set()
        release.wait()

    def busy(tx: Tx) -> int:
        tx.lock("busy")
        return count(tx)

    async def story() -> list[int]:
        holding = asyncio.create_task(asyncio.to_thread(other.write_now, hold))
        await asyncio.to_thread(held.wait)
        waiting = [asyncio.create_task(pg.write_in_turn("busy", busy)) for _ in range(40)]
        try:
            assert await pg.write_in_turn("idle", count, "idle") == 1
            assert not any(each.done() for each in waiting)
        finally:
            release.set()
        await holding
        return sorted(await asyncio.gather(*waiting))

    assert asyncio.run(story()) == [*range(1, 41)]


def together(pg: PostgresDatabase, other: PostgresDatabase, *works: Callable[[Tx], Any]) -> list[Any]:
    """Results and errors of calls that have waited together for a thing that another node had."""
    held, release = threading.Event(), threading.Event()

    def hold(tx: Tx) -> None:
        tx.lock("busy")
        held.set()
        release.wait()

    async def story() -> list[Any]:
        holding = asyncio.create_task(asyncio.to_thread(other.write_now, hold))
        await asyncio.to_thread(held.wait)
        first = asyncio.create_task(pg.write_together("busy", None, lambda tx: tx.lock("busy")))
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # it is under way, alone
        waiting = [asyncio.create_task(pg.write_together("busy", None, work)) for work in works]
        await asyncio.sleep(0)
        release.set()
        await asyncio.gather(first, holding)
        return await asyncio.gather(*waiting, return_exceptions=True)

    return asyncio.run(story())


def in_turn(tx: Tx) -> tuple[int, int]:
    """A call; the transaction it was in."""
    tx.lock("busy")
    return count(tx), int(tx.scalar("SELECT txid_current()"))


def test_calls_that_have_waited_for_one_thing_share_a_transaction(
    pg: PostgresDatabase, other: PostgresDatabase
) -> None:
    def refused(tx: Tx) -> None:
        tx.lock("busy")
        counted(tx)
        tx.announce("never")
        raise BadRequest("no")

    heard: list[object] = []
    pg.listen(heard.extend)

    one, no, two = together(pg, other, in_turn, refused, in_turn)

    assert (one[0], two[0]) == (1, 2)
    assert one[1] == two[1]
    assert isinstance(no, BadRequest)
    assert heard == ["calls 1", "calls 2"]


def test_calls_that_share_a_transaction_number_their_entries_one_after_the_other(
    pg: PostgresDatabase, other: PostgresDatabase
) -> None:
    def append(tx: Tx) -> None:
        tx.lock("busy")
        topics.append(tx, [Entry(topic="channel/a", frame="1"), Entry(topic="channel/a", frame="2")], NOW)

    together(pg, other, append, append, append)
    pg.write_now(append)

    kept = pg.read_now(lambda tx: topics.after(tx, "channel/a", 0, 100))
    assert [(entry.number, entry.frame) for entry in kept] == [(number, "21"[number % 2]) for number in range(1, 9)]
    assert pg.read_now(lambda tx: topics.head(tx, "channel/a")) == 8


def test_a_call_that_is_refused_after_it_wrote_undoes_only_itself(
    pg: PostgresDatabase, other: PostgresDatabase
) -> None:
    def refused(tx: Tx) -> None:
        in_turn(tx)
        raise BadRequest("no")

    def wrong(tx: Tx) -> None:
        in_turn(tx)
        tx.run("UPDATE counted SET number = 'no number'")

    heard: list[object] = []
    pg.listen(heard.extend)

    outcomes = together(pg, other, in_turn, refused, in_turn, wrong, in_turn)

    assert [outcomes[at][0] for at in (0, 2, 4)] == [1, 2, 3]
    assert isinstance(outcomes[1], BadRequest)
    assert isinstance(outcomes[3], psycopg.Error)
    assert heard == ["calls 1", "calls 2", "calls 3"]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_conditional_change_that_concerns_nothing_refuses_its_own_call_only(
    pg: PostgresDatabase, other: PostgresDatabase, place: int
) -> None:
    def late(tx: Tx) -> None:
        tx.lock("busy")
        tx.announce("never")
        tx.put_if(Conflict("late"), "UPDATE counted SET number = 7 WHERE name = :name", name="nobody")

    heard: list[object] = []
    pg.listen(heard.extend)
    calls: list[Callable[[Tx], Any]] = [in_turn, in_turn]
    calls.insert(place, late)

    outcomes = together(pg, other, *calls)

    assert isinstance(outcomes.pop(place), Conflict)
    assert [number for number, _ in outcomes] == [1, 2]
    assert heard == ["calls 1", "calls 2"]
    with pytest.raises(Conflict, match="late"):
        pg.write_now(late)
    pg.write_now(lambda tx: tx.put_if(Conflict("late"), "UPDATE counted SET number = :n", n=7))
    assert pg.read_now(counted) == 7


def test_of_calls_together_whose_commit_may_have_been_none_is_made_again(
    pg: PostgresDatabase, other: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[Any] = []
    finish: Callable[[PostgresTx], None] = PostgresTx.finish

    def lost(tx: PostgresTx) -> None:
        if len(runs) == 2 and tx in runs:  # not of another server in this process
            other.write_now(lambda beside: end(beside, [tx._connection.info.backend_pid]))
        finish(tx)

    def call(tx: Any) -> None:
        in_turn(tx)
        runs.append(tx)

    monkeypatch.setattr(PostgresTx, "finish", lost)
    outcomes = together(pg, other, call, call)

    assert [type(each) for each in outcomes] == [ServiceUnavailable] * 2
    assert len(runs) == 2
    assert pg.read_now(counted) == 0


def test_one_of_several_whose_last_statement_is_wrong_fails_alone(
    pg: PostgresDatabase, other: PostgresDatabase
) -> None:
    def wrong(tx: Tx) -> None:
        tx.lock("busy")
        tx.put("INSERT INTO counted (name, number) VALUES (:name, :number)", name="wrong", number="no number")

    def right(tx: Tx) -> None:
        tx.lock("busy")
        tx.put("INSERT INTO counted (name, number) VALUES (:name, :number)", name="right", number=1)

    fine, no, fine_too = together(pg, other, in_turn, wrong, right)

    assert (fine[0], type(no), fine_too) == (1, psycopg.errors.InvalidTextRepresentation, None)
    assert pg.read_now(lambda tx: tx.answers([Question("SELECT name, number FROM counted ORDER BY name", {})])[0]) == [
        ("calls", 1),
        ("right", 1),
    ]


def test_what_was_put_has_the_same_effect_in_fewer_statements(pg: PostgresDatabase) -> None:
    def write(tx: Tx) -> None:
        for number in range(75):
            tx.put("INSERT INTO counted (name, number) VALUES (:name, :number)", name=f"{number:02}", number=number)
            tx.put_last("head", "UPDATE secrets SET value = :value WHERE name = 'head'", value=f"{number}")
        tx.put("INSERT INTO secrets (name, value) VALUES (:name, :value)", name="tail", value="1")
        tx.put("UPDATE secrets SET value = value || '2' WHERE name = 'tail'")

    pg.write_now(lambda tx: migrate.apply(tx, NOW))
    pg.write_now(lambda tx: secrets.get_or_make(tx, "head", "?"))
    pg.write_now(write)

    assert pg.read_now(lambda tx: tx.answers([Question("SELECT name, number FROM counted ORDER BY name", {})])[0]) == [
        (f"{number:02}", number) for number in range(75)
    ]
    assert pg.read_now(lambda tx: dict(tx.answers([Question("SELECT name, value FROM secrets", {})])[0])) == {
        "head": "74",
        "tail": "12",
    }


def test_a_read_looks_at_one_moment(pg: PostgresDatabase, other: PostgresDatabase) -> None:
    def twice(tx: Tx) -> tuple[int, int]:
        before = counted(tx)
        other.write_now(count)
        return before, counted(tx)

    assert pg.read_now(twice) == (0, 0)


def test_columns_that_a_newer_version_adds_do_no_harm(pg: PostgresDatabase, other: PostgresDatabase) -> None:
    instance = AppInstance("arn", "account", "name", None, NOW, NOW)
    pg.write_now(lambda tx: app_instances.insert(tx, instance))
    for _ in range(10):  # by now the statement is a prepared one
        assert pg.read_now(lambda tx: app_instances.find(tx, "arn")) == instance

    other.write_now(lambda tx: tx.run("ALTER TABLE app_instances ADD COLUMN later TEXT"))

    for _ in range(10):
        assert pg.read_now(lambda tx: app_instances.find(tx, "arn")) == instance
        pg.write_now(lambda tx: app_instances.update(tx, "arn", name="name", metadata=None, at=NOW))


def test_a_migration_that_waits_for_a_long_reader_does_not_hold_up_everybody_else(
    pg: PostgresDatabase, other: PostgresDatabase, tmp_path: Path
) -> None:
    reading, done = threading.Event(), threading.Event()

    def long(tx: Tx) -> None:
        app_instances.find(tx, "arn")
        reading.set()
        assert done.wait(60)

    with ThreadPoolExecutor(3) as threads:
        reader = threads.submit(pg.read_now, long)
        assert reading.wait(60)
        migration = threads.submit(
            other.write_now, lambda tx: tx.run("ALTER TABLE app_instances ADD COLUMN held_up TEXT")
        )
        while not stores.query(stores.url(tmp_path), "SELECT 1 FROM pg_locks WHERE NOT granted"):
            pass
        # Behind it in the queue for the table, and done before the reader is.
        assert pg.read_now(lambda tx: app_instances.find(tx, "arn")) is None
        assert not reader.done()
        done.set()
        reader.result()
        migration.result()


def test_of_nodes_that_start_together_one_migrates(tmp_path: Path) -> None:
    nodes = [stores.opened(tmp_path, connections_max=2) for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        applied = [*threads.map(lambda node: node.write_now(lambda tx: migrate.apply(tx, NOW)), nodes)]
    for node in nodes:
        node.close_now()

    assert sorted(map(len, applied)) == [0, 0, 0, len(migrate._files())]


def test_texts_are_in_the_order_of_their_bytes(pg: PostgresDatabase) -> None:
    names = ["_", "a", "B", "aB", "ab", "a-b", "a/b", "é", "z", "😀", "\uffff"]

    def made(tx: Tx) -> list[str]:
        class Name(Row, frozen=True):
            name: str

        for name in names:
            secrets.get_or_make(tx, name, "x")
        return [row.name for row in tx.all(Name, "SELECT name FROM secrets ORDER BY name")]

    assert pg.write_now(made) == sorted(names)


def test_a_database_that_is_not_there_is_said_to_be_so() -> None:
    with pytest.raises(CannotOpen, match=r"can't be opened"):
        PostgresDatabase("postgresql://nobody@127.0.0.1:1/nothing")
