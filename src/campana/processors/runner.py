"""Carries invocations out and wakes executions that are due.

Invocations come as notices after the commit that decided on them; each ends with a report, in a transaction. If the
server dies in between, the lease runs out and the invocation is made again, with the same callback id.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import copy_context

from campana import log, tracing
from campana.clock import Clock, stopwatch
from campana.errors import ApiError, Conflict, ServiceUnavailable
from campana.flows import execution, machine
from campana.flows.execution import Answer, CalledBack, Due, Ended, Invocation, InvocationFailure
from campana.metrics import Metrics
from campana.processors import answer
from campana.processors.gathering import Gathering
from campana.processors.invokers import Accepted, Answered, Failed, Outcome, Stopped, Unreachable
from campana.processors.targets import Targets
from campana.store import executions
from campana.store.database import Database, Tx
from campana.store.executions import Execution
from campana.tracing import Kind, Tracing
from campana.unit_of_work import Units

DUE_AT_ONCE = 100
POLL_S = 5.0  # in case a notice was lost, and for what nodes left behind that died
INVOCATIONS_AT_ONCE = 1_000
CALLS_BACK_S = 0.25
"""A processor that calls back this soon needs no report that it has accepted: one transaction less, and the callback
does not have to wait for its commit. It counts until the callback is committed, and of many that come at the same time
the last waits for some tens of milliseconds. Meanwhile the lease holds, as it does while the processor is invoked."""


class Runner:
    """One for each node."""

    def __init__(
        self,
        db: Database,
        units: Units,
        clock: Clock,
        targets: Targets,
        metrics: Metrics,
        tracing: Tracing,
        *,
        lease_ms: int,
        handed_over: Callable[[], None],
    ) -> None:
        """`handed_over` is called when there is something to do that this node leaves to others."""
        self._db = db
        self._units = units
        self._clock = clock
        self._targets = targets
        self._metrics = metrics
        self._tracing = tracing
        self._lease_ms = lease_ms
        self._handed_over = handed_over
        self._answers = Gathering(db, units)
        self._seen_at = 0
        self._running: dict[tuple[str, str, int], Invocation] = {}
        self._called_back: dict[str, asyncio.Event] = {}  # of the running ones, by callback id
        self._tasks: set[asyncio.Task[None]] = set()
        self._handing_over: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(INVOCATIONS_AT_ONCE)
        self._next_due: int | None = None
        self._sooner = asyncio.Event()
        self._stopping = False

    def take(self, notices: Sequence[object]) -> None:
        """What committed transactions want done. On the event loop; returns at once."""
        for notice in notices:
            match notice:
                case Invocation():
                    self._start(notice)
                case Due(at):
                    if self._next_due is None or at < self._next_due:
                        self._next_due = at
                        self._sooner.set()
                case CalledBack(callback_id, deny):
                    if (called_back := self._called_back.get(callback_id)) is not None:
                        called_back.set()
                    self._metrics.callbacks.of("denied" if deny else "passed").add()
                case Ended():
                    self._ended(notice)
                case InvocationFailure():
                    log.warning(
                        "processor.unreachable",
                        message=notice.message_id,
                        processor=notice.processor_resource_arn,
                        reason=notice.reason,
                    )

    def look(self) -> None:
        """Look now for what is due: another node has left something behind."""
        self._sooner.set()

    def _ended(self, notice: Ended) -> None:
        self._metrics.execution_seconds.of(notice.verdict).observe(notice.waited_ms / 1000)
        if not notice.trace:
            return
        name = "release" if notice.verdict == "SENT" else "end of flow"
        # Under the call that proposed the message, however much later; what decided may be in another trace.
        with self._tracing.span(name, parent=notice.trace, links=(notice.by,)) as span:
            span.set("campana.verdict", notice.verdict)
            span.set("campana.waited_ms", notice.waited_ms)

    async def run(self) -> None:
        """Wake what is due and renew leases, until cancelled."""
        if self._db.exclusive:
            # Nobody else can be at work on these: what a server that died had begun is begun again now.
            await self._db.write(_shorten_leases, self._clock.now())
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._wake_due())
            tasks.create_task(self._renew_leases())

    async def stop(self, grace_s: float) -> None:
        """Start no more invocations and wait for those under way; what is left is handed over: it is due at once.

        So is what calls that are still answered want invoked; `settled` waits until that is written down.
        """
        self._stopping = True
        for called_back in self._called_back.values():
            called_back.set()  # nobody waits for callbacks any more: what is accepted is written down
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_s)
        left = [*self._running.values()]
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for invocation in left:
            await self._hand_over(invocation)

    async def settled(self) -> None:
        """After `stop`, when no call is answered any more: returns when everything is handed over."""
        await asyncio.gather(*self._handing_over)

    async def _hand_over(self, invocation: Invocation) -> None:
        event = machine.InvocationAbandoned(invocation.callback_id, invocation.attempt)
        with suppress(Conflict, ServiceUnavailable):  # then its lease runs out
            await self._tell(invocation, event)
            self._handed_over()

    # Invocations

    def _start(self, invocation: Invocation) -> None:
        work, tasks = (self._hand_over, self._handing_over) if self._stopping else (self._invoke, self._tasks)
        task = asyncio.create_task(work(invocation))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def _invoke(self, invocation: Invocation) -> None:
        key = (invocation.execution_id, invocation.callback_id, invocation.attempt)
        self._running[key] = invocation
        called_back = self._called_back.setdefault(invocation.callback_id, asyncio.Event())
        if invocation.trace:
            log.about(trace=tracing.trace_of(invocation.trace))
        try:
            async with self._slots:
                outcome = await self._invoke_traced(invocation)
            if not (isinstance(outcome, Accepted) and await _set_soon(called_back)) or self._stopping:
                await self._report(invocation, outcome)
        except (Conflict, ServiceUnavailable):
            pass  # somebody else moved it on, or the lease will run out: it is invoked again
        except Exception:
            log.exception("processor.report_failed", message=invocation.message_id)
        finally:
            del self._running[key]
            self._called_back.pop(invocation.callback_id, None)

    async def _invoke_traced(self, invocation: Invocation) -> Outcome:
        begun = stopwatch()
        with self._tracing.span("invoke processor", Kind.PRODUCER, parent=invocation.trace) as span:
            outcome = await self._outcome(invocation)
            name = type(outcome).__name__.lower()
            span.set("campana.attempt", invocation.attempt)
            span.set("campana.outcome", name)
            if isinstance(outcome, Failed | Unreachable):
                span.failed(name)
        self._metrics.invoked(invocation.resource_arn, name, stopwatch() - begun)
        return outcome

    async def _outcome(self, invocation: Invocation) -> Outcome:
        invoker = self._targets.invoker_for(invocation.resource_arn)
        if invoker is None:
            return Unreachable(f"No target is configured for {invocation.resource_arn} (campana serve --processor).")
        return await invoker.invoke(invocation)

    async def _report(self, invocation: Invocation, outcome: Outcome) -> None:
        callback_id, attempt = invocation.callback_id, invocation.attempt
        event: machine.Event
        match outcome:
            case Accepted():
                event = machine.InvocationAccepted(callback_id, attempt)
            case Unreachable(reason):
                log.info("processor.attempt_failed", message=invocation.message_id, attempt=attempt, reason=reason)
                event = machine.InvocationFailed(callback_id, attempt, reason)
            case Failed(reason, stack):
                self._show(invocation, reason, stack)
                event = machine.FunctionFailed(callback_id, attempt)
            case Answered(value):
                await self._take_answer(invocation, value)
                return
            case Stopped():
                return
        await self._tell(invocation, event)

    async def _tell(self, invocation: Invocation, event: machine.Event) -> None:
        channel_arn = invocation.channel_arn
        await self._db.write_together(
            channel_arn, None, self._units.run_on, channel_arn, execution.report, invocation.execution_id, event
        )

    async def _take_answer(self, invocation: Invocation, value: object) -> None:
        """An answer that is none, or that the rules refuse, is the function's failure."""
        try:
            fields, deny = answer.parse(value, invocation.message_id)
            about = (invocation.execution_id, invocation.callback_id)
            await self._answers.write(invocation.channel_arn, Answer(*about, fields, deny, copy_context()))
        except (answer.NotAnAnswer, ApiError) as error:
            if isinstance(error, Conflict | ServiceUnavailable):
                raise
            self._show(invocation, f"its answer was refused: {error}", "")
            event = machine.FunctionFailed(invocation.callback_id, invocation.attempt)
            await self._tell(invocation, event)

    def _show(self, invocation: Invocation, reason: str, stack: str) -> None:
        log.error(
            "processor.failed",
            processor=invocation.processor,
            message=invocation.message_id,
            attempt=invocation.attempt,
            reason=reason,
            stack=stack,
        )

    # Timers

    async def _wake_due(self) -> None:
        while not self._stopping:
            try:
                woken = await self._wake_some()
            except ServiceUnavailable:
                woken = 0
            if woken == DUE_AT_ONCE:
                continue
            await self._wait()

    async def _wake_some(self) -> int:
        now = self._clock.now()
        if now < self._seen_at:  # put back: nobody is to wait until it is again what it was
            await self._db.write(_shorten_leases, now + self._lease_ms)
        self._seen_at = now
        self._next_due = None
        self._sooner.clear()  # before the look: what falls due meanwhile must not be forgotten
        due, next_due = await self._db.read(_due, now)
        if next_due is not None and (self._next_due is None or next_due < self._next_due):
            self._next_due = next_due
        for each in due:
            if self._stopping:  # what it would begin another node, or the next start, has to begin again
                break
            with suppress(Conflict):  # another node was first
                channel_arn = each.channel_arn
                await self._db.write_together(
                    channel_arn, None, self._units.run_on, channel_arn, execution.wake, each.id
                )
        return len(due)

    async def _wait(self) -> None:
        """Until the next execution falls due, one falls due sooner, or the poll."""
        wait_s = POLL_S
        if self._next_due is not None:
            wait_s = min(POLL_S, max(0.0, (self._next_due - self._clock.now()) / 1000))
        sleeping = asyncio.ensure_future(self._clock.sleep(wait_s))
        sooner = asyncio.ensure_future(self._sooner.wait())
        try:
            await asyncio.wait((sleeping, sooner), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            sooner.cancel()

    async def _renew_leases(self) -> None:
        """Long-running functions keep their leases, so that nobody invokes them a second time meanwhile."""
        while True:
            before = list(self._running)
            await self._clock.sleep(self._lease_ms / 3000)
            for key in before:
                if (invocation := self._running.get(key)) is None:
                    continue
                event = machine.InvocationRunning(invocation.callback_id, invocation.attempt)
                try:
                    await self._tell(invocation, event)
                except (Conflict, ServiceUnavailable):
                    continue


async def _set_soon(event: asyncio.Event) -> bool:
    try:
        async with asyncio.timeout(CALLS_BACK_S):
            return await event.wait()
    except TimeoutError:
        return False


def _due(tx: Tx, now: int) -> tuple[list[Execution], int | None]:
    """The executions that are due, and when the next one falls due."""
    return executions.due(tx, now, DUE_AT_ONCE), executions.next_due(tx, now)


def _shorten_leases(tx: Tx, to: int) -> int:
    return executions.shorten_leases(tx, execution.INVOKING, to)
