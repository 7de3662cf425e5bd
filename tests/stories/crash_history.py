"""What happened in a crash story, as values, and what must be true of it.

Pure. What a lane's processors make of a message follows from its words alone, so each message has one life that it
must have had, whatever was killed when. `complaints` compares it with what senders, connections and processors saw
and with the journal, the listener that was always there (spec/channel-flows.md §3, §6, §9, §10, §12, realtime.md §4).
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain, pairwise
from typing import TypeVar

T = TypeVar("T")


class Fallback(StrEnum):
    CONTINUE = "CONTINUE"
    ABORT = "ABORT"


class Verdict(StrEnum):
    SENT = "SENT"
    DENIED = "DENIED"
    FAILED = "FAILED"


class Otherwise(StrEnum):
    """What a processor does with a message but pass it on."""

    DENY = "deny"
    UNREACHABLE = "cannot be reached"


@dataclass(frozen=True, slots=True)
class Processor:
    """One of a lane's; `name` says what it does (`answer`)."""

    name: str
    fallback: Fallback


OBEY, STAMP, NOBODY = "obey", "stamp", "nobody"
# Fallbacks are the opposite of what usually becomes of a message, so that a fallback that should not be is seen.
LANES: Mapping[str, tuple[Processor, ...]] = {
    "moderated": (Processor(OBEY, Fallback.ABORT),),
    "lenient": (Processor(NOBODY, Fallback.CONTINUE),),
    "strict": (Processor(NOBODY, Fallback.ABORT),),
    "twice": (Processor(OBEY, Fallback.ABORT), Processor(STAMP, Fallback.ABORT)),
    "around": (Processor(NOBODY, Fallback.CONTINUE), Processor(STAMP, Fallback.ABORT)),
}
"""The channels of a story that have a flow: its processors."""
PLAIN = "plain"
"""A channel without a flow, where a story has one."""


def answer(processor: str, content: str) -> str | Otherwise:
    """What a processor makes of a content. Each change shows, and shows twice if it is made twice."""
    match processor:
        case "obey" if "refuse" in content:
            return Otherwise.UNREACHABLE
        case "obey" if "deny" in content:
            return Otherwise.DENY
        case "obey":
            return f"<{content}>" if "change" in content else content
        case "stamp":
            return f"{content} (seen)"
        case _:
            return Otherwise.UNREACHABLE


@dataclass(frozen=True, slots=True)
class Course:
    """A content's way through a lane: how it ends, what it then is, and what each processor was handed."""

    verdict: Verdict
    content: str
    handed: tuple[tuple[str, str], ...]


def course(lane: str, content: str) -> Course:
    """What must become of `content`. One that is denied or fails stays what its sender wrote."""
    text = content
    handed = []
    for processor in LANES.get(lane, ()):
        if processor.name != NOBODY:
            handed.append((processor.name, text))
        match answer(processor.name, text):
            case Otherwise.DENY:
                return Course(Verdict.DENIED, content, tuple(handed))
            case Otherwise.UNREACHABLE if processor.fallback is Fallback.ABORT:
                return Course(Verdict.FAILED, content, tuple(handed))
            case Otherwise.UNREACHABLE:
                pass
            case changed:
                text = changed
    return Course(Verdict.SENT, text, tuple(handed))


# What was seen. A `moment` is a number that rises through the story.


@dataclass(frozen=True, slots=True)
class Sent:
    """A SendChannelMessage, with all calls that repeated its token."""

    lane: str
    sender: str
    content: str
    """No other send or edit has the same."""
    persistent: bool
    began: int
    """The moment before the first call."""
    ids: tuple[str, ...]
    """The message id of each answer; none: every answer was lost, it may have happened or not."""


@dataclass(frozen=True, slots=True)
class Edit:
    """An UpdateChannelMessage, called once; a message has one at most."""

    message_id: str
    content: str
    began: int
    accepted: bool
    """False: the answer was lost, it may have happened or not."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A processor got an event."""

    processor: str
    callback_id: str
    message_id: str
    content: str


@dataclass(frozen=True, slots=True)
class Callback:
    """A processor called back; `status` is that of the answer, None if that was lost."""

    callback_id: str
    status: int | None


@dataclass(frozen=True, slots=True)
class Event:
    """A message event, on a connection or in the journal."""

    type: str
    message_id: str
    content: str

    @property
    def private(self) -> bool:
        """For the sender alone."""
        return self.type.startswith(("PENDING_", "DENIED_", "FAILED_"))


