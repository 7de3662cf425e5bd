"""Several nodes with a private PostgreSQL and NATS, all on this machine: nodes on one core, all else on the other."""

import os
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import psycopg

from bench import machine, servers
from bench.client import Failed
from bench.servers import Process
from bench.signing import Key

SHARED = {"CAMPANA_SECRETS_KEY": "what all nodes of a measurement share with one another"}
POSTGRES_SETTINGS = {
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


class Nats:
    """A server of its own."""

    def __init__(self, pid: int, port: int, monitor: int) -> None:
        self.url = f"nats://127.0.0.1:{port}"
        self._pid = pid
        self._monitor = f"http://127.0.0.1:{monitor}/varz"

    def counts(self) -> dict[str, int]:
        """`in_msgs`, `in_bytes`, `out_msgs` and `out_bytes` so far, among others."""
        with urllib.request.urlopen(self._monitor, timeout=5) as answer:
            found: dict[str, Any] = msgspec.json.decode(answer.read())
        return found

    def cpu_ns(self) -> int:
        return machine.cpu_ns(self._pid)


@dataclass(frozen=True, slots=True)
class Installation:
    """All of it, running."""

    nodes: list[Process]
    postgres: Postgres
    nats: Nats


@contextmanager
def installed(folder: Path, nodes: int, key: Key, *, processor: Process | None = None) -> Iterator[Installation]:
    """So many nodes; ended, and their data removed, afterwards. Raises `Failed` if a program is not installed."""
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        postgres = stack.enter_context(_postgres(folder / "postgres"))
        nats = stack.enter_context(_nats())
        words = ["-m", "campana", "serve", "--port", "0", "--database-url", postgres.url, "--notifier", nats.url]
        if processor is not None:
            words += ["--processor", f"{servers.FUNCTION_ARN}=http://127.0.0.1:{processor.port}/flow"]
        started = []
        for number in range(nodes):
            place = folder / f"node-{number}"
            words_of_node = [*words, "--data-dir", str(place)]
            started.append(
                stack.enter_context(servers.started("node", words_of_node, key, place, core=0, settings=SHARED))
            )
        yield Installation(started, postgres, nats)


@contextmanager
def _postgres(folder: Path) -> Iterator[Postgres]:
    binaries = _postgres_binaries()
    folder.mkdir()
    if os.geteuid() == 0:  # the server refuses to be root
        shutil.chown(folder, "postgres")
    data = folder / "data"
    _run(binaries / "initdb", "-D", str(data), "-U", "campana", "-A", "trust", "-E", "UTF8", "--no-locale")
    options = " ".join(f"-c {name}={value or chr(39) * 2}" for name, value in POSTGRES_SETTINGS.items())
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


@contextmanager
def _nats() -> Iterator[Nats]:
    program = shutil.which("nats-server", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/bin")
    if program is None:
        raise Failed("There is no nats-server here (Debian: apt install nats-server).")
    port, monitor = servers.free_port(), servers.free_port()
    process = subprocess.Popen(
        [program, "-a", "127.0.0.1", "-p", str(port), "-m", str(monitor)],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: servers.pin(1),
    )
    try:
        assert process.stderr is not None
        if not any("Server is ready" in line for line in process.stderr):
            raise Failed(f"{program} ended with {process.wait()}.")
        yield Nats(process.pid, port, monitor)
    finally:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


def _run(program: Path, *arguments: str) -> None:
    user = "postgres" if os.geteuid() == 0 else None
    done = subprocess.run(
        [program, *arguments], user=user, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: servers.pin(1),
    )  # fmt: skip
    if done.returncode != 0:
        raise Failed(f"{program.name} failed: {done.stderr.strip()}")


def _postgres_binaries() -> Path:
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
