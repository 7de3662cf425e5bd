"""The third gate: what a bearer is to a channel, and which of that an operation asks for (spec/api.md §1.7).

A fact is a word, found by one small function, at most once in a call and only if some row mentions it.
"""

from collections.abc import Callable, Collection
from enum import StrEnum
from functools import cache
from typing import Final

from campana.errors import Forbidden
from campana.unit_of_work import Call


class Fact(StrEnum):
    """Something that holds of the bearer, the channel or the message, and when it does."""

    holds_when: str

    def __new__(cls, name: str, holds_when: str) -> "Fact":
        fact = str.__new__(cls, name)
        fact._value_ = name
        fact.holds_when = holds_when
        return fact

    USER = "USER", "the bearer is a live user or bot of the app instance"
    ADMIN = "ADMIN", "the bearer is an admin of the app instance"
    MODERATOR = "MODERATOR", "the bearer moderates the channel"
    MEMBER = (
        "MEMBER",
        "the bearer is a member of the channel; of an elastic one in the sub-channel that the request names, or in any"
        " if it names none",
    )
    VISIBLE = "VISIBLE", "the bearer's membership is not HIDDEN"
    SELF = "SELF", "the call is about the bearer"
    WELCOME = "WELCOME", "the bearer is not banned from the channel"
    PUBLIC = "PUBLIC", "the channel's privacy is PUBLIC"
    UNRESTRICTED = "UNRESTRICTED", "the channel's mode is UNRESTRICTED"
    PLAIN = "PLAIN", "the channel is not elastic"
    ELASTIC = "ELASTIC", "the channel is elastic"
    SENT = "SENT", "the message is there, and SENT"
    OWN = "OWN", "the bearer sent the message"
    INVOLVED = "INVOLVED", "the message is untargeted, or was sent by or to the bearer"


USER, ADMIN, MODERATOR, MEMBER, VISIBLE, SELF = (
    Fact.USER, Fact.ADMIN, Fact.MODERATOR, Fact.MEMBER, Fact.VISIBLE, Fact.SELF,
)  # fmt: skip
WELCOME, PUBLIC, UNRESTRICTED, PLAIN, ELASTIC, SENT, OWN, INVOLVED = (
    Fact.WELCOME, Fact.PUBLIC, Fact.UNRESTRICTED, Fact.PLAIN, Fact.ELASTIC, Fact.SENT, Fact.OWN, Fact.INVOLVED,
)  # fmt: skip

Rows = Collection[frozenset[Fact]]
"""Ways in: each set is one, and all facts in it must hold."""

POLICY_ONLY: Final[Rows] = ()
"""A developer's operation: no bearer, the policies of the credential alone decide."""


def _is_self(call: Call) -> bool:
    request = call.request
    subject = getattr(request, "member_arn", None) or getattr(request, "app_instance_user_arn", None)
    return subject is None or subject == call.bearer.arn


def _is_sent(call: Call) -> bool:
    return call.message is not None and call.message.status == "SENT"


def _is_own(call: Call) -> bool:
    return call.message is not None and call.message.sender_arn == call.bearer.arn


def _is_involved(call: Call) -> bool:
    if call.message is None:
        return False
    involved = call.message.involved
    return involved is None or call.bearer.arn in involved


_HOLDS: Final[dict[Fact, Callable[[Call], bool]]] = {
    USER: lambda call: True,  # every bearer is one: `Call.bearer` refuses others
    ADMIN: lambda call: call.is_admin,
    MODERATOR: lambda call: call.is_moderator,
    MEMBER: lambda call: call.membership is not None,
    VISIBLE: lambda call: call.membership is not None and call.membership.type != "HIDDEN",
    SELF: _is_self,
    WELCOME: lambda call: not call.is_banned,
    PUBLIC: lambda call: call.channel.privacy == "PUBLIC",
    UNRESTRICTED: lambda call: call.channel.mode == "UNRESTRICTED",
    PLAIN: lambda call: call.channel.elastic is None,
    ELASTIC: lambda call: call.channel.elastic is not None,
    SENT: _is_sent,
    OWN: _is_own,
    INVOLVED: _is_involved,
}

_ORDER: Final = {fact: position for position, fact in enumerate(Fact)}


@cache
def _in_order(row: frozenset[Fact]) -> tuple[tuple[Fact, Callable[[Call], bool]], ...]:
    """Cheapest first: the order in which the facts of a row are looked up, and how."""
    return tuple((fact, _HOLDS[fact]) for fact in sorted(row, key=_ORDER.__getitem__))


def require(call: Call, rows: Rows) -> None:
    """Raise Forbidden unless the facts of one row hold, whatever the reason, so that existence is not disclosed."""
    if rows is POLICY_ONLY:
        return
    assert call.bearer  # there must be one, alive
    found: dict[Fact, bool] = {}
    for row in rows:
        for fact, holds in _in_order(row):
            held = found.get(fact)
            if held is None:
                held = found[fact] = holds(call)
            if not held:
                break
        else:
            return
    raise Forbidden
