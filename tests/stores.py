"""The database that the tests run on: SQLite, or PostgreSQL with `pytest --postgres [URL]`.

Without a URL a private server is started from the binaries that are installed, as Debian's package `postgresql` does.
What has its data in a folder has a PostgreSQL database of its own by the name of that folder.
"""

import hashlib
import os
import re
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from campana.settings import DatabaseUrl, PostgresUrl, SqliteUrl
from campana.store import engines
from campana.store.database import Database

_made: set[str] = set()
_collation = ""
_server_url: str | None = None
_private: tuple[Path, Path] | None = None


def on_postgres() -> bool:
    """Whether this run is one on PostgreSQL."""
    return _server_url is not None


def url(folder: Path) -> DatabaseUrl:
    """The database of what has its data in `folder`: the same one each time."""
    if _server_url is None:
        return SqliteUrl(folder / "campana.db")
    name = f"campana_test_{os.getpid()}_{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"
    if name not in _made:
        # A collation of people, not of bytes: nothing may rely on that of the database.
        _on_server(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING UTF8 {_collation}")
        _made.add(name)
    return PostgresUrl(_named(name))


def settings(folder: Path) -> dict[str, str]:
    """What a server with its data in `folder` has to be told; nothing for SQLite."""
    found = url(folder)
    return {"database.url": found.text} if isinstance(found, PostgresUrl) else {}


def environment(folder: Path) -> dict[str, str]:
    """The same for a server process."""
    found = url(folder)
    return {"CAMPANA_DATABASE__URL": found.text} if isinstance(found, PostgresUrl) else {}


def opened(folder: Path, *, connections_max: int = 8) -> Database:
    """The database of `folder`, without a schema if it is new."""
    return engines.opened(url(folder), connections_max=connections_max)


def query(where: DatabaseUrl, sql: str, *values: str) -> list[Any]:
    """Rows beside, or after, the server that uses the database; `?` in the statement stands for a value."""
    if isinstance(where, SqliteUrl):
        with closing(sqlite3.connect(f"file:{where.path}?mode=ro", uri=True)) as file:
            return file.execute(sql, values).fetchall()
    import psycopg

    with psycopg.connect(where.text) as connection:
        return connection.execute(sql.replace("?", "%s"), values).fetchall()  # type: ignore[call-overload]


def contents(folder: Path) -> bytes:
    """All that the database of what has its data in `folder` keeps, whatever it is."""
    if on_postgres():
        return repr(everything(url(folder))).encode()
    return b"".join(file.read_bytes() for file in folder.iterdir() if file.name.startswith("campana.db"))


def everything(where: DatabaseUrl) -> dict[str, list[Any]]:
    """The rows of all tables."""
    of_sqlite = isinstance(where, SqliteUrl)
    tables = query(
        where,
        "SELECT name FROM sqlite_master WHERE type = 'table'"
        if of_sqlite
        else "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'",
    )
    return {name: sorted(query(where, f"SELECT * FROM {name}"), key=repr) for (name,) in tables}


@contextmanager
def closed(folder: Path) -> Iterator[None]:
    """The database of `folder` is away: its connections end, and it takes none."""
    found = url(folder)
    assert isinstance(found, PostgresUrl)
    name = found.text.partition("?")[0].rpartition("/")[2]
    _on_server(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    _on_server(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'")
    try:
        yield
    finally:
        _on_server(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


def begin(server_url: str) -> None:
    """Run on PostgreSQL: on this server, or on a private one if it is ''."""
    global _server_url, _collation
    _server_url = server_url or _start_private()
    try:
        if _on_server("SELECT 1") >= 150_000:
            _collation = "LOCALE_PROVIDER icu ICU_LOCALE 'en-US'"
    except Exception as error:
        raise pytest.UsageError(f"PostgreSQL at {_server_url} can't be used: {error}") from None


def end() -> None:
    """Leave nothing behind."""
    if _private is None:
        for name in _made:
            with suppress(Exception):  # what is left is seen by its name
                _on_server(f"DROP DATABASE {name} WITH (FORCE)")
        return
    binaries, folder = _private
    _run(binaries / "pg_ctl", "stop", "-D", str(folder / "data"), "-m", "immediate", "-s", "-w")
    shutil.rmtree(folder)


def _on_server(statement: str) -> int:
    """Run the statement; the server's version."""
    import psycopg

    with psycopg.connect(_named("postgres"), autocommit=True, connect_timeout=10) as connection:
        connection.execute(statement)  # type: ignore[call-overload]
        return connection.info.server_version


def _named(database: str) -> str:
    assert _server_url is not None
    return re.sub(r"\A(postgres(?:ql)?://[^/?]*)(?:/[^?]*)?", rf"\1/{database}", _server_url)


def _start_private() -> str:
    global _private
    binaries = _binaries()
    if binaries is None:
        raise pytest.UsageError(
            "There is no PostgreSQL here: neither initdb and pg_ctl (Debian: apt install postgresql) nor a URL"
            " (--postgres=postgresql://user@host)."
        )
    folder = Path(tempfile.mkdtemp(prefix="campana-pg-"))
    _private = binaries, folder
    if os.geteuid() == 0:  # the server refuses to be root
        shutil.chown(folder, "postgres")
    _run(binaries / "initdb", "-D", str(folder / "data"), "-U", "campana", "-A", "trust", "-E", "UTF8", "--no-sync")
    # What the disk does is PostgreSQL's own affair: tests end servers of ours, not this one.
    options = f"-c listen_addresses= -k {folder} -c fsync=off -c max_connections=200"
    _run(binaries / "pg_ctl", "start", "-D", str(folder / "data"), "-l", str(folder / "log"), "-s", "-w", "-o", options)
    return f"postgresql:///postgres?host={folder}&user=campana"


def _run(program: Path, *arguments: str) -> None:
    user = "postgres" if os.geteuid() == 0 else None
    ran = subprocess.run(
        [program, *arguments], user=user, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    if ran.returncode != 0:
        raise pytest.UsageError(f"{program} failed: {ran.stderr.strip()}")


def _binaries() -> Path | None:
    """The folder with the newest initdb and pg_ctl."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda each: int(each.parent.name), reverse=True)
    on_path = shutil.which("initdb")
    candidates = [*folders, *([Path(on_path).resolve().parent] if on_path else [])]
    return next((each for each in candidates if (each / "initdb").exists() and (each / "pg_ctl").exists()), None)
