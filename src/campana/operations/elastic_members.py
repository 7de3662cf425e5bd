"""Members of elastic channels: who goes to which sub-channel, transfers, the end of a sub-channel.

The decisions are those of `campana.elastic`; here they are carried out (spec/elastic-channels.md §3, §4, §6).
"""

from collections.abc import Mapping, Sequence

import msgspec

from campana import elastic, events
from campana.api.messaging import ElasticChannelConfiguration
from campana.errors import BadRequest, Conflict, NotFound, ResourceLimitExceeded
from campana.operations.quotas import check, give_back, take
from campana.store import deletions, memberships, moderators, sub_channels
from campana.store.channels import Channel
from campana.store.memberships import Membership
from campana.store.sub_channels import SubChannel
from campana.unit_of_work import Call, UnitOfWork

BALANCE_AFTER_MS = 1_000
"""Several members who leave together are one reason to look, not several."""

MOVED_AT_ONCE = 50
"""Memberships that one transaction transfers or ends: it holds the event loop for some milliseconds."""

_configurations = msgspec.json.Decoder(ElasticChannelConfiguration)


# Joining


def join(call: Call, member_arn: str, named: str | None) -> Membership:
    """Make a membership, with its event; `named` is the request's SubChannelId.

    Raises BadRequest, NotFound, Conflict or ResourceLimitExceeded, before it has written anything.
    """
    channel = call.channel
    moderates = is_moderator(call, channel.arn, member_arn)
    if moderates and named is None:
        raise BadRequest("A moderator of an elastic channel joins a sub-channel: SubChannelId is required.")
    if not moderates and named is not None:
        raise BadRequest("SubChannelId is for moderators: members of elastic channels are assigned to one.")
    if named is not None and sub_channels.find(call.tx, channel.arn, named) is None:
        raise NotFound("There is no such sub-channel.")
    if any(named in (None, each.sub_channel_id) for each in memberships.of_member(call.tx, channel.arn, member_arn)):
        raise Conflict("The user or bot is a member already.")
    check(call, member_arn, "memberships of a user")
    sub_channel_id = named or _room_for_one(call, channel)
    membership = Membership(
        channel.arn, member_arn, sub_channel_id, "DEFAULT", call.bearer.arn, call.now, call.now, None
    )
    memberships.insert(call.tx, membership)
    take(call, member_arn, "memberships of a user")
    if not moderates:
        sub_channels.count(call.tx, channel.arn, sub_channel_id, 1)
    events.publish_membership(call, events.CREATE_CHANNEL_MEMBERSHIP, membership)
    return membership


def is_moderator(unit: UnitOfWork, channel_arn: str, member_arn: str) -> bool:
    """Moderators join sub-channels they name, several if they like, count for nothing and are never moved."""
    return moderators.find(unit.tx, channel_arn, member_arn) is not None


def _room_for_one(call: Call, channel: Channel) -> str:
    """A sub-channel with room; a new one takes members over from the others (SCALE_OUT)."""
    wanted = _configuration(channel)
    rows = sub_channels.of(call.tx, channel.arn)
    sizes = _sizes(rows)
    found = elastic.sub_channel_for(sizes, wanted.target_memberships_per_sub_channel)
    if found is not None:
        return found
    for row in rows:
        if row.ends_into is not None:  # needed again, and too small to be full
            sub_channels.end_into(call.tx, channel.arn, row.id, None)
            return row.id
    if len(rows) >= wanted.maximum_sub_channels:
        raise ResourceLimitExceeded("All sub-channels of the elastic channel are full.")
    fresh = call.ids.uuid()
    sub_channels.insert(call.tx, channel.arn, fresh, call.now)
    if _fill_some(call, channel.arn, fresh, sizes | {fresh: 1}):  # one: who is about to enter
        sub_channels.balance_at(call.tx, channel.arn, fresh, call.now)
    return fresh


def _fill_some(unit: UnitOfWork, channel_arn: str, filling: str, sizes: Mapping[str, int]) -> bool:
    """Transfer some members of the others to a new sub-channel. True: there may be more to come."""
    moves = elastic.moves_to(filling, sizes, MOVED_AT_ONCE)
    for sub_channel_id, number in moves.items():
        _transfer(unit, memberships.newest_regular(unit.tx, channel_arn, sub_channel_id, number), filling)
    more = sum(moves.values()) == MOVED_AT_ONCE
    sub_channels.fill(unit.tx, channel_arn, filling, more)
    return more


