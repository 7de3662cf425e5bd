"""Rows of flow executions: a message's way through the processors. `due_at` is the only timer."""

from campana.errors import Conflict
from campana.store.database import Row, Tx


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


def find(tx: Tx, id: str) -> Execution | None:
    return tx.one(Execution, "SELECT * FROM executions WHERE id = :id", id=id)


def by_callback(tx: Tx, callback_id: str) -> Execution | None:
    return tx.one(Execution, "SELECT * FROM executions WHERE callback_id = :callback", callback=callback_id)


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
    """Compare and set: raises Conflict if somebody changed it since it was read."""
    changed = tx.run(
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
    if changed == 0:
        raise Conflict("There was a conflict processing the request. Try your request again.")


def delete(tx: Tx, execution: Execution) -> None:
    """Compare and set, too: raises Conflict."""
    gone = tx.run("DELETE FROM executions WHERE id = :id AND version = :seen", id=execution.id, seen=execution.version)
    if gone == 0:
        raise Conflict("There was a conflict processing the request. Try your request again.")


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
