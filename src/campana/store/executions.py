"""Rows of flow executions: a message's way through the processors. `due_at` is the only timer."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from campana.errors import Conflict
from campana.store.database import Question, Row, Tx
from campana.store.messages import Message


class Execution(Row, frozen=True):
    id: str
    message_id: str
    channel_arn: str
    operation: str
    """CREATE or UPDATE."""
    plan: str
    """JSON of the flow as it stood when the message was sent."""
    state: str
    step: int
    tries: int
    callback_id: str
    """Of the current step; a completed execution keeps its last one, so that a late callback is told right."""
    due_at: int
    proposed: str
    """JSON of the revision that the sender proposed."""
    draft: str
    """JSON of the revision as the processors so far have left it."""
    created_at: int
    version: int
    trace: str = ""
    """The traceparent of the call that proposed it; '' without traces."""


class OnItsWay(NamedTuple):
    """An execution with what decides about its next step."""

    execution: Execution
    message: Message | None
    """None as well if its sub-channel was removed: all its messages go then, not all of them at once."""
    sender_name: str | None
    has_channel: bool
    has_app_instance: bool


def find(tx: Tx, id: str) -> OnItsWay | None:
    """One statement instead of one for each table: every message through a flow is looked up so."""
    found = tx.first(f"{_ON_ITS_WAY} WHERE e.id = :id", id=id)
    return None if found is None else _on_its_way(found)


def find_all(tx: Tx, ids: Sequence[str]) -> dict[str, OnItsWay]:
    """Those that there are, by id; `ids` is not empty."""
    (found,) = tx.answers([Question(f"{_ON_ITS_WAY} WHERE e.id IN (:ids)", {"ids": tuple(ids)})])
    return {each.execution.id: each for each in map(_on_its_way, found)}


def by_callback(tx: Tx, callback_id: str) -> OnItsWay | None:
    """As `find`."""
    found = tx.first(f"{_ON_ITS_WAY} WHERE e.callback_id = :callback", callback=callback_id)
    return None if found is None else _on_its_way(found)


def _on_its_way(found: tuple[Any, ...]) -> OnItsWay:
    execution, message = found[:_OF_EXECUTION], found[_OF_EXECUTION:-3]
    sender_name, channel_arn, app_instance_arn = found[-3:]
    return OnItsWay(
        Execution(*execution),
        None if message[0] is None else Message(*message),
        sender_name,
        channel_arn is not None,
        app_instance_arn is not None,
    )


def _columns(row: type[Row], table: str) -> str:
    return ", ".join(f"{table}.{name}" for name in row.__struct_fields__)


_OF_EXECUTION = len(Execution.__struct_fields__)
_ON_ITS_WAY = f"""
    SELECT {_columns(Execution, "e")}, {_columns(Message, "m")}, i.name, c.arn, a.arn
    FROM executions e
    LEFT JOIN channels c ON c.arn = e.channel_arn
    LEFT JOIN app_instances a ON a.arn = c.app_instance_arn
    LEFT JOIN messages m ON m.id = e.message_id AND m.channel_arn = e.channel_arn AND (m.sub_channel_id = ''
        OR EXISTS (SELECT 1 FROM sub_channels s WHERE s.channel_arn = m.channel_arn AND s.id = m.sub_channel_id))
    LEFT JOIN identities i ON i.arn = m.sender_arn
