"""The catalogue of live events: who gets which (spec/realtime.md §4, spec/channel-flows.md §10).

`publish_*` render an event once and put it into the journal of its channel. There is no other way to make one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from campana import frames, views
from campana.api import messaging as api
from campana.api.base import Shape, encode_frame
from campana.store import memberships, topics
from campana.store.channels import Channel
from campana.store.memberships import Membership
from campana.store.messages import Message
from campana.unit_of_work import UnitOfWork


class To(StrEnum):
    """Whom an event is for."""

    MEMBERS = "members"
    AUDIENCE = "members; for a targeted message its sender and target"
    SENDER = "the sender of the message"
    SUBJECT = "the member concerned (elastic channels)"


@dataclass(frozen=True, slots=True)
class Kind:
    """A wire event: its name, its payload's shape, whom it is for."""

    name: str
    payload: type[Shape]
    to: To


CREATE_CHANNEL_MESSAGE = Kind("CREATE_CHANNEL_MESSAGE", api.ChannelMessage, To.AUDIENCE)
UPDATE_CHANNEL_MESSAGE = Kind("UPDATE_CHANNEL_MESSAGE", api.ChannelMessage, To.AUDIENCE)
REDACT_CHANNEL_MESSAGE = Kind("REDACT_CHANNEL_MESSAGE", api.ChannelMessage, To.AUDIENCE)
DELETE_CHANNEL_MESSAGE = Kind("DELETE_CHANNEL_MESSAGE", api.ChannelMessage, To.AUDIENCE)
PENDING_CREATE_CHANNEL_MESSAGE = Kind("PENDING_CREATE_CHANNEL_MESSAGE", api.ChannelMessage, To.SENDER)
PENDING_UPDATE_CHANNEL_MESSAGE = Kind("PENDING_UPDATE_CHANNEL_MESSAGE", api.ChannelMessage, To.SENDER)
FAILED_CREATE_CHANNEL_MESSAGE = Kind("FAILED_CREATE_CHANNEL_MESSAGE", api.ChannelMessage, To.SENDER)
FAILED_UPDATE_CHANNEL_MESSAGE = Kind("FAILED_UPDATE_CHANNEL_MESSAGE", api.ChannelMessage, To.SENDER)
DENIED_CREATE_CHANNEL_MESSAGE = Kind("DENIED_CREATE_CHANNEL_MESSAGE", api.ChannelMessage, To.SENDER)
DENIED_UPDATE_CHANNEL_MESSAGE = Kind("DENIED_UPDATE_CHANNEL_MESSAGE", api.ChannelMessage, To.SENDER)
UPDATE_CHANNEL = Kind("UPDATE_CHANNEL", api.Channel, To.MEMBERS)
DELETE_CHANNEL = Kind("DELETE_CHANNEL", api.Channel, To.MEMBERS)
CREATE_CHANNEL_MEMBERSHIP = Kind("CREATE_CHANNEL_MEMBERSHIP", api.ChannelMembership, To.MEMBERS)
DELETE_CHANNEL_MEMBERSHIP = Kind("DELETE_CHANNEL_MEMBERSHIP", api.ChannelMembership, To.MEMBERS)
UPDATE_CHANNEL_MEMBERSHIP = Kind("UPDATE_CHANNEL_MEMBERSHIP", api.ChannelMembership, To.SUBJECT)
BATCH_CREATE_CHANNEL_MEMBERSHIP = Kind("BATCH_CREATE_CHANNEL_MEMBERSHIP", api.BatchChannelMemberships, To.MEMBERS)

SUB_CHANNEL_DELETED = "subchannel_DELETED"
"""The reason why a moderator's membership of a sub-channel ended."""


def publish_message(unit: UnitOfWork, kind: Kind, row: Message) -> None:
    """An event about a message; its payload is the message as `row` has it."""
    payload = views.message(unit, row)
    if kind is REDACT_CHANNEL_MESSAGE or kind is DELETE_CHANNEL_MESSAGE:
        # An empty Content and not none: a mobile client of the field reads it as required.
        payload = msgspec.structs.replace(payload, content="", metadata=None)
    topic = topics.of_channel(row.channel_arn, row.sub_channel_id)
    if kind.to is To.SENDER and row.sub_channel_id and _is_elsewhere(unit, row):
        topic = topics.of_channel(row.channel_arn)
    unit.journal(
        topics.Entry(
            topic=topic,
            frame=frames.render(kind.name, row.type, encode_frame(payload)),
            only=(row.sender_arn,) if kind.to is To.SENDER else row.involved,
        )
    )


def _is_elsewhere(unit: UnitOfWork, row: Message) -> bool:
    """Whether the sender was transferred to another sub-channel (spec/channel-flows.md §6), or has left."""
    return memberships.find(unit.tx, row.channel_arn, row.sender_arn, row.sub_channel_id) is None


def publish_channel(unit: UnitOfWork, kind: Kind, row: Channel) -> None:
    """An event about a channel, to all its members; with DELETE_CHANNEL its topic ends."""
    unit.journal(
        topics.Entry(
            topic=topics.of_channel(row.arn),
            frame=frames.render(kind.name, frames.SYSTEM, encode_frame(views.channel(unit, row))),
            ends=kind is DELETE_CHANNEL,
        )
    )


