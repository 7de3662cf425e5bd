"""What nearly every call in a channel begins with, in one statement instead of five, and for many calls at once."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from campana.store import identities, topics
from campana.store.channels import Channel
from campana.store.database import Row, Tx, Value
from campana.store.idempotency import Kept
from campana.store.identities import Identity
from campana.store.memberships import Membership


class Standing(NamedTuple):
    """Who bears a call, in which channel, and as what; each None if there is none."""

    bearer: Identity | None
    channel: Channel | None
    membership: Membership | None
    """Not one in a sub-channel."""


class Wanted(NamedTuple):
    """What a call is going to ask for."""

    bearer_arn: str
    channel_arn: str
    token_key: str
    """Of its client request token; '' if it has none."""


def find(tx: Tx, bearer_arn: str, channel_arn: str) -> Standing:
    """As `identities.find`, `channels.find` and `memberships.find`.

    Looked up ahead, the channel may be as it was before other calls in the transaction sent messages to it.
    """
    seen: Standing | None = tx.seen.get((bearer_arn, channel_arn))
    if seen is not None:
        return seen
    found = tx.first(_ONE, bearer=bearer_arn, channel=channel_arn)
    if found is None:  # there is no such channel
        return Standing(identities.find(tx, bearer_arn), None, None)
    return _standing(found)


def look_ahead(tx: Tx, wanted: Sequence[Wanted]) -> None:
    """For `find`, `idempotency.find`, and `topics.append` to the channels. Their locks must be held."""
    for some in _in_sizes([*dict.fromkeys(wanted)]) if len(wanted) > 1 else [wanted]:
        values: dict[str, Value] = {}
        for index, each in enumerate(some):
            values |= {f"b{index}": each.bearer_arn, f"c{index}": each.channel_arn, f"k{index}": each.token_key}
        for index, head, *found in tx.rows(_MANY[len(some)], **values):
            bearer_arn, channel_arn, token_key = some[index]
            tx.seen[bearer_arn, channel_arn] = _standing(found)
            if token_key:
                kept = found[-_OF_KEPT:]
                tx.seen[token_key] = None if kept[0] is None else Kept(*kept)
            if head is not None:
                tx.heads[topics.of_channel(channel_arn)] = head


def _in_sizes(wanted: Sequence[Wanted]) -> list[Sequence[Wanted]]:
    """In parts of 1, 2, 4, 8, 16 or 32, so that there are few statements to prepare."""
    parts: list[Sequence[Wanted]] = []
    while wanted:
        size = next(size for size in _SIZES if size <= len(wanted))
        parts.append(wanted[:size])
        wanted = wanted[size:]
    return parts


def _standing(found: Sequence[Any]) -> Standing:
    bearer, channel = found[:_OF_IDENTITY], found[_OF_IDENTITY : _OF_IDENTITY + _OF_CHANNEL]
    membership = found[_OF_IDENTITY + _OF_CHANNEL : _OF_IDENTITY + _OF_CHANNEL + _OF_MEMBERSHIP]
    return Standing(
        None if bearer[0] is None else Identity(*bearer),
        Channel(*channel),
        None if membership[0] is None else Membership(*membership),
    )


def _columns(row: type[Row], table: str) -> str:
    return ", ".join(f"{table}.{name}" for name in row.__struct_fields__)


_OF_IDENTITY, _OF_CHANNEL, _OF_MEMBERSHIP, _OF_KEPT = (
    len(row.__struct_fields__) for row in (Identity, Channel, Membership, Kept)
)
_STANDING = f"{_columns(Identity, 'i')}, {_columns(Channel, 'c')}, {_columns(Membership, 'm')}"
_OF_BEARER = """i.deleted_at IS NULL
        AND EXISTS (SELECT 1 FROM app_instances a WHERE a.arn = i.app_instance_arn)"""
_ONE = f"""
    SELECT {_STANDING}
    FROM channels c
    LEFT JOIN identities i ON i.arn = :bearer AND {_OF_BEARER}
    LEFT JOIN memberships m ON m.channel_arn = :channel AND m.member_arn = :bearer AND m.sub_channel_id = ''
    WHERE c.arn = :channel
"""
_SIZES = (32, 16, 8, 4, 2, 1)


def _asking(source: str, where: str, number: str, bearer: str, channel: str, token: str) -> str:
    return f"""
        SELECT {number}, t.head, {_STANDING}, {_columns(Kept, "k")}
        FROM {source}
        LEFT JOIN identities i ON i.arn = {bearer} AND {_OF_BEARER}
        LEFT JOIN memberships m ON m.channel_arn = {channel} AND m.member_arn = {bearer} AND m.sub_channel_id = ''
        LEFT JOIN topics t ON t.name = 'channel/' || {channel}
        LEFT JOIN idempotency k ON k.key = {token}
        {where}
    """


def _for(size: int) -> str:
    if size == 1:  # by far the most frequent, and a table of one row would cost a quarter of it
        return _asking("channels c", "WHERE c.arn = :c0", "0", ":b0", ":c0", ":k0")
    asked = ", ".join(f"({index}, :b{index}, :c{index}, :k{index})" for index in range(size))
    source = "asked JOIN channels c ON c.arn = asked.channel"
    columns = ("asked.number", "asked.bearer", "asked.channel", "asked.token")
    return f"WITH asked (number, bearer, channel, token) AS (VALUES {asked}) {_asking(source, '', *columns)}"


_MANY = {size: _for(size) for size in _SIZES}
