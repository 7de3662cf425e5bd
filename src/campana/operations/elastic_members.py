"""Members of elastic channels: who goes to which sub-channel, transfers, the end of a sub-channel.

The decisions are those of `campana.elastic`; here they are carried out (spec/elastic-channels.md §3, §4, §6).
"""

import msgspec

from campana import elastic, events
from campana.api.messaging import ElasticChannelConfiguration
from campana.errors import BadRequest, Conflict, NotFound, ResourceLimitExceeded
from campana.store import deletions, memberships, moderators, sub_channels
from campana.store.channels import Channel
from campana.store.memberships import Membership
from campana.unit_of_work import Call, UnitOfWork

BALANCE_AFTER_MS = 1_000
MEMBERS_MAX = 1_000_000

_configurations = msgspec.json.Decoder(ElasticChannelConfiguration)


def configuration(channel: Channel) -> ElasticChannelConfiguration:
    assert channel.elastic is not None
    return _configurations.decode(channel.elastic)


def join(call: Call, member_arn: str, named: str | None) -> Membership:
    """Make a membership, with its event. Raises BadRequest, NotFound, Conflict or ResourceLimitExceeded."""
    channel = call.channel
    if moderators.find(call.tx, channel.arn, member_arn) is not None:
        return _join_as_moderator(call, member_arn, named)
    if named is not None:
        raise BadRequest("SubChannelId is for moderators: members of elastic channels are assigned to one.")
    if memberships.of_member(call.tx, channel.arn, member_arn):
        raise Conflict("The user or bot is a member of the channel already.")
    sub_channel_id = _room_for_one(call, channel)
    sub_channels.count(call.tx, channel.arn, sub_channel_id, 1)
    return _inserted(call, member_arn, sub_channel_id)


def _join_as_moderator(call: Call, member_arn: str, named: str | None) -> Membership:
    if named is None:
        raise BadRequest("A moderator of an elastic channel joins a sub-channel: SubChannelId is required.")
    if sub_channels.find(call.tx, call.channel.arn, named) is None:
        raise NotFound("There is no such sub-channel.")
    return _inserted(call, member_arn, named)


def _inserted(call: Call, member_arn: str, sub_channel_id: str) -> Membership:
    membership = Membership(
        call.channel.arn, member_arn, sub_channel_id, "DEFAULT", call.bearer.arn, call.now, call.now, None
    )
    if not memberships.insert(call.tx, membership):
        raise Conflict("The user or bot is a member of the sub-channel already.")
    events.publish_membership(call, events.CREATE_CHANNEL_MEMBERSHIP, membership)
    return membership


def _room_for_one(call: Call, channel: Channel) -> str:
    """A sub-channel with room; a new one takes members over from the others (SCALE_OUT)."""
    wanted = configuration(channel)
    sizes = {row.id: row.membership_count for row in sub_channels.of(call.tx, channel.arn)}
    found = elastic.sub_channel_for(sizes, wanted.target_memberships_per_sub_channel)
    if found is not None:
        return found
    if len(sizes) >= wanted.maximum_sub_channels:
        raise ResourceLimitExceeded("All sub-channels of the elastic channel are full.")
    fresh = call.ids.uuid()
    sub_channels.insert(call.tx, channel.arn, fresh, call.now)
    minimum = elastic.minimum_memberships(
        wanted.target_memberships_per_sub_channel, wanted.minimum_membership_percentage
    )
    for sub_channel_id, number in elastic.moves_to_new(sizes, minimum).items():
        for membership in memberships.newest_regular(call.tx, channel.arn, sub_channel_id, number):
            transfer(call, membership, fresh)
    return fresh


def transfer(unit: UnitOfWork, membership: Membership, sub_channel_id: str) -> None:
    """Move a member to another sub-channel; nobody else is told."""
    memberships.move(unit.tx, membership, sub_channel_id, unit.now)
    sub_channels.count(unit.tx, membership.channel_arn, membership.sub_channel_id, -1)
    sub_channels.count(unit.tx, membership.channel_arn, sub_channel_id, 1)
    moved = msgspec.structs.replace(membership, sub_channel_id=sub_channel_id, updated_at=unit.now)
    events.publish_transfer(unit, membership, moved)


def left(unit: UnitOfWork, membership: Membership) -> None:
    """A membership of an elastic channel has ended: its sub-channel may be too small by now."""
    if moderators.find(unit.tx, membership.channel_arn, membership.member_arn) is None:
        sub_channels.count(unit.tx, membership.channel_arn, membership.sub_channel_id, -1)
        sub_channels.balance(unit.tx, membership.channel_arn, membership.sub_channel_id, unit.now + BALANCE_AFTER_MS)


def balance(unit: UnitOfWork, channel: Channel, sub_channel_id: str) -> None:
    """If the sub-channel is too small and another has room for all its members, they go there and it is removed with
    its messages (SCALE_IN)."""
    wanted = configuration(channel)
    sub_channels.balance(unit.tx, channel.arn, sub_channel_id, None)
    sizes = {row.id: row.membership_count for row in sub_channels.of(unit.tx, channel.arn)}
    if sub_channel_id not in sizes:
        return
    target = wanted.target_memberships_per_sub_channel
    minimum = elastic.minimum_memberships(target, wanted.minimum_membership_percentage)
    other = elastic.sub_channel_to_join(sizes, sub_channel_id, minimum=minimum, target=target)
    if other is None:
        return
    for membership in memberships.newest_regular(unit.tx, channel.arn, sub_channel_id, MEMBERS_MAX):
        transfer(unit, membership, other)
    for membership in memberships.some_of_sub_channel(unit.tx, channel.arn, sub_channel_id, MEMBERS_MAX):
        # Moderators who had joined it.
        events.publish_membership(unit, events.DELETE_CHANNEL_MEMBERSHIP, membership, reason=events.SUB_CHANNEL_DELETED)
        memberships.delete(unit.tx, channel.arn, membership.member_arn, sub_channel_id)
    events.end_sub_channel(unit, channel.arn, sub_channel_id)
    sub_channels.delete(unit.tx, channel.arn, sub_channel_id)
    deletions.add(unit.tx, deletions.of_sub_channel(channel.arn, sub_channel_id), unit.now)
