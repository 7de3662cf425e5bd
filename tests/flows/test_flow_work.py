"""What a message through a flow costs the database: counted in statements, the same on every machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from campana.store.sqlite import SqliteDatabase
from tests.flows.lobby import Lobby
from tests.harness import LAMBDA, App, Processor, RunningServer, calls_back, running

pytestmark = pytest.mark.sqlite  # it counts on SQLite's own connection

ASKED = [
    *("SELECT standing", "INSERT messages", "INSERT executions"),
    *("SELECT executions", "UPDATE executions", "UPDATE messages", "UPDATE channels"),
]
OF_EVERY_CALL = ("idempotency", "topics", "journal")
"""What client request tokens and events are kept in."""


@contextmanager
def statements(server: RunningServer) -> Iterator[list[str]]:
    """What writing transactions ask for, but OF_EVERY_CALL: the verb, and the table they begin with."""
    database = server.server._db
    assert isinstance(database, SqliteDatabase)
    asked: list[str] = []

    def note(sql: str) -> None:
        verb, *words = sql.split()
        if verb in ("BEGIN", "COMMIT"):
            return
        table = words[0] if verb == "UPDATE" else words[words.index("INTO" if verb == "INSERT" else "FROM") + 1]
        if table not in OF_EVERY_CALL:
            asked.append(f"{verb} {'standing' if 'LEFT JOIN memberships' in sql else table}")

    database._writing.set_trace_callback(note)
    try:
        yield asked
    finally:
        database._writing.set_trace_callback(None)


def test_a_message_that_a_processor_calls_back_about(lobby: Lobby, processor: Processor) -> None:
    with lobby.cid.connects() as cid, statements(lobby.server) as asked:
        lobby.sends()
        calls_back(lobby.app, processor.takes())
        assert cid.next().type == "CREATE_CHANNEL_MESSAGE"

    assert asked == ASKED


def test_a_message_that_a_function_in_the_process_answers(tmp_path: Path) -> None:
    with running(tmp_path, processors=[f"{LAMBDA}f=python:tests.processors.in_process:shouts"]) as server:
        lobby = Lobby.of(App(server), f"{LAMBDA}f")
        with lobby.cid.connects() as cid, statements(server) as asked:
            lobby.sends()
            assert cid.next().type == "CREATE_CHANNEL_MESSAGE"

    assert asked == ASKED
