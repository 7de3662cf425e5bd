"""Rows of memberships. `sub_channel_id` is '' outside elastic channels."""

from collections.abc import Sequence

from campana.store.channels import Channel
from campana.store.database import Page, Position, Row, Tx


class Membership(Row, frozen=True):
    channel_arn: str
    member_arn: str
    sub_channel_id: str
    type: str
    invited_by: str
    created_at: int
    updated_at: int
    read_marker_at: int | None
    preferences: str | None = None
    """JSON of a ChannelMembershipPreferences."""
    last_targeted_at: int | None = None
    """When the newest persistent message came that only its sender and its target see, the member being one."""


class MembershipOfUser(Row, frozen=True):
    """A membership and what its channel's summary needs."""

    channel_arn: str
    sub_channel_id: str
    type: str
    created_at: int
    read_marker_at: int | None
    last_targeted_at: int | None
    name: str
    mode: str
    privacy: str
    metadata: str | None
    last_untargeted_at: int | None


def find(tx: Tx, channel_arn: str, member_arn: str, sub_channel_id: str = "") -> Membership | None:
    return tx.one(
        Membership,
        "SELECT * FROM memberships WHERE channel_arn = :channel AND member_arn = :member AND sub_channel_id = :sub",
        channel=channel_arn,
        member=member_arn,
        sub=sub_channel_id,
    )


def insert(tx: Tx, membership: Membership) -> bool:
    """False if it is there already."""
    return (
        tx.run(
            """
            INSERT INTO memberships (channel_arn, member_arn, sub_channel_id, type, invited_by, created_at,
                updated_at, read_marker_at)
            VALUES (:channel, :member, :sub, :type, :invited_by, :at, :at, NULL)
            ON CONFLICT DO NOTHING
            """,
            channel=membership.channel_arn,
            member=membership.member_arn,
            sub=membership.sub_channel_id,
            type=membership.type,
            invited_by=membership.invited_by,
            at=membership.created_at,
        )
        == 1
    )


def set_read_marker(tx: Tx, channel_arn: str, member_arn: str, at: int) -> None:
    tx.run(
        "UPDATE memberships SET read_marker_at = :at WHERE channel_arn = :channel AND member_arn = :member",
        channel=channel_arn,
        member=member_arn,
        at=at,
    )


def set_preferences(tx: Tx, channel_arn: str, member_arn: str, preferences: str | None) -> None:
    tx.run(
        "UPDATE memberships SET preferences = :preferences WHERE channel_arn = :channel AND member_arn = :member",
        channel=channel_arn,
        member=member_arn,
        preferences=preferences,
    )


class _Targeted(Row, frozen=True):
    channel_arn: str
    sub_channel_id: str
    last_targeted_at: int


def last_targeted(tx: Tx, member_arn: str, channel_arns: Sequence[str]) -> dict[str, dict[str, int]]:
    """When the member last got or sent a targeted message, by channel, then by sub-channel; those without are left
    out."""
    if not channel_arns:
        return {}
    rows = tx.all(
        _Targeted,
        "SELECT channel_arn, sub_channel_id, last_targeted_at FROM memberships"
        " WHERE channel_arn IN (:channels) AND member_arn = :member AND last_targeted_at IS NOT NULL",
        channels=channel_arns,
        member=member_arn,
    )
    found: dict[str, dict[str, int]] = {}
    for row in rows:
        found.setdefault(row.channel_arn, {})[row.sub_channel_id] = row.last_targeted_at
    return found


def have_new_targeted_message(
    tx: Tx, channel_arn: str, sub_channel_id: str, member_arns: Sequence[str], at: int
) -> None:
    tx.run(
        "UPDATE memberships SET last_targeted_at = :at"
        " WHERE channel_arn = :channel AND member_arn IN (:members) AND sub_channel_id = :sub",
        channel=channel_arn,
        members=member_arns,
        sub=sub_channel_id,
        at=at,
    )


