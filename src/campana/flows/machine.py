"""The state machine of a flow execution.

Pure: no clock, no database, no I/O. Everything that changes an execution's state is in this file
(spec/channel-flows.md §3–§8).
"""

from collections.abc import Callable
from enum import StrEnum

import msgspec


class FallbackAction(StrEnum):
    """What happens to the message when a processor can't be reached."""

    CONTINUE = "CONTINUE"
    ABORT = "ABORT"


class Verdict(StrEnum):
    """How an execution ended. A denied one leaves no record."""

    SENT = "SENT"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class Step(msgspec.Struct, frozen=True):
    """One processor of the flow."""

    name: str
    resource_arn: str
    fallback: FallbackAction


class Plan(msgspec.Struct, frozen=True):
    """The flow as it stood when the message was sent, and how long is waited for what (milliseconds)."""

    steps: tuple[Step, ...]
    lease_ms: int
    """How long an invocation may go unreported before it is taken for lost and made again."""
    retry_after_ms: tuple[int, ...]
    """The waits before the second, third … attempt; one attempt more than there are waits."""
    callback_timeout_ms: int
    keep_ms: int
    """How long a completed execution stays, so that a late callback gets the right refusal."""
    keep_failed_ms: int
    """The same for a failed one: its sender can ask for the status meanwhile."""


# States


class Invoking(msgspec.Struct, frozen=True):
    """The processor of `step` is to be invoked at `due_at`, or is being invoked and reports until then."""

    step: int
    tries: int
    callback_id: str
    due_at: int


class AwaitingCallback(msgspec.Struct, frozen=True):
    """The processor has the message; its callback is due by `due_at`."""

    step: int
    tries: int
    callback_id: str
    due_at: int


class Completed(msgspec.Struct, frozen=True):
    """The verdict is spoken; the record stays until `due_at`."""

    step: int
    tries: int
    callback_id: str
    due_at: int
    verdict: Verdict


class Deleted(msgspec.Struct, frozen=True):
    """The record goes."""


State = Invoking | AwaitingCallback | Completed | Deleted


# Events. Reports about an invocation name the callback id and the attempt: those about an earlier one change nothing.


class TimerFired(msgspec.Struct, frozen=True):
    """`due_at` may have passed."""


class InvocationRunning(msgspec.Struct, frozen=True):
    """The function is still at work: the lease is renewed."""

    callback_id: str
    attempt: int


class InvocationAbandoned(msgspec.Struct, frozen=True):
    """The server stops before it knows how that went: another is to make the invocation again, now."""

    callback_id: str
    attempt: int


class InvocationAccepted(msgspec.Struct, frozen=True):
    """Somebody durable has the event."""

    callback_id: str
    attempt: int


class InvocationFailed(msgspec.Struct, frozen=True):
    """The processor could not be reached."""

    callback_id: str
    attempt: int
    reason: str


class FunctionFailed(msgspec.Struct, frozen=True):
    """The processor was reached, and raised, timed out or died. The service never learns of that: no fallback."""

    callback_id: str
    attempt: int


class CallbackReceived(msgspec.Struct, frozen=True):
    """The processor's answer."""

    callback_id: str
    deny: bool = False
    edited: bool = False


class Cancelled(msgspec.Struct, frozen=True):
    """The message was redacted meanwhile."""


Event = (
    TimerFired
    | InvocationRunning
    | InvocationAbandoned
    | InvocationAccepted
    | InvocationFailed
    | FunctionFailed
    | CallbackReceived
    | Cancelled
)


# Effects


class Invoke(msgspec.Struct, frozen=True):
    """Hand the message to the processor of `step`, after the commit."""

    step: int
    callback_id: str
    attempt: int


class EmitInvocationFailure(msgspec.Struct, frozen=True):
    """Tell the operator's event sink, whatever the fallback action is."""

    step: int
    reason: str


class ApplyEdits(msgspec.Struct, frozen=True):
    """The callback's fields replace the draft's."""


class Deny(msgspec.Struct, frozen=True):
    """Drop the message or the edit; tell the sender."""


class Release(msgspec.Struct, frozen=True):
    """Send the draft to the channel."""


class Fail(msgspec.Struct, frozen=True):
    """The message failed; tell the sender."""

    reason: str


Effect = Invoke | EmitInvocationFailure | ApplyEdits | Deny | Release | Fail


class NotPending(Exception):
    """A callback for an execution that has its verdict."""


class NotKnown(Exception):
    """A callback for another step, or after its 48 hours."""


NO_CALLBACK = "No callback was received in time."


def begin(now: int, new_callback_id: Callable[[], str]) -> State:
    """The state of a message that has just been accepted: the first processor is to be invoked now."""
    return Invoking(step=0, tries=0, callback_id=new_callback_id(), due_at=now)


