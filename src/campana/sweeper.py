"""Timed work in small batches: what deletions left behind, old journal entries, old answers, completed executions.

Each step is one short transaction, so that callers never wait long for it; a step that found a full batch is
repeated soon.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from campana import arn, events, limits, log
from campana.clock import Clock
from campana.metrics import Metrics
from campana.operations import elastic_members, retention, users
from campana.operations.channels import delete as delete_channel
from campana.operations.expiration import expiry
from campana.operations.memberships import leave
from campana.operations.quotas import give_back
from campana.store import (
    channels,
    counts,
    deletions,
    endpoints,
    executions,
    idempotency,
    identities,
    memberships,
    moderators,
    quotas,
    sub_channels,
    tags,
    topics,
)
from campana.store.database import Database, Tx
from campana.store.memberships import Membership
from campana.unit_of_work import UnitOfWork, Units

BATCH: Final = 200
SHARED_BATCH: Final = 4_000
"""Rows that nobody reads any more, on a database that nodes share: they are removed there in one statement, not here.
So it can be for many nodes what 200 are for one."""
LEAVING_BATCH: Final = 20  # who leaves a channel is an event there, ten times the work of removing a row
EXPIRED_BATCH: Final = 20
PURGED_BATCH: Final = 100
PAUSE_S: Final = 1.0
PAUSE_IN_WORK_S: Final = 0.02
LEAP_MS: Final = 10 * 60 * 1000
HOLD_MS: Final = 60 * 60 * 1000
"""What expires is removed within six hours (spec/identity-auth.md §7): one of them is for clocks."""
FORBIDDEN: Final = 4003  # WebSocket close code (spec/realtime.md §3)


@dataclass(frozen=True, slots=True)
class Step:
    """Timed work; `work` is given how many rows it may take on in its transaction, and returns how many it did."""

    work: Callable[[UnitOfWork, int], int]
    rows: int
    rows_shared: int
    """As `rows`, on a database that nodes share."""
    for_good: bool = False
    """It removes what people made, because of its age."""

    @property
    def name(self) -> str:
        return self.work.__name__


class Sweeper:
    """Runs the steps one after the other, for ever."""

    def __init__(
        self,
        db: Database,
        units: Units,
        clock: Clock,
        metrics: Metrics | None = None,
        steps: tuple[Step, ...] | None = None,
    ) -> None:
        """`steps`: others than `STEPS`."""
        self._metrics = metrics or Metrics()
        self._db = db
        self._units = units
        self._clock = clock
        self._steps = STEPS if steps is None else steps
        self._rows = {step: step.rows if db.exclusive else step.rows_shared for step in self._steps}
        self._rows_now = dict(self._rows)  # after a failure less, until it works
        self._seen_at = 0
        self._hold_until = 0

    async def run(self) -> None:
        """Until cancelled. A step that fails is logged, and tried again later with fewer rows."""
        self._seen_at = self._clock.now()
        while True:
            worked = 0
            for step in self._steps:
                if step.for_good and self._clock_is_doubtful():
                    continue
                rows = self._rows_now[step]
                try:
                    if done := await self._db.write(_alone, self._units, step, rows):
                        worked += done
                        self._metrics.sweeper_rows.labels(step.name).inc(done)
                    self._rows_now[step] = min(2 * rows, self._rows[step])
                except Exception:  # a full disk passes; without this loop nothing would ever be cleaned up
                    # On a slow disk so many rows may take longer than a statement is given.
                    self._rows_now[step] = max(rows // 2, 1)
                    self._metrics.sweeper_failures.labels(step.name).inc()
                    log.exception("sweeper.failed", step=step.name)
            await self._clock.sleep(PAUSE_IN_WORK_S if worked else PAUSE_S)

    def _clock_is_doubtful(self) -> bool:
        """After a leap forward nothing is removed for its age until somebody had time to put the clock right."""
        now = self._clock.now()
        if now - self._seen_at > LEAP_MS:
            log.warning("clock.leapt", ms=now - self._seen_at)
            self._hold_until = now + HOLD_MS
        elif now < self._seen_at - LEAP_MS:
            self._hold_until = 0
        self._seen_at = now
        return now < self._hold_until

    async def settle(self) -> None:
        """Run all steps until none finds anything. Raises what the database raises."""
        while sum([await self._db.write(_in_turn, self._units, step, rows) for step, rows in self._rows.items()]):
            pass


def _alone(tx: Tx, units: Units, step: Step, rows: int) -> int:
    """The step, unless another node is at it."""
    return units.run(tx, step.work, rows) if tx.try_lock(_resource(step)) else 0


def _in_turn(tx: Tx, units: Units, step: Step, rows: int) -> int:
    """The step, after another node that is at it."""
    return units.run_on(tx, _resource(step), step.work, rows)


def _resource(step: Step) -> str:
    return f"sweeper {step.name}"


# The work of the steps. What calls write as well is locked, and then looked at again.


def forget_old_journal(unit: UnitOfWork, batch: int) -> int:
    """Sessions have read these long ago."""
    return topics.forget(unit.tx, unit.now - limits.JOURNAL_MS, batch)


def forget_old_answers(unit: UnitOfWork, batch: int) -> int:
    """A client request token is good for 24 hours."""
    return idempotency.forget(unit.tx, unit.now - limits.IDEMPOTENCY_MS, batch)


def forget_completed_executions(unit: UnitOfWork, batch: int) -> int:
    """Kept only for the right refusal of a late callback."""
    return executions.forget_completed(unit.tx, unit.now, batch)


def continue_deletions(unit: UnitOfWork, batch: int) -> int:
    """A batch of the oldest deletion under way."""
    worked = 0
    for deletion in deletions.some(unit.tx, limit=1):
        worked += 1
        if _remove_some(unit, deletion.arn, batch) == 0:
            deletions.completed(unit.tx, deletion.arn)
            log.info("deletion.completed", arn=deletion.arn)
    return worked


def remove_expired_users(unit: UnitOfWork, batch: int) -> int:
    """As DeleteAppInstanceUser would."""
    found = identities.expired(unit.tx, unit.now, batch)
    unit.tx.lock(*(each.arn for each in found))
    for each in found:
        row = identities.find(unit.tx, each.arn)
        if row is not None and row.expires_at == each.expires_at:
            users.delete(unit, row)
            log.info("user.expired", arn=row.arn)
    return len(found)


def remove_expired_channels(unit: UnitOfWork, batch: int) -> int:
    """As DeleteChannel would. One that expires by its last message may have had one meanwhile."""
    found = channels.expiring(unit.tx, unit.now, batch)
    unit.tx.lock(*(each.arn for each in found))
    for each in found:
        row = channels.find(unit.tx, each.arn)
        if row is None or row.expiration_days is None or row.expiration_criterion is None:
            continue
        due = expiry(row.expiration_days, row.expiration_criterion, row.created_at, row.last_message_at)
        if due > unit.now:
            channels.set_expiration(
                unit.tx, row.arn, days=row.expiration_days, criterion=row.expiration_criterion, expires_at=due
            )
            continue
        delete_channel(unit, row)
        log.info("channel.expired", arn=row.arn)
    return len(found)


def purge_old_messages(unit: UnitOfWork, batch: int) -> int:
    """As retention settings want it."""
    return retention.purge(unit, batch)


def balance_sub_channels(unit: UnitOfWork, batch: int) -> int:
    """A sub-channel that became too small is joined with another; each time some of its members move."""
    for balanced in range(batch):
        row = sub_channels.to_balance(unit.tx, unit.now)
        if row is None:
            return balanced
        unit.tx.lock(row.channel_arn)
        channel = channels.find(unit.tx, row.channel_arn)
        if channel is None:
            sub_channels.balanced(unit.tx, row.channel_arn)
        else:
            elastic_members.balance(unit, channel)
    return batch


STEPS: Final = (
    Step(continue_deletions, BATCH, SHARED_BATCH),
    Step(balance_sub_channels, 1, 1),
    Step(remove_expired_users, EXPIRED_BATCH, EXPIRED_BATCH, for_good=True),
    Step(remove_expired_channels, EXPIRED_BATCH, EXPIRED_BATCH, for_good=True),
    Step(purge_old_messages, PURGED_BATCH, PURGED_BATCH, for_good=True),
    Step(forget_old_journal, BATCH, SHARED_BATCH),
    Step(forget_old_answers, BATCH, SHARED_BATCH),
    Step(forget_completed_executions, BATCH, SHARED_BATCH),
)


def _remove_some(unit: UnitOfWork, deleted_arn: str, batch: int) -> int:
    channel_arn, _, sub_channel_id = deleted_arn.partition("/sub-channel/")
    if sub_channel_id:
        return deletions.rows_of_sub_channel(unit.tx, channel_arn, sub_channel_id, batch)
    deleted = arn.parse(deleted_arn)
    match deleted.kind:
        case arn.Kind.CHANNEL:
            return _remove_some_of_channel(unit, deleted.text, batch)
        case arn.Kind.USER | arn.Kind.BOT:
            return _remove_some_of_identity(unit, deleted.text)
        case arn.Kind.APP_INSTANCE:
            return _remove_some_of_app_instance(unit, deleted.text)
        case arn.Kind.CHANNEL_FLOW:
            return 0


def _remove_some_of_channel(unit: UnitOfWork, channel_arn: str, batch: int) -> int:
    rows = memberships.some_of_channel(unit.tx, channel_arn, BATCH)
    for row in rows:
        _remove_silently(unit, row)
    return len(rows) + deletions.rows_of_channel(unit.tx, channel_arn, batch)


def _remove_silently(unit: UnitOfWork, row: Membership) -> None:
    memberships.delete(unit.tx, row.channel_arn, row.member_arn, row.sub_channel_id)
    counts.add(unit.tx, row.member_arn, "memberships of a user", -1)


def _remove_some_of_identity(unit: UnitOfWork, identity_arn: str) -> int:
    rows = memberships.some_of_user(unit.tx, identity_arn, LEAVING_BATCH)
    unit.tx.lock(*(row.channel_arn for row in rows))
    for row in rows:
        if memberships.find(unit.tx, row.channel_arn, row.member_arn, row.sub_channel_id) is None:
            continue
        if channels.find(unit.tx, row.channel_arn) is None:
            _remove_silently(unit, row)
        else:
            leave(unit, row)
    # Roles after memberships: who moderates an elastic channel leaves it as a moderator.
    gone = len(rows) or _remove_roles(unit, identity_arn)
    if gone == 0:
        endpoints.delete_all(unit.tx, identity_arn)
        tags.delete_all(unit.tx, identity_arn)
        counts.forget(unit.tx, identity_arn)
    return gone


def _remove_roles(unit: UnitOfWork, identity_arn: str) -> int:
    rows = moderators.some_of_identity(unit.tx, identity_arn, BATCH)
    unit.tx.lock(*(row.channel_arn for row in rows))
    for row in rows:
        gone = moderators.delete(unit.tx, row.channel_arn, identity_arn)
        if gone and channels.find(unit.tx, row.channel_arn) is not None:
            give_back(unit, row.channel_arn, "moderators")
    return len(rows) + deletions.bans_of_identity(unit.tx, identity_arn, BATCH)


def _remove_some_of_app_instance(unit: UnitOfWork, app_instance_arn: str) -> int:
    channel_arns = channels.some_of(unit.tx, app_instance_arn, BATCH)
    unit.tx.lock(*channel_arns)
    for channel_arn in channel_arns:
        channels.delete(unit.tx, channel_arn)
        counts.forget(unit.tx, channel_arn)
        deletions.add(unit.tx, channel_arn, unit.now)
    identity_arns = identities.some_of(unit.tx, app_instance_arn, BATCH)
    unit.tx.lock(*identity_arns)
    for identity_arn in identity_arns:
        identities.delete(unit.tx, identity_arn, unit.now)
        deletions.add(unit.tx, identity_arn, unit.now)
        events.close_sessions(unit, identity_arn, FORBIDDEN)
    gone = len(channel_arns) + len(identity_arns) + deletions.rest_of_app_instance(unit.tx, app_instance_arn, BATCH)
    if gone == 0:
        counts.forget(unit.tx, app_instance_arn)
        quotas.delete_all(unit.tx, app_instance_arn)
    return gone