def of_member(tx: Tx, channel_arn: str, member_arn: str) -> list[Membership]:
    """All memberships of one member: several for a moderator of an elastic channel, the oldest first."""
    # The plus keeps SQLite from walking all memberships of the member in order to spare itself sorting these few.
    return tx.all(
        Membership,
        "SELECT * FROM memberships WHERE channel_arn = :channel AND member_arn = :member"
        " ORDER BY +created_at, sub_channel_id",
        channel=channel_arn,
        member=member_arn,
    )


def delete(tx: Tx, channel_arn: str, member_arn: str, sub_channel_id: str = "") -> None:
    tx.run(
        "DELETE FROM memberships WHERE channel_arn = :channel AND member_arn = :member AND sub_channel_id = :sub",
        channel=channel_arn,
        member=member_arn,
        sub=sub_channel_id,
    )


def move(tx: Tx, channel_arn: str, member_arns: Sequence[str], sub_channel_id: str, other_id: str, at: int) -> None:
    """Of these members (not empty) the memberships of one sub-channel, to another."""
    tx.run(
        "UPDATE memberships SET sub_channel_id = :other, updated_at = :at"
        " WHERE channel_arn = :channel AND member_arn IN (:members) AND sub_channel_id = :sub",
        channel=channel_arn,
        members=member_arns,
        sub=sub_channel_id,
        other=other_id,
        at=at,
    )


def newest_regular(tx: Tx, channel_arn: str, sub_channel_id: str, limit: int) -> list[Membership]:
    """Up to `limit` members of a sub-channel who do not moderate the channel, those who joined last first."""
    return tx.all(
        Membership,
        """
        SELECT m.* FROM memberships m
        WHERE m.channel_arn = :channel AND m.sub_channel_id = :sub AND m.type = 'DEFAULT' AND NOT EXISTS (
            SELECT 1 FROM moderators o WHERE o.channel_arn = m.channel_arn AND o.moderator_arn = m.member_arn)
        ORDER BY m.created_at DESC, m.member_arn DESC LIMIT :limit
        """,
        channel=channel_arn,
        sub=sub_channel_id,
        limit=limit,
    )


def some_of_sub_channel(tx: Tx, channel_arn: str, sub_channel_id: str, limit: int) -> list[Membership]:
    """Up to `limit` members of a sub-channel in the order of joining, moderators included."""
    return tx.all(
        Membership,
        "SELECT * FROM memberships WHERE channel_arn = :channel AND sub_channel_id = :sub AND type = 'DEFAULT'"
        " ORDER BY created_at, member_arn LIMIT :limit",
        channel=channel_arn,
        sub=sub_channel_id,
        limit=limit,
    )


def page_by_type(
    tx: Tx, channel_arn: str, sub_channel_id: str, type: str, after: Position | None, limit: int
) -> Page[Membership]:
    return tx.page(
        Membership,
        "SELECT * FROM memberships WHERE channel_arn = :channel AND sub_channel_id = :sub AND type = :type",
        key=("created_at", "member_arn"),
        after=after,
        limit=limit,
        channel=channel_arn,
        sub=sub_channel_id,
        type=type,
    )


_OF_USER = """
    SELECT m.channel_arn, m.sub_channel_id, m.type, m.created_at, m.read_marker_at, m.last_targeted_at,
           c.name, c.mode, c.privacy, c.metadata,
           CASE WHEN m.sub_channel_id = '' THEN c.last_untargeted_at ELSE s.last_message_at END AS last_untargeted_at
    FROM memberships m JOIN channels c ON c.arn = m.channel_arn
    LEFT JOIN sub_channels s ON s.channel_arn = m.channel_arn AND s.id = m.sub_channel_id
    WHERE m.member_arn = :member
"""


def page_of_user(tx: Tx, member_arn: str, after: Position | None, limit: int) -> Page[MembershipOfUser]:
    return tx.page(
        MembershipOfUser,
        _OF_USER,
        key=("m.created_at", "m.channel_arn", "m.sub_channel_id"),
        after=after,
        limit=limit,
        member=member_arn,
    )


