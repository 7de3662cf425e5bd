"""`campana serve` processes that can be killed, paused and started again."""

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

from bench.servers import environment
from bench.signing import Key

from chaos.engines import DATABASE, USER, free_port
from chaos.programs import Broken
from chaos.proxies import Relay

START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 40
RESTART_S = 1
SETTINGS = {
    "CAMPANA_SECRETS_KEY": "what all nodes of a run share with one another",
    "CAMPANA_FLOWS__ACCEPT_HTTP_RESOURCE_ARNS": "true",
    "CAMPANA_SERVER__DRAIN_NOTICE_S": "5",  # as in deploy/compose
    # On a busy machine nobody shall seem unreachable who is not.
    "CAMPANA_FLOWS__ATTEMPT_TIMEOUT_MS": "10000",
}


class Node:
    """One of the nodes, with the relays between it and the engines."""

    def __init__(self, folder: Path, name: str, database: Relay, notifier: Relay, key: Key, *, nats: bool) -> None:
        """`nats`: tell the other nodes over NATS; else over PostgreSQL."""
        self.name = name
        self.database = database
        self.notifier = notifier
        self.port = free_port()
        self.log = folder / f"{name}.log"
        self._folder = folder / name
        self._folder.mkdir()
        hosts = ",".join(database.addresses)
        self._environment = {
            **environment(key),
            **SETTINGS,
            "CAMPANA_DATABASE__URL": f"postgresql://{USER}@{hosts}/{DATABASE}?target_session_attrs=read-write",
            **({"CAMPANA_NOTIFIER__URL": "nats://" + notifier.addresses[0]} if nats else {}),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it listens; again while the database is away, as a service manager does."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._starts(deadline):
            if time.monotonic() > deadline:
                raise Broken(f"{self.name} did not start:\n{self.last_words()}")
            time.sleep(RESTART_S)

    def _starts(self, deadline: float) -> bool:
        words = ["-m", "campana", "serve", "--port", str(self.port), "--data-dir", str(self._folder / "data")]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, *words],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        output = self._process.stdout
        assert output is not None
        said = b""
        while b"listening on" not in said:
            ready, _, _ = select.select([output], [], [], max(0.0, deadline - time.monotonic()))
            chunk = os.read(output.fileno(), 65536) if ready else b""
            if not chunk:
                self.close()
                return False
            said += chunk
        return True

    def kill(self) -> None:
        """End it without a chance to tidy up."""
        self._ended(signal.SIGKILL)

    def pause(self) -> None:
        """It stands still."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Undo `pause`."""
        self._signal(signal.SIGCONT)

    def stop(self) -> int:
        """Ask it to stop: the exit code, or -9 if it has to be killed."""
        return self._ended(signal.SIGTERM)

    def close(self) -> None:
        """End it if it still runs."""
        if self._process is not None and self._process.poll() is None:
            self.kill()

    def last_words(self) -> str:
        """The end of its log."""
        return self.log.read_text("utf-8", "replace")[-2000:]

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _ended(self, by: signal.Signals) -> int:
        assert self._process is not None
        self._process.send_signal(by)
        try:
            return self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
        finally:
            if self._process.stdout is not None:
                self._process.stdout.close()
