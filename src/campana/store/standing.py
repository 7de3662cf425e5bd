"""What nearly every call in a channel begins with, in one statement instead of five, and for many calls at once."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from campana.store import identities, topics
from campana.store.channels import Channel
from campana.store.database import Question, Row, Tx
from campana.store.idempotency import Kept
from campana.store.identities import Identity
from campana.store.memberships import Membership

MANY = 4
"""So many calls in one channel are looked up table by table, fewer one by one."""


class Standing(NamedTuple):
    """Who bears a call, in which channel, and as what; each None if there is none."""

    bearer: Identity | None
    channel: Channel | None
    membership: Membership | None
    """Not one in a sub-channel."""
    processors: str | None
    """Of the flow that the channel is associated with: JSON of its ProcessorList."""


class Wanted(NamedTuple):
    """What a call is going to ask for."""

    bearer: str
    """ARN."""
    channel: str
    """ARN."""
    token: str
    """The key of its client request token; '' if it has none."""


def find(tx: Tx, bearer_arn: str, channel_arn: str) -> Standing:
    """As `identities.find`, `channels.find` and `memberships.find`.

    Looked up ahead, the channel may be as it was before other calls in the transaction sent messages to it.
    """
    seen: Standing | None = tx.seen.get((bearer_arn, channel_arn))
    if seen is not None:
        return seen
    found = tx.first(_STANDING, bearer=bearer_arn, channel=channel_arn)
    if found is None:  # there is no such channel
        return Standing(identities.find(tx, bearer_arn), None, None, None)
    return _standing(found)


def look_ahead(tx: Tx, wanted: Sequence[Wanted]) -> None:
    """For `find`, `idempotency.find`, and `topics.append` to the channels. Their locks must be held."""
    by_channel: dict[str, set[Wanted]] = {}
    for each in wanted:
        by_channel.setdefault(each.channel, set()).add(each)
    alone = [each for some in by_channel.values() if len(some) < MANY for each in some]
    many = [(channel_arn, some) for channel_arn, some in by_channel.items() if len(some) >= MANY]
    questions = [Question(_ALL, each._asdict()) for each in alone]
    for channel_arn, some in many:
        questions += _of_many(channel_arn, some)
    answers = iter(tx.answers(questions))
    for each in alone:
        for head, *found in next(answers):  # one row, or none if there is no such channel
            _see(each, tx, head, _standing(found), found[-_OF_KEPT:])
    for channel_arn, some in many:
        _see_many(channel_arn, tx, some, [next(answers) for _ in range(_QUESTIONS)])


def _of_many(channel_arn: str, some: Iterable[Wanted]) -> list[Question]:
    bearers, tokens = tuple({each.bearer for each in some}), tuple({each.token for each in some})
    return [
        Question(_CHANNEL, {"channel": channel_arn}),
        Question(_BEARERS, {"bearers": bearers}),
        Question(_MEMBERSHIPS, {"channel": channel_arn, "bearers": bearers}),
        Question(_KEPT, {"tokens": tokens}),
    ]


_QUESTIONS = 4


def _see_many(channel_arn: str, tx: Tx, some: Iterable[Wanted], answers: Sequence[Sequence[tuple[Any, ...]]]) -> None:
    if not answers[0]:  # there is no such channel
        return
    ((head, *columns, processors),) = answers[0]
    channel = Channel(*columns)
    bearers = {found[0]: Identity(*found) for found in answers[1]}
    members = {found[1]: Membership(*found) for found in answers[2]}
    kept = {found[0]: found for found in answers[3]}
    for each in some:
        standing = Standing(bearers.get(each.bearer), channel, members.get(each.bearer), processors)
        _see(each, tx, head, standing, kept.get(each.token, _NONE_KEPT))


def _see(wanted: Wanted, tx: Tx, head: int | None, standing: Standing, kept: Sequence[Any]) -> None:
    tx.seen[wanted.bearer, wanted.channel] = standing
    if wanted.token:
        tx.seen[wanted.token] = None if kept[0] is None else Kept(*kept)
    if head is not None:
        tx.heads[topics.of_channel(wanted.channel)] = head


def _standing(found: Sequence[Any]) -> Standing:
    bearer, channel = found[:_OF_IDENTITY], found[_OF_IDENTITY : _OF_IDENTITY + _OF_CHANNEL]
    membership = found[_OF_IDENTITY + _OF_CHANNEL : _OF_IDENTITY + _OF_CHANNEL + _OF_MEMBERSHIP]
    return Standing(
        None if bearer[0] is None else Identity(*bearer),
        Channel(*channel),
        None if membership[0] is None else Membership(*membership),
        found[_OF_IDENTITY + _OF_CHANNEL + _OF_MEMBERSHIP],
    )


def _columns(row: type[Row], table: str) -> str:
    return ", ".join(f"{table}.{name}" for name in row.__struct_fields__)


_OF_IDENTITY, _OF_CHANNEL, _OF_MEMBERSHIP, _OF_KEPT = (
    len(row.__struct_fields__) for row in (Identity, Channel, Membership, Kept)
)
_NONE_KEPT = (None,) * _OF_KEPT
_THERE = "i.deleted_at IS NULL AND EXISTS (SELECT 1 FROM app_instances a WHERE a.arn = i.app_instance_arn)"
_WHO_AND_WHERE = f"{_columns(Identity, 'i')}, {_columns(Channel, 'c')}, {_columns(Membership, 'm')}, f.processors"
_JOINED = f"""
    FROM channels c
    LEFT JOIN identities i ON i.arn = :bearer AND {_THERE}
    LEFT JOIN memberships m ON m.channel_arn = :channel AND m.member_arn = :bearer AND m.sub_channel_id = ''
    LEFT JOIN channel_flows f ON f.arn = c.channel_flow_arn
"""
_STANDING = f"SELECT {_WHO_AND_WHERE} {_JOINED} WHERE c.arn = :channel"
_ALL = f"""
    SELECT t.head, {_WHO_AND_WHERE}, {_columns(Kept, "k")} {_JOINED}
    LEFT JOIN topics t ON t.name = 'channel/' || :channel
    LEFT JOIN idempotency k ON k.key = :token
    WHERE c.arn = :channel
"""
# Of many, table by table: were they joined, PostgreSQL would read whole tables that it believes to be small.
_CHANNEL = f"""
    SELECT t.head, {_columns(Channel, "c")}, f.processors FROM channels c
    LEFT JOIN topics t ON t.name = 'channel/' || :channel
    LEFT JOIN channel_flows f ON f.arn = c.channel_flow_arn
    WHERE c.arn = :channel
"""
_BEARERS = f"SELECT {_columns(Identity, 'i')} FROM identities i WHERE i.arn IN (:bearers) AND {_THERE}"
_MEMBERSHIPS = f"""
    SELECT {_columns(Membership, "m")} FROM memberships m
    WHERE m.channel_arn = :channel AND m.member_arn IN (:bearers) AND m.sub_channel_id = ''
"""
_KEPT = f"SELECT {_columns(Kept, 'k')} FROM idempotency k WHERE k.key IN (:tokens)"
