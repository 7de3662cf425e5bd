"""Log lines: their form, and what never gets into them."""

import io
import json
import logging
from pathlib import Path

import pytest

from campana import log
from campana.settings import LogFormat, LogLevel


@pytest.fixture
def lines():
    """Configures logging as asked and gives back the lines written; puts everything back afterwards."""
    root, own = logging.getLogger(), logging.getLogger("campana")
    before = list(root.handlers), root.level, own.level
    root.handlers = []
    stream = io.StringIO()

    def configured(format: LogFormat = LogFormat.TEXT, level: LogLevel = LogLevel.INFO) -> io.StringIO:
        log.configure(format, level, stream)
        return stream

    yield configured
    root.handlers, root.level, own.level = before
    logging.captureWarnings(False)
    own.manager._clear_cache()


def tail(stream: io.StringIO) -> str:
    """What was written, without the time of the first line."""
    return stream.getvalue().partition(" ")[2].rstrip("\n")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("5b0c", "5b0c"),
        (2, "2"),
        (True, "true"),
        (None, "null"),
        (LogLevel.INFO, "info"),
        (Path("/a b"), '"/a b"'),
        ("", '""'),
        ('say "x"', '"say \\"x\\""'),
        ("a\n2026-01-01 error forged", '"a\\n2026-01-01 error forged"'),
        ("\x1b[2J", '"\\u001b[2J"'),
        ("\u2028", '"\\u2028"'),
        (ValueError("no"), "no"),
        ({"Content": "4111"}, "(dict)"),
        (b"4111", "(bytes)"),
        ("x" * 3_000, "x" * 2_000 + "…"),
    ],
)
def test_values_as_text(lines, value, text):
    stream = lines()

    log.info("thing.done", what=value)

    assert tail(stream) == f"info thing.done what={text}"


@pytest.mark.parametrize("name", ["content", "session_token", "secret_access_key", "channel_name", "callback_id"])
def test_values_that_are_never_written(lines, name):
    stream = lines()

    log.warning("thing.done", **{name: "4111"}, message="5b0c")

    assert tail(stream) == f"warning thing.done {name}=(hidden) message=5b0c"


def test_a_json_line_is_one_object_whose_head_no_value_replaces(lines):
    stream = lines(LogFormat.JSON)

    log.error("thing.failed", level="x", event="y", steps=2)

    found = json.loads(stream.getvalue())
    assert list(found) == ["time", "level", "event", "steps"]
    assert (found["level"], found["event"], found["steps"]) == ("error", "thing.failed", 2)


@pytest.mark.parametrize("format", LogFormat)
def test_an_exception_comes_with_its_traceback(lines, format):
    stream = lines(format)

    try:
        raise KeyError("k")
    except KeyError:
        log.exception("thing.failed", request="r")

    text = stream.getvalue()
    assert "KeyError: 'k'" in text
    assert all(line.startswith("    ") for line in text.splitlines()[1:])


def test_levels_and_libraries(lines):
    stream = lines(level=LogLevel.WARNING)

    log.info("thing.done")
    logging.getLogger("aiohttp.client").info("started")
    logging.getLogger("aiohttp.client").error("Exception in %s\n", "a session")

    assert tail(stream) == 'error library.reported logger=aiohttp.client text="Exception in a session\\n"'
