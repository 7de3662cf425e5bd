"""A private PostgreSQL server, on the core of the load generator."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from bench import machine, servers
from bench.client import Failed

SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "synchronous_commit": "on",
    "max_wal_size": "4GB",  # no checkpoint of its own within a measurement: full pages would count as the sends'
    "checkpoint_timeout": "1h",
    "autovacuum": "off",
}


class Postgres:
    """A server of its own; `url` is the database of the nodes."""

    def __init__(self, folder: Path, pid: int) -> None:
        self.url = f"postgresql:///postgres?host={folder}&user=campana"
        self._pid = pid
        self._connection: psycopg.Connection[Any] = psycopg.connect(self.url, autocommit=True)

    def value(self, sql: str) -> Any:
        """Of a statement with one row of one column."""
        found = self._connection.execute(sql.encode()).fetchone()
        return None if found is None else found[0]

    def run(self, sql: str) -> None:
        """A statement that nothing is asked of."""
        self._connection.execute(sql.encode())

    def wal_bytes(self) -> int:
        """Written so far."""
        return int(self.value("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn"))

    def cpu_ns(self) -> int:
        """CPU time of all its processes that are there now; connections of a pool stay."""
        return sum(machine.cpu_ns(pid) for pid in [self._pid, *_children(self._pid)])

    def close(self) -> None:
        self._connection.close()


@contextmanager
def started(folder: Path) -> Iterator[Postgres]:
    """With its data in a new folder; raises `Failed` if PostgreSQL is not installed."""
    binaries = _binaries()
    folder.mkdir(parents=True)
    if os.geteuid() == 0:  # the server refuses to be root
        shutil.chown(folder, "postgres")
    data = folder / "data"
    _run(binaries / "initdb", "-D", str(data), "-U", "campana", "-A", "trust", "-E", "UTF8", "--no-locale")
    options = " ".join(f"-c {name}={value or chr(39) * 2}" for name, value in SETTINGS.items())
    _run(
        binaries / "pg_ctl", "start", "-D", str(data), "-l", str(folder / "log"), "-s", "-w",
        "-o", f"-k {folder} {options}",
    )  # fmt: skip
    try:
        postgres = Postgres(folder, int((data / "postmaster.pid").read_text().split()[0]))
        try:
            yield postgres
        finally:
            postgres.close()
    finally:
        _run(binaries / "pg_ctl", "stop", "-D", str(data), "-m", "immediate", "-s", "-w")


def _run(program: Path, *arguments: str) -> None:
    user = "postgres" if os.geteuid() == 0 else None
    done = subprocess.run(
        [program, *arguments], user=user, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: servers.pin(1),
    )  # fmt: skip
    if done.returncode != 0:
        raise Failed(f"{program.name} failed: {done.stderr.strip()}")


def _binaries() -> Path:
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda each: int(each.parent.name), reverse=True)
    on_path = shutil.which("initdb")
    candidates = [*folders, *([Path(on_path).resolve().parent] if on_path else [])]
    for each in candidates:
        if (each / "initdb").exists() and (each / "pg_ctl").exists():
            return each
    raise Failed("There is no PostgreSQL here (Debian: apt install postgresql).")


def _children(pid: int) -> list[int]:
    found = []
    for each in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(each.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(each.parent.name))
        except OSError:  # it has ended
            continue
    return found
