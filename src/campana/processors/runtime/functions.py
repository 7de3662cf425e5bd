"""What the local runtime runs and what comes of it: values shared by its modules and its callers."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

PYTHON_SUFFIXES = frozenset({".py"})
NODE_SUFFIXES = frozenset({".js", ".mjs", ".cjs"})


@dataclass(frozen=True, slots=True)
class FunctionSpec:
    """A Lambda function in a file of this machine.

    `name` stands in log lines and in AWS_LAMBDA_FUNCTION_NAME. `memory_mb` 0 means no limit. `concurrency` is
    how many workers may run it at the same time. `environment` is the function's own; `arn` is what its context
    says it was invoked by, made up from the name if empty.
    """

    name: str
    path: Path
    handler: str
    timeout_s: float = 30
    memory_mb: int = 512
    concurrency: int = 4
    environment: Mapping[str, str] = field(default_factory=dict)
    arn: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,140}", self.name):
            raise NotRunnable(f"{self.name!r} cannot be the name of a function: letters, digits, '-', '_' and '.'.")
        if not re.fullmatch(r"[A-Za-z_$][A-Za-z0-9_$]*", self.handler):
            raise NotRunnable(f"{self.handler!r} cannot be a handler: the name of a function in {self.path} is wanted.")
        if not re.fullmatch(r"[\x21-\x7e]*", self.arn):
            raise NotRunnable(f"{self.arn!r} is not the ARN of a function.")
        if self.timeout_s <= 0 or self.memory_mb < 0 or self.concurrency < 1:
            raise NotRunnable(f"{self.name}: timeout and concurrency must be positive, memory not negative.")

    @property
    def folder(self) -> Path:
        """The function's folder: its working directory, LAMBDA_TASK_ROOT and first place for imports."""
        return self.path.absolute().parent

    @property
    def lambda_handler(self) -> str:
        """The handler as AWS spells it: `file.function`."""
        return f"{self.path.stem}.{self.handler}"


def parse_target(target: str) -> tuple[Path, str]:
    """`path/to/file.py:handler` as its two parts. Raises NotRunnable if it does not look like that."""
    path, colon, handler = target.rpartition(":")
    if not colon or not handler or Path(path).suffix not in PYTHON_SUFFIXES | NODE_SUFFIXES:
        raise NotRunnable(f"{target!r} is not of the form path/to/file.py:handler or path/to/index.mjs:handler.")
    return Path(path), handler


class NotRunnable(Exception):
    """The function cannot be run here at all, with a sentence for whoever configured it."""


class FailureKind(StrEnum):
    ERROR = "error"  # the handler raised
    TIMEOUT = "timeout"
    CRASH = "crash"  # the process ended during the invocation
    INIT = "init"  # the process never came to ask for an event
    BUSY = "busy"  # too many invocations wait already
    STOPPED = "stopped"  # the runtime was stopped meanwhile


class FunctionFailed(Exception):
    """An invocation that did not end with an answer. `stack` is text to show: a traceback or the last output."""

    def __init__(self, kind: FailureKind, message: str, stack: str = "", error_type: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.stack = stack
        self.error_type = error_type

    def again(self) -> "FunctionFailed":
        """The same, to be raised once more: one exception raised twice would collect both tracebacks."""
        return FunctionFailed(self.kind, self.message, self.stack, self.error_type)


@dataclass(frozen=True, slots=True)
class Returned:
    """What the handler returned, as the JSON text its client sent."""

    payload: bytes
    request_id: str
    duration_ms: int


class Source(StrEnum):
    FUNCTION = "function"
    RUNTIME = "runtime"


@dataclass(frozen=True, slots=True)
class FunctionLine:
    """One line of a function's output, or of the runtime about it. `request_id` if an invocation was running."""

    function: str
    text: str
    request_id: str | None = None
    source: Source = Source.FUNCTION
