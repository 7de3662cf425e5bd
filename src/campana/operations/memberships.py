"""Memberships: create, create many, describe, delete, list, and those of a user."""

import msgspec

from campana import events, filter_rules, views
from campana.api.base import encode_rest
from campana.api.messaging import (
    BatchChannelMemberships,
    BatchCreateChannelMembershipError,
    BatchCreateChannelMembershipRequest,
    BatchCreateChannelMembershipResponse,
    ChannelMembershipPreferences,
    ChannelMembershipSummary,
    ChannelMembershipType,
    CreateChannelMembershipRequest,
    CreateChannelMembershipResponse,
    DeleteChannelMembershipRequest,
    DescribeChannelMembershipForAppInstanceUserRequest,
    DescribeChannelMembershipForAppInstanceUserResponse,
    DescribeChannelMembershipRequest,
    DescribeChannelMembershipResponse,
    ErrorCode,
    GetChannelMembershipPreferencesRequest,
    GetChannelMembershipPreferencesResponse,
    ListChannelMembershipsForAppInstanceUserRequest,
    ListChannelMembershipsForAppInstanceUserResponse,
    ListChannelMembershipsRequest,
    ListChannelMembershipsResponse,
    PutChannelMembershipPreferencesRequest,
    PutChannelMembershipPreferencesResponse,
    UpdateChannelReadMarkerRequest,
    UpdateChannelReadMarkerResponse,
)
from campana.auth.roles import ADMIN, MEMBER, MODERATOR, PUBLIC, SELF, UNRESTRICTED, WELCOME
from campana.errors import ApiError, BadRequest, Conflict, Forbidden, NotFound
from campana.limits import BATCHES, CHANNELS_OF_USER, MEMBER_LISTS, MEMBER_WRITES
from campana.operations import elastic_members
from campana.operations.quotas import check, give_back, take
from campana.operations.registry import operation
from campana.store import bans, identities, memberships
from campana.store.memberships import Membership
from campana.unit_of_work import Call, UnitOfWork, parsed


def existing_member(call: Call, member_arn: str) -> identities.Identity:
    """The live user or bot of the bearer's app instance; raises BadRequest if there is none."""
    parsed(member_arn, "memberArn")
    call.tx.lock(member_arn)  # it is not to be deleted meanwhile
    found = identities.find(call.tx, member_arn)
    if found is None or found.app_instance_arn != call.bearer.app_instance_arn:
        raise BadRequest("An invalid app instance user ARN was supplied")
    call.know({found.arn: found.name})
    return found


def _join(call: Call, member_arn: str, type: str) -> Membership:
    """Make the membership, without an event. Raises what keeps this member out, before it has written anything."""
    if memberships.find(call.tx, call.channel.arn, member_arn) is not None:
        raise Conflict("The user or bot is a member of the channel already.")
    check(call, call.channel.arn, "memberships")
    check(call, member_arn, "memberships of a user")
    membership = Membership(call.channel.arn, member_arn, "", type, call.bearer.arn, call.now, call.now, None)
    memberships.insert(call.tx, membership)
    take(call, call.channel.arn, "memberships")
    take(call, member_arn, "memberships of a user")
    return membership


def _check_member(call: Call, member_arn: str) -> None:
    existing_member(call, member_arn)
    if bans.find(call.tx, call.channel.arn, member_arn) is not None:
        raise Forbidden


def _check_type(call: Call, type: str) -> None:
    if type == "HIDDEN":
        call.require_not_elastic()
    if type == "HIDDEN" and not (call.is_admin or call.is_moderator):
        raise Forbidden


@operation(
    on="channel_arn", allow=[{ADMIN}, {MODERATOR}, {MEMBER, UNRESTRICTED}, {SELF, PUBLIC, WELCOME}], rate=MEMBER_WRITES
)
def create_channel_membership(call: Call, request: CreateChannelMembershipRequest) -> CreateChannelMembershipResponse:
    """Add a user or bot. Anybody may join a PUBLIC channel; only moderators and admins make HIDDEN members."""
    type = request.type or ChannelMembershipType.DEFAULT
    _check_type(call, type)
    _check_member(call, request.member_arn)
    if call.channel.elastic is None:
        assert call.sub_channel_id == ""
        membership = _join(call, request.member_arn, type)
        events.publish_membership(call, events.CREATE_CHANNEL_MEMBERSHIP, membership)
    else:
        membership = elastic_members.join(call, request.member_arn, request.sub_channel_id)
    return CreateChannelMembershipResponse(
        channel_arn=call.channel.arn,
        member=call.identity(request.member_arn),
        sub_channel_id=membership.sub_channel_id or None,
    )


