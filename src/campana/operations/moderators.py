"""Channel moderators: create, describe, delete, list, and the channels that somebody moderates."""

from campana import views
from campana.api.base import Timestamp
from campana.api.messaging import (
    ChannelModeratedByAppInstanceUserSummary,
    ChannelModerator,
    ChannelModeratorSummary,
    CreateChannelModeratorRequest,
    CreateChannelModeratorResponse,
    DeleteChannelModeratorRequest,
    DescribeChannelModeratedByAppInstanceUserRequest,
    DescribeChannelModeratedByAppInstanceUserResponse,
    DescribeChannelModeratorRequest,
    DescribeChannelModeratorResponse,
    ListChannelModeratorsRequest,
    ListChannelModeratorsResponse,
    ListChannelsModeratedByAppInstanceUserRequest,
    ListChannelsModeratedByAppInstanceUserResponse,
)
from campana.auth.roles import ADMIN, ELASTIC, MEMBER, MODERATOR, SELF
from campana.errors import Conflict, Forbidden, NotFound
from campana.limits import CHANNELS_OF_USER, MEMBER_LISTS, MEMBER_WRITES
from campana.operations.memberships import existing_member, leave
from campana.operations.quotas import give_back, take
from campana.operations.registry import operation
from campana.store import bans, memberships, moderators
from campana.unit_of_work import Call, parsed


@operation(on="channel_arn", allow=[{ADMIN}, {MODERATOR, MEMBER}, {MODERATOR, ELASTIC}], rate=MEMBER_WRITES)
def create_channel_moderator(call: Call, request: CreateChannelModeratorRequest) -> CreateChannelModeratorResponse:
    """Make a user or bot of the app instance a moderator. That makes no member; in an elastic channel it ends
    the membership."""
    existing_member(call, request.channel_moderator_arn)
    if bans.find(call.tx, call.channel.arn, request.channel_moderator_arn) is not None:
        raise Forbidden
    _end_elastic_memberships(call, request.channel_moderator_arn)
    moderator = moderators.Moderator(call.channel.arn, request.channel_moderator_arn, call.bearer.arn, call.now)
    if not moderators.insert(call.tx, moderator):
        raise Conflict("The user or bot is a moderator of the channel already.")
    take(call, call.channel.arn, "moderators")
    return CreateChannelModeratorResponse(
        channel_arn=call.channel.arn, channel_moderator=call.identity(request.channel_moderator_arn)
    )


def _end_elastic_memberships(call: Call, moderator_arn: str) -> None:
    """Members and moderators of an elastic channel join it in different ways (spec/elastic-channels.md §3).

    To be called while the role is still what it was: members are counted and moderators are not.
    """
    if call.channel.elastic is not None:
        for membership in memberships.of_member(call.tx, call.channel.arn, moderator_arn):
            leave(call, membership)


@operation(on="channel_arn", allow=[{ADMIN}, {MODERATOR}])
def describe_channel_moderator(
    call: Call, request: DescribeChannelModeratorRequest
) -> DescribeChannelModeratorResponse:
    """Who made them a moderator, and when."""
    row = moderators.find(call.tx, call.channel.arn, request.channel_moderator_arn)
    if row is None:
        raise NotFound("The user or bot is not a moderator of the channel.")
    return DescribeChannelModeratorResponse(
        channel_moderator=ChannelModerator(
            moderator=call.identity(row.moderator_arn),
            channel_arn=row.channel_arn,
            created_timestamp=Timestamp(row.created_at),
            created_by=call.identity(row.created_by),
        )
    )


@operation(on="channel_arn", allow=[{ADMIN}, {MODERATOR}], rate=MEMBER_LISTS)
def list_channel_moderators(call: Call, request: ListChannelModeratorsRequest) -> ListChannelModeratorsResponse:
    """The moderators of a channel, oldest first."""
    page = moderators.page(call.tx, call.channel.arn, call.after, call.limit)
    call.look_up(row.moderator_arn for row in page.rows)
    return ListChannelModeratorsResponse(
        channel_arn=call.channel.arn,
        channel_moderators=[ChannelModeratorSummary(moderator=call.identity(row.moderator_arn)) for row in page.rows],
        next_token=call.token(page),
    )


@operation(on="channel_arn", allow=[{ADMIN}, {MODERATOR}], rate=MEMBER_WRITES)
def delete_channel_moderator(call: Call, request: DeleteChannelModeratorRequest) -> None:
    """Take the role away, the last one's too. No moderator: nothing changes."""
    if moderators.find(call.tx, call.channel.arn, request.channel_moderator_arn) is not None:
        _end_elastic_memberships(call, request.channel_moderator_arn)
        moderators.delete(call.tx, call.channel.arn, request.channel_moderator_arn)
        give_back(call, call.channel.arn, "moderators")


@operation(on="channel_arn", allow=[{ADMIN}, {SELF}])
def describe_channel_moderated_by_app_instance_user(
    call: Call, request: DescribeChannelModeratedByAppInstanceUserRequest
) -> DescribeChannelModeratedByAppInstanceUserResponse:
    """The summary of a channel that the user moderates."""
    if moderators.find(call.tx, call.channel.arn, request.app_instance_user_arn) is None:
        raise Forbidden
    call.require_not_elastic()
    return DescribeChannelModeratedByAppInstanceUserResponse(
        channel=ChannelModeratedByAppInstanceUserSummary(
            channel_summary=views.channel_summary(call, call.bearer.arn, call.channel)
        )
    )


@operation(on="app_instance_user_arn", allow=[{ADMIN}, {SELF}], iam=(), rate=CHANNELS_OF_USER)
def list_channels_moderated_by_app_instance_user(
    call: Call, request: ListChannelsModeratedByAppInstanceUserRequest
) -> ListChannelsModeratedByAppInstanceUserResponse:
    """The channels that a user moderates, in the order of becoming it; without an ARN those of the bearer."""
    user_arn = request.app_instance_user_arn or call.bearer.arn
    if parsed(user_arn, "appInstanceUserArn").app_instance != call.bearer.app_instance_arn:
        raise Forbidden
    page = moderators.page_of_user(call.tx, user_arn, call.after, call.limit)
    return ListChannelsModeratedByAppInstanceUserResponse(
        channels=[
            ChannelModeratedByAppInstanceUserSummary(channel_summary=summary)
            for summary in views.channel_summaries(call, call.bearer.arn, page.rows)
        ],
        next_token=call.token(page),
    )