@dataclass(frozen=True, slots=True)
class Connection:
    """A live session, and what it heard of each lane."""

    user: str
    opened: int
    """The moment when it was established: what begins later is heard."""
    to_the_end: bool
    """It was still open when everything had come to rest; else it ended with the server."""
    heard: Mapping[str, Sequence[Event]]


@dataclass(frozen=True, slots=True)
class Listed:
    """An entry of ListChannelMessages."""

    message_id: str
    content: str
    status: str


@dataclass(frozen=True, slots=True)
class History:
    """Everything that was seen in a story."""

    sent: Sequence[Sent]
    edits: Sequence[Edit]
    deliveries: Sequence[Delivery]
    callbacks: Sequence[Callback]
    connections: Sequence[Connection]
    listings: Mapping[tuple[str, str], Sequence[Listed]]
    """At the end, by user and lane, newest first."""
    statuses: Mapping[str, str | None]
    """At the end, GetChannelMessageStatus of each message for its sender; None: refused."""
    journal: Mapping[str, Sequence[Event]]
    """At the end, by lane."""
    known: Mapping[tuple[str, str], Mapping[str, str]] = field(default_factory=dict)
    """What users knew in the end who read over REST what sessions may have missed: by user and lane, the contents by
    message ids. Of stories without edits."""


def complaints(history: History) -> list[str]:
    """What of the history must not be; nothing for a good one."""
    told = _Told(history)
    messages = {message.id: message for message in _messages(history, told)}
    return [
        *_about_sends(history, told),
        *_about_strangers(history, messages),
        *chain.from_iterable(_about_message(each, history, told) for each in messages.values()),
        *chain.from_iterable(_about_connection(each, history, messages) for each in history.connections),
        *chain.from_iterable(_about_listing(user, lane, history, messages) for user, lane in history.listings),
        *chain.from_iterable(_about_order(user, lane, history, told) for user, lane in history.listings),
        *chain.from_iterable(_about_known(user, lane, history, messages) for user, lane in history.known),
        *_about_deliveries(history, messages),
        *_about_callbacks(history),
    ]


class _Told:
    """What the journal tells, by message and by what was sent."""

    def __init__(self, history: History) -> None:
        self.of_message: dict[tuple[str, str], list[Event]] = defaultdict(list)
        self.made: dict[tuple[str, str], list[str]] = defaultdict(list)
        """The ids of the messages that begin with a content, by lane and content."""
        for lane, events in history.journal.items():
            beginning = f"{_BEFORE if lane in LANES else ''}CREATE_CHANNEL_MESSAGE"
            for event in events:
                self.of_message[lane, event.message_id].append(event)
                if event.type == beginning:
                    self.made[lane, event.content].append(event.message_id)


_BEFORE = "PENDING_"


@dataclass(frozen=True, slots=True)
class _Message:
    """A message that was made, and the edit of it that was."""

    id: str
    sent: Sent
    edit: Edit | None

    @property
    def life(self) -> list[Event]:
        """The events about it that must have been, in order."""
        events = self._events("CREATE", self.sent.content)
        return events if self.edit is None else events + self._events("UPDATE", self.edit.content)

    def _events(self, operation: str, content: str) -> list[Event]:
        end = course(self.sent.lane, content)
        name = f"{operation}_CHANNEL_MESSAGE"
        if self.sent.lane not in LANES:
            return [Event(name, self.id, content)]
        verdict = name if end.verdict is Verdict.SENT else f"{end.verdict}_{name}"
        return [Event(f"PENDING_{name}", self.id, content), Event(verdict, self.id, end.content)]

    @property
    def courses(self) -> list[Course]:
        edits = [] if self.edit is None else [self.edit.content]
        return [course(self.sent.lane, content) for content in (self.sent.content, *edits)]

    @property
    def content(self) -> str:
        """As it is in the end: of what was sent and edited, the last that came through."""
        through = [each.content for each in self.courses if each.verdict is Verdict.SENT]
        return through[-1] if through else self.sent.content

    @property
    def status(self) -> str | None:
        """As its sender is told in the end: nothing of one that is not kept."""
        first, last = self.courses[0].verdict, self.courses[-1].verdict
        if first is Verdict.DENIED or (first is Verdict.SENT and not self.sent.persistent):
            return None
        return Verdict.FAILED if last is Verdict.FAILED else Verdict.SENT

    def listed_for(self, user: str) -> Listed | None:
        verdict = self.courses[0].verdict
        seen = verdict is Verdict.SENT or (verdict is Verdict.FAILED and user == self.sent.sender)
        return Listed(self.id, self.content, verdict) if seen and self.sent.persistent else None


