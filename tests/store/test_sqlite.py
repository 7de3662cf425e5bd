"""Batches of calls on a real SQLite file: what is kept, what is undone, who is told, and when."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from campana.errors import BadRequest, Conflict, ServiceUnavailable
from campana.store import migrate, sqlite
from campana.store.database import Row, Tx
from campana.store.sqlite import CannotOpen, SqliteDatabase

pytestmark = pytest.mark.sqlite
Story = Callable[[SqliteDatabase], Coroutine[Any, Any, None]]


class Number(Row, frozen=True):
    number: int


def told(folder: Path, story: Story) -> None:
    """The story, with a database that has a table of numbers."""
    db = SqliteDatabase(folder / "test.db")
    db.write_now(lambda tx: tx.run("CREATE TABLE IF NOT EXISTS numbers (number BIGINT PRIMARY KEY)"))

    async def whole() -> None:
        await story(db)
        await db.close()

    asyncio.run(whole())


def add(tx: Tx, number: int) -> int:
    tx.run("INSERT INTO numbers (number) VALUES (:number)", number=number)
    tx.announce(number)
    return number


def add_and_refuse(tx: Tx, number: int) -> None:
    add(tx, number)
    raise BadRequest("no")


def count(tx: Tx) -> int:
    return int(tx.scalar("SELECT COUNT(*) FROM numbers"))


def test_a_refused_call_undoes_only_itself(tmp_path: Path) -> None:
    async def story(db: SqliteDatabase) -> None:
        calls = [db.write(add_and_refuse if number % 3 == 0 else add, number) for number in range(200)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)

        assert [isinstance(each, BadRequest) for each in outcomes] == [number % 3 == 0 for number in range(200)]
        assert await db.read(count) == 133

    told(tmp_path, story)


def test_only_a_batch_with_a_call_that_was_refused_after_it_wrote_is_run_again(tmp_path: Path) -> None:
    runs: list[int] = []

    def call(tx: Tx, number: int, *, writes: bool, refuses: bool) -> int:
        runs.append(number)
        if writes:
            add(tx, number)
        if refuses:
            raise Conflict("no")
        return number

    async def story(db: SqliteDatabase) -> None:
        early = [db.write(call, number, writes=number % 2 == 0, refuses=number % 2 == 1) for number in range(10)]
        outcomes = await asyncio.gather(*early, return_exceptions=True)
        assert [isinstance(each, Conflict) for each in outcomes] == [False, True] * 5
        assert runs == [*range(10)]

        runs.clear()
        late = [db.write(call, number, writes=True, refuses=number == 12) for number in range(10, 15)]
        outcomes = await asyncio.gather(*late, return_exceptions=True)
        assert [isinstance(each, Conflict) for each in outcomes] == [False, False, True, False, False]
        assert runs == [10, 11, 12, 10, 11, 12, 13, 14]
        assert await db.read(count) == 5 + 4

    told(tmp_path, story)


def test_a_conditional_change_that_concerns_nothing_refuses_its_own_call_only(tmp_path: Path) -> None:
    def move(tx: Tx, number: int) -> None:
        add(tx, 100 + number)
        tx.put_if(Conflict("late"), "UPDATE numbers SET number = 7 WHERE number = :number", number=number)

    async def story(db: SqliteDatabase) -> None:
        await db.write(add, 1)
        calls = [db.write(add, 2), db.write(move, 1), db.write(move, 3), db.write(add, 4)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)

        assert [isinstance(each, Conflict) for each in outcomes] == [False, False, True, False]
        numbers = await db.read(lambda tx: tx.all(Number, "SELECT number FROM numbers ORDER BY number"))
        assert [each.number for each in numbers] == [2, 4, 7, 101]

    told(tmp_path, story)


def test_listeners_hear_what_is_committed_in_its_order_before_the_callers_do(tmp_path: Path) -> None:
    heard: list[object] = []

    async def call(db: SqliteDatabase, number: int) -> None:
        await db.write(add, number)
        assert number in heard

    async def story(db: SqliteDatabase) -> None:
        db.listen(heard.extend)
        refused = db.write(add_and_refuse, -1)
        await asyncio.gather(refused, *(call(db, number) for number in range(300)), return_exceptions=True)
        assert heard == list(range(300))

    told(tmp_path, story)


def test_a_listener_that_fails_keeps_nobody_from_the_answer(tmp_path: Path) -> None:
    def fail(notices: object) -> None:
        raise RuntimeError("a fault of its own")

    async def story(db: SqliteDatabase) -> None:
        db.listen(fail)
        assert await db.write(add, 1) == 1
        assert await db.write(add, 2) == 2

    told(tmp_path, story)


def test_a_caller_who_gives_up_waiting_changes_nothing_for_the_others(tmp_path: Path) -> None:
    async def story(db: SqliteDatabase) -> None:
        leaving = asyncio.ensure_future(db.write(add, 1))
        staying = asyncio.ensure_future(db.write(add, 2))
        await asyncio.sleep(0)
        leaving.cancel()

        assert await staying == 2
        assert await db.peek(count) == 2

    told(tmp_path, story)


def test_reading_transactions_cannot_write(tmp_path: Path) -> None:
    async def story(db: SqliteDatabase) -> None:
        for look in (db.read, db.peek):
            with pytest.raises(ServiceUnavailable):
                await look(add, 1)
        assert await db.read(count) == 0

    told(tmp_path, story)


def test_a_full_disk_refuses_the_batch_keeps_what_was_answered_and_passes(tmp_path: Path) -> None:
    def fill(tx: Tx) -> None:
        tx.run("INSERT INTO texts (text) VALUES (:text)", text="x" * 1_000_000)

    async def story(db: SqliteDatabase) -> None:
        await db.write(lambda tx: tx.run("CREATE TABLE texts (text TEXT)"))
        await db.write(add, 1)
        pages = db._writing.execute("PRAGMA page_count").fetchone()[0]
        db._writing.execute(f"PRAGMA max_page_count = {pages + 10}")

        with pytest.raises(ServiceUnavailable):
            await db.write(fill)
        assert await db.read(count) == 1

        db._writing.execute(f"PRAGMA max_page_count = {pages + 10_000}")
        await db.write(fill)
        assert await db.write(add, 2) == 2

    told(tmp_path, story)


def test_closing_finishes_what_waits(tmp_path: Path) -> None:
    async def story(db: SqliteDatabase) -> None:
        waiting = [asyncio.ensure_future(db.write(add, number)) for number in range(500)]
        await asyncio.sleep(0)
        await db.close()

        assert await asyncio.gather(*waiting) == list(range(500))
        with pytest.raises(ServiceUnavailable):
            await db.write(add, 1000)

    told(tmp_path, story)


WRITER = """
import asyncio, sys
from pathlib import Path
from campana.store.sqlite import SqliteDatabase

