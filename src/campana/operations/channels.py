"""Channels: create, describe, update, delete, list."""

import msgspec

from campana import arn, events, limits, views
from campana.api.base import encode_rest
from campana.api.messaging import (
    CreateChannelRequest,
    CreateChannelResponse,
    DeleteChannelRequest,
    DescribeChannelRequest,
    DescribeChannelResponse,
    ElasticChannelConfiguration,
    ListChannelsRequest,
    ListChannelsResponse,
    ListSubChannelsRequest,
    ListSubChannelsResponse,
    PutChannelExpirationSettingsRequest,
    PutChannelExpirationSettingsResponse,
    SubChannelSummary,
    UpdateChannelRequest,
    UpdateChannelResponse,
)
from campana.auth.roles import ADMIN, MEMBER, MODERATOR, PUBLIC, USER, WELCOME
from campana.errors import BadRequest, Conflict, Forbidden, ResourceLimitExceeded
from campana.limits import CHANNEL_LISTS, CHANNEL_READS, CHANNEL_WRITES, SUB_CHANNEL_LISTS
from campana.operations import tagging
from campana.operations.expiration import expires_at
from campana.operations.memberships import existing_member
from campana.operations.quotas import give_back, in_force, take
from campana.operations.registry import operation
from campana.store import channels, counts, deletions, memberships, moderators, sub_channels
from campana.unit_of_work import Call, UnitOfWork


@operation(on="app_instance_arn", allow=[{USER}], iam=(), rate=CHANNEL_WRITES)
def create_channel(call: Call, request: CreateChannelRequest) -> CreateChannelResponse:
    """Make a channel; its creator becomes member and moderator. All of it, or nothing."""
    if request.app_instance_arn != call.bearer.app_instance_arn:
        raise Forbidden
    tagging.check(request.tags)
    elastic = request.elastic_channel_configuration
    if elastic is not None:
        _check_elastic(call, request, elastic)
    for member_arn in dict.fromkeys((*(request.moderator_arns or ()), *(request.member_arns or ()))):
        existing_member(call, member_arn)
    channel_arn = arn.within(request.app_instance_arn, arn.Kind.CHANNEL, request.channel_id or call.ids.uuid())
    call.tx.lock(channel_arn)  # it may be about to be deleted
    if deletions.find(call.tx, channel_arn) is not None:
        raise Conflict("A channel with this ChannelId is still being deleted.")
    defaults = call.settings.channels
    expiration = request.expiration_settings
    channel = channels.Channel(
        arn=channel_arn,
        app_instance_arn=request.app_instance_arn,
        name=request.name,
        mode=request.mode or ("RESTRICTED" if elastic is not None else defaults.default_mode),
        privacy=request.privacy or defaults.default_privacy,
        metadata=request.metadata or None,
        created_by=call.bearer.arn,
        created_at=call.now,
        updated_at=call.now,
        last_message_at=None,
        channel_flow_arn=None,
        elastic=None if elastic is None else encode_rest(elastic).decode(),
        expiration_days=expiration.expiration_days if expiration else None,
        expiration_criterion=expiration.expiration_criterion.value if expiration else None,
        expires_at=expires_at(expiration, created_at=call.now),
    )
    if not channels.insert(call.tx, channel):
        raise Conflict("A channel with this ChannelId exists already.")
    take(call, channel.app_instance_arn, "channels")
    tagging.put(call, channel_arn, request.tags)
    call.tx.lock(call.bearer.arn, *(request.moderator_arns or ()), *(request.member_arns or ()))
    _appoint(call, channel, [call.bearer.arn, *(request.moderator_arns or ())])
    if elastic is None:
        _enrol(call, channel, [call.bearer.arn, *(request.member_arns or ())])
    else:
        take(call, channel.app_instance_arn, "elastic channels")
    return CreateChannelResponse(channel_arn=channel_arn)


def _check_elastic(call: Call, request: CreateChannelRequest, elastic: ElasticChannelConfiguration) -> None:
    """Raises BadRequest or ResourceLimitExceeded (spec/elastic-channels.md §2)."""
    if request.member_arns is not None:
        raise BadRequest("An elastic channel is made without members: MemberArns is not allowed.")
    if request.mode == "UNRESTRICTED":
        raise BadRequest("An elastic channel can't be UNRESTRICTED.")
    sub_channels, members = elastic.maximum_sub_channels, elastic.target_memberships_per_sub_channel
    if sub_channels * members > limits.SUB_CHANNEL_PRODUCT:
        raise BadRequest(f"An elastic channel has room for {limits.SUB_CHANNEL_PRODUCT:,} members at most.")
    for number, what in ((sub_channels, "sub-channels"), (members, "memberships of a sub-channel")):
        most = in_force(call.tx, call.settings, request.app_instance_arn, what)
        if number > most:
            raise ResourceLimitExceeded(f"The quota is {most:,} {what}.")


def _appoint(call: Call, channel: channels.Channel, moderator_arns: list[str]) -> None:
    for moderator_arn in dict.fromkeys(moderator_arns):
        moderators.insert(call.tx, moderators.Moderator(channel.arn, moderator_arn, call.bearer.arn, call.now))
        take(call, channel.arn, "moderators")