def _messages(history: History, told: _Told) -> Iterator[_Message]:
    """All that were made: acknowledged, or found in the journal. An edit whose answer was lost: if found there."""
    edits = {edit.message_id: edit for edit in history.edits}
    begun = {event for events in history.journal.values() for event in events}
    for sent in history.sent:
        for id in dict.fromkeys((*sent.ids, *told.made[sent.lane, sent.content])):
            edit = edits.get(id)
            if edit is not None and not edit.accepted:
                edit = edit if Event("PENDING_UPDATE_CHANNEL_MESSAGE", id, edit.content) in begun else None
            yield _Message(id, sent, edit)


def _about_sends(history: History, told: _Told) -> Iterator[str]:
    for sent in history.sent:
        if len(ids := {*sent.ids, *told.made[sent.lane, sent.content]}) > 1:
            yield f"'{sent.content}' was sent with one token and made {len(ids)} messages"


def _about_strangers(history: History, messages: Mapping[str, _Message]) -> Iterator[str]:
    seen = {
        *(event.message_id for events in history.journal.values() for event in events),
        *(event.message_id for each in history.connections for events in each.heard.values() for event in events),
        *(listed.message_id for listing in history.listings.values() for listed in listing),
        *chain.from_iterable(history.known.values()),
        *(delivery.message_id for delivery in history.deliveries),
    }
    for id in sorted(seen - messages.keys()):
        yield f"message {id} was seen, and nobody sent it"


def _about_message(message: _Message, history: History, told: _Told) -> Iterator[str]:
    name = _name(message)
    for operation in ("CREATE", "UPDATE"):
        due = [event for event in message.life if operation in event.type]
        was = [event for event in told.of_message[message.sent.lane, message.id] if operation in event.type]
        if was == due:
            continue
        verdicts = [event for event in was if not event.type.startswith("PENDING_")]
        if due and not was:
            yield f"{name}: accepted and lost ({operation})"
        elif len(verdicts) != min(1, len(due)):
            yield f"{name}: {len(verdicts)} verdicts ({operation}): {_types(was)}"
        else:
            yield f"{name}: {was} instead of {due}"
    if (status := history.statuses.get(message.id, message.status)) != message.status:
        yield f"{name}: the status is {status} instead of {message.status}"


def _about_connection(connection: Connection, history: History, messages: Mapping[str, _Message]) -> Iterator[str]:
    who = f"a connection of {connection.user}, opened at {connection.opened},"
    for lane, events in connection.heard.items():
        for event, times in Counter(events).items():
            if times > 1:
                yield f"{who} heard {event} {times} times"
        for event in events:
            if event.private and event.message_id in messages and not _for(connection.user, event, messages):
                yield f"{who} heard what is for the sender alone: {event}"
        yield from (f"{who} {problem}" for problem in _verdicts_before_pending(events))
        # Everything else: an unbroken stretch of what happened in the lane, from its opening on.
        due = [event for event in history.journal[lane] if _for(connection.user, event, messages)]
        start = _start_of(events, due)
        if start is None:
            yield f"{who} heard in {lane} not one stretch of what happened: {_first_difference(events, due)}"
            continue
        if connection.to_the_end and start + len(events) < len(due):
            yield f"{who} stayed open and missed {due[start + len(events) :]}"
        missed = [event for event in due[:start] if _began(event, messages) > connection.opened]
        if missed and (events or connection.to_the_end):
            yield f"{who} missed what began after it was opened: {missed}"


def _for(user: str, event: Event, messages: Mapping[str, _Message]) -> bool:
    message = messages.get(event.message_id)
    return not event.private or (message is not None and message.sent.sender == user)


def _began(event: Event, messages: Mapping[str, _Message]) -> int:
    """When the operation began that the event is about; 0 if it is nobody's."""
    message = messages.get(event.message_id)
    if message is None:
        return 0
    if "UPDATE" in event.type:
        return 0 if message.edit is None else message.edit.began
    return message.sent.began


def _verdicts_before_pending(events: Sequence[Event]) -> Iterator[str]:
    decided: set[tuple[str, str]] = set()
    for event in events:
        state, _, operation = event.type.rpartition("_CHANNEL_MESSAGE")[0].rpartition("_")
        if state != "PENDING":
            decided.add((event.message_id, operation))
        elif (event.message_id, operation) in decided:
            yield f"heard {event} after its verdict"


