"""Channels: create, describe, update, delete, list."""

import msgspec

from campana import arn, events, views
from campana.api.messaging import (
    CreateChannelRequest,
    CreateChannelResponse,
    DeleteChannelRequest,
    DescribeChannelRequest,
    DescribeChannelResponse,
    ListChannelsRequest,
    ListChannelsResponse,
    UpdateChannelRequest,
    UpdateChannelResponse,
)
from campana.auth.roles import ADMIN, MEMBER, MODERATOR, PUBLIC, USER, WELCOME
from campana.errors import Conflict, Forbidden, NotBuilt
from campana.operations.memberships import existing_member
from campana.operations.quotas import give_back, take
from campana.operations.registry import operation
from campana.store import channels, counts, deletions, memberships, moderators
from campana.unit_of_work import Call


@operation(on="app_instance_arn", allow=[{USER}])
def create_channel(call: Call, request: CreateChannelRequest) -> CreateChannelResponse:
    """Make a channel; its creator becomes member and moderator. All of it, or nothing."""
    if request.elastic_channel_configuration is not None or request.expiration_settings is not None:
        raise NotBuilt("Elastic channels and ExpirationSettings are not built yet.")
    if request.tags is not None:
        raise NotBuilt("Tags are not built yet.")
    if request.app_instance_arn != call.bearer.app_instance_arn:
        raise Forbidden
    channel_arn = arn.within(request.app_instance_arn, arn.Kind.CHANNEL, request.channel_id or call.ids.uuid())
    if deletions.find(call.tx, channel_arn) is not None:
        raise Conflict("A channel with this ChannelId is still being deleted.")
    defaults = call.settings.channels
    channel = channels.Channel(
        arn=channel_arn,
        app_instance_arn=request.app_instance_arn,
        name=request.name,
        mode=request.mode or defaults.default_mode,
        privacy=request.privacy or defaults.default_privacy,
        metadata=request.metadata or None,
        created_by=call.bearer.arn,
        created_at=call.now,
        updated_at=call.now,
        last_message_at=None,
        channel_flow_arn=None,
    )
    if not channels.insert(call.tx, channel):
        raise Conflict("A channel with this ChannelId exists already.")
    take(call, channel.app_instance_arn, "channels")
    _appoint(call, channel, [call.bearer.arn, *(request.moderator_arns or ())])
    _enrol(call, channel, [call.bearer.arn, *(request.member_arns or ())])
    return CreateChannelResponse(channel_arn=channel_arn)


def _appoint(call: Call, channel: channels.Channel, moderator_arns: list[str]) -> None:
    for moderator_arn in dict.fromkeys(moderator_arns):
        existing_member(call, moderator_arn)
        moderators.insert(call.tx, moderators.Moderator(channel.arn, moderator_arn, call.bearer.arn, call.now))
        take(call, channel.arn, "moderators")


def _enrol(call: Call, channel: channels.Channel, member_arns: list[str]) -> None:
    for member_arn in dict.fromkeys(member_arns):
        existing_member(call, member_arn)
        membership = memberships.Membership(
            channel.arn, member_arn, "", "DEFAULT", call.bearer.arn, call.now, call.now, None
        )
        memberships.insert(call.tx, membership)
        take(call, channel.arn, "memberships")
        take(call, member_arn, "memberships of a user")
        events.publish_membership(call, events.CREATE_CHANNEL_MEMBERSHIP, membership)


@operation(on="channel_arn", allow=[{ADMIN}, {MODERATOR}, {MEMBER}, {PUBLIC, WELCOME}])
def describe_channel(call: Call, request: DescribeChannelRequest) -> DescribeChannelResponse:
    """All about a channel."""
    return DescribeChannelResponse(channel=views.channel(call, call.channel))


@operation(on="channel_arn", allow=[{ADMIN}, {MODERATOR}])
def update_channel(call: Call, request: UpdateChannelRequest) -> UpdateChannelResponse:
    """Change what is given; what is omitted stays, and "" clears the metadata."""
    channel = call.channel
    changed = msgspec.structs.replace(
        channel,
        name=request.name or channel.name,
        mode=request.mode or channel.mode,
        metadata=channel.metadata if request.metadata is None else request.metadata or None,
        updated_at=call.now,
    )
    channels.update(call.tx, changed)
    events.publish_channel(call, events.UPDATE_CHANNEL, changed)
    return UpdateChannelResponse(channel_arn=channel.arn)


@operation(on="channel_arn", allow=[{ADMIN}, {MODERATOR}])
def delete_channel(call: Call, request: DeleteChannelRequest) -> None:
    """The channel is gone at once for everybody; what is left of it is removed in the background."""
    channel = call.channel
    events.publish_channel(call, events.DELETE_CHANNEL, channel)
    channels.delete(call.tx, channel.arn)
    give_back(call, channel.app_instance_arn, "channels")
    counts.forget(call.tx, channel.arn)
    deletions.add(call.tx, channel.arn, call.now)


@operation(on="app_instance_arn", allow=[{USER}])
def list_channels(call: Call, request: ListChannelsRequest) -> ListChannelsResponse:
    """The public channels of the bearer's app instance; admins may ask for the private ones."""
    if request.app_instance_arn != call.bearer.app_instance_arn:
        raise Forbidden
    privacy = request.privacy or "PUBLIC"
    if privacy == "PRIVATE" and not call.is_admin:
        raise Forbidden
    page = channels.page_by_privacy(call.tx, request.app_instance_arn, privacy, call.after, call.limit)
    return ListChannelsResponse(channels=[views.channel_summary(row) for row in page.rows], next_token=call.token(page))
