"""Server processes: started on a core of their own, told apart by what they are, always ended."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from bench import machine
from bench.client import Failed
from bench.signing import Key, Signer

STOP_TIMEOUT_S = 20
FUNCTION_ARN = "arn:aws:lambda:us-east-1:123456789012:function:bench"
_PORT = re.compile(r"http://127\.0\.0\.1:(\d+)")


@dataclass(frozen=True, slots=True)
class Program:
    """Which Campana: an interpreter that has its dependencies, and the folder that `campana` is imported from."""

    python: Path
    source: Path


THIS_TREE = Program(Path(sys.executable), machine.ROOT / "src")


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
    folder: Path,
    key: Key,
    *,
    processor: Process | None = None,
    options: Sequence[str] = (),
    program: Program = THIS_TREE,
) -> Iterator[Process]:
    """`campana serve` with its data in `folder`, and more `options`; `processor` gets the events of FUNCTION_ARN."""
    words = ["-m", "campana", "serve", "--port", "0", "--data-dir", str(folder)]
    if processor is not None:
        words += ["--processor", f"{FUNCTION_ARN}=http://127.0.0.1:{processor.port}/flow"]
    with started("campana", [*words, *options], key, folder, core=0, program=program) as process:
        yield process


@contextmanager
def own(module: str, folder: Path, key: Key, *, core: int) -> Iterator[Process]:
    """A server of this package, such as `floor`; files that it writes go to `folder`."""
    with started(module, ["-m", f"bench.{module}", str(folder)], key, folder, core=core) as process:
        yield process


@contextmanager
def started(
    name: str,
    words: Sequence[str],
    key: Key,
    folder: Path,
    *,
    core: int,
    program: Program = THIS_TREE,
    settings: Mapping[str, str] | None = None,
) -> Iterator[Process]:
    """Python with these arguments, pinned to the first (0) or second (1) core, from its "listening" line to its end.

    `settings`: more of its environment.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [program.python, *words],
            cwd=folder,
            env=environment(key, program.source) | dict(settings or {}),
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


def environment(key: Key, source: Path = THIS_TREE.source) -> dict[str, str]:
    """For a server, or a command beside it: this source, no settings from outside, the run's key."""
    found = {name: value for name, value in os.environ.items() if not name.startswith("CAMPANA_")}
    found["CAMPANA_ROOT_ACCESS_KEY_ID"] = key.access_key_id
    found["CAMPANA_ROOT_SECRET_ACCESS_KEY"] = key.secret
    found["PYTHONPATH"] = os.pathsep.join([str(source), str(machine.ROOT)])
    return found


def pin(core: int) -> None:
    """Keep this process on the first (0) or second (1) core it may use, if there are two."""
    if len(machine.CORES) > 1:
        os.sched_setaffinity(0, {machine.CORES[core]})


def seconds_of(words: Sequence[str]) -> float:
    """How long Python takes for these arguments, on the servers' core."""
    begun = perf_counter()
    subprocess.run([sys.executable, *words], check=True, preexec_fn=lambda: pin(0))
    return perf_counter() - begun


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port
