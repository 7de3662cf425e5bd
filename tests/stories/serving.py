"""`campana serve` as people run it: a process of its own, with its data in a folder, told by flags.

    with serving(tmp_path, "--tls", "self-signed", processors={arn: "moderate.py:handler"}) as server:
        server.client("chime-sdk-messaging").list_channels(...)
        server.kill()
        server.start()  # the same data, the same port

At the end the server's log goes to standard error, which pytest shows with a test that failed. `Program` is any
subprocess that speaks in lines.
"""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3

import campana
from tests import stores

PATIENCE_S = 60
"""How long a line may take to come; only a test that fails waits as long."""
REGION = "us-east-1"
LOG_LINES_SHOWN = 60


class Ended(Exception):
    """The program ended while another line of it was waited for."""


class Program:
    """A running program. Its output is read line by line; its errors go into the file `log`, of which it is the end."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path) -> None:
        self.log = log
        self._lines: queue.Queue[str | None] = queue.Queue()
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                encoding="utf-8",
            )
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def line(self) -> str:
        """The next line of output; raises Ended, and AssertionError when none comes."""
        line = self._next()
        if line is None:
            raise Ended(self.errors())
        return line

    def json(self) -> Any:
        """The next line, which is JSON."""
        return json.loads(self.line())

    def rest(self) -> list[Any]:
        """Wait until it ends by itself, without an error: the lines of JSON until then."""
        lines = []
        while (line := self._next()) is not None:
            lines.append(json.loads(line))
        assert self._process.wait(PATIENCE_S) == 0, self.errors()
        return lines

    def say(self, line: str) -> None:
        """Write a line to what it reads from standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def close_input(self) -> None:
        """End what it reads from standard input."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def end(self, by: signal.Signals | None) -> int:
        """Send a signal and wait for the end: the exit code, negative if it was the signal's. Again: no effect.

        None: it has been sent.
        """
        if by is not None:
            self.signal(by)
        code = self._process.wait(PATIENCE_S)
        self._reading.join(PATIENCE_S)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        return code

    def signal(self, by: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        if self._process.poll() is None:
            self._process.send_signal(by)

    def errors(self) -> str:
        """The last lines of its log."""
        lines = self.log.read_text("utf-8", "replace").splitlines()
        return "\n".join([f"The end of {self.log.name}:", *lines[-LOG_LINES_SHOWN:]])

    def _next(self) -> str | None:
        try:
            line = self._lines.get(timeout=PATIENCE_S)
        except queue.Empty:
            raise AssertionError(f"No line within {PATIENCE_S} s.\n{self.errors()}") from None
        if line is None:
            self._lines.put(None)  # for whoever asks again
        return line

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)


class Server:
    """A server process that can be stopped or killed, and started again."""

    def __init__(self, folder: Path, flags: Sequence[str], environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.data_dir = folder / "data"
        self.log = folder / "server.log"
        self.url = ""
        self._flags = flags
        self._environment = environment
        self._key = {"AWS_ACCESS_KEY_ID": "CAMPSTORYROOT", "AWS_SECRET_ACCESS_KEY": "story-root-secret"}
        self._port = "0"
        self._program: Program | None = None
        self._clients: dict[str, Any] = {}

    def start(self) -> None:
        """Start it, on the port it had before if there was one, and wait until it listens."""
        command = [sys.executable, "-m", "campana", "serve", "--port", self._port, "--data-dir", str(self.data_dir)]
        environment = {
            **_neutral(os.environ),
            "CAMPANA_ROOT_ACCESS_KEY_ID": self._key["AWS_ACCESS_KEY_ID"],
            "CAMPANA_ROOT_SECRET_ACCESS_KEY": self._key["AWS_SECRET_ACCESS_KEY"],
            "PYTHONPATH": str(Path(campana.__file__).parents[1]),
            **stores.environment(self.data_dir),
            **self._environment,
        }
        self._program = Program([*command, *self._flags], environment, self.folder, self.log)
        self.url = self._program.line().removeprefix("campana: listening on ")
        assert self.url.startswith("http"), self.url
        self._port = self.url.rpartition(":")[2]

    def becomes(self, program: Path) -> None:
        """From its next start it is another version of the program, the one in this folder."""
        self._environment = {**self._environment, "PYTHONPATH": str(program)}

    def stop(self) -> int:
        """Ask it to stop, as service managers do, and wait until it has: the exit code."""
        return self._end(signal.SIGTERM)

    def leave(self, by: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to stop, and do not wait."""
        assert self._program is not None
        self._program.signal(by)

    def ended(self) -> int:
        """Wait until it has ended by itself: the exit code."""
        return self._end(None)

    def kill(self) -> None:
        """End it without a chance to tidy up."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """Stop it if it runs, and show its log."""
        if self._program is not None:
            self.stop()
            print(self._program.errors(), file=sys.stderr)

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which any AWS client, in any language, finds this server and may do everything."""
        found = {
            **_neutral(os.environ),
            **self._key,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL_CHIME_SDK_MESSAGING": self.url,
            "AWS_ENDPOINT_URL_CHIME_SDK_IDENTITY": self.url,
        }
        if self._authority is not None:
            found["AWS_CA_BUNDLE"] = found["NODE_EXTRA_CA_CERTS"] = self._authority
        return found

    def client(self, service: str) -> Any:
        """A boto3 client with the root key."""
        if service not in self._clients:
            self._clients[service] = boto3.client(
                service,
                endpoint_url=self.url,
                region_name=REGION,
                aws_access_key_id=self._key["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=self._key["AWS_SECRET_ACCESS_KEY"],
                verify=self._authority,
            )
        return self._clients[service]

    @property
    def _authority(self) -> str | None:
        """The file to trust, if the server has a certificate of its own."""
        file = self.data_dir / "tls" / "ca.pem"
        return str(file) if file.exists() else None

    def _end(self, by: signal.Signals | None) -> int:
        assert self._program is not None
        return self._program.end(by)


@contextmanager
def serving(
    folder: Path, *flags: str, processors: Mapping[str, str] | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """A server with its data in `folder`; flags as on the command line, `processors` by the ARNs of their functions.

    Its environment is the test's without what concerns AWS or Campana, and then `environment`.
    """
    targets = [word for arn, target in (processors or {}).items() for word in ("--processor", f"{arn}={target}")]
    server = Server(folder, [*flags, *targets], environment or {})
    try:
        server.start()
        yield server
    finally:
        server.close()


def _neutral(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment in which no setting of this machine's user reaches Campana or an AWS SDK."""
    kept = {name: value for name, value in environment.items() if not name.startswith(("AWS_", "CAMPANA_"))}
    return kept | {
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
