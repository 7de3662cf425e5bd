"""Finding channels by their members: one member's memberships are walked, and what is found there is narrowed.

Each function looks up a bounded number of rows for each channel it is given, however many members that has.
"""

from collections.abc import Sequence

from campana.store.channels import Listed
from campana.store.database import Page, Position, Row, Tx


class Candidate(Row, frozen=True):
    """A membership of the member whose memberships are walked."""

    created_at: int
    channel_arn: str
    sub_channel_id: str


class _Arn(Row, frozen=True):
    arn: str


def candidates(tx: Tx, member_arn: str, after: Position | None, limit: int) -> Page[Candidate]:
    """The memberships of one member, in the order of joining."""
    return tx.page(
        Candidate,
        "SELECT created_at, channel_arn, sub_channel_id FROM memberships WHERE member_arn = :member",
        key=("created_at", "channel_arn", "sub_channel_id"),
        after=after,
        limit=limit,
        member=member_arn,
    )


def with_member(tx: Tx, channel_arns: Sequence[str], member_arn: str) -> list[str]:
    """Those of the channels (not empty) that somebody is a member of, of whichever type."""
    rows = tx.all(
        _Arn,
        "SELECT channel_arn FROM memberships WHERE channel_arn IN (:channels) AND member_arn = :member",
        channels=channel_arns,
        member=member_arn,
    )
    return [row.arn for row in rows]


def with_visible_members(tx: Tx, channel_arns: Sequence[str], number: int) -> list[str]:
    """Those of the channels (not empty) that have so many visible members, neither fewer nor more."""
    rows = tx.all(
        _Arn,
        """
        SELECT c.arn FROM channels c WHERE c.arn IN (:channels) AND :number = (
            SELECT COUNT(*) FROM (
                SELECT 1 FROM memberships m
                WHERE m.channel_arn = c.arn AND m.sub_channel_id = '' AND m.type = 'DEFAULT' LIMIT :enough) AS seen)
        """,
        channels=channel_arns,
        number=number,
        enough=number + 1,
    )
    return [row.arn for row in rows]


def with_visible_member(tx: Tx, channel_arns: Sequence[str], member_arn: str) -> list[str]:
    """Those of the channels (not empty) that show somebody as a member; elastic ones never do."""
    rows = tx.all(
        _Arn,
        "SELECT channel_arn FROM memberships WHERE channel_arn IN (:channels) AND member_arn = :member"
        " AND sub_channel_id = '' AND type = 'DEFAULT'",
        channels=channel_arns,
        member=member_arn,
    )
    return [row.arn for row in rows]


def summaries(tx: Tx, channel_arns: Sequence[str]) -> list[Listed]:
    """Of channels (not empty), in any order; those that are gone are left out. `created_at` is the channel's."""
    return tx.all(
        Listed,
        "SELECT created_at, arn, name, mode, privacy, metadata, last_untargeted_at FROM channels"
        " WHERE arn IN (:channels)",
        channels=channel_arns,
    )
