"""A flow execution in a transaction: load, `machine.transition`, save, carry the effects out as rows.

Invocations alone are handed out, as notices that the runner gets after the commit.
"""

from collections.abc import Sequence
from contextvars import Context
from functools import lru_cache

import msgspec

from campana import events, log, tracing
from campana.api.messaging import ChannelMessageCallback, Processor
from campana.errors import BadRequest, Conflict, Forbidden
from campana.flows import machine, payload
from campana.flows.machine import AwaitingCallback, Completed, Deleted, Invoking, Plan, State, Step, Verdict
from campana.flows.revision import Revision
from campana.limits import CLOCK_PUT_BACK_MS, STATUS_DETAIL_CHARACTERS
from campana.settings import Flows
from campana.store import channels, executions, memberships, messages, sub_channels
from campana.store.database import Tx
from campana.store.executions import Execution, OnItsWay
from campana.store.messages import Message
from campana.unit_of_work import UnitOfWork

CREATE, UPDATE = "CREATE", "UPDATE"
INVOKING, AWAITING_CALLBACK = "INVOKING", "AWAITING_CALLBACK"
KEEP_COMPLETED_MS = 60 * 60 * 1000
"""There is one for each message that was sent: an hour of them, not 48."""
PLANS_KEPT = 256


class Invocation(msgspec.Struct, frozen=True):
    """Notice: invoke the processor now and report how that went (`report`)."""

    execution_id: str
    channel_arn: str
    callback_id: str
    attempt: int
    processor: str
    resource_arn: str
    message_id: str
    event: bytes
    trace: str
    """The traceparent of the call that proposed what is invoked for."""


class Answer(msgspec.Struct, frozen=True):
    """What a function in this process has answered to an invocation."""

    execution_id: str
    callback_id: str
    fields: ChannelMessageCallback
    deny: bool
    context: Context
    """Whom the log lines about it belong to."""


class Due(msgspec.Struct, frozen=True):
    """Notice: somebody must look at an execution at this time (milliseconds)."""

    at: int


class CalledBack(msgspec.Struct, frozen=True):
    """Notice: a callback counted."""

    callback_id: str
    deny: bool


class Ended(msgspec.Struct, frozen=True):
    """Notice: an execution has its verdict, this long after it began; `by` is the traceparent of what decided."""

    verdict: str
    waited_ms: int
    trace: str
    by: str


class InvocationFailure(msgspec.Struct, frozen=True):
    """Notice: what an operator's event bus is told of, whatever the fallback action (spec/integrations.md §5)."""

    app_instance_arn: str
    channel_arn: str
    message_id: str
    processor_resource_arn: str
    reason: str


_plans = msgspec.json.Decoder(Plan)
_revisions = msgspec.json.Decoder(Revision)
_processors = msgspec.json.Decoder(list[Processor])


# What starts an execution, moves it on, ends it


def start(unit: UnitOfWork, operation: str, message: Message, proposed: Revision, processors: str) -> None:
    """Send `proposed` through the processors (JSON of a flow's ProcessorList as it stands now); the first is invoked
    after the commit."""
    plan, plan_text = _plan_of(processors, unit.settings.flows)
    begun = machine.begin(unit.now, unit.ids.token)
    state, effects = machine.transition(begun, machine.TimerFired(), plan, unit.now, unit.ids.token)
    assert isinstance(state, Invoking)
    text = msgspec.json.encode(proposed).decode()
    execution = Execution(
        id=unit.ids.uuid_in_time(unit.now),
        message_id=message.id,
        channel_arn=message.channel_arn,
        operation=operation,
        plan=plan_text,
        state=INVOKING,
        step=state.step,
        tries=state.tries,
        callback_id=state.callback_id,
        due_at=state.due_at,
        proposed=text,
        draft=text,
        created_at=unit.now,
        version=1,
        trace=tracing.current().traceparent,
    )
    executions.insert(unit.tx, execution)
    _carry_out(unit, execution, message, proposed, plan, effects)


def find_pending(tx: Tx, message_id: str) -> Execution | None:
    """The execution that a message is in, if it has no verdict yet."""
    newest = executions.newest_of(tx, message_id)
    return newest if newest is not None and _is_pending(newest) else None