def transition(
    state: State, event: Event, plan: Plan, now: int, new_callback_id: Callable[[], str]
) -> tuple[State, list[Effect]]:
    """The state after `event`, and what is to be done. Raises NotPending or NotKnown for a refused callback."""
    match state, event:
        case Invoking(step, tries, callback_id, due_at), TimerFired() if now >= due_at:
            leased = Invoking(step, tries + 1, callback_id, now + plan.lease_ms)
            return leased, [Invoke(step, callback_id, leased.tries)]
        case Invoking(), InvocationRunning() if _is_about(state, event):
            return Invoking(state.step, state.tries, state.callback_id, now + plan.lease_ms), []
        case Invoking(), InvocationAbandoned() if _is_about(state, event):
            return Invoking(state.step, state.tries, state.callback_id, now), []
        case Invoking(), InvocationAccepted() if _is_about(state, event):
            return _awaiting(state, plan, now), []
        case Invoking(), FunctionFailed() if _is_about(state, event):
            return _retrying(state, plan, now) or _awaiting(state, plan, now), []
        case Invoking(), InvocationFailed(reason=reason) if _is_about(state, event):
            if (retrying := _retrying(state, plan, now)) is not None:
                return retrying, []
            after, effects = _fall_back(state, plan, now, reason, state.callback_id, new_callback_id)
            return after, [EmitInvocationFailure(state.step, reason), *effects]
        case AwaitingCallback(due_at=due_at), TimerFired() if now >= due_at:
            # A new id even when this ends the flow: after 48 hours a callback is refused as unknown.
            after, effects = _fall_back(state, plan, now, NO_CALLBACK, new_callback_id(), new_callback_id)
            return after, [EmitInvocationFailure(state.step, NO_CALLBACK), *effects]
        case ((Invoking() | AwaitingCallback()), CallbackReceived(callback_id, deny, edited)):
            if callback_id != state.callback_id or (isinstance(state, AwaitingCallback) and now >= state.due_at):
                raise NotKnown
            if deny:
                return Deleted(), [Deny()]
            after, effects = _go_on(state, plan, now, state.callback_id, new_callback_id)
            return after, [ApplyEdits(), *effects] if edited else effects
        case ((Invoking() | AwaitingCallback()), Cancelled()):
            return _completed(state, plan, now, Verdict.CANCELLED, state.callback_id), []
        case Completed(due_at=due_at), TimerFired() if now >= due_at:
            return Deleted(), []
        case Completed(), CallbackReceived(callback_id):
            raise NotPending if callback_id == state.callback_id else NotKnown
        case Deleted(), CallbackReceived():
            raise NotKnown
        case _:
            return state, []


def _is_about(
    state: Invoking,
    event: InvocationRunning | InvocationAbandoned | InvocationAccepted | InvocationFailed | FunctionFailed,
) -> bool:
    return event.callback_id == state.callback_id and event.attempt == state.tries


def _retrying(state: Invoking, plan: Plan, now: int) -> Invoking | None:
    if state.tries > len(plan.retry_after_ms):
        return None
    wait = plan.retry_after_ms[state.tries - 1]
    return Invoking(state.step, state.tries, state.callback_id, now + wait)


def _awaiting(state: Invoking, plan: Plan, now: int) -> AwaitingCallback:
    return AwaitingCallback(state.step, state.tries, state.callback_id, now + plan.callback_timeout_ms)


def _fall_back(
    state: Invoking | AwaitingCallback,
    plan: Plan,
    now: int,
    reason: str,
    last_callback_id: str,
    new_callback_id: Callable[[], str],
) -> tuple[State, list[Effect]]:
    if plan.steps[state.step].fallback is FallbackAction.ABORT:
        return _completed(state, plan, now, Verdict.FAILED, last_callback_id), [Fail(reason)]
    return _go_on(state, plan, now, last_callback_id, new_callback_id)


def _go_on(
    state: Invoking | AwaitingCallback,
    plan: Plan,
    now: int,
    last_callback_id: str,
    new_callback_id: Callable[[], str],
) -> tuple[State, list[Effect]]:
    if state.step + 1 == len(plan.steps):
        return _completed(state, plan, now, Verdict.SENT, last_callback_id), [Release()]
    # The next processor is invoked at once, under a lease already: one transaction less for each step.
    following = Invoking(state.step + 1, tries=0, callback_id=new_callback_id(), due_at=now)
    return transition(following, TimerFired(), plan, now, new_callback_id)


def _completed(
    state: Invoking | AwaitingCallback, plan: Plan, now: int, verdict: Verdict, callback_id: str
) -> Completed:
    keep_ms = plan.keep_failed_ms if verdict is Verdict.FAILED else plan.keep_ms
    return Completed(state.step, state.tries, callback_id, now + keep_ms, verdict)
