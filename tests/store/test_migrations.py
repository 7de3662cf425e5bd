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


def started(db: Database, monkeypatch: pytest.MonkeyPatch, version: str, *files: tuple[str, str]) -> list[str]:
    """The same by a server of this version, beside others."""
    monkeypatch.setattr(migrate, "__version__", version)
    monkeypatch.setattr(migrate, "_files", lambda: list(files))
    return db.write_now(lambda tx: migrate.apply(tx, 1, post=False))


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
    assert schema(empty) == ["a", "a_by_x", "b", "migrations", "oldest_version"]
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


PRE = ("0002_pre_y.sql", "ALTER TABLE a ADD COLUMN y TEXT;\n")
POST = ("0003_post_x.sql", "-- Nothing reads it any more.\n-- oldest: 0.10.0\n\nALTER TABLE a DROP COLUMN y;\n")
LATER = ("0004_pre_z.sql", "ALTER TABLE a ADD COLUMN z TEXT;\n")
OLD, NEW = (FIRST,), (FIRST, PRE, POST, LATER)


def test_a_server_leaves_out_what_older_ones_could_not_live_with(
    empty: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    started(empty, monkeypatch, "0.9.0", *OLD)

    assert started(empty, monkeypatch, "0.10.0", *NEW) == [PRE[0], LATER[0]]
    assert started(empty, monkeypatch, "0.10.0", *NEW) == []
    assert started(empty, monkeypatch, "0.9.0", *OLD) == []
    assert upgraded(empty, monkeypatch, *NEW) == [POST[0]]

    with pytest.raises(migrate.SchemaMismatch, match=r"needs Campana 0\.10\.0 or newer; this is 0\.9\.0"):
        started(empty, monkeypatch, "0.9.0", *OLD)
    assert started(empty, monkeypatch, "0.10.0", *NEW) == []
    assert started(empty, monkeypatch, "0.11.0rc1", FIRST, PRE, LATER) == [], "without the file, but not older"


def test_a_new_database_is_made_as_the_newest_wants_it(empty: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    assert started(empty, monkeypatch, "0.10.0", *NEW) == [each[0] for each in NEW]

    with pytest.raises(migrate.SchemaMismatch, match="needs"):
        started(empty, monkeypatch, "0.9.9", *OLD)


def test_what_a_version_cannot_do_without_has_to_be_there(empty: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    started(empty, monkeypatch, "0.9.0", *OLD)
    monkeypatch.setattr(migrate, "RELIES_ON", 3)

    with pytest.raises(migrate.SchemaMismatch, match=r"0003_post_x\.sql .* outstanding.*`campana db upgrade --post`"):
        started(empty, monkeypatch, "0.11.0", *NEW)

    assert upgraded(empty, monkeypatch, *NEW) == [PRE[0], POST[0], LATER[0]]
    assert started(empty, monkeypatch, "0.11.0", *NEW) == []


def test_the_oldest_version_only_rises(empty: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    less = ("0005_post_w.sql", "-- oldest: 0.2.0\nCREATE TABLE w (x TEXT);\n")
    upgraded(empty, monkeypatch, *NEW, less)

    assert empty.read_now(migrate.oldest) == "0.10.0"


def test_the_files_that_come_with_this_version_are_numbered_and_say_when_they_may_be_applied() -> None:
    files = migrate._files()

    assert [int(name[:4]) for name, _ in files] == list(range(1, len(files) + 1))
    for name, text in files[1:]:
        said = migrate._OLDEST.search(text)
        assert (name[5:9] == "pre_", name[5:10] == "post_") == (said is None, said is not None), name
        assert said is None or not migrate.is_older(migrate.__version__, said[1]), name
