"""Log lines: a name that says what happened, and values; key=value or JSON, on standard error.

Built on `logging`, so that lines of libraries come out in the same form. Never content, names
or secrets of users: only plain values are written, so a request or a row cannot slip in whole.
"""

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import TextIO

from campana.settings import LogFormat, LogLevel

VALUE_CHARACTERS_MAX = 2_000
# Hidden as a value's whole name and as its last word: session_token, channel_name.
HIDDEN_NAMES = frozenset(
    {
        *("authorization", "body", "content", "metadata", "name", "password", "secret", "signature", "token", "url"),
        *("secret_access_key", "callback_id"),  # who knows a callback id may answer for the processor
    }
)

_log = logging.getLogger("campana")
_about: ContextVar[dict[str, object]] = ContextVar("campana.log", default={})  # noqa: B039 - never changed, only replaced


def about(**values: object) -> None:
    """From here on each line of this task, and of what it starts, has these values: a request's id, its trace."""
    _about.set(values)


def debug(event: str, /, **values: object) -> None:
    """What only somebody looking for a fault wants to know."""
    _write(logging.DEBUG, event, values)


def info(event: str, /, **values: object) -> None:
    """`log.info("execution.released", message=message.id, steps=2)`: a thing that matters, done."""
    _write(logging.INFO, event, values)


def warning(event: str, /, **values: object) -> None:
    """Something to look after; the server goes on."""
    _write(logging.WARNING, event, values)


def error(event: str, /, **values: object) -> None:
    """Something failed for a user."""
    _write(logging.ERROR, event, values)


def exception(event: str, /, **values: object) -> None:
    """As `error`, with the traceback of the exception being handled."""
    _write(logging.ERROR, event, values, traceback=True)


def configure(format: LogFormat, level: LogLevel, stream: TextIO | None = None) -> None:
    """Send every line of the process to `stream` (standard error), campana's from `level`, others' from warning."""
    handler = logging.StreamHandler(stream or sys.stderr)  # flushes after each line
    handler.setFormatter(_Json() if format is LogFormat.JSON else _Text())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    _log.setLevel(level.value.upper())
    logging.captureWarnings(True)


def _write(level: int, event: str, values: dict[str, object], *, traceback: bool = False) -> None:
    _log.log(level, "%s", event, extra={"campana_values": _about.get() | values}, exc_info=traceback)


def _plain(name: str, value: object) -> str | int | float | bool | None:
    if name in HIDDEN_NAMES or name.rpartition("_")[2] in HIDDEN_NAMES:
        return "(hidden)"
    match value:
        case Enum():
            return _plain(name, value.value)
        case None | bool() | int() | float():
            return value
        case str() | Path() | BaseException():
            text = str(value)
            return text if len(text) <= VALUE_CHARACTERS_MAX else text[:VALUE_CHARACTERS_MAX] + "…"
    return f"({type(value).__name__})"


def _line(record: logging.LogRecord) -> dict[str, object]:
    """Time, level, event, then the values."""
    time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    line: dict[str, object] = {"time": time, "level": record.levelname.lower()}
    given = getattr(record, "campana_values", None)
    if given is None:
        text = record.getMessage()[:VALUE_CHARACTERS_MAX]
        return line | {"event": "library.reported", "logger": record.name, "text": text}
    line["event"] = record.getMessage()
    return line | {name: _plain(name, value) for name, value in given.items() if name not in line}


class _Text(logging.Formatter):
    """`2026-03-04T05:06:07.089Z info execution.released message=5b0c steps=2`, then a traceback, indented."""

    def format(self, record: logging.LogRecord) -> str:
        line = _line(record)
        heads = [str(line.pop(part)) for part in ("time", "level", "event")]
        text = " ".join(heads + [f"{name}={_quoted(value)}" for name, value in line.items()])
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text.replace("\n", "\n    ")


class _Json(logging.Formatter):
    """One object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line = _line(record)
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def _quoted(value: object) -> str:
    """As it stands where that is one plain word, else as a JSON string: a value cannot forge a line."""
    if isinstance(value, str):
        plain = value.isprintable() and value and not any(character in ' "=\\' for character in value)
        return value if plain else json.dumps(value)
    return json.dumps(value)