@operation(on="channel_arn", allow=[{ADMIN}, {MODERATOR}, {MEMBER, UNRESTRICTED}], rate=BATCHES)
def batch_create_channel_membership(
    call: Call, request: BatchCreateChannelMembershipRequest
) -> BatchCreateChannelMembershipResponse:
    """Add up to 100; those who can't be added are listed with the reason, and the others are added all the same."""
    type = request.type or ChannelMembershipType.DEFAULT
    _check_type(call, type)
    elastic = call.channel.elastic is not None
    assert elastic or call.sub_channel_id == ""
    joined: list[Membership] = []
    errors: list[BatchCreateChannelMembershipError] = []
    call.tx.lock(*request.member_arns)
    for member_arn in dict.fromkeys(request.member_arns):
        try:
            _check_member(call, member_arn)
            if elastic:
                joined.append(elastic_members.join(call, member_arn, request.sub_channel_id))
            else:
                joined.append(_join(call, member_arn, type))
        except ApiError as error:
            errors.append(
                BatchCreateChannelMembershipError(
                    member_arn=member_arn, error_code=ErrorCode(error.code), error_message=error.message
                )
            )
    if joined and not elastic:  # members of elastic channels have been announced one by one
        events.publish_memberships(call, joined)
    return BatchCreateChannelMembershipResponse(
        batch_channel_memberships=BatchChannelMemberships(
            invited_by=call.identity(call.bearer.arn),
            type=type,
            members=[call.identity(membership.member_arn) for membership in joined],
            channel_arn=call.channel.arn,
            sub_channel_id=request.sub_channel_id,
        ),
        errors=errors,
    )


@operation(on="channel_arn", allow=[{ADMIN}, {MODERATOR}, {MEMBER}, {PUBLIC, WELCOME}])
def describe_channel_membership(
    call: Call, request: DescribeChannelMembershipRequest
) -> DescribeChannelMembershipResponse:
    """One member. A HIDDEN one is found by admins, moderators and itself only."""
    row = _meant(call, request)
    seen = row is not None and (
        row.type != "HIDDEN" or row.member_arn == call.bearer.arn or call.is_moderator or call.is_admin
    )
    if row is None or not seen:
        raise NotFound("The user or bot is not a member of the channel.")
    return DescribeChannelMembershipResponse(channel_membership=views.membership(call, row))


@operation(on="channel_arn", allow=[{ADMIN}, {MODERATOR}, {MEMBER}, {PUBLIC, WELCOME}], rate=MEMBER_LISTS)
def list_channel_memberships(call: Call, request: ListChannelMembershipsRequest) -> ListChannelMembershipsResponse:
    """The members of one type, DEFAULT if none is named; HIDDEN ones for moderators and admins only."""
    type = request.type or ChannelMembershipType.DEFAULT
    _check_type(call, type)
    page = memberships.page_by_type(call.tx, call.channel.arn, _sub_channel_meant(call), type, call.after, call.limit)
    call.look_up(row.member_arn for row in page.rows)
    return ListChannelMembershipsResponse(
        channel_arn=call.channel.arn,
        channel_memberships=[ChannelMembershipSummary(member=call.identity(row.member_arn)) for row in page.rows],
        next_token=call.token(page),
    )


def _meant(call: Call, request: DescribeChannelMembershipRequest) -> Membership | None:
    """The membership that is asked for. In an elastic channel, admins, moderators and the member need not know the
    sub-channel: then it is the member's oldest."""
    anywhere = call.is_admin or call.is_moderator or request.member_arn == call.bearer.arn
    if call.channel.elastic is not None and request.sub_channel_id is None and anywhere:
        return next(iter(memberships.of_member(call.tx, call.channel.arn, request.member_arn)), None)
    return memberships.find(call.tx, call.channel.arn, request.member_arn, _sub_channel_meant(call))


def _sub_channel_meant(call: Call) -> str:
    """The request's sub-channel, '' outside elastic channels. A regular member need not name the own one."""
    elastic = call.channel.elastic is not None
    if elastic and call.named_sub_channel is None and not (call.is_admin or call.is_moderator) and call.membership:
        return call.membership.sub_channel_id
    return call.sub_channel_id


@operation(on="channel_arn", allow=[{ADMIN}, {MODERATOR}, {MEMBER, SELF}], rate=MEMBER_WRITES)
def delete_channel_membership(call: Call, request: DeleteChannelMembershipRequest) -> None:
    """Leave, or be removed; a moderator of an elastic channel from one sub-channel or all. No member: nothing
    changes."""
    named = request.sub_channel_id
    if named is not None and not elastic_members.is_moderator(call, call.channel.arn, request.member_arn):
        raise BadRequest("SubChannelId is for moderators: members of elastic channels have one membership.")
    for row in memberships.of_member(call.tx, call.channel.arn, request.member_arn):
        if named in (None, row.sub_channel_id):
            leave(call, row)


