"""`campana serve` as a child process: started, listened to, ended."""

import json
import os
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from campana.processors.runtime.process import LAUNCHER

READY = "campana: listening on "
PATIENCE_S = 30.0
STOP_S = 10.0
TAIL_LINES = 20
LINES_WAITING_MAX = 1_000

FUNCTION_OUTPUT = "function.output"
FUNCTION_FAILED = "processor.failed"
ATTEMPT_FAILED = "processor.attempt_failed"
UNREACHABLE = "processor.unreachable"
_FOLLOWED = frozenset({FUNCTION_OUTPUT, FUNCTION_FAILED, ATTEMPT_FAILED, UNREACHABLE})


class Trouble(Exception):
    """Something else came than was expected."""

    def __init__(self, expected: str, came: str) -> None:
        super().__init__(f"expected {expected}; came {came}")
        self.expected = expected
        self.came = came


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of the server's log."""

    event: str
    values: Mapping[str, object]

    def about(self, message_id: str) -> bool:
        return self.values.get("message") == message_id or message_id in str(self.values.get("text"))


class ChildServer:
    """A server on a free port with its data in `folder`/data and its log in `folder`/server.log.

    It ends with the `with` block, and where the system is Linux also with this process, however that ends.
    """

    def __init__(self, folder: Path, processors: Mapping[str, str]) -> None:
        self.data_dir = folder / "data"
        self.log_file = folder / "server.log"
        self._ready: queue.Queue[str | None] = queue.Queue()
        self._lines: queue.Queue[LogLine] = queue.Queue(LINES_WAITING_MAX)
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        command = [sys.executable, "-P", "-m", "campana", "serve", "--config", os.devnull, "--port", "0"]
        command += ["--data-dir", str(self.data_dir), "--reload-processors"]
        command += [word for arn, target in processors.items() for word in ("--processor", f"{arn}={target}")]
        # A session of its own: a Ctrl-C is for the demo, which then ends the server in good order.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", LAUNCHER, str(os.getpid()), "0", *command],
            env={**os.environ, "CAMPANA_LOG__FORMAT": "json", "CAMPANA_SERVER__DRAIN_S": "2"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._readers = (
            threading.Thread(target=self._read_output, args=(self._process.stdout,), daemon=True),
            threading.Thread(target=self._read_log, args=(self._process.stderr,), daemon=True),
        )
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for reader in self._readers:
            reader.join(STOP_S)

    def url(self) -> str:
        """Where it listens, once it does; raises Trouble. To be asked once."""
        try:
            url = self._ready.get(timeout=PATIENCE_S)
        except queue.Empty:
            raise Trouble("a server that listens", f"nothing in {PATIENCE_S:.0f} s") from None
        if url is None:
            raise Trouble("a server that listens", f"one that ended with exit code {self._process.wait()}")
        return url

    def next_line(self, message_id: str) -> LogLine:
        """The next thing the log says about the way of a message through its flow; raises Trouble."""
        with suppress(queue.Empty):
            while True:
                if (line := self._lines.get(timeout=PATIENCE_S)).about(message_id):
                    return line
        raise Trouble("a word of the processor", f"nothing in {PATIENCE_S:.0f} s")

    def any_line(self) -> LogLine:
        """The next thing the log says about any message, however late."""
        return self._lines.get()

    def wait(self) -> int:
        """Wait until it ends by itself; its exit code."""
        return self._process.wait()

    @property
    def tail(self) -> list[str]:
        """The last lines of its log."""
        return list(self._tail)

    def _read_output(self, output: IO[str]) -> None:
        for line in output:
            if line.startswith(READY):
                self._ready.put(line.removeprefix(READY).strip())
        self._ready.put(None)

    def _read_log(self, output: IO[str]) -> None:
        with self.log_file.open("w") as log:
            for text in output:
                log.write(text)
                log.flush()
                self._tail.append(text.rstrip("\n"))
                if (line := _parsed(text)) is not None and line.event in _FOLLOWED:
                    with suppress(queue.Full):
                        self._lines.put_nowait(line)


def _parsed(text: str) -> LogLine | None:
    """None for what is no line of the log, such as a traceback of the interpreter."""
    try:
        values = json.loads(text)
    except ValueError:
        return None
    return LogLine(str(values.get("event")), values) if isinstance(values, dict) else None
