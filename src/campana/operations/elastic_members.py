"""Members of elastic channels: who goes to which sub-channel, transfers, the end of a sub-channel.

The decisions are those of `campana.elastic`; here they are carried out (spec/elastic-channels.md §3, §4, §6).
"""

import msgspec

from campana import elastic, events
from campana.api.messaging import ElasticChannelConfiguration
from campana.errors import BadRequest, Conflict, NotFound, ResourceLimitExceeded
from campana.operations.quotas import check, give_back, take
from campana.store import deletions, memberships, moderators, sub_channels
from campana.store.channels import Channel
from campana.store.memberships import Membership
from campana.unit_of_work import Call, UnitOfWork

BALANCE_AFTER_MS = 1_000
"""Several members who leave together are one reason to look, not several."""

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
    sizes = _sizes(call, channel)
    found = elastic.sub_channel_for(sizes, wanted.target_memberships_per_sub_channel)
    if found is not None:
        return found
    if len(sizes) >= wanted.maximum_sub_channels:
        raise ResourceLimitExceeded("All sub-channels of the elastic channel are full.")
    fresh = call.ids.uuid()
    sub_channels.insert(call.tx, channel.arn, fresh, call.now)
    moving = [
        membership
        for sub_channel_id, number in elastic.moves_to_new(sizes, _minimum(wanted)).items()
        for membership in memberships.newest_regular(call.tx, channel.arn, sub_channel_id, number)
    ]
    call.look_up(membership.member_arn for membership in moving)
    for membership in moving:
        _transfer(call, membership, fresh)
    return fresh


def _transfer(unit: UnitOfWork, membership: Membership, sub_channel_id: str) -> None:
    """Move a member to another sub-channel; nobody else is told."""
    memberships.move(unit.tx, membership, sub_channel_id, unit.now)
    sub_channels.count(unit.tx, membership.channel_arn, membership.sub_channel_id, -1)
    sub_channels.count(unit.tx, membership.channel_arn, sub_channel_id, 1)
    moved = msgspec.structs.replace(membership, sub_channel_id=sub_channel_id, updated_at=unit.now)
    events.publish_transfer(unit, membership, moved)


# Leaving


def left(unit: UnitOfWork, membership: Membership) -> None:
    """A membership of an elastic channel has ended: its sub-channel may be too small by now."""
    if not is_moderator(unit, membership.channel_arn, membership.member_arn):
        sub_channels.count(unit.tx, membership.channel_arn, membership.sub_channel_id, -1)
        at = unit.now + BALANCE_AFTER_MS
        sub_channels.balance_at(unit.tx, membership.channel_arn, membership.sub_channel_id, at)


def balance(unit: UnitOfWork, channel: Channel) -> None:
    """Make one of two sub-channels if one has become too small and the other has room for it (SCALE_IN).

    One pair at a time, to keep the transaction short: after it somebody is to look again.
    """
    wanted = _configuration(channel)
    sub_channels.balanced(unit.tx, channel.arn)
    found = elastic.join(
        _sizes(unit, channel), minimum=_minimum(wanted), target=wanted.target_memberships_per_sub_channel
    )
    if found is not None:
        _end(unit, channel.arn, found.ending, found.staying)
        sub_channels.balance_at(unit.tx, channel.arn, found.staying, unit.now)


def _end(unit: UnitOfWork, channel_arn: str, ending: str, staying: str) -> None:
    """The members of a sub-channel move; those who joined it as moderators leave; its messages go."""
    members = memberships.of_sub_channel(unit.tx, channel_arn, ending)
    unit.look_up(arn for membership in members for arn in (membership.member_arn, membership.invited_by))
    for membership in members:
        if is_moderator(unit, channel_arn, membership.member_arn):
            reason = events.SUB_CHANNEL_DELETED
            events.publish_membership(unit, events.DELETE_CHANNEL_MEMBERSHIP, membership, reason=reason)
            memberships.delete(unit.tx, channel_arn, membership.member_arn, ending)
            give_back(unit, membership.member_arn, "memberships of a user")
        else:
            _transfer(unit, membership, staying)
    events.end_sub_channel(unit, channel_arn, ending)
    sub_channels.delete(unit.tx, channel_arn, ending)
    deletions.add(unit.tx, deletions.of_sub_channel(channel_arn, ending), unit.now)


# Values


def _configuration(channel: Channel) -> ElasticChannelConfiguration:
    assert channel.elastic is not None
    return _configurations.decode(channel.elastic)


def _minimum(wanted: ElasticChannelConfiguration) -> int:
    return elastic.minimum_memberships(wanted.target_memberships_per_sub_channel, wanted.minimum_membership_percentage)


def _sizes(unit: UnitOfWork, channel: Channel) -> dict[str, int]:
    return {row.id: row.membership_count for row in sub_channels.of(unit.tx, channel.arn)}