async def main():
    db = SqliteDatabase(Path(sys.argv[1]))
    await db.write(lambda tx: tx.run("CREATE TABLE numbers (number BIGINT PRIMARY KEY)"))

    async def write(number):
        while True:
            await db.write(lambda tx: tx.run("INSERT INTO numbers VALUES (:number)", number=number))
            print(number, flush=True)
            number += 8

    await asyncio.gather(*(write(number) for number in range(8)))

asyncio.run(main())
"""


def test_what_was_answered_is_there_after_a_kill(tmp_path: Path) -> None:
    file = tmp_path / "test.db"
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(file)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    answered = [int(writer.stdout.readline()) for _ in range(400)]
    os.kill(writer.pid, signal.SIGKILL)
    answered += [int(line) for line in writer.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
    writer.stdout.close()
    writer.wait()

    with sqlite3.connect(file) as found:
        kept = {number for (number,) in found.execute("SELECT number FROM numbers")}
    assert set(answered) <= kept


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "test.db").write_text("no database" * 1000)

    with pytest.raises(CannotOpen, match="can't be opened"):
        SqliteDatabase(tmp_path / "test.db")


def test_a_foreign_process_that_writes_keeps_nobody_from_reading_and_no_call_is_lost(tmp_path: Path) -> None:
    async def story(db: SqliteDatabase) -> None:
        foreign = sqlite3.connect(tmp_path / "test.db", isolation_level=None)
        foreign.execute("BEGIN IMMEDIATE")

        writing = [asyncio.create_task(db.write(add, number)) for number in range(3)]
        for _ in range(20):
            assert await db.read(count) == 0
            await asyncio.sleep(0)
        assert not any(task.done() for task in writing)

        foreign.execute("COMMIT")
        assert await asyncio.gather(*writing) == [0, 1, 2]
        foreign.close()

    told(tmp_path, story)


class Failing:
    """A connection that can neither commit nor roll back."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        if sql in ("COMMIT", "ROLLBACK"):
            raise sqlite3.OperationalError("disk I/O error")
        return self._connection.execute(sql, *values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def test_a_connection_that_cannot_even_roll_back_is_replaced(tmp_path: Path) -> None:
    async def story(db: SqliteDatabase) -> None:
        db._writing = Failing(db._writing)  # type: ignore[assignment]

        outcomes = await asyncio.gather(*(db.write(add, number) for number in range(3)), return_exceptions=True)

        assert [type(each) for each in outcomes] == [ServiceUnavailable] * 3
        assert await db.write(add, 7) == 7
        assert await db.read(count) == 1

    told(tmp_path, story)


def test_a_file_that_was_damaged_is_a_503_and_not_a_failure(tmp_path: Path) -> None:
    db = SqliteDatabase(tmp_path / "test.db")
    db.write_now(lambda tx: tx.run("CREATE TABLE numbers (number BIGINT PRIMARY KEY)"))
    db.close_now()
    content = bytearray((tmp_path / "test.db").read_bytes())
    content[4096:] = b"\xff" * len(content[4096:])
    (tmp_path / "test.db").write_bytes(content)

    db = SqliteDatabase(tmp_path / "test.db")
    for attempt in (lambda: db.read_now(count), lambda: db.write_now(lambda tx: add(tx, 1))):
        with pytest.raises(ServiceUnavailable):
            attempt()
    db.close_now()


def test_migrations_are_applied_once_and_a_foreign_one_is_refused(tmp_path: Path) -> None:
    db = SqliteDatabase(tmp_path / "test.db")

    applied = db.write_now(lambda tx: migrate.apply(tx, 1))
    assert applied[0] == "0001_start.sql"
    assert applied == sorted(applied)
    assert db.write_now(lambda tx: migrate.apply(tx, 2)) == []
    db.write_now(lambda tx: tx.run("UPDATE migrations SET sha256 = 'other' WHERE number = 1"))
    with pytest.raises(migrate.SchemaMismatch, match="another content"):
        db.write_now(lambda tx: migrate.apply(tx, 3))
    db.write_now(lambda tx: tx.run("UPDATE migrations SET number = 9999 WHERE number = 1"))
    with pytest.raises(migrate.SchemaMismatch, match="does not know"):
        db.write_now(lambda tx: migrate.apply(tx, 4))
    db.close_now()


def test_conflicts_are_the_callers_and_nobody_elses(tmp_path: Path) -> None:
    def conflict(tx: Tx) -> None:
        raise Conflict("somebody was first")

    async def story(db: SqliteDatabase) -> None:
        outcomes = await asyncio.gather(db.write(conflict), db.write(add, 1), return_exceptions=True)
        assert isinstance(outcomes[0], Conflict)
        assert outcomes[1] == 1

    told(tmp_path, story)


def pages_of_the_log(folder: Path) -> int:
    """What a checkpoint has to look at, by another connection."""
    with sqlite3.connect(folder / "test.db") as connection:
        return int(connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1])


def test_a_log_that_has_become_long_begins_anew_before_the_next_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "CHECKPOINT_EVERY_CHANGES", 10**9)

    async def story(db: SqliteDatabase) -> None:
        for number in range(100):
            await db.write(add, number)
        db._log_is_long = True
        await asyncio.gather(*(db.write(add, 100 + number) for number in range(10)))

        assert await db.read(count) == 110
        assert pages_of_the_log(tmp_path) < 20

    told(tmp_path, story)


def test_under_load_the_log_is_folded_and_begins_anew_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "CHECKPOINT_EVERY_CHANGES", 5)
    monkeypatch.setattr(sqlite, "LOG_PAGES_MAX", 5)

    async def story(db: SqliteDatabase) -> None:
        async def writer(first: int) -> None:
            for number in range(first, first + 25):
                await db.write(add, number)

        await asyncio.gather(*(writer(25 * number) for number in range(8)))

        assert await db.read(count) == 200

    told(tmp_path, story)
