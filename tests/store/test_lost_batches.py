"""A batch whose commit fails or whose transaction is lost: nothing of it is kept, and everybody is told."""

import asyncio
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from campana.errors import ServiceUnavailable
from campana.store import secrets
from campana.store.database import Tx
from campana.store.sqlite import CannotOpen, SqliteDatabase, SqliteTx

pytestmark = pytest.mark.sqlite


def keep(name: str) -> Callable[[Tx], str]:
    """A call that writes a row and announces it."""

    def call(tx: Tx) -> str:
        tx.announce(name)
        return secrets.get_or_make(tx, name, "x" * 100)

    return call


def lose_everything(tx: SqliteTx) -> None:
    """As SQLite does on some errors of the disk: the transaction is over, and the statement fails."""
    tx._connection.execute("ROLLBACK")
    raise sqlite3.OperationalError("disk I/O error")


def kept(db: SqliteDatabase) -> set[str]:
    names = db.read_now(lambda tx: tx._connection.execute("SELECT name FROM secrets").fetchall())
    return {name for (name,) in names}


async def together(db: SqliteDatabase, *works: Callable[[SqliteTx], object]) -> list[object]:
    """Results and errors of calls that come at once."""
    return await asyncio.gather(*(db.write(work) for work in works), return_exceptions=True)


def test_calls_that_come_at_once_share_a_commit(db: SqliteDatabase) -> None:
    statements: list[str] = []
    db._writing.set_trace_callback(statements.append)

    asyncio.run(together(db, *(keep(f"{n}") for n in range(100))))

    assert statements.count("COMMIT") == 1
    assert len(kept(db)) == 100


def test_a_lost_transaction_refuses_its_whole_batch_and_only_that(db: SqliteDatabase) -> None:
    heard: list[object] = []
    db.listen(heard.extend)

    async def story() -> list[object]:
        await db.write(keep("before"))
        outcomes = await together(db, keep("first"), lose_everything, keep("last"))
        await db.write(keep("after"))
        return outcomes

    outcomes = asyncio.run(story())
    assert [type(each) for each in outcomes] == [ServiceUnavailable] * 3
    assert kept(db) == {"before", "after"}
    assert heard == ["before", "after"]


@contextmanager
def files_no_longer_than(length: int) -> Iterator[None]:
    """The operating system refuses this process to write files any longer: as a full disk does, at any moment."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (length, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.skipif(sys.platform == "win32", reason="limits of the operating system")
def test_a_commit_that_the_disk_refuses_is_answered_to_everybody_in_the_batch(
    db: SqliteDatabase, tmp_path: Path
) -> None:
    heard: list[object] = []
    db.listen(heard.extend)

    async def story() -> list[object]:
        await db.write(keep("before"))
        with files_no_longer_than((tmp_path / "campana.db-wal").stat().st_size + 100):
            outcomes = await together(db, *(keep(f"{n}") for n in range(10)))
        await db.write(keep("after"))
        return outcomes

    outcomes = asyncio.run(story())
    assert [type(each) for each in outcomes] == [ServiceUnavailable] * 10
    assert kept(db) == {"before", "after"}
    assert heard == ["before", "after"]


def test_a_call_reads_what_earlier_calls_of_its_batch_wrote(db: SqliteDatabase) -> None:
    outcomes = asyncio.run(together(db, keep("a"), lambda tx: secrets.get_or_make(tx, "a", "other")))

    assert outcomes == ["x" * 100, "x" * 100]


def test_a_read_sees_what_was_answered_and_nothing_of_a_batch_under_way(db: SqliteDatabase) -> None:
    def count(tx: Tx) -> int:
        return int(tx.scalar("SELECT COUNT(*) FROM secrets"))

    async def story() -> None:
        for n in range(20):
            reading = asyncio.ensure_future(db.read(count))
            await asyncio.gather(*(db.write(keep(f"{n} {each}")) for each in range(5)))
            assert await reading in (5 * n, 5 * n + 5)
            assert await db.read(count) == 5 * n + 5

    asyncio.run(story())


@pytest.mark.parametrize("place", ["missing folder/campana.db", "."])
def test_a_place_where_no_file_can_be_is_refused(tmp_path: Path, place: str) -> None:
    with pytest.raises(CannotOpen, match="can't be opened"):
        SqliteDatabase(tmp_path / place)
