"""The five messages of the demo, and what the specification says becomes of each.

Values only: what is expected and what was observed have the same shape, so that they can be compared.
"""

from dataclasses import dataclass
from enum import StrEnum

PENDING = "PENDING_CREATE_CHANNEL_MESSAGE"
CREATED = "CREATE_CHANNEL_MESSAGE"
DENIED = "DENIED_CREATE_CHANNEL_MESSAGE"
FAILED = "FAILED_CREATE_CHANNEL_MESSAGE"
FORBIDDEN = "ForbiddenException"


class Verdict(StrEnum):
    """How a message's way through its flow ends."""

    SENT = "SENT"
    DENIED = "DENIED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Flow:
    """A channel flow of one processor: the processor's name, its FallbackAction, and what it is, for people."""

    name: str
    processor: str
    fallback: str
    reachable: bool
    about: str

    @property
    def resource_arn(self) -> str:
        return f"arn:aws:lambda:us-east-1:123456789012:function:{self.processor}"


MODERATION = Flow("moderation", "moderate", "ABORT", True, "moderator.py, a Lambda function in its own process")
LENIENT = Flow("lenient", "unplugged", "CONTINUE", False, "cannot be reached")
STRICT = Flow("strict", "unplugged", "ABORT", False, "cannot be reached")
FLOWS = (MODERATION, LENIENT, STRICT)


@dataclass(frozen=True, slots=True)
class Case:
    """A message. `becomes` is the content that is released; `rule` is for people."""

    title: str
    flow: Flow
    content: str
    verdict: Verdict
    becomes: str
    rule: str


CASES = (
    Case(
        "passes",
        MODERATION,
        "Lunch at noon?",
        Verdict.SENT,
        "Lunch at noon?",
        "both hear it as written",
    ),
    Case(
        "is changed",
        MODERATION,
        "Card: 4111 1111 1111 1111",
        Verdict.SENT,
        "Card: ****",
        "both hear it masked",
    ),
    Case(
        "is denied",
        MODERATION,
        "You won the jackpot!",
        Verdict.DENIED,
        "",
        "only Ann hears; not stored",
    ),
    Case(
        "unreachable, CONTINUE",
        LENIENT,
        "Does this get through?",
        Verdict.SENT,
        "Does this get through?",
        "both hear it, unprocessed",
    ),
    Case(
        "unreachable, ABORT",
        STRICT,
        "And does this?",
        Verdict.FAILED,
        "",
        "only Ann hears; FAILED",
    ),
)


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a session about a message."""

    type: str
    status: str | None
    content: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a message.

    `accepted` is the status in SendChannelMessage's answer; `ann` and `bob` is what their sessions heard, in order;
    `status` is what GetChannelMessageStatus told Ann at the end, a status or an error's code; `listed` is the content
    in Bob's ListChannelMessages, None if it was not there.
    """

    accepted: str
    ann: tuple[Event, ...]
    bob: tuple[Event, ...]
    status: str
    listed: str | None


def expected(case: Case) -> Outcome:
    """As spec/channel-flows.md §3, §9 and §10 have it."""
    pending = Event(PENDING, "PENDING", case.content)
    match case.verdict:
        case Verdict.SENT:
            created = Event(CREATED, "SENT", case.becomes)
            return Outcome("PENDING", (pending, created), (created,), "SENT", case.becomes)
        case Verdict.DENIED:
            return Outcome("PENDING", (pending, Event(DENIED, "DENIED", case.content)), (), FORBIDDEN, None)
        case Verdict.FAILED:
            return Outcome("PENDING", (pending, Event(FAILED, "FAILED", case.content)), (), "FAILED", None)
