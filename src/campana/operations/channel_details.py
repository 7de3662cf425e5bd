"""What a session that prefetches is handed of its user's channels when it connects (spec/realtime.md §5).

Which channels, and the CHANNEL_DETAILS of each. A session asks for one after the other, each in a short transaction
of its own, so a channel that its user has left in between is skipped.
"""

from dataclasses import dataclass
from enum import StrEnum

from campana import arn, frames, views
from campana.api.base import Shape, Timestamp, encode_frame
from campana.api.messaging import ChannelMembershipSummary, ChannelMessageSummary, ChannelSummary
from campana.operations.messages import FAR_FUTURE_MS, as_listed_for
from campana.store import memberships, messages
from campana.store.database import Tx
from campana.store.memberships import Place
from campana.unit_of_work import UnitOfWork


class Order(StrEnum):
    """Which channels come first, as clients ask for it."""

    UNREAD = "unread"
    LAST_MESSAGE = "last-message-timestamp"


class ChannelDetails(Shape, frozen=True, kw_only=True):
    """The payload; the published model does not have it."""

    channel: ChannelSummary
    channel_messages: list[ChannelMessageSummary]
    channel_memberships: list[ChannelMembershipSummary]
    channel_messages_has_more: bool
    read_marker_timestamp: Timestamp | None = None
    sub_channel_id: str | None = None


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much a session is handed at most."""

    channels: int
    messages: int
    memberships: int


def places(tx: Tx, user_arn: str, order: Order, limit: int) -> list[Place]:
    """The user's first `limit` channels; of an elastic channel the user's sub-channel, or, for a moderator, each."""
    match order:
        case Order.UNREAD:
            return memberships.unread_first_of_user(tx, user_arn, limit)
        case Order.LAST_MESSAGE:
            return memberships.latest_first_of_user(tx, user_arn, limit)


def frame(unit: UnitOfWork, user_arn: str, place: Place, sizes: Sizes) -> str | None:
    """The frame about one channel as its member sees it; None for one who is no member any more."""
    membership = memberships.of_user_at(unit.tx, user_arn, place)
    if membership is None:
        return None
    page = messages.page(
        unit.tx,
        place.channel_arn,
        place.sub_channel_id,
        not_before=unit.kept_from(arn.parse(place.channel_arn).app_instance),
        not_after=FAR_FUTURE_MS,
        descending=True,
        after=None,
        limit=sizes.messages,
    )
    shown = [seen for row in page.rows if (seen := as_listed_for(unit.tx, user_arn, row)) is not None]
    members = memberships.page_by_type(
        unit.tx, place.channel_arn, place.sub_channel_id, "DEFAULT", None, sizes.memberships
    )
    unit.look_up({*(row.sender_arn for row in shown), *(row.member_arn for row in members.rows)})
    details = ChannelDetails(
        channel=views.channel_summary(unit, user_arn, membership),
        channel_messages=[views.message_summary(unit, row) for row in shown],
        channel_memberships=[ChannelMembershipSummary(member=unit.identity(row.member_arn)) for row in members.rows],
        channel_messages_has_more=page.next is not None,
        read_marker_timestamp=views.time(membership.read_marker_at),
        sub_channel_id=place.sub_channel_id or None,
    )
    return frames.render("CHANNEL_DETAILS", frames.SYSTEM, encode_frame(details))