def publish_membership(unit: UnitOfWork, kind: Kind, row: Membership, *, reason: str | None = None) -> None:
    """Somebody joined or left: members are told, and the one concerned. A HIDDEN one is seen by moderators alone."""
    joins = (row.member_arn,) if kind is CREATE_CHANNEL_MEMBERSHIP else ()
    leaves = (row.member_arn,) if kind is DELETE_CHANNEL_MEMBERSHIP else ()
    only: tuple[str, ...] | None = None
    if reason == SUB_CHANNEL_DELETED:
        only = (row.member_arn,)
    elif row.type == "HIDDEN":
        watching = memberships.moderating_members(unit.tx, row.channel_arn, row.sub_channel_id)
        only = (row.member_arn, *(each.member_arn for each in watching if each.member_arn != row.member_arn))
    topic = topics.of_channel(row.channel_arn, row.sub_channel_id)
    payload = encode_frame(views.membership(unit, row))
    frame = frames.render(kind.name, frames.SYSTEM, payload, reason, membership_type=row.type)
    unit.journal(topics.Entry(topic=topic, frame=frame, only=only, joins=joins, leaves=leaves))
    _follow(unit, topic, joins)
    if row.sub_channel_id:
        _follow_whole_channel(unit, row, joins, leaves)


def _follow_whole_channel(unit: UnitOfWork, row: Membership, joins: tuple[str, ...], leaves: tuple[str, ...]) -> None:
    """Whoever is in a sub-channel also hears what concerns the whole elastic channel."""
    elsewhere = [
        each
        for each in memberships.of_member(unit.tx, row.channel_arn, row.member_arn)
        if each.sub_channel_id != row.sub_channel_id
    ]
    if elsewhere:  # a moderator in several
        return
    topic = topics.of_channel(row.channel_arn)
    unit.journal(topics.Entry(topic=topic, joins=joins, leaves=leaves))
    _follow(unit, topic, joins)


def publish_transfers(unit: UnitOfWork, rows: Sequence[Membership], sub_channel_id: str) -> None:
    """Members of one sub-channel (not empty, as they were before) go to another: each hears of the own transfer, and
    nobody else does."""
    first = rows[0]
    member_arns = tuple(row.member_arn for row in rows)
    unit.look_up(arn for row in rows for arn in (row.member_arn, row.invited_by))
    unit.journal(
        topics.Entry(topic=topics.of_channel(first.channel_arn, first.sub_channel_id), only=(), leaves=member_arns)
    )
    topic = topics.of_channel(first.channel_arn, sub_channel_id)
    for row in rows:
        moved = msgspec.structs.replace(row, sub_channel_id=sub_channel_id, updated_at=unit.now)
        payload = encode_frame(views.membership(unit, moved))
        frame = frames.render(UPDATE_CHANNEL_MEMBERSHIP.name, frames.SYSTEM, payload, membership_type=moved.type)
        member = (row.member_arn,)
        unit.journal(topics.Entry(topic=topic, frame=frame, only=member, joins=member))
    _follow(unit, topic, member_arns)


def end_sub_channel(unit: UnitOfWork, channel_arn: str, sub_channel_id: str) -> None:
    """Nothing more will be heard in it."""
    unit.journal(topics.Entry(topic=topics.of_channel(channel_arn, sub_channel_id), ends=True))


def publish_memberships(unit: UnitOfWork, rows: list[Membership]) -> None:
    """Several joined at once: one event for all (not empty, of one channel, one type and one inviter)."""
    first = rows[0]
    unit.look_up(row.member_arn for row in rows)
    payload = api.BatchChannelMemberships(
        invited_by=unit.identity(first.invited_by),
        type=api.ChannelMembershipType(first.type),
        members=[unit.identity(row.member_arn) for row in rows],
        channel_arn=first.channel_arn,
    )
    joins = tuple(row.member_arn for row in rows)
    only = None
    if first.type == "HIDDEN":
        watching = memberships.moderating_members(unit.tx, first.channel_arn, first.sub_channel_id)
        only = tuple(dict.fromkeys((*joins, *(each.member_arn for each in watching))))
    topic = topics.of_channel(first.channel_arn, first.sub_channel_id)
    name = BATCH_CREATE_CHANNEL_MEMBERSHIP.name
    frame = frames.render(name, frames.SYSTEM, encode_frame(payload), membership_type=first.type)
    unit.journal(topics.Entry(topic=topic, frame=frame, only=only, joins=joins))
    _follow(unit, topic, joins)


def close_sessions(unit: UnitOfWork, user_arn: str, close_code: int) -> None:
    """End the user's live sessions."""
    unit.journal(topics.Entry(topic=topics.of_user(user_arn), close=close_code))


def _follow(unit: UnitOfWork, topic: str, user_arns: tuple[str, ...]) -> None:
    for user_arn in user_arns:
        if "/bot/" not in user_arn:  # bots have no sessions
            unit.journal(topics.Entry(topic=topics.of_user(user_arn), follow=topic))
