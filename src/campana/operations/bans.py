"""Channel bans: create, describe, delete, list."""

from campana.api.base import Timestamp
from campana.api.messaging import (
    ChannelBan,
    ChannelBanSummary,
    CreateChannelBanRequest,
    CreateChannelBanResponse,
    DeleteChannelBanRequest,
    DescribeChannelBanRequest,
    DescribeChannelBanResponse,
    ListChannelBansRequest,
    ListChannelBansResponse,
)
from campana.auth.roles import ADMIN, MODERATOR
from campana.errors import Conflict, Forbidden, NotFound
from campana.limits import MEMBER_LISTS, MEMBER_WRITES
from campana.operations.memberships import existing_member, leave
from campana.operations.registry import operation
from campana.store import admins, bans, memberships, moderators
from campana.unit_of_work import Call


@operation(on="channel_arn", allow=[{ADMIN}, {MODERATOR}], rate=MEMBER_WRITES)
def create_channel_ban(call: Call, request: CreateChannelBanRequest) -> CreateChannelBanResponse:
    """Remove somebody, member or not, and keep them out. Admins and moderators can't be banned."""
    existing_member(call, request.member_arn)
    if (
        moderators.find(call.tx, call.channel.arn, request.member_arn) is not None
        or admins.find(call.tx, call.channel.app_instance_arn, request.member_arn) is not None
    ):
        raise Forbidden
    if not bans.insert(call.tx, bans.Ban(call.channel.arn, request.member_arn, call.bearer.arn, call.now)):
        raise Conflict("The user or bot is banned from the channel already.")
    for membership in memberships.of_member(call.tx, call.channel.arn, request.member_arn):
        leave(call, membership)
    return CreateChannelBanResponse(channel_arn=call.channel.arn, member=call.identity(request.member_arn))


@operation(on="channel_arn", allow=[{ADMIN}, {MODERATOR}])
def describe_channel_ban(call: Call, request: DescribeChannelBanRequest) -> DescribeChannelBanResponse:
    """Who banned them, and when."""
    row = bans.find(call.tx, call.channel.arn, request.member_arn)
    if row is None:
        raise NotFound("The user or bot is not banned from the channel.")
    return DescribeChannelBanResponse(
        channel_ban=ChannelBan(
            member=call.identity(row.member_arn),
            channel_arn=row.channel_arn,
            created_timestamp=Timestamp(row.created_at),
            created_by=call.identity(row.created_by),
        )
    )


@operation(on="channel_arn", allow=[{ADMIN}, {MODERATOR}], rate=MEMBER_LISTS)
def list_channel_bans(call: Call, request: ListChannelBansRequest) -> ListChannelBansResponse:
    """Who is banned from a channel, the first first."""
    page = bans.page(call.tx, call.channel.arn, call.after, call.limit)
    call.look_up(row.member_arn for row in page.rows)
    return ListChannelBansResponse(
        channel_arn=call.channel.arn,
        channel_bans=[ChannelBanSummary(member=call.identity(row.member_arn)) for row in page.rows],
        next_token=call.token(page),
    )


@operation(on="channel_arn", allow=[{ADMIN}, {MODERATOR}], rate=MEMBER_WRITES)
def delete_channel_ban(call: Call, request: DeleteChannelBanRequest) -> None:
    """Lift a ban; the membership does not come back. Not banned: nothing changes."""
    bans.delete(call.tx, call.channel.arn, request.member_arn)
