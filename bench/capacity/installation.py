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

from bench import machine, postgres, servers
from bench.client import Failed
from bench.postgres import Postgres
from bench.servers import Process
from bench.signing import Key

SHARED = {"CAMPANA_SECRETS_KEY": "what all nodes of a measurement share with one another"}


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
        store = stack.enter_context(postgres.started(folder / "postgres"))
        nats = stack.enter_context(_nats())
        words = ["-m", "campana", "serve", "--port", "0", "--database-url", store.url, "--notifier", nats.url]
        if processor is not None:
            words += ["--processor", f"{servers.FUNCTION_ARN}=http://127.0.0.1:{processor.port}/flow"]
        started = []
        for number in range(nodes):
            place = folder / f"node-{number}"
            words_of_node = [*words, "--data-dir", str(place)]
            started.append(
                stack.enter_context(servers.started("node", words_of_node, key, place, core=0, settings=SHARED))
            )
        yield Installation(started, store, nats)


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