def callback(
    unit: UnitOfWork,
    channel_arn: str,
    callback_id: str,
    answer: ChannelMessageCallback,
    *,
    deny: bool,
    was_pending: bool,
) -> None:
    """A processor's answer. Raises Forbidden, BadRequest or Conflict as spec/channel-flows.md §5 has it.

    `was_pending`: the execution waited for this callback when the request arrived, before it queued for the lock.
    """
    found = executions.by_callback(unit.tx, callback_id)
    if found is None or found.execution.channel_arn != channel_arn:
        raise _late() if was_pending else Forbidden()
    if not (found.has_channel and found.has_app_instance):
        raise Forbidden
    execution, message = found.execution, found.message
    if answer.message_id != execution.message_id:
        raise BadRequest("ChannelMessage.MessageId is not the message of this callback.")
    if answer.sub_channel_id is not None and message is not None and answer.sub_channel_id != message.sub_channel_id:
        raise BadRequest("A processor can't move a message to another sub-channel.")
    event = machine.CallbackReceived(callback_id, deny=deny, edited=_edits(answer))
    tracing.current().link(execution.trace)
    unit.tx.announce(CalledBack(callback_id, deny))
    try:
        if not _advance_found(unit, found, event, answer):
            raise Forbidden
    except machine.NotKnown:
        raise _late() if was_pending else Forbidden() from None
    except machine.NotPending:
        if was_pending:
            raise _late() from None
        raise BadRequest(
            "Unable to complete processing of non-pending message"
            f" for callback id: {callback_id}, message id: {answer.message_id}"
        ) from None


def answers(unit: UnitOfWork, of: Sequence[Answer]) -> list[BadRequest | None]:
    """What functions in this process have answered, all in one channel; about an execution that has moved on an answer
    changes nothing. As `report`.

    A BadRequest stands for an answer that a callback would be refused for.
    """
    found = executions.find_all(unit.tx, [each.execution_id for each in of])
    # Once only: a function that was invoked again may have answered twice.
    return [each.context.run(_answer, unit, found.pop(each.execution_id, None), each) for each in of]


def _answer(unit: UnitOfWork, found: OnItsWay | None, answer: Answer) -> BadRequest | None:
    if found is None or found.execution.callback_id != answer.callback_id or not _is_pending(found.execution):
        return None
    if not found.has_channel:
        executions.delete(unit.tx, found.execution)
        return None
    if answer.fields.message_id != found.execution.message_id:
        return BadRequest("ChannelMessage.MessageId is not the message of this callback.")
    event = machine.CallbackReceived(answer.callback_id, deny=answer.deny, edited=_edits(answer.fields))
    try:
        _advance_found(unit, found, event, answer.fields)
    except BadRequest as refusal:  # before anything was written
        return refusal
    return None


def _is_pending(execution: Execution) -> bool:
    return execution.state in (INVOKING, AWAITING_CALLBACK)


def _late() -> Conflict:
    return Conflict("There was a conflict processing the request. Try your request again.")


def cancel(unit: UnitOfWork, message: Message) -> None:
    """The message was redacted: a pending edit of it is dropped."""
    if (execution := find_pending(unit.tx, message.id)) is not None:
        _advance(unit, execution, message, machine.Cancelled())


def wake(unit: UnitOfWork, execution_id: str) -> None:
    """`due_at` of the execution may have passed."""
    report(unit, execution_id, machine.TimerFired())


def report(unit: UnitOfWork, execution_id: str, event: machine.Event) -> None:
    """How an invocation went; about an execution that has moved on it changes nothing.

    Its channel is to be locked: then of several nodes that find it due one invokes, and the others find that done.
    """
    found = executions.find(unit.tx, execution_id)
    if found is None:
        return
    if not found.has_channel:
        executions.delete(unit.tx, found.execution)  # dropped with its channel, silently (spec/channel-flows.md §6)
        return
    _advance_found(unit, found, event)


# The machine's shell


def _advance_found(
    unit: UnitOfWork, found: OnItsWay, event: machine.Event, answer: ChannelMessageCallback | None = None
) -> bool:
    if found.message is not None:
        unit.know({found.message.sender_arn: found.sender_name})
    return _advance(unit, found.execution, found.message, event, answer)