def _transfer(unit: UnitOfWork, rows: Sequence[Membership], sub_channel_id: str) -> None:
    """Move regular members of one sub-channel (not empty) to another."""
    channel_arn, old = rows[0].channel_arn, rows[0].sub_channel_id
    memberships.move(unit.tx, channel_arn, [row.member_arn for row in rows], old, sub_channel_id, unit.now)
    sub_channels.count(unit.tx, channel_arn, old, -len(rows))
    sub_channels.count(unit.tx, channel_arn, sub_channel_id, len(rows))
    events.publish_transfers(unit, rows, sub_channel_id)


# Leaving


def left(unit: UnitOfWork, membership: Membership) -> None:
    """A membership of an elastic channel has ended: its sub-channel may be too small by now."""
    if not is_moderator(unit, membership.channel_arn, membership.member_arn):
        sub_channels.count(unit.tx, membership.channel_arn, membership.sub_channel_id, -1)
        at = unit.now + BALANCE_AFTER_MS
        sub_channels.balance_at(unit.tx, membership.channel_arn, membership.sub_channel_id, at)


def balance(unit: UnitOfWork, channel: Channel) -> None:
    """Go on with a SCALE_OUT; else make one of two sub-channels if one has become too small and the other has room
    for it (SCALE_IN).

    A batch of members at a time, to keep the transaction short: after it somebody is to look again. Meanwhile a
    sub-channel that ends is as it was for those who are still in it, and takes nobody in.
    """
    rows = sub_channels.of(unit.tx, channel.arn)
    sub_channels.balanced(unit.tx, channel.arn)
    for row in rows:
        if row.filling:
            _fill_some(unit, channel.arn, row.id, _sizes(rows))
            sub_channels.balance_at(unit.tx, channel.arn, row.id, unit.now)
            return
    found = _join_under_way(rows) or _join_wanted(channel, rows)
    if found is None:
        return
    if _empty_some(unit, channel.arn, found):
        events.end_sub_channel(unit, channel.arn, found.ending)
        sub_channels.delete(unit.tx, channel.arn, found.ending)
        deletions.add(unit.tx, deletions.of_sub_channel(channel.arn, found.ending), unit.now)
    else:
        sub_channels.end_into(unit.tx, channel.arn, found.ending, found.staying)
    sub_channels.balance_at(unit.tx, channel.arn, found.staying, unit.now)


def _join_under_way(rows: Sequence[SubChannel]) -> elastic.Join | None:
    return next((elastic.Join(row.id, row.ends_into) for row in rows if row.ends_into is not None), None)


def _join_wanted(channel: Channel, rows: Sequence[SubChannel]) -> elastic.Join | None:
    wanted = _configuration(channel)
    return elastic.join(_sizes(rows), minimum=_minimum(wanted), target=wanted.target_memberships_per_sub_channel)


def _empty_some(unit: UnitOfWork, channel_arn: str, found: elastic.Join) -> bool:
    """Transfer some members; after the last of them, those who joined it as moderators leave. True: nobody is left."""
    moving = memberships.newest_regular(unit.tx, channel_arn, found.ending, MOVED_AT_ONCE)
    if moving:
        _transfer(unit, moving, found.staying)
    if len(moving) == MOVED_AT_ONCE:
        return False
    leaving = memberships.some_of_sub_channel(unit.tx, channel_arn, found.ending, MOVED_AT_ONCE)
    unit.look_up(arn for row in leaving for arn in (row.member_arn, row.invited_by))
    for row in leaving:
        events.publish_membership(unit, events.DELETE_CHANNEL_MEMBERSHIP, row, reason=events.SUB_CHANNEL_DELETED)
        memberships.delete(unit.tx, channel_arn, row.member_arn, found.ending)
        give_back(unit, row.member_arn, "memberships of a user")
    return len(leaving) < MOVED_AT_ONCE


# Values


def _configuration(channel: Channel) -> ElasticChannelConfiguration:
    assert channel.elastic is not None
    return _configurations.decode(channel.elastic)


def _minimum(wanted: ElasticChannelConfiguration) -> int:
    return elastic.minimum_memberships(wanted.target_memberships_per_sub_channel, wanted.minimum_membership_percentage)


def _sizes(rows: Sequence[SubChannel]) -> dict[str, int]:
    """Regular members by sub-channel; those of one that ends count where they go, and so keep their room there."""
    sizes = {row.id: row.membership_count for row in rows if row.ends_into is None}
    for row in rows:
        if row.ends_into is not None:
            sizes[row.ends_into] += row.membership_count
    return sizes
