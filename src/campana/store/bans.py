"""Rows of channel bans."""

from campana.store.database import Page, Position, Row, Tx


class Ban(Row, frozen=True):
    channel_arn: str
    member_arn: str
    created_by: str
    created_at: int


def find(tx: Tx, channel_arn: str, member_arn: str) -> Ban | None:
    return tx.one(
        Ban,
        "SELECT * FROM bans WHERE channel_arn = :channel AND member_arn = :member",
        channel=channel_arn,
        member=member_arn,
    )


def insert(tx: Tx, ban: Ban) -> bool:
    """False if it is there already."""
    return (
        tx.run(
            "INSERT INTO bans (channel_arn, member_arn, created_by, created_at)"
            " VALUES (:channel, :member, :created_by, :at) ON CONFLICT DO NOTHING",
            channel=ban.channel_arn,
            member=ban.member_arn,
            created_by=ban.created_by,
            at=ban.created_at,
        )
        == 1
    )


def delete(tx: Tx, channel_arn: str, member_arn: str) -> bool:
    """False if there was none."""
    return (
        tx.run(
            "DELETE FROM bans WHERE channel_arn = :channel AND member_arn = :member",
            channel=channel_arn,
            member=member_arn,
        )
        == 1
    )


def page(tx: Tx, channel_arn: str, after: Position | None, limit: int) -> Page[Ban]:
    return tx.page(
        Ban,
        "SELECT * FROM bans WHERE channel_arn = :channel",
        key=("created_at", "member_arn"),
        after=after,
        limit=limit,
        channel=channel_arn,
    )
