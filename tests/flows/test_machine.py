"""The state machine of a flow execution: its table row by row, and what holds whatever happens."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campana.flows.machine import (
    NO_CALLBACK,
    ApplyEdits,
    AwaitingCallback,
    CallbackReceived,
    Cancelled,
    Completed,
    Deleted,
    Deny,
    Effect,
    EmitInvocationFailure,
    Event,
    Fail,
    FallbackAction,
    FunctionFailed,
    InvocationAbandoned,
    InvocationAccepted,
    InvocationFailed,
    InvocationRunning,
    Invoke,
    Invoking,
    NotKnown,
    NotPending,
    Plan,
    Release,
    State,
    Step,
    TimerFired,
    Verdict,
    begin,
    transition,
)

NOW = 1_800_000_000_000
LEASE, RETRIES, TIMEOUT, KEEP, KEEP_FAILED = 15_000, (200, 1_000), 172_800_000, 3_600_000, 100_000_000
CONTINUE, ABORT = FallbackAction.CONTINUE, FallbackAction.ABORT


def plan_of(*fallbacks: FallbackAction) -> Plan:
    steps = tuple(Step(f"processor {n}", f"arn:{n}", fallback) for n, fallback in enumerate(fallbacks))
    return Plan(steps, LEASE, RETRIES, TIMEOUT, KEEP, KEEP_FAILED)


def ids(prefix: str = "new") -> Callable[[], str]:
    numbers = count(1)
    return lambda: f"{prefix}-{next(numbers)}"


# The table, row by row


def planned(step: int = 0, tries: int = 0, due_in: int = 0) -> Invoking:
    return Invoking(step, tries, "cb", NOW + due_in)


def running(step: int = 0, tries: int = 1) -> Invoking:
    return Invoking(step, tries, "cb", NOW + LEASE)


def awaiting(step: int = 0, tries: int = 1, due_in: int = TIMEOUT) -> AwaitingCallback:
    return AwaitingCallback(step, tries, "cb", NOW + due_in)


def completed(verdict: Verdict, step: int = 0, tries: int = 1, callback_id: str = "cb", keep: int = KEEP) -> Completed:
    return Completed(step, tries, callback_id, NOW + keep, verdict)


FAILED_1, FAILED_3 = InvocationFailed("cb", 1, "refused"), InvocationFailed("cb", 3, "refused")
ANSWER, EDIT, DENY = CallbackReceived("cb"), CallbackReceived("cb", edited=True), CallbackReceived("cb", deny=True)
SENT, FAILED, CANCELLED = Verdict.SENT, Verdict.FAILED, Verdict.CANCELLED
SECOND = Invoking(1, 1, "new-1", NOW + LEASE)
ONE_CONTINUE, ONE_ABORT, TWO = plan_of(CONTINUE), plan_of(ABORT), plan_of(CONTINUE, ABORT)

ROWS: dict[str, tuple[Plan, State, Event, State, list[Effect]]] = {
    # Invoking
    "a due invocation is made under a lease": (
        TWO, planned(), TimerFired(), running(), [Invoke(0, "cb", 1)]),
    "a lost invocation is made again with the same callback id": (
        TWO, planned(tries=1), TimerFired(), running(tries=2), [Invoke(0, "cb", 2)]),
    "a timer that fires early changes nothing": (
        TWO, planned(due_in=1), TimerFired(), planned(due_in=1), []),
    "a function at work renews its lease": (
        TWO, planned(tries=1, due_in=5), InvocationRunning("cb", 1), running(), []),
    "an abandoned invocation is due for somebody else": (
        TWO, running(), InvocationAbandoned("cb", 1), planned(tries=1), []),
    "an accepted invocation waits for its callback": (
        TWO, running(), InvocationAccepted("cb", 1), awaiting(), []),
    "a failed invocation is made again after the first wait": (
        TWO, running(), FAILED_1, planned(tries=1, due_in=200), []),
    "a second failure waits longer": (
        TWO, running(tries=2), InvocationFailed("cb", 2, "x"), planned(tries=2, due_in=1_000), []),
    "out of tries, CONTINUE goes on to the next step": (
        TWO, running(tries=3), FAILED_3, SECOND, [EmitInvocationFailure(0, "refused"), Invoke(1, "new-1", 1)]),
    "out of tries in the last step, CONTINUE releases": (
        ONE_CONTINUE, running(tries=3), FAILED_3, completed(SENT, tries=3),
        [EmitInvocationFailure(0, "refused"), Release()]),
    "out of tries, ABORT fails the message": (
        ONE_ABORT, running(tries=3), FAILED_3, completed(FAILED, tries=3, keep=KEEP_FAILED),
        [EmitInvocationFailure(0, "refused"), Fail("refused")]),
    "a function that raised is tried again": (
        ONE_ABORT, running(), FunctionFailed("cb", 1), planned(tries=1, due_in=200), []),
    "a function that raised for the last time leaves the message waiting": (
        ONE_ABORT, running(tries=3), FunctionFailed("cb", 3), awaiting(tries=3), []),
    "a report about an earlier attempt changes nothing": (
        TWO, running(tries=2), FAILED_1, running(tries=2), []),
    "a report about another callback id changes nothing": (
        TWO, running(), InvocationAccepted("other", 1), running(), []),
    # A callback, before or after InvocationAccepted
    "a callback may overtake the acceptance": (
        ONE_ABORT, running(), ANSWER, completed(SENT), [Release()]),
    "a callback of the last step releases": (
        ONE_ABORT, awaiting(), ANSWER, completed(SENT), [Release()]),
    "a callback of an earlier step goes on to the next": (
        TWO, awaiting(), ANSWER, SECOND, [Invoke(1, "new-1", 1)]),
    "edits are applied before the release": (
        ONE_ABORT, awaiting(), EDIT, completed(SENT), [ApplyEdits(), Release()]),
    "edits are applied before the next step": (
        TWO, awaiting(), EDIT, SECOND, [ApplyEdits(), Invoke(1, "new-1", 1)]),
    "a denial ends the flow": (
        TWO, awaiting(), DENY, Deleted(), [Deny()]),
    "a denial wins over edits": (
        TWO, running(), CallbackReceived("cb", deny=True, edited=True), Deleted(), [Deny()]),
    "a callback may come between two attempts": (
        ONE_ABORT, planned(tries=1, due_in=200), ANSWER, completed(SENT), [Release()]),
    # AwaitingCallback
    "48 hours with CONTINUE release, and the late callback is not known": (
        ONE_CONTINUE, awaiting(due_in=0), TimerFired(), completed(SENT, callback_id="new-1"),
        [EmitInvocationFailure(0, NO_CALLBACK), Release()]),
    "48 hours with ABORT fail, and the late callback is not known": (
        ONE_ABORT, awaiting(due_in=0), TimerFired(), completed(FAILED, callback_id="new-1", keep=KEEP_FAILED),
        [EmitInvocationFailure(0, NO_CALLBACK), Fail(NO_CALLBACK)]),
    "within 48 hours nothing happens": (
        ONE_ABORT, awaiting(due_in=1), TimerFired(), awaiting(due_in=1), []),
    "a failure reported after the acceptance changes nothing": (
        ONE_ABORT, awaiting(tries=3), FAILED_3, awaiting(tries=3), []),
    # Cancelled
    "a redaction cancels before the acceptance": (
        TWO, running(), Cancelled(), completed(CANCELLED), []),
    "a redaction cancels after the acceptance": (
        TWO, awaiting(), Cancelled(), completed(CANCELLED), []),
    "a redaction after the verdict changes nothing": (
        TWO, completed(SENT), Cancelled(), completed(SENT), []),
    # Completed
    "a completed execution is deleted when its time is over": (
        TWO, completed(SENT, keep=0), TimerFired(), Deleted(), []),
    "a completed execution is kept until then": (
        TWO, completed(SENT, keep=1), TimerFired(), completed(SENT, keep=1), []),
    "a report after the verdict changes nothing": (
        TWO, completed(SENT), FAILED_1, completed(SENT), []),
    # Deleted
    "nothing follows a deletion": (
        TWO, Deleted(), TimerFired(), Deleted(), []),
}  # fmt: skip


@pytest.mark.parametrize(("plan", "state", "event", "after", "effects"), ROWS.values(), ids=ROWS)
def test_the_table(plan: Plan, state: State, event: Event, after: State, effects: list[Effect]) -> None:
    assert transition(state, event, plan, NOW, ids()) == (after, effects)


@pytest.mark.parametrize(
    ("state", "callback_id", "refusal"),
    [
        pytest.param(running(), "other", NotKnown, id="another step's, while running"),
        pytest.param(awaiting(), "other", NotKnown, id="another step's, while awaiting"),
        pytest.param(awaiting(due_in=0), "cb", NotKnown, id="after 48 hours, though no timer fired yet"),
        pytest.param(completed(SENT), "cb", NotPending, id="the message was sent"),
        pytest.param(completed(FAILED), "cb", NotPending, id="the message failed"),
        pytest.param(completed(CANCELLED), "cb", NotPending, id="the message was redacted"),
        pytest.param(completed(SENT), "other", NotKnown, id="another step's, after the verdict"),
        pytest.param(Deleted(), "cb", NotKnown, id="the execution is gone"),
    ],
)
def test_refused_callbacks(state: State, callback_id: str, refusal: type[Exception]) -> None:
    with pytest.raises(refusal):
        transition(state, CallbackReceived(callback_id, deny=True, edited=True), TWO, NOW, ids())


def test_a_new_execution_is_due_at_once() -> None:
    assert begin(NOW, ids()) == Invoking(step=0, tries=0, callback_id="new-1", due_at=NOW)


# Whatever happens


@dataclass(frozen=True)
class Moment:
    """One event and what came of it; a refused one has no effects."""

    now: int
    before: State
    event: Event
    after: State
    effects: list[Effect]
    refusal: Exception | None = None


@dataclass
class History:
    """An execution, everything that happened to it, and the invocations that it asked for."""

    plan: Plan
    now: int = NOW
    moments: list[Moment] = field(default_factory=list)
    invocations: list[Invoke] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._new_id = ids("cb")
        self.state = begin(NOW, self._new_id)
        self.happens(TimerFired())

    def happens(self, event: Event) -> None:
        before, effects, refusal = self.state, list[Effect](), None
        try:
            self.state, effects = transition(before, event, self.plan, self.now, self._new_id)
        except (NotKnown, NotPending) as error:
            refusal = error
        self.invocations += [effect for effect in effects if isinstance(effect, Invoke)]
        self.moments.append(Moment(self.now, before, event, self.state, effects, refusal))

    def play(self, moves: list["Move"]) -> "History":
        for move in moves:
            self.now += move.wait if move.wait is not None else self.until_due()
            self.happens(move.event(self.invocations[-1 - move.back % len(self.invocations)]))
        return self

    def until_due(self) -> int:
        return 0 if isinstance(self.state, Deleted) else max(0, self.state.due_at - self.now)

    @property
    def effects(self) -> list[Effect]:
        return [effect for moment in self.moments for effect in moment.effects]

    @property
    def verdicts(self) -> list[Effect]:
        return [effect for effect in self.effects if isinstance(effect, Deny | Release | Fail)]


@dataclass(frozen=True)
class Move:
    """After `wait` milliseconds (None: when the execution falls due) something happens.

    Reports and callbacks are about the newest invocation or one `back` before it.
    """

    wait: int | None
    event: Callable[[Invoke], Event] = field(repr=False)
    back: int


KINDS: dict[str, Callable[[Invoke], Event]] = {
    "timer": lambda _: TimerFired(),
    "running": lambda about: InvocationRunning(about.callback_id, about.attempt),
    "abandoned": lambda about: InvocationAbandoned(about.callback_id, about.attempt),
    "accepted": lambda about: InvocationAccepted(about.callback_id, about.attempt),
    "unreachable": lambda about: InvocationFailed(about.callback_id, about.attempt, "unreachable"),
    "raised": lambda about: FunctionFailed(about.callback_id, about.attempt),
    "callback": lambda about: CallbackReceived(about.callback_id),
    "edit": lambda about: CallbackReceived(about.callback_id, edited=True),
    "denial": lambda about: CallbackReceived(about.callback_id, deny=True, edited=True),
    "strange callback": lambda _: CallbackReceived("strange"),
    "cancelled": lambda _: Cancelled(),
}
USUAL = ["timer", "timer", "timer", "running", "accepted", "accepted", "unreachable", "unreachable", "raised"]

waits = st.integers(1, 1_000_000)
plans = st.builds(
    Plan,
    steps=st.lists(st.sampled_from(FallbackAction), min_size=1, max_size=3).map(lambda each: plan_of(*each).steps),
    lease_ms=waits,
    retry_after_ms=st.lists(waits, max_size=3).map(tuple),
    callback_timeout_ms=waits,
    keep_ms=waits,
    keep_failed_ms=waits,
)
moves = st.builds(
    Move,
    wait=st.one_of(st.none(), st.just(0), st.integers(0, 1_500_000)),
    event=st.sampled_from([*USUAL, *USUAL, *KINDS]).map(KINDS.__getitem__),
    back=st.sampled_from([0, 0, 0, 0, 1, 2]),
)
histories = st.builds(History.play, st.builds(History, plans), st.lists(moves, max_size=25))
whatever = settings(deadline=None, max_examples=150)


@whatever
@given(histories)
def test_at_most_one_verdict(history: History) -> None:
    assert len(history.verdicts) <= 1


@whatever
@given(histories)
def test_edits_come_with_a_callback_that_was_taken_and_before_anything_else(history: History) -> None:
    for moment in history.moments:
        match moment.event:
            case CallbackReceived(edited=True, deny=False) if moment.refusal is None:
                assert moment.effects[0] == ApplyEdits()
                assert ApplyEdits() not in moment.effects[1:]
            case _:
                assert ApplyEdits() not in moment.effects


@whatever
@given(histories)
def test_steps_never_go_back_and_each_has_its_callback_id(history: History) -> None:
    invoked = history.invocations

    assert [each.step for each in invoked] == sorted(each.step for each in invoked)
    assert len({(each.step, each.callback_id) for each in invoked}) == len({each.step for each in invoked})
    assert len({each.callback_id for each in invoked}) == len({each.step for each in invoked})


@whatever
@given(histories)
def test_the_attempts_of_a_step_are_counted_from_one(history: History) -> None:
    for step in range(3):
        attempts = [each.attempt for each in history.invocations if each.step == step]
        assert attempts == list(range(1, len(attempts) + 1))


@whatever
@given(histories)
def test_a_callback_is_taken_at_most_once(history: History) -> None:
    taken = [
        moment.event.callback_id
        for moment in history.moments
        if isinstance(moment.event, CallbackReceived) and moment.refusal is None
    ]

    assert len(taken) == len(set(taken))


@whatever
@given(histories)
def test_a_stale_report_changes_nothing(history: History) -> None:
    for stale in history.invocations if not isinstance(history.state, Invoking) else history.invocations[:-1]:
        for kind in ("running", "accepted", "unreachable", "raised"):
            before = history.state
            history.happens(KINDS[kind](stale))
            assert (history.state, history.moments[-1].effects) == (before, [])


@whatever
@given(histories)
def test_a_live_execution_is_never_due_in_the_past(history: History) -> None:
    for moment in history.moments:
        if isinstance(moment.after, Deleted):
            continue
        if isinstance(moment.event, TimerFired):
            assert moment.after.due_at > moment.now, "the timer would fire for ever"
        if moment.after != moment.before:
            assert moment.after.due_at >= moment.now


@whatever
@given(histories)
def test_after_the_verdict_nothing_is_done_any_more(history: History) -> None:
    for moment in history.moments:
        if isinstance(moment.before, Completed | Deleted):
            assert moment.effects == []
            assert moment.after in (moment.before, Deleted())
            assert moment.refusal is not None or not isinstance(moment.event, CallbackReceived)


@whatever
@given(histories)
def test_an_expired_execution_does_not_know_its_callback(history: History) -> None:
    for moment in history.moments:
        match moment.before, moment.event:
            case AwaitingCallback(due_at=due_at), CallbackReceived() if moment.now >= due_at:
                assert isinstance(moment.refusal, NotKnown)


@whatever
@given(histories)
def test_a_function_that_fails_never_brings_the_fallback(history: History) -> None:
    for moment in history.moments:
        if isinstance(moment.event, FunctionFailed):
            assert moment.effects == []
            assert not isinstance(moment.after, Completed | Deleted) or moment.after == moment.before


@whatever
@given(histories)
def test_a_fallback_is_always_told_to_the_operator(history: History) -> None:
    for moment in history.moments:
        told = [effect for effect in moment.effects if isinstance(effect, EmitInvocationFailure)]
        ended = [effect for effect in moment.effects if isinstance(effect, Fail)]
        fell_back = isinstance(moment.event, TimerFired | InvocationFailed) and (
            ended or Release() in moment.effects or getattr(moment.after, "step", 0) > getattr(moment.before, "step", 0)
        )
        assert len(told) == bool(fell_back)
        assert [effect.reason for effect in ended] == [effect.reason for effect in told][: len(ended)]


@whatever
@given(histories)
def test_a_cancelled_execution_gets_no_verdict(history: History) -> None:
    had_a_verdict = bool(history.verdicts)

    history.happens(Cancelled())
    history.now += 10_000_000
    history.happens(TimerFired())

    assert isinstance(history.state, Deleted)
    assert bool(history.verdicts) == had_a_verdict


@whatever
@given(histories, st.booleans())
def test_without_any_answer_an_execution_comes_to_its_end(history: History, reachable: bool) -> None:
    """Whether every processor can't be reached, or takes the message and keeps silent."""
    cancelled = any(isinstance(moment.after, Completed) and moment.after.verdict is CANCELLED
                    for moment in history.moments)  # fmt: skip
    firings = 0
    while not isinstance(history.state, Deleted):
        history.now += history.until_due()
        history.happens(TimerFired())
        firings += 1
        about = history.invocations[-1]
        history.happens(KINDS["accepted" if reachable else "unreachable"](about))

    # For each step its attempts and its 48 hours; then the end of the completed execution.
    assert firings <= len(history.plan.steps) * (len(history.plan.retry_after_ms) + 2) + 1
    assert len(history.verdicts) == (0 if cancelled else 1)


@whatever
@given(plans)
def test_unreachable_processors_end_in_what_their_fallback_actions_say(plan: Plan) -> None:
    history = History(plan)

    while not isinstance(history.state, Completed | Deleted):
        newest = history.invocations[-1]
        history.happens(KINDS["unreachable"](newest))
        if newest is history.invocations[-1]:
            history.now += history.until_due()
            history.happens(TimerFired())

    aborts = [step.fallback for step in plan.steps].count(ABORT)
    assert history.verdicts == ([Fail("unreachable")] if aborts else [Release()])
    first_abort = next((n for n, step in enumerate(plan.steps) if step.fallback is ABORT), len(plan.steps) - 1)
    attempts = len(plan.retry_after_ms) + 1
    assert [each.step for each in history.invocations] == [
        step for step in range(first_abort + 1) for _ in range(attempts)
    ]
