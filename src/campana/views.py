"""Rows → shapes of the API. Names of users and bots are the current ones (spec/api.md §1.6)."""

from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Protocol

import msgspec

from campana.api import messaging as api
from campana.api.base import Timestamp
from campana.store import memberships
from campana.store.channels import Channel
from campana.store.memberships import Membership, MembershipOfUser
from campana.store.messages import Message
from campana.unit_of_work import UnitOfWork

_attributes = msgspec.json.Decoder(dict[str, api.MessageAttributeValue])
_elastic = msgspec.json.Decoder(api.ElasticChannelConfiguration)
_push = msgspec.json.Decoder(api.PushNotificationConfiguration)

# For each message that is sent; an enum finds its member by way of two functions in Python.
_message_type = cache(api.ChannelMessageType)
_persistence = cache(api.ChannelMessagePersistenceType)


def time(ms: int | None) -> Timestamp | None:
    return None if ms is None else Timestamp(ms)


def channel(unit: UnitOfWork, row: Channel) -> api.Channel:
    return api.Channel(
        name=row.name,
        channel_arn=row.arn,
        mode=api.ChannelMode(row.mode),
        privacy=api.ChannelPrivacy(row.privacy),
        metadata=row.metadata,
        created_by=unit.identity(row.created_by),
        created_timestamp=Timestamp(row.created_at),
        last_message_timestamp=time(row.last_message_at),
        last_updated_timestamp=Timestamp(row.updated_at),
        channel_flow_arn=row.channel_flow_arn,
        elastic_channel_configuration=None if row.elastic is None else _elastic.decode(row.elastic),
        expiration_settings=expiration_settings(row),
    )


def expiration_settings(row: Channel) -> api.ExpirationSettings | None:
    if row.expiration_days is None or row.expiration_criterion is None:
        return None
    return api.ExpirationSettings(
        expiration_days=row.expiration_days, expiration_criterion=api.ExpirationCriterion(row.expiration_criterion)
    )


class Summarised(Protocol):
    """A row that has what a channel's summary needs."""

    @property
    def channel_arn(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def mode(self) -> str: ...
    @property
    def privacy(self) -> str: ...
    @property
    def metadata(self) -> str | None: ...
    @property
    def last_untargeted_at(self) -> int | None: ...


def channel_summaries(unit: UnitOfWork, reader_arn: str, rows: Sequence[Summarised]) -> list[api.ChannelSummary]:
    """Channels as one user or bot sees them: LastMessageTimestamp is that of the last persistent message visible to
    the reader."""
    targeted = memberships.last_targeted(unit.tx, reader_arn, [row.channel_arn for row in rows])
    return [
        api.ChannelSummary(
            name=row.name,
            channel_arn=row.channel_arn,
            mode=api.ChannelMode(row.mode),
            privacy=api.ChannelPrivacy(row.privacy),
            metadata=row.metadata,
            last_message_timestamp=_last(row, targeted.get(row.channel_arn, {})),
        )
        for row in rows
    ]


def channel_summary(unit: UnitOfWork, reader_arn: str, row: Summarised) -> api.ChannelSummary:
    """The same of one channel."""
    return channel_summaries(unit, reader_arn, [row])[0]


def _last(row: Summarised, targeted: Mapping[str, int]) -> Timestamp | None:
    """`targeted`: when the reader's last targeted message came, by sub-channel."""
    times = [targeted.get(row.sub_channel_id)] if isinstance(row, MembershipOfUser) else [*targeted.values()]
    return time(max((each for each in (*times, row.last_untargeted_at) if each is not None), default=None))


def channel_of_flow(row: Channel) -> api.ChannelAssociatedWithFlowSummary:
    return api.ChannelAssociatedWithFlowSummary(
        name=row.name,
        channel_arn=row.arn,
        mode=api.ChannelMode(row.mode),
        privacy=api.ChannelPrivacy(row.privacy),
        metadata=row.metadata,
    )


def membership(unit: UnitOfWork, row: Membership) -> api.ChannelMembership:
    return api.ChannelMembership(
        invited_by=unit.identity(row.invited_by),
        type=api.ChannelMembershipType(row.type),
        member=unit.identity(row.member_arn),
        channel_arn=row.channel_arn,
        created_timestamp=Timestamp(row.created_at),
        last_updated_timestamp=Timestamp(row.updated_at),
        sub_channel_id=row.sub_channel_id or None,
    )


def memberships_of_user(
    unit: UnitOfWork, reader_arn: str, rows: Sequence[MembershipOfUser]
) -> list[api.ChannelMembershipForAppInstanceUserSummary]:
    return [
        api.ChannelMembershipForAppInstanceUserSummary(
            channel_summary=summary,
            app_instance_user_membership_summary=api.AppInstanceUserMembershipSummary(
                type=api.ChannelMembershipType(row.type),
                read_marker_timestamp=time(row.read_marker_at),
                sub_channel_id=row.sub_channel_id or None,
            ),
        )
        for row, summary in zip(rows, channel_summaries(unit, reader_arn, rows), strict=True)
    ]


@lru_cache(256)
def status(value: str, detail: str | None = None) -> api.ChannelMessageStatusStructure:
    return api.ChannelMessageStatusStructure(value=api.ChannelMessageStatus(value), detail=detail)


def attributes(text: str | None) -> dict[str, api.MessageAttributeValue] | None:
    return None if text is None else _attributes.decode(text)


def push_notification(text: str | None) -> api.PushNotificationConfiguration | None:
    return None if text is None else _push.decode(text)


def _target(row: Message) -> list[api.Target] | None:
    return None if row.target_arn is None else [api.Target(member_arn=row.target_arn)]


def message(unit: UnitOfWork, row: Message) -> api.ChannelMessage:
    redacted = row.redacted_at is not None
    return api.ChannelMessage(
        channel_arn=row.channel_arn,
        message_id=row.id,
        content=None if redacted else row.content,
        metadata=row.metadata,
        type=_message_type(row.type),
        created_timestamp=Timestamp(row.created_at),
        last_edited_timestamp=time(row.edited_at),
        last_updated_timestamp=Timestamp(row.updated_at),
        sender=unit.identity(row.sender_arn),
        redacted=redacted,
        persistence=_persistence(row.persistence),
        status=status(row.status, row.status_detail),
        message_attributes=attributes(row.message_attributes),
        sub_channel_id=row.sub_channel_id or None,
        content_type=row.content_type,
        target=_target(row),
    )


def message_summary(unit: UnitOfWork, row: Message) -> api.ChannelMessageSummary:
    redacted = row.redacted_at is not None
    return api.ChannelMessageSummary(
        message_id=row.id,
        content=None if redacted else row.content,
        metadata=row.metadata,
        type=_message_type(row.type),
        created_timestamp=Timestamp(row.created_at),
        last_updated_timestamp=Timestamp(row.updated_at),
        last_edited_timestamp=time(row.edited_at),
        sender=unit.identity(row.sender_arn),
        redacted=redacted,
        status=status(row.status, row.status_detail),
        message_attributes=attributes(row.message_attributes),
        content_type=row.content_type,
        target=_target(row),
    )
