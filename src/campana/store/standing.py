"""The rows that nearly every call in a channel begins with, in one statement instead of four."""

from typing import NamedTuple

from campana.store import identities
from campana.store.channels import Channel
from campana.store.database import Row, Tx
from campana.store.identities import Identity
from campana.store.memberships import Membership


class Standing(NamedTuple):
    """Who bears a call, in which channel, and as what; each None if there is none."""

    bearer: Identity | None
    channel: Channel | None
    membership: Membership | None
    """Not one in a sub-channel."""
    processors: str | None
    """Of the flow that the channel is associated with: JSON of its ProcessorList."""


def find(tx: Tx, bearer_arn: str, channel_arn: str) -> Standing:
    """As `identities.find`, `channels.find` and `memberships.find`."""
    found = tx.first(_SQL, bearer=bearer_arn, channel=channel_arn)
    if found is None:  # there is no such channel
        return Standing(identities.find(tx, bearer_arn), None, None, None)
    bearer, rest = found[:_OF_IDENTITY], found[_OF_IDENTITY:]
    channel, membership = rest[:_OF_CHANNEL], rest[_OF_CHANNEL:-1]
    return Standing(
        None if bearer[0] is None else Identity(*bearer),
        Channel(*channel),
        None if membership[0] is None else Membership(*membership),
        found[-1],
    )


def _columns(row: type[Row], table: str) -> str:
    return ", ".join(f"{table}.{name}" for name in row.__struct_fields__)


_OF_IDENTITY, _OF_CHANNEL = len(Identity.__struct_fields__), len(Channel.__struct_fields__)
_SQL = f"""
    SELECT {_columns(Identity, "i")}, {_columns(Channel, "c")}, {_columns(Membership, "m")}, f.processors
    FROM channels c
    LEFT JOIN identities i ON i.arn = :bearer AND i.deleted_at IS NULL
        AND EXISTS (SELECT 1 FROM app_instances a WHERE a.arn = i.app_instance_arn)
    LEFT JOIN memberships m ON m.channel_arn = :channel AND m.member_arn = :bearer AND m.sub_channel_id = ''
    LEFT JOIN channel_flows f ON f.arn = c.channel_flow_arn
    WHERE c.arn = :channel
"""
