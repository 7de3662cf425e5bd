"""The work of a look-up or of a page stays the same however many rows there are.

Counted in steps of SQLite's virtual machine, so the numbers are the same on every machine. A plan without a scan is
not enough: an index may be walked from its start to the page that is wanted.
"""

import sqlite3
from collections.abc import Callable, Iterator
from itertools import count

import pytest

from campana.store import (
    admins,
    app_instances,
    channel_flows,
    channels,
    deletions,
    executions,
    idempotency,
    identities,
    memberships,
    messages,
    topics,
)
from campana.store.database import Position
from campana.store.sqlite import SqliteDatabase, SqliteTx

pytestmark = pytest.mark.sqlite
FEW, MANY = 60, 1200

Fill = Callable[[SqliteTx, int], None]
Look = Callable[[SqliteTx, Position], object]
"""Gets the key of a row far behind in the order: (time, name)."""


def rows(table: str, **columns: str) -> Fill:
    """Rows 1 to n, with SQL expressions of `i` as values; other columns hold 'x' or 0."""

    def fill(tx: SqliteTx, n: int) -> None:
        info = tx._connection.execute(f"PRAGMA table_info({table})").fetchall()
        values = ", ".join(columns.get(name, "'x'" if kind == "TEXT" else "0") for _, name, kind, *_ in info)
        tx.run(
            "WITH RECURSIVE numbers (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < :n)"
            f" INSERT INTO {table} SELECT {values} FROM numbers",
            n=n,
        )

    return fill


def both(*fills: Fill) -> Fill:
    def fill(tx: SqliteTx, n: int) -> None:
        for each in fills:
            each(tx, n)

    return fill


NAME = "printf('%06d', i)"
IN_TIME = {"created_at": "i"}
MESSAGES = rows("messages", id=NAME, **IN_TIME)
MEMBERS = rows("memberships", member_arn=NAME, **IN_TIME)
CHANNELS = rows("channels", arn=NAME, **IN_TIME)
CHANNELS_OF_ONE = both(rows("memberships", channel_arn=NAME, **IN_TIME), CHANNELS)
COMPLETED = rows("executions", id=NAME, callback_id=NAME, state="'SENT'", due_at="i", message_id=NAME)
LATER = rows("executions", id=NAME, callback_id=NAME, state="'INVOKING'", due_at="i", message_id=NAME)
PAGE = 5

LOOK_UPS: dict[str, tuple[Fill, Look]] = {
    "a page of messages, oldest first": (
        MESSAGES,
        lambda tx, far: messages.page(
            tx, "x", "x", not_before=0, not_after=10**13, descending=False, after=far, limit=PAGE
        ),
    ),
    "a page of messages, newest first": (
        MESSAGES,
        lambda tx, _: messages.page(
            tx, "x", "x", not_before=0, not_after=10**13, descending=True, after=(20, "000020"), limit=PAGE
        ),
    ),
    "a page of messages from a time on": (
        MESSAGES,
        lambda tx, far: messages.page(
            tx, "x", "x", not_before=int(far[0] or 0), not_after=10**13, descending=False, after=None, limit=PAGE
        ),
    ),
    "a page of members": (MEMBERS, lambda tx, far: memberships.page_by_type(tx, "x", "x", "x", far, PAGE)),
    "a page of a user's channels": (
        CHANNELS_OF_ONE,
        lambda tx, far: memberships.page_of_user(tx, "x", (*far, "x"), PAGE),
    ),
    "a page of channels": (CHANNELS, lambda tx, far: channels.page_by_privacy(tx, "x", "x", far, PAGE)),
    "a page of a flow's channels": (CHANNELS, lambda tx, far: channels.page_by_flow(tx, "x", far, PAGE)),
    "a page of flows": (
        rows("channel_flows", arn=NAME, **IN_TIME),
        lambda tx, far: channel_flows.page(tx, "x", far, PAGE),
    ),
    "a page of users": (
        rows("identities", arn=NAME, deleted_at="NULL", **IN_TIME),
        lambda tx, far: identities.page(tx, "x", "x", far, PAGE),
    ),
    "a page of admins": (rows("admins", admin_arn=NAME, **IN_TIME), lambda tx, far: admins.page(tx, "x", far, PAGE)),
    "a page of app instances": (
        rows("app_instances", arn=NAME, **IN_TIME),
        lambda tx, far: app_instances.page(tx, "x", far, PAGE),
    ),
    "one of a user's many channels": (
        CHANNELS_OF_ONE,
        lambda tx, _: memberships.of_user_in(tx, "x", channel("000007")),
    ),
    "the two moderators among many members": (
        both(MEMBERS, lambda tx, n: rows("moderators", moderator_arn=NAME)(tx, 2)),
        lambda tx, _: memberships.moderating_members(tx, "x", "x"),
    ),
    "the newest entries of a topic": (
        rows("journal", number="i", steering="NULL"),
        lambda tx, far: topics.after(tx, "x", int(far[0] or 0), PAGE),
    ),
    "old entries among many new ones": (
        rows("journal", number="i", **IN_TIME),
        lambda tx, _: topics.forget(tx, 10, PAGE),
    ),
    "old answers among many new ones": (
        rows("idempotency", key=NAME, **IN_TIME),
        lambda tx, _: idempotency.forget(tx, 10, PAGE),
    ),
    "due executions among completed ones": (COMPLETED, lambda tx, _: executions.due(tx, 10**13, PAGE)),
    "due executions among later ones": (LATER, lambda tx, _: executions.due(tx, 3, PAGE)),
    "the next due execution": (LATER, lambda tx, far: executions.next_due(tx, int(far[0] or 0))),
    "completed executions whose time is over": (COMPLETED, lambda tx, _: executions.forget_completed(tx, 3, PAGE)),
    "leases among completed executions": (COMPLETED, lambda tx, _: executions.release_leases(tx, "INVOKING", 0)),
    "the oldest deletion": (rows("deletions", arn=NAME, requested_at="i"), lambda tx, _: deletions.some(tx, 1)),
}


def channel(arn: str) -> channels.Channel:
    return channels.Channel(arn, "x", "x", "x", "x", None, "x", 0, 0, None, None)


def steps(connection: sqlite3.Connection, look: Callable[[], object]) -> int:
    counter: Iterator[int] = count()
    connection.set_progress_handler(lambda: next(counter) and None, 1)
    look()
    connection.set_progress_handler(None, 1)
    return next(counter)


@pytest.mark.parametrize(("fill", "look"), LOOK_UPS.values(), ids=LOOK_UPS)
def test_a_look_up_costs_the_same_among_few_rows_and_many(db: SqliteDatabase, fill: Fill, look: Look) -> None:
    work = {}
    for n in (FEW, MANY):

        def measure(tx: SqliteTx, n: int = n) -> int:
            tx.run("SAVEPOINT filled")
            fill(tx, n)
            spent = steps(tx._connection, lambda: look(tx, (n - 20, f"{n - 20:06d}")))
            tx._connection.execute("ROLLBACK TO filled")
            return spent

        work[n] = db.write_now(measure)

    assert work[FEW] > 0
    assert work[MANY] < 2 * work[FEW], work
