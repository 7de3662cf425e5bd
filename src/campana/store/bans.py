"""Rows of channel bans."""

from campana.store.database import Row, Tx


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