def _advance(
    unit: UnitOfWork,
    execution: Execution,
    message: Message | None,
    event: machine.Event,
    answer: ChannelMessageCallback | None = None,
) -> bool:
    """False: there is nothing to advance, as the message was dropped with its sub-channel."""
    plan = _read_plan(execution.plan)
    if message is None and _is_pending(execution):
        executions.delete(unit.tx, execution)  # silently (spec/channel-flows.md §6)
        return False
    before = _state(execution)
    by = tracing.current().traceparent
    state, effects = machine.transition(before, event, plan, unit.now, unit.ids.token)
    if state == before and not effects:
        return True
    if message is None:
        # A NON_PERSISTENT one that was released; all that remains of its execution is to go.
        assert not effects, "effects for a message that is gone"
    changed = _with_state(execution, state)
    draft = _revisions.decode(execution.draft)
    for effect in effects:
        if isinstance(effect, machine.ApplyEdits):
            assert answer is not None
            draft = draft.edited(answer)
            changed = msgspec.structs.replace(changed, draft=msgspec.json.encode(draft).decode())
    if isinstance(state, Deleted):
        executions.delete(unit.tx, execution)
        if isinstance(before, Completed) and before.verdict is Verdict.FAILED and message is not None:
            _forget_failed(unit, message)
    else:
        executions.save(unit.tx, changed)
        unit.tx.announce(Due(state.due_at))
    if _is_pending(execution) and (verdict := _verdict(state)) is not None:
        unit.tx.announce(Ended(verdict, unit.now - execution.created_at, execution.trace, by))
    if message is not None:
        _carry_out(unit, changed, message, draft, plan, effects)
    return True


def _carry_out(
    unit: UnitOfWork,
    execution: Execution,
    message: Message,
    draft: Revision,
    plan: Plan,
    effects: list[machine.Effect],
) -> None:
    """`draft` is what the execution's text says."""
    unit.trace = execution.trace  # what comes of it belongs to the call that proposed it, whoever decided
    for effect in effects:
        match effect:
            case machine.Invoke(step, callback_id, attempt):
                _invoke(unit, execution, message, draft, plan.steps[step], callback_id, attempt)
            case machine.EmitInvocationFailure(step, reason):
                _emit_failure(unit, message, plan.steps[step], reason)
            case machine.Deny():
                _deny(unit, execution, message)
            case machine.Release():
                _release(unit, execution, message, draft)
            case machine.Fail(reason):
                _fail(unit, execution, message, reason)
            case machine.ApplyEdits():
                pass  # part of the row already
    unit.trace = ""


def _invoke(
    unit: UnitOfWork,
    execution: Execution,
    message: Message,
    draft: Revision,
    step: Step,
    callback_id: str,
    attempt: int,
) -> None:
    event = payload.render(unit, execution, message, draft, callback_id)
    unit.tx.announce(
        Invocation(
            execution.id,
            execution.channel_arn,
            callback_id,
            attempt,
            step.name,
            step.resource_arn,
            message.id,
            event.encode(),
            execution.trace,
        )
    )
    unit.tx.announce(Due(execution.due_at))


def _emit_failure(unit: UnitOfWork, message: Message, step: Step, reason: str) -> None:
    app_instance_arn = message.channel_arn.partition("/channel/")[0]
    unit.tx.announce(InvocationFailure(app_instance_arn, message.channel_arn, message.id, step.resource_arn, reason))


def _release(unit: UnitOfWork, execution: Execution, message: Message, draft: Revision) -> None:
    released = msgspec.structs.replace(draft.on(message), status="SENT", status_detail=None, updated_at=unit.now)
    if execution.operation == UPDATE:
        released = msgspec.structs.replace(released, edited_at=execution.created_at)
        messages.update(unit.tx, released)
        events.publish_message(unit, events.UPDATE_CHANNEL_MESSAGE, released)
    else:
        release_new(unit, released, stored=True)
    log.debug("execution.released", message=message.id, step=execution.step, waited_ms=unit.now - execution.created_at)


def release_new(unit: UnitOfWork, message: Message, *, stored: bool) -> None:
    """A new message goes to its channel. Kept if persistent; `stored` tells whether its row is there already."""
    if message.persistence == "NON_PERSISTENT":
        if stored:
            messages.delete(unit.tx, message.id)
    else:
        if stored:
            messages.update(unit.tx, message)
        else:
            messages.insert(unit.tx, message)
        if message.type == "STANDARD":
            _note_new(unit, message)
        else:
            channels.has_new_control_message(unit.tx, message.channel_arn, message.id)
    events.publish_message(unit, events.CREATE_CHANNEL_MESSAGE, message)


def _note_new(unit: UnitOfWork, message: Message) -> None:
    """When the last message came is told to those who can see it."""
    channel_arn, sub_channel_id = message.channel_arn, message.sub_channel_id
    at, not_behind = max(unit.now, message.created_at), unit.now + CLOCK_PUT_BACK_MS
    if message.involved is not None:
        channels.has_new_targeted_message(unit.tx, channel_arn, message.id, at, not_behind=not_behind)
        memberships.have_new_targeted_message(unit.tx, channel_arn, sub_channel_id, message.involved, unit.now)
        return
    channels.has_new_message(unit.tx, channel_arn, message.id, at, not_behind=not_behind)
    if sub_channel_id:
        sub_channels.has_new_message(unit.tx, channel_arn, sub_channel_id, unit.now)