"""


class Called(Row, frozen=True):
    """What a callback is told by."""

    channel_arn: str
    state: str
    due_at: int


def called(tx: Tx, callback_id: str) -> Called | None:
    """What a callback with this id would be about."""
    return tx.one(
        Called, "SELECT channel_arn, state, due_at FROM executions WHERE callback_id = :callback", callback=callback_id
    )


def newest_of(tx: Tx, message_id: str) -> Execution | None:
    """The one under way, else the newest. Times alone do not tell: clocks are put back, and milliseconds are long."""
    return tx.one(
        Execution,
        "SELECT * FROM executions WHERE message_id = :message"
        " ORDER BY state IN ('SENT', 'FAILED', 'CANCELLED'), created_at DESC, id DESC LIMIT 1",
        message=message_id,
    )


def due(tx: Tx, now: int, limit: int) -> list[Execution]:
    """Those that somebody must look at, the most overdue first."""
    return tx.all(
        Execution,
        "SELECT * FROM executions WHERE due_at <= :now AND state NOT IN ('SENT', 'CANCELLED')"
        " ORDER BY due_at, id LIMIT :limit",
        now=now,
        limit=limit,
    )


class Backlog(Row, frozen=True):
    """How many executions are in a state, and the time of the oldest."""

    state: str
    number: int
    oldest_at: int


def backlog(tx: Tx, limit: int) -> list[Backlog]:
    """Of the first `limit` that have to be looked at, those without a verdict and those that failed."""
    return tx.all(
        Backlog,
        "SELECT state, COUNT(*), MIN(created_at) FROM (SELECT state, created_at FROM executions"
        " WHERE state NOT IN ('SENT', 'CANCELLED') ORDER BY due_at, id LIMIT :limit) AS waiting GROUP BY state",
        limit=limit,
    )


def forget_completed(tx: Tx, now: int, limit: int) -> int:
    """Remove up to `limit` completed executions whose time is over; how many there were.

    The bulk of them, at once: a failed one also has a message to remove and goes through the state machine.
    """
    return tx.run(
        "DELETE FROM executions WHERE id IN (SELECT id FROM executions WHERE due_at <= :now"
        " AND state IN ('SENT', 'CANCELLED') ORDER BY due_at LIMIT :limit)",
        now=now,
        limit=limit,
    )


def next_due(tx: Tx, now: int) -> int | None:
    """When the next one falls due after `now`."""
    due_at: int | None = tx.scalar(
        "SELECT due_at FROM executions WHERE due_at > :now AND state NOT IN ('SENT', 'CANCELLED')"
        " ORDER BY due_at LIMIT 1",
        now=now,
    )
    return due_at


def insert(tx: Tx, execution: Execution) -> None:
    tx.put(
        """
        INSERT INTO executions (id, message_id, channel_arn, operation, plan, state, step, tries, callback_id, due_at,
            proposed, draft, created_at, version, trace)
        VALUES (:id, :message, :channel, :operation, :plan, :state, :step, :tries, :callback, :due_at,
            :proposed, :draft, :created_at, :version, :trace)
        """,
        id=execution.id,
        message=execution.message_id,
        channel=execution.channel_arn,
        operation=execution.operation,
        plan=execution.plan,
        state=execution.state,
        step=execution.step,
        tries=execution.tries,
        callback=execution.callback_id,
        due_at=execution.due_at,
        proposed=execution.proposed,
        draft=execution.draft,
        created_at=execution.created_at,
        version=execution.version,
        trace=execution.trace,
    )


def save(tx: Tx, execution: Execution) -> None:
    """Compare and set: Conflict if somebody changed it since it was read."""
    tx.put_if(
        _changed(),
        """
        UPDATE executions SET state = :state, step = :step, tries = :tries, callback_id = :callback, due_at = :due_at,
            draft = :draft, version = version + 1
        WHERE id = :id AND version = :seen
        """,
        id=execution.id,
        state=execution.state,
        step=execution.step,
        tries=execution.tries,
        callback=execution.callback_id,
        due_at=execution.due_at,
        draft=execution.draft,
        seen=execution.version,
    )


def delete(tx: Tx, execution: Execution) -> None:
    """Compare and set, too."""
    sql = "DELETE FROM executions WHERE id = :id AND version = :seen"
    tx.put_if(_changed(), sql, id=execution.id, seen=execution.version)


def _changed() -> Conflict:
    return Conflict("There was a conflict processing the request. Try your request again.")


def delete_of_message(tx: Tx, message_id: str) -> None:
    tx.run("DELETE FROM executions WHERE message_id = :message", message=message_id)


def shorten_leases(tx: Tx, state: str, to: int) -> int:
    """Make every execution in `state` due at `to` at the latest: now, for a start at which nobody else can hold a
    lease; or as late as a lease can be, when the clock was put back."""
    # The second condition says what the first implies, for the index of those under way.
    return tx.run(
        "UPDATE executions SET due_at = :to WHERE state = :state AND state NOT IN ('SENT', 'CANCELLED')"
        " AND due_at > :to",
        state=state,
        to=to,
    )
