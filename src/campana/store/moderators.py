"""Rows of channel moderators."""

from campana.store.database import Row, Tx


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