def _start_of(part: Sequence[T], whole: Sequence[T]) -> int | None:
    """Where `part` is found in `whole`, unbroken; None: nowhere. An empty part is at the end."""
    if not part:
        return len(whole)
    for start in range(len(whole) - len(part) + 1):
        if whole[start] == part[0] and [*whole[start : start + len(part)]] == [*part]:
            return start
    return None


def _first_difference(events: Sequence[Event], due: Sequence[Event]) -> str:
    if events[0] not in due:
        return f"{events[0]} did not happen"
    for event, expected in zip(events, due[due.index(events[0]) :], strict=False):
        if event != expected:
            return f"{event} where {expected} was"
    return f"{events[-1]} did not happen"


def _about_listing(user: str, lane: str, history: History, messages: Mapping[str, _Message]) -> Iterator[str]:
    listing = history.listings[user, lane]
    of_lane = [message for message in messages.values() if message.sent.lane == lane]
    due = {message.id: listed for message in of_lane if (listed := message.listed_for(user)) is not None}
    for id, times in Counter(each.message_id for each in listing).items():
        if times > 1:
            yield f"{_name(messages[id]) if id in messages else id}: listed {times} times for {user}"
    found = {each.message_id: each for each in listing}
    for message in of_lane:
        was, must = found.get(message.id), due.get(message.id)
        if was != must:
            yield f"{_name(message)}: listed for {user} as {was} instead of {must}"


def _about_order(user: str, lane: str, history: History, told: _Told) -> Iterator[str]:
    """What was said is listed in the order in which it was said."""
    numbers = {id: number for number, (of, id) in enumerate(told.of_message) if of == lane}
    listed = [each.message_id for each in reversed(history.listings[user, lane]) if each.message_id in numbers]
    for earlier, later in pairwise(listed):
        if numbers[earlier] > numbers[later]:
            yield f"listed for {user} in {lane}: {earlier} before {later}, which was told of earlier"


def _about_known(user: str, lane: str, history: History, messages: Mapping[str, _Message]) -> Iterator[str]:
    known = history.known[user, lane]
    for message in messages.values():
        if message.sent.lane != lane:
            continue
        listed = message.listed_for(user)
        if listed is not None and listed.status == Verdict.SENT and message.id not in known:
            yield f"{_name(message)}: {user} never came to know of it"
        elif message.id in known and (listed is None or known[message.id] != listed.content):
            yield f"{_name(message)}: {user} was shown '{known[message.id]}' instead of {listed}"


def _about_deliveries(history: History, messages: Mapping[str, _Message]) -> Iterator[str]:
    handed = {
        (message.id, *each) for message in messages.values() for course in message.courses for each in course.handed
    }
    callback_ids: dict[tuple[str, str, str], set[str]] = {}
    steps: dict[str, set[tuple[str, str, str]]] = {}
    for delivery in history.deliveries:
        step = (delivery.message_id, delivery.processor, delivery.content)
        callback_ids.setdefault(step, set()).add(delivery.callback_id)
        steps.setdefault(delivery.callback_id, set()).add(step)
    for step in sorted(callback_ids.keys() - handed):
        yield f"{step[1]} was handed what it must not be: {step}"
    for step in sorted(handed - callback_ids.keys()):
        yield f"{step[1]} was never handed {step}"
    for step, ids in callback_ids.items():
        if len(ids) > 1:
            yield f"{step}: {len(ids)} callback ids for one step"
    for callback_id, several in steps.items():
        if len(several) > 1:
            yield f"callback id {callback_id} is for several steps: {sorted(several)}"


def _about_callbacks(history: History) -> Iterator[str]:
    statuses: dict[str, list[int | None]] = {}
    for callback in history.callbacks:
        statuses.setdefault(callback.callback_id, []).append(callback.status)
    for callback_id, answers in statuses.items():
        if answers.count(200) > 1:
            yield f"callback {callback_id} was taken {answers.count(200)} times"
        if 200 not in answers and None not in answers:  # a lost answer may have been the 200
            yield f"callback {callback_id} was refused, and none had been taken: {answers}"


def _name(message: _Message) -> str:
    return f"'{message.sent.content}' in {message.sent.lane} ({message.id})"


def _types(events: Sequence[Event]) -> str:
    return ", ".join(event.type for event in events)