def _enrol(call: Call, channel: channels.Channel, member_arns: list[str]) -> None:
    for member_arn in dict.fromkeys(member_arns):
        membership = memberships.Membership(
            channel.arn, member_arn, "", "DEFAULT", call.bearer.arn, call.now, call.now, None
        )
        memberships.insert(call.tx, membership)
        take(call, channel.arn, "memberships")
        take(call, member_arn, "memberships of a user")
        events.publish_membership(call, events.CREATE_CHANNEL_MEMBERSHIP, membership)


@operation(on="channel_arn", allow=[{ADMIN}, {MODERATOR}, {MEMBER}, {PUBLIC, WELCOME}], rate=CHANNEL_READS)
def describe_channel(call: Call, request: DescribeChannelRequest) -> DescribeChannelResponse:
    """All about a channel."""
    return DescribeChannelResponse(channel=views.channel(call, call.channel))


@operation(on="channel_arn", allow=[{ADMIN}, {MODERATOR}], rate=CHANNEL_WRITES)
def update_channel(call: Call, request: UpdateChannelRequest) -> UpdateChannelResponse:
    """Change what is given; what is omitted stays, and "" clears the metadata."""
    channel = call.channel
    if channel.elastic is not None and request.mode == "UNRESTRICTED":
        raise BadRequest("An elastic channel can't be UNRESTRICTED.")
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


@operation(on="channel_arn", allow=[{ADMIN}, {MODERATOR}], rate=CHANNEL_WRITES)
def delete_channel(call: Call, request: DeleteChannelRequest) -> None:
    """The channel is gone at once for everybody; what is left of it is removed in the background."""
    delete(call, call.channel)


def delete(unit: UnitOfWork, channel: channels.Channel) -> None:
    """The same without a call: also what happens to a channel whose time is over."""
    events.publish_channel(unit, events.DELETE_CHANNEL, channel)
    if channel.elastic is not None:
        for row in sub_channels.of(unit.tx, channel.arn):
            events.end_sub_channel(unit, channel.arn, row.id)
        give_back(unit, channel.app_instance_arn, "elastic channels")
    channels.delete(unit.tx, channel.arn)
    give_back(unit, channel.app_instance_arn, "channels")
    counts.forget(unit.tx, channel.arn)
    deletions.add(unit.tx, channel.arn, unit.now)


@operation(on="app_instance_arn", allow=[{USER}], iam=(), rate=CHANNEL_LISTS)
def list_channels(call: Call, request: ListChannelsRequest) -> ListChannelsResponse:
    """The public channels of the bearer's app instance; admins may ask for the private ones."""
    if request.app_instance_arn != call.bearer.app_instance_arn:
        raise Forbidden
    privacy = request.privacy or "PUBLIC"
    if privacy == "PRIVATE" and not call.is_admin:
        raise Forbidden
    page = channels.page_by_privacy(call.tx, request.app_instance_arn, privacy, call.after, call.limit)
    return ListChannelsResponse(
        channels=views.channel_summaries(call, call.bearer.arn, [_as_seen(call, row) for row in page.rows]),
        next_token=call.token(page),
    )


def _as_seen(call: Call, row: channels.Channel) -> channels.Channel:
    """With the time of the last message that the bearer may read: in an elastic channel that of the own sub-channel."""
    if row.elastic is None or call.is_admin or moderators.find(call.tx, row.arn, call.bearer.arn) is not None:
        return row
    membership = memberships.of_user_in(call.tx, call.bearer.arn, row)
    return msgspec.structs.replace(row, last_untargeted_at=membership.last_untargeted_at if membership else None)


@operation(on="channel_arn", allow=[{ADMIN}, {MODERATOR}], rate=SUB_CHANNEL_LISTS)
def list_sub_channels(call: Call, request: ListSubChannelsRequest) -> ListSubChannelsResponse:
    """The sub-channels of an elastic channel and how many members each has."""
    if call.channel.elastic is None:
        raise BadRequest("Only elastic channels have sub-channels.")
    page = sub_channels.page(call.tx, call.channel.arn, call.after, call.limit)
    return ListSubChannelsResponse(
        channel_arn=call.channel.arn,
        sub_channels=[
            SubChannelSummary(sub_channel_id=row.id, membership_count=row.membership_count) for row in page.rows
        ],
        next_token=call.token(page),
    )


@operation(on="channel_arn", allow=[{ADMIN}, {MODERATOR}])
def put_channel_expiration_settings(
    call: Call, request: PutChannelExpirationSettingsRequest
) -> PutChannelExpirationSettingsResponse:
    """Let the channel expire, or, without settings, live on."""
    channel, settings = call.channel, request.expiration_settings
    channels.set_expiration(
        call.tx,
        channel.arn,
        days=settings.expiration_days if settings else None,
        criterion=settings.expiration_criterion.value if settings else None,
        expires_at=expires_at(settings, created_at=channel.created_at, last_message_at=channel.last_message_at),
    )
    return PutChannelExpirationSettingsResponse(channel_arn=channel.arn, expiration_settings=settings)