def _deny(unit: UnitOfWork, execution: Execution, message: Message) -> None:
    _tell_sender(unit, execution, message, "DENIED")
    if execution.operation == CREATE:
        messages.delete(unit.tx, message.id)
    log.debug("execution.denied", message=message.id, step=execution.step, operation=execution.operation)


def _fail(unit: UnitOfWork, execution: Execution, message: Message, reason: str) -> None:
    detail = reason[:STATUS_DETAIL_CHARACTERS]
    if execution.operation == CREATE:
        message = msgspec.structs.replace(message, status="FAILED", status_detail=detail, updated_at=unit.now)
        messages.update(unit.tx, message)
    _tell_sender(unit, execution, message, "FAILED", detail)
    log.warning("execution.failed", message=message.id, step=execution.step, reason=reason)


def _tell_sender(
    unit: UnitOfWork, execution: Execution, message: Message, status: str, detail: str | None = None
) -> None:
    """What the sender proposed was not sent: the sender sees the own words, not what processors made of them."""
    kinds = {
        ("DENIED", CREATE): events.DENIED_CREATE_CHANNEL_MESSAGE,
        ("DENIED", UPDATE): events.DENIED_UPDATE_CHANNEL_MESSAGE,
        ("FAILED", CREATE): events.FAILED_CREATE_CHANNEL_MESSAGE,
        ("FAILED", UPDATE): events.FAILED_UPDATE_CHANNEL_MESSAGE,
    }
    proposal = as_proposed(execution, message)
    shown = msgspec.structs.replace(proposal, status=status, status_detail=detail, updated_at=unit.now)
    events.publish_message(unit, kinds[status, execution.operation], shown)


def as_proposed(execution: Execution, message: Message) -> Message:
    """The message as its sender sees it while the execution is under way."""
    proposal = _revisions.decode(execution.proposed).on(message)
    edited_at = execution.created_at if execution.operation == UPDATE else message.edited_at
    return msgspec.structs.replace(proposal, status="PENDING", edited_at=edited_at)


def _forget_failed(unit: UnitOfWork, message: Message) -> None:
    if message.status == "FAILED":
        messages.delete(unit.tx, message.id)


# Rows ↔ states


def _verdict(state: State) -> str | None:
    match state:
        case Completed():
            return state.verdict.value
        case Deleted():
            return "DENIED"
    return None


@lru_cache(PLANS_KEPT)
def _plan_of(processors: str, waits: Flows) -> tuple[Plan, str]:
    """With its JSON. All messages of a flow have the same one, until it is changed."""
    ordered = sorted(_processors.decode(processors), key=lambda each: each.execution_order)
    plan = Plan(
        steps=tuple(
            Step(each.name, each.configuration.lambda_.resource_arn, machine.FallbackAction(each.fallback_action))
            for each in ordered
        ),
        lease_ms=waits.lease_ms,
        retry_after_ms=waits.retry_delays_ms,
        callback_timeout_ms=waits.callback_timeout_ms,
        keep_ms=KEEP_COMPLETED_MS,
        keep_failed_ms=waits.callback_timeout_ms,
    )
    return plan, msgspec.json.encode(plan).decode()


@lru_cache(PLANS_KEPT)
def _read_plan(text: str) -> Plan:
    return _plans.decode(text)


def _state(execution: Execution) -> State:
    step, tries, callback_id, due_at = execution.step, execution.tries, execution.callback_id, execution.due_at
    match execution.state:
        case "INVOKING":
            return Invoking(step, tries, callback_id, due_at)
        case "AWAITING_CALLBACK":
            return AwaitingCallback(step, tries, callback_id, due_at)
        case verdict:
            return Completed(step, tries, callback_id, due_at, Verdict(verdict))


def _with_state(execution: Execution, state: State) -> Execution:
    match state:
        case Invoking(step, tries, callback_id, due_at):
            name = INVOKING
        case AwaitingCallback(step, tries, callback_id, due_at):
            name = AWAITING_CALLBACK
        case Completed(step, tries, callback_id, due_at, verdict):
            name = verdict.value
        case Deleted():
            return execution
    return msgspec.structs.replace(
        execution, state=name, step=step, tries=tries, callback_id=callback_id, due_at=due_at
    )


def _edits(answer: ChannelMessageCallback) -> bool:
    fields = (answer.content, answer.metadata, answer.content_type, answer.message_attributes, answer.push_notification)
    return any(field is not None for field in fields)
