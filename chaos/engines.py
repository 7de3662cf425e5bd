"""What the nodes share: two PostgreSQL servers of which one follows the other, and a NATS server. All can be ended."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from chaos.programs import Broken, Programs, run

DATABASE, USER = "campana", "campana"
START_TIMEOUT_S = 30
OPTIONS = {
    "max_connections": "120",
    "wal_keep_size": "512MB",
    "wal_retrieve_retry_interval": "500ms",  # a replica is back within a second
    "synchronous_commit": "on",
}


def free_port() -> int:
    """One that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


class Postgres:
    """One PostgreSQL server."""

    def __init__(self, programs: Programs, folder: Path, name: str) -> None:
        self.port = free_port()
        self._binaries = programs.postgres
        self._folder = folder
        self._data = folder / name
        self._log = folder / f"{name}.log"
        self._user = "postgres" if os.geteuid() == 0 else None  # the server refuses to be root

    def create(self) -> None:
        """An empty server with the database."""
        self._run("initdb", "-D", str(self._data), "-U", USER, "-A", "trust", "-E", "UTF8", "--no-sync")
        self.start()
        self.sql(f"CREATE DATABASE {DATABASE}", database="postgres")

    def follow(self, primary: "Postgres") -> None:
        """Become a replica of `primary`, from nothing; returns when `primary` waits for it at each commit."""
        self.end()
        shutil.rmtree(self._data, ignore_errors=True)
        where = ("-h", str(self._folder), "-p", str(primary.port), "-U", USER)
        self._run("pg_basebackup", *where, "-D", str(self._data), "-R", "-c", "fast", "--no-sync")
        self.start()
        primary.waits_for("*")
        wait_until(
            lambda: primary.sql("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'") != [], "the replica"
        )

    def waits_for(self, standbys: str) -> None:
        """Which replicas must have a commit before it is answered: '*' for any one, '' for none."""
        self.sql(f"ALTER SYSTEM SET synchronous_standby_names = '{standbys}'")
        self.sql("SELECT pg_reload_conf()")

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        options = {**OPTIONS, "listen_addresses": "127.0.0.1", "port": str(self.port)}
        options["unix_socket_directories"] = str(self._folder)
        words = " ".join(f"-c {name}={value}" for name, value in options.items())
        self._run("pg_ctl", "start", "-D", str(self._data), "-l", str(self._log), "-s", "-w", "-o", words)

    def end(self) -> None:
        """End it at once, without a checkpoint: as a crash does. Nothing if it does not run."""
        if (self._data / "postmaster.pid").exists():
            self._run("pg_ctl", "stop", "-D", str(self._data), "-m", "immediate", "-s", "-w")

    def freeze(self) -> None:
        """All its processes stand still."""
        for each in self._processes():
            os.kill(each, signal.SIGSTOP)

    def kill(self) -> None:
        """End it even if it is frozen."""
        processes = self._processes()
        for each in processes:
            os.kill(each, signal.SIGKILL)
        wait_until(lambda: all(map(_ended, processes)), "the end of PostgreSQL's processes")
        for left in (self._data / "postmaster.pid", self._folder / f".s.PGSQL.{self.port}.lock"):
            left.unlink(missing_ok=True)

    def _processes(self) -> list[int]:
        postmaster = int((self._data / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        return [postmaster, *map(int, children)]

    def promote(self) -> None:
        """The replica becomes the primary, and waits for no replica."""
        self._run("pg_ctl", "promote", "-D", str(self._data), "-s", "-w")
        self.waits_for("")

    def sql(self, statement: str, *values: str, database: str = DATABASE) -> list[Any]:
        """Rows; past all proxies."""
        where = f"host={self._folder} port={self.port} user={USER} dbname={database} connect_timeout=5"
        with psycopg.connect(where, autocommit=True) as connection:
            cursor = connection.execute(statement, values or None)
            return [] if cursor.description is None else cursor.fetchall()

    def _run(self, program: str, *arguments: str) -> None:
        run(self._binaries / program, *arguments, user=self._user)


class Databases:
    """The pair: `primary` takes the writes, `replica` follows it."""

    def __init__(self, programs: Programs, folder: Path) -> None:
        folder.mkdir()
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
        self.servers = [Postgres(programs, folder, name) for name in ("one", "two")]
        self.primary, self.replica = self.servers

    def start(self) -> None:
        """Make both."""
        self.primary.create()
        self.replica.follow(self.primary)

    def fail_over(self) -> None:
        """The primary is gone, the replica takes its place."""
        self.primary.end()
        time.sleep(1)  # somebody has to notice
        self.replica.promote()
        self.primary, self.replica = self.replica, self.primary

    def fail_over_from_frozen(self) -> None:
        """The primary stands still and the replica takes its place; then the old one is fenced off, as must be."""
        self.primary.freeze()
        time.sleep(3)
        self.replica.promote()
        self.primary, self.replica = self.replica, self.primary
        time.sleep(20)
        self.replica.kill()

    def lose_replica(self) -> None:
        """The primary goes on, but there is nobody to have its commits."""
        self.replica.end()

    def find_replica(self) -> None:
        """Undo `lose_replica`."""
        self.replica.start()

    def rebuild(self) -> None:
        """What was the primary follows the new one."""
        self.replica.follow(self.primary)

    def restart(self) -> None:
        """The primary ends at once, and comes back."""
        self.primary.end()
        self.primary.start()

    def stop(self) -> None:
        """End both."""
        for each in self.servers:
            each.end()


class Nats:
    """A NATS server."""

    def __init__(self, programs: Programs, folder: Path) -> None:
        self.port = free_port()
        self._program = programs.nats
        self._log = folder / "nats.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "-a", "127.0.0.1", "-p", str(self.port)], stdin=subprocess.DEVNULL, stderr=log
            )
        wait_until(lambda: listens(self.port), "nats-server")

    def end(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def listens(port: int) -> bool:
    """Whether somebody takes connections there."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _ended(process: int) -> bool:
    """Whether it is gone, or only waits for its parent to take note."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Look again and again; raises Broken, about `what`, when it takes too long."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while not condition():
        if time.monotonic() > deadline:
            raise Broken(f"{what} is not there after {START_TIMEOUT_S} s.")
        time.sleep(0.05)