def of_user_in(tx: Tx, member_arn: str, channel: Channel) -> MembershipOfUser | None:
    """Of a moderator's several in an elastic channel the oldest."""
    # The plus: as in `of_member`.
    return tx.one(
        MembershipOfUser,
        _OF_USER + " AND m.channel_arn = :channel ORDER BY +m.created_at, m.sub_channel_id",
        member=member_arn,
        channel=channel.arn,
    )


class Place(Row, frozen=True):
    """Where somebody is a member: a channel, or a sub-channel of an elastic one."""

    channel_arn: str
    sub_channel_id: str


def of_user_at(tx: Tx, member_arn: str, place: Place) -> MembershipOfUser | None:
    return tx.one(
        MembershipOfUser,
        _OF_USER + " AND m.channel_arn = :channel AND m.sub_channel_id = :sub",
        member=member_arn,
        channel=place.channel_arn,
        sub=place.sub_channel_id,
    )


# SQLite sorts these with room for no more than `limit` rows, and out of the way of the interpreter.

_BY_LAST_MESSAGE = f"""
    SELECT channel_arn, sub_channel_id, read_marker_at,
        CASE WHEN COALESCE(last_targeted_at, 0) > COALESCE(last_untargeted_at, 0) THEN last_targeted_at
            ELSE COALESCE(last_untargeted_at, 0) END AS last_seen_at
    FROM ({_OF_USER}) AS of_user
"""
"""With the time of the last message that the member can see; 0: there is none."""


def unread_first_of_user(tx: Tx, member_arn: str, limit: int) -> list[Place]:
    """Where the last message is newer than what the user has read, if ever; then the others; each latest first."""
    return tx.all(
        Place,
        f"""
        SELECT channel_arn, sub_channel_id FROM ({_BY_LAST_MESSAGE}) AS by_last_message
        ORDER BY last_seen_at > COALESCE(read_marker_at, 0) DESC, last_seen_at DESC, channel_arn, sub_channel_id
        LIMIT :limit
        """,
        member=member_arn,
        limit=limit,
    )


def latest_first_of_user(tx: Tx, member_arn: str, limit: int) -> list[Place]:
    """By the time of the last message; last of all those without any."""
    return tx.all(
        Place,
        f"""
        SELECT channel_arn, sub_channel_id FROM ({_BY_LAST_MESSAGE}) AS by_last_message
        ORDER BY last_seen_at DESC, channel_arn, sub_channel_id LIMIT :limit
        """,
        member=member_arn,
        limit=limit,
    )


def some_of_user(tx: Tx, member_arn: str, limit: int) -> list[Membership]:
    """Up to `limit` memberships of a user, for removing them in batches."""
    return tx.all(
        Membership, "SELECT * FROM memberships WHERE member_arn = :member LIMIT :limit", member=member_arn, limit=limit
    )


def moderating_members(tx: Tx, channel_arn: str, sub_channel_id: str) -> list[Membership]:
    """The members who moderate the channel."""
    # CROSS JOIN: SQLite keeps the order then, and moderators are few where members may be ten thousand.
    return tx.all(
        Membership,
        """
        SELECT m.* FROM moderators o CROSS JOIN memberships m
        WHERE o.channel_arn = :channel
            AND m.channel_arn = :channel AND m.member_arn = o.moderator_arn AND m.sub_channel_id = :sub
        """,
        channel=channel_arn,
        sub=sub_channel_id,
    )


def some_of_channel(tx: Tx, channel_arn: str, limit: int) -> list[Membership]:
    """Up to `limit` memberships of a channel, for removing them in batches."""
    return tx.all(
        Membership,
        "SELECT * FROM memberships WHERE channel_arn = :channel LIMIT :limit",
        channel=channel_arn,
        limit=limit,
    )
