"""Servers that several nodes meet at, beside the database: started from the binaries that are installed."""

import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class Nats:
    """A NATS server that can be ended and come back at the same address."""

    def __init__(self, program: str) -> None:
        self._program = program
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self.url = f"nats://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        self._process = subprocess.Popen(
            [self._program, "-a", "127.0.0.1", "-p", str(self._port)], stderr=subprocess.PIPE, text=True
        )
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if "Server is ready" in line:
                return
        raise AssertionError(f"{self._program} ended with {self._process.wait()}")

    def freeze(self) -> None:
        """Its connections stay, and it says nothing any more."""
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        """End it without a word to anybody."""
        self._process.kill()
        self._process.wait()
        assert self._process.stderr is not None
        self._process.stderr.close()


@contextmanager
def nats() -> Iterator[Nats]:
    """A NATS server of its own."""
    program = shutil.which("nats-server", path=f"{Path('/usr/sbin')}:/usr/bin:/usr/local/bin:/opt/nats/bin")
    if program is None:
        pytest.skip("There is no nats-server here (Debian: apt install nats-server).")
    server = Nats(program)
    server.start()
    try:
        yield server
    finally:
        if server._process.poll() is None:
            server.kill()
