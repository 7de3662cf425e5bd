"""Server processes: started on a core of their own, told apart by what they are, always ended."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

from bench import machine
from bench.client import Failed
from bench.signing import Key, Signer

STOP_TIMEOUT_S = 20
_PORT = re.compile(r"http://127\.0\.0\.1:(\d+)")


class Process:
    """A server that listens on `port` of 127.0.0.1."""

    def __init__(self, name: str, process: subprocess.Popen[str], port: int, key: Key) -> None:
        self.name = name
        self.port = port
        self.pid = process.pid
        self._process = process
        self._key = key

    def signer(self) -> Signer:
        """Signs with the time of now."""
        return Signer(self._key, f"127.0.0.1:{self.port}")

    def resident_kib(self) -> int:
        """Its memory."""
        return machine.resident_kib(self.pid)


@contextmanager
def campana(
    folder: Path, key: Key, *, processors: Mapping[str, str] | None = None, database_url: str | None = None
) -> Iterator[Process]:
    """`campana serve` with its data in `folder`, or in another database; `processors` are the targets of functions."""
    words = ["-m", "campana", "serve", "--port", "0", "--data-dir", str(folder)]
    for arn, target in (processors or {}).items():
        words += ["--processor", f"{arn}={target}"]
    if database_url is not None:
        words += ["--database-url", database_url]
    with started("campana", words, key, folder, core=0) as process:
        yield process


@contextmanager
def own(module: str, folder: Path, key: Key, *, core: int) -> Iterator[Process]:
    """A server of this package, such as `floor`; files that it writes go to `folder`."""
    with started(module, ["-m", f"bench.{module}", str(folder)], key, folder, core=core) as process:
        yield process


@contextmanager
def started(name: str, words: Sequence[str], key: Key, folder: Path, *, core: int) -> Iterator[Process]:
    """Python with these arguments, pinned to the first (0) or second (1) core, from its "listening" line to its end."""
    folder.mkdir(exist_ok=True)
    log = folder / "log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, *words],
            cwd=folder,
            env=environment(key),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            preexec_fn=lambda: pin(core),
        )
    try:
        assert process.stdout is not None
        found = None
        while found is None and (line := process.stdout.readline()):
            found = _PORT.search(line)
        if found is None:
            process.wait(STOP_TIMEOUT_S)
            raise Failed(f"{name} did not start:\n{log.read_text()[-2000:]}")
        yield Process(name, process, int(found[1]), key)
        if process.poll() is not None:
            raise Failed(f"{name} ended by itself with {process.returncode}:\n{log.read_text()[-2000:]}")
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def environment(key: Key) -> dict[str, str]:
    """For a server, or a command beside it: this source tree, no settings from outside, the run's key."""
    found = {name: value for name, value in os.environ.items() if not name.startswith("CAMPANA_")}
    found["CAMPANA_ROOT_ACCESS_KEY_ID"] = key.access_key_id
    found["CAMPANA_ROOT_SECRET_ACCESS_KEY"] = key.secret
    found["PYTHONPATH"] = os.pathsep.join([str(machine.ROOT / "src"), str(machine.ROOT)])
    return found


def post(process: Process, path: str, body: bytes) -> bytes:
    """A request to one that doesn't ask for signatures."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{process.port}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def pin(core: int) -> None:
    """Keep this process on the first (0) or second (1) core it may use, if there are two."""
    if len(machine.CORES) > 1:
        os.sched_setaffinity(0, {machine.CORES[core]})


def seconds_of(words: Sequence[str]) -> float:
    """How long Python takes for these arguments, on the servers' core."""
    begun = perf_counter()
    subprocess.run([sys.executable, *words], check=True, preexec_fn=lambda: pin(0))
    return perf_counter() - begun