def leave(unit: UnitOfWork, membership: Membership) -> None:
    """End a membership and tell everybody concerned."""
    events.publish_membership(unit, events.DELETE_CHANNEL_MEMBERSHIP, membership)
    memberships.delete(unit.tx, membership.channel_arn, membership.member_arn, membership.sub_channel_id)
    if membership.sub_channel_id:
        elastic_members.left(unit, membership)
    else:
        give_back(unit, membership.channel_arn, "memberships")
    give_back(unit, membership.member_arn, "memberships of a user")


@operation(on="channel_arn", allow=[{ADMIN}, {SELF}])
def describe_channel_membership_for_app_instance_user(
    call: Call, request: DescribeChannelMembershipForAppInstanceUserRequest
) -> DescribeChannelMembershipForAppInstanceUserResponse:
    """A user's membership in one channel, with the channel's summary."""
    row = memberships.of_user_in(call.tx, request.app_instance_user_arn, call.channel)
    if row is None:
        raise Forbidden
    return DescribeChannelMembershipForAppInstanceUserResponse(
        channel_membership=views.memberships_of_user(call, call.bearer.arn, [row])[0]
    )


@operation(on="app_instance_user_arn", allow=[{ADMIN}, {SELF}], iam=(), rate=CHANNELS_OF_USER)
def list_channel_memberships_for_app_instance_user(
    call: Call, request: ListChannelMembershipsForAppInstanceUserRequest
) -> ListChannelMembershipsForAppInstanceUserResponse:
    """The channels that a user is a member of, in the order of joining; without an ARN those of the bearer."""
    user_arn = request.app_instance_user_arn or call.bearer.arn
    if parsed(user_arn, "appInstanceUserArn").app_instance != call.bearer.app_instance_arn:
        raise Forbidden
    page = memberships.page_of_user(call.tx, user_arn, call.after, call.limit)
    return ListChannelMembershipsForAppInstanceUserResponse(
        channel_memberships=views.memberships_of_user(call, call.bearer.arn, page.rows),
        next_token=call.token(page),
    )


@operation(on="channel_arn", allow=[{MEMBER}])
def update_channel_read_marker(call: Call, request: UpdateChannelReadMarkerRequest) -> UpdateChannelReadMarkerResponse:
    """The bearer has read the channel up to now."""
    call.require_not_elastic()
    memberships.set_read_marker(call.tx, call.channel.arn, call.bearer.arn, call.now)
    return UpdateChannelReadMarkerResponse(channel_arn=call.channel.arn)


_preferences = msgspec.json.Decoder(ChannelMembershipPreferences)


@operation(on="channel_arn", allow=[{MEMBER, SELF, WELCOME}])
def put_channel_membership_preferences(
    call: Call, request: PutChannelMembershipPreferencesRequest
) -> PutChannelMembershipPreferencesResponse:
    """What the bearer wants to be notified of; {} clears it. Nobody sets it for others."""
    call.require_not_elastic()
    push = request.preferences.push_notifications
    if push is not None and push.allow_notifications == "FILTERED" and push.filter_rule is None:
        raise BadRequest("FILTERED notifications need a FilterRule.")
    if push is not None and push.filter_rule is not None:
        try:
            filter_rules.parse(push.filter_rule)
        except filter_rules.NotARule as error:
            raise BadRequest(f"The FilterRule is not valid: {error}") from None
    kept = None if push is None else encode_rest(request.preferences).decode()
    memberships.set_preferences(call.tx, call.channel.arn, call.bearer.arn, kept)
    return PutChannelMembershipPreferencesResponse(
        channel_arn=call.channel.arn, member=call.identity(call.bearer.arn), preferences=request.preferences
    )


@operation(on="channel_arn", allow=[{MEMBER, SELF, WELCOME}])
def get_channel_membership_preferences(
    call: Call, request: GetChannelMembershipPreferencesRequest
) -> GetChannelMembershipPreferencesResponse:
    """The bearer's own preferences; {} if none were set."""
    call.require_not_elastic()
    row = call.membership
    assert row is not None
    kept = ChannelMembershipPreferences() if row.preferences is None else _preferences.decode(row.preferences)
    return GetChannelMembershipPreferencesResponse(
        channel_arn=call.channel.arn, member=call.identity(call.bearer.arn), preferences=kept
    )
