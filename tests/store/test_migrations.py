"""A database is brought to the schema of this version: entirely or not at all."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import stores

from campana.store import migrate
from campana.store.database import Database, Row

FIRST = ("0001_first.sql", "CREATE TABLE a (x TEXT); -- a comment\nCREATE INDEX a_by_x\n    ON a (x);\n")
SECOND = ("0002_second.sql", "CREATE TABLE b (x TEXT);\nINSERT INTO b (x) VALUES ('1;2');\n")
BROKEN = ("0002_broken.sql", "CREATE TABLE b (x TEXT);\nCREATE TABLE a (x TEXT);\n")


def upgraded(db: Database, monkeypatch: pytest.MonkeyPatch, *files: tuple[str, str]) -> list[str]:
    """The names of what is applied by a version that comes with these files."""
    monkeypatch.setattr(migrate, "_files", lambda: list(files))
    return db.write_now(lambda tx: migrate.apply(tx, 1))


def schema(db: Database) -> list[str]:
    """Names of tables and of indexes that a file makes."""

    class Name(Row, frozen=True):
        name: str

    of_engine = (
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'i') AND relnamespace = current_schema()::regnamespace"
        if stores.on_postgres()
        else "SELECT name FROM sqlite_master"
    )
    names = db.read_now(lambda tx: sorted(row.name for row in tx.all(Name, of_engine)))
    return [name for name in names if not name.endswith("_pkey") and "autoindex" not in name]


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Database]:
    database = stores.opened(tmp_path)
    yield database
    database.close_now()


def test_only_what_is_missing_is_applied(empty: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    assert upgraded(empty, monkeypatch, FIRST) == ["0001_first.sql"]
    assert upgraded(empty, monkeypatch, FIRST, SECOND) == ["0002_second.sql"]
    assert upgraded(empty, monkeypatch, FIRST, SECOND) == []
    assert schema(empty) == ["a", "a_by_x", "b", "migrations"]
    assert empty.read_now(lambda tx: tx.scalar("SELECT x FROM b")) == "1;2"


def test_an_upgrade_that_fails_leaves_the_database_as_it_was(empty: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    upgraded(empty, monkeypatch, FIRST)
    before = schema(empty)

    with pytest.raises(Exception, match=r"exists|not able"):
        upgraded(empty, monkeypatch, FIRST, BROKEN)

    assert schema(empty) == before
    assert upgraded(empty, monkeypatch, FIRST, SECOND) == ["0002_second.sql"]


def test_an_older_version_refuses_the_database_of_a_newer_one(empty: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    upgraded(empty, monkeypatch, FIRST, SECOND)

    with pytest.raises(migrate.SchemaMismatch, match=r"second.*does not know"):
        upgraded(empty, monkeypatch, FIRST)


def test_an_older_version_goes_on_with_what_was_only_added(empty: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    upgraded(empty, monkeypatch, FIRST, ("0002_pre_second.sql", SECOND[1]))

    assert upgraded(empty, monkeypatch, FIRST) == []


def test_an_edited_migration_is_refused(empty: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    upgraded(empty, monkeypatch, FIRST)

    with pytest.raises(migrate.SchemaMismatch, match=r"first.*another content"):
        upgraded(empty, monkeypatch, (FIRST[0], FIRST[1] + "-- edited"))


def test_the_files_that_come_with_this_version_are_numbered_without_gaps() -> None:
    names = [name for name, _ in migrate._files()]

    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))
