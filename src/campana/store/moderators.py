"""Rows of channel moderators."""

from campana.store.channels import Listed
from campana.store.database import Page, Position, Row, Tx


class Moderator(Row, frozen=True):
    channel_arn: str
    moderator_arn: str
    created_by: str
    created_at: int


def find(tx: Tx, channel_arn: str, moderator_arn: str) -> Moderator | None:
    return tx.one(
        Moderator,
        "SELECT * FROM moderators WHERE channel_arn = :channel AND moderator_arn = :moderator",
        channel=channel_arn,
        moderator=moderator_arn,
    )


def insert(tx: Tx, moderator: Moderator) -> bool:
    """False if it is there already."""
    return (
        tx.run(
            "INSERT INTO moderators (channel_arn, moderator_arn, created_by, created_at)"
            " VALUES (:channel, :moderator, :created_by, :at) ON CONFLICT DO NOTHING",
            channel=moderator.channel_arn,
            moderator=moderator.moderator_arn,
            created_by=moderator.created_by,
            at=moderator.created_at,
        )
        == 1
    )


def delete(tx: Tx, channel_arn: str, moderator_arn: str) -> bool:
    """False if there was none."""
    return (
        tx.run(
            "DELETE FROM moderators WHERE channel_arn = :channel AND moderator_arn = :moderator",
            channel=channel_arn,
            moderator=moderator_arn,
        )
        == 1
    )


def some_of_identity(tx: Tx, moderator_arn: str, limit: int) -> list[Moderator]:
    """Up to `limit` roles of a user or bot, for removing them in batches."""
    return tx.all(
        Moderator,
        "SELECT * FROM moderators WHERE moderator_arn = :moderator LIMIT :limit",
        moderator=moderator_arn,
        limit=limit,
    )


def page(tx: Tx, channel_arn: str, after: Position | None, limit: int) -> Page[Moderator]:
    return tx.page(
        Moderator,
        "SELECT * FROM moderators WHERE channel_arn = :channel",
        key=("created_at", "moderator_arn"),
        after=after,
        limit=limit,
        channel=channel_arn,
    )


def page_of_user(tx: Tx, moderator_arn: str, after: Position | None, limit: int) -> Page[Listed]:
    return tx.page(
        Listed,
        """
        SELECT o.created_at, o.channel_arn, c.name, c.mode, c.privacy, c.metadata, c.last_untargeted_at
        FROM moderators o JOIN channels c ON c.arn = o.channel_arn
        WHERE o.moderator_arn = :moderator
        """,
        key=("o.created_at", "o.channel_arn"),
        after=after,
        limit=limit,
        moderator=moderator_arn,
    )
