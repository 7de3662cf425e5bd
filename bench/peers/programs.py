"""Programs that are not ours: started on the servers' core, with all their files in one folder, always ended."""

import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep

from bench import machine, servers
from bench.client import Failed

START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 30
LOOK_EVERY_S = 0.05


class Missing(Exception):
    """It isn't installed; the message says what is missing, and how to get it."""


@contextmanager
def running(
    name: str,
    words: Sequence[str],
    folder: Path,
    *,
    ready: Callable[[], bool],
    environment: Mapping[str, str] | None = None,
    user: str | None = None,
    stop: signal.Signals = signal.SIGTERM,
) -> Iterator[int]:
    """From its being `ready` to its end; the process id. Raises `Failed`."""
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            words,
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            user=user,
            preexec_fn=lambda: servers.pin(0),
        )
    try:
        give_up_at = monotonic() + START_TIMEOUT_S
        while not ready():
            if process.poll() is not None or monotonic() > give_up_at:
                raise Failed(f"{name} did not start:\n{log.read_text(errors='replace')[-2000:]}")
            sleep(LOOK_EVERY_S)
        yield process.pid
        if process.poll() is not None:
            raise Failed(f"{name} ended by itself:\n{log.read_text(errors='replace')[-2000:]}")
    finally:
        process.send_signal(stop)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def listens(port: int) -> bool:
    """Whether somebody takes connections there."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


def debian_version(package: str) -> str:
    """Of an installed package, without Debian's part; "" if it isn't one."""
    try:
        ran = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True)
    except OSError:
        return ""
    return ran.stdout.rpartition("-")[0]


class Postgres:
    """A private server; all durability on, as it comes."""

    def __init__(self, binaries: Path, port: int) -> None:
        self.port = port
        self.pid = 0
        self._binaries = binaries

    def cpu_ns(self) -> int:
        """CPU time that its processes have had so far. One that ends takes its share along."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text("ascii").split()
        total = 0
        for pid in (self.pid, *map(int, children)):
            with suppress(OSError):
                total += machine.cpu_ns(pid)
        return total

    def is_ready(self) -> bool:
        """Whether it takes connections."""
        words = [str(self._binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(words).returncode == 0

    @property
    def version(self) -> str:
        """As in 15.4."""
        return self.sql("postgres", "-c", "SHOW server_version").split()[0]

    def created(self, database: str) -> str:
        """A new, empty database; its name."""
        self.sql("postgres", "-c", f"CREATE DATABASE {database}")
        return database

    def url(self, database: str) -> str:
        """For those who want one."""
        return f"postgresql://bench@127.0.0.1:{self.port}/{database}"

    def sql(self, database: str, *words: str) -> str:
        """What psql prints for these arguments; raises `Failed`."""
        ran = subprocess.run(
            [
                *(self._binaries / "psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "bench", "-d", database),
                *("-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", *words),
            ],
            capture_output=True,
            text=True,
        )
        if ran.returncode != 0:
            raise Failed(f"psql failed: {ran.stderr.strip()}")
        return ran.stdout


def postgres_binaries() -> Path:
    """The folder with initdb and what comes with it; raises `Missing`."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda each: int(each.parts[-3]))
    if folders:
        return folders[-1].parent
    if (on_path := shutil.which("initdb")) is not None:
        return Path(on_path).resolve().parent
    raise Missing("PostgreSQL (Debian: apt-get install postgresql)")


def _open_to_all(folder: Path) -> Path:
    """The folder, or the nearest one around it that other users may look into; on the same disk."""
    around = [folder.resolve(), *folder.resolve().parents]
    found = next(
        each for at, each in enumerate(around) if all(above.stat().st_mode & stat.S_IXOTH for above in around[at:])
    )
    if found.stat().st_dev != folder.stat().st_dev:
        raise Failed(f"PostgreSQL's user may not look into {folder}; give another folder with --dir")
    return found


@contextmanager
def postgres(parent: Path) -> Iterator[Postgres]:
    """With its data in `parent`, or as near to it as its user may look. Raises `Missing` and `Failed`."""
    binaries = postgres_binaries()
    user = "postgres" if os.geteuid() == 0 else None  # the server refuses to be root
    place = parent if user is None else _open_to_all(parent)
    folder = Path(tempfile.mkdtemp(prefix="campana-bench-postgres-", dir=place))
    try:
        if user is not None:
            shutil.chown(folder, user)
        data = folder / "data"
        subprocess.run(
            [binaries / "initdb", "-D", data, "-U", "bench", "-A", "trust", "-E", "UTF8", "--locale=C"],
            user=user,
            cwd=folder,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        port = free_port()
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": "",
            "max_connections": 200,
            "shared_buffers": "512MB",
            # No checkpoint of one contender's rounds in another one's.
            "checkpoint_timeout": "1h",
            "max_wal_size": "8GB",
        }
        words = [str(binaries / "postgres"), "-D", str(data)]
        for name, value in settings.items():
            words += ["-c", f"{name}={value}"]
        server = Postgres(binaries, port)
        with running("postgres", words, folder, ready=server.is_ready, user=user, stop=signal.SIGINT) as server.pid:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)
