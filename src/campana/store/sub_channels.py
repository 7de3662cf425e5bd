"""Rows of the sub-channels of elastic channels. `membership_count` counts regular members, not moderators."""

from campana.store.database import Page, Position, Row, Tx


class SubChannel(Row, frozen=True):
    channel_arn: str
    id: str
    membership_count: int
    created_at: int
    last_message_at: int | None
    balance_at: int | None
    """When to look whether it has become too small; None: no need. Set when a member leaves."""
    ends_into: str | None
    """Its members go to this sub-channel, a batch at a time, and then it is no more; None: it stays."""
    filling: int
    """1: it is new, and members of the others go to it, a batch at a time; 0: it is as full as it has become."""


def find(tx: Tx, channel_arn: str, id: str) -> SubChannel | None:
    return tx.one(
        SubChannel, "SELECT * FROM sub_channels WHERE channel_arn = :channel AND id = :id", channel=channel_arn, id=id
    )


def of(tx: Tx, channel_arn: str) -> list[SubChannel]:
    """All of a channel, a hundred at most, in the order of creation."""
    return tx.all(
        SubChannel,
        "SELECT * FROM sub_channels WHERE channel_arn = :channel ORDER BY created_at, id",
        channel=channel_arn,
    )


def page(tx: Tx, channel_arn: str, after: Position | None, limit: int) -> Page[SubChannel]:
    return tx.page(
        SubChannel,
        "SELECT * FROM sub_channels WHERE channel_arn = :channel",
        key=("created_at", "id"),
        after=after,
        limit=limit,
        channel=channel_arn,
    )


def insert(tx: Tx, channel_arn: str, id: str, at: int) -> None:
    tx.run(
        "INSERT INTO sub_channels"
        " (channel_arn, id, membership_count, created_at, last_message_at, balance_at, ends_into, filling)"
        " VALUES (:channel, :id, 0, :at, NULL, NULL, NULL, 0)",
        channel=channel_arn,
        id=id,
        at=at,
    )


def count(tx: Tx, channel_arn: str, id: str, change: int) -> None:
    """Count `change` more regular members, or fewer."""
    tx.run(
        "UPDATE sub_channels SET membership_count = membership_count + :change"
        " WHERE channel_arn = :channel AND id = :id",
        channel=channel_arn,
        id=id,
        change=change,
    )


def has_new_message(tx: Tx, channel_arn: str, id: str, at: int) -> None:
    tx.run(
        "UPDATE sub_channels SET last_message_at = :at WHERE channel_arn = :channel AND id = :id",
        channel=channel_arn,
        id=id,
        at=at,
    )


def balance_at(tx: Tx, channel_arn: str, id: str, at: int) -> None:
    """Look at `at` whether it has become too small; if somebody is to look anyway, it stays with that time."""
    tx.run(
        "UPDATE sub_channels SET balance_at = :at WHERE channel_arn = :channel AND id = :id AND balance_at IS NULL",
        channel=channel_arn,
        id=id,
        at=at,
    )


def balanced(tx: Tx, channel_arn: str) -> None:
    """All of the channel were looked at."""
    tx.run(
        "UPDATE sub_channels SET balance_at = NULL WHERE channel_arn = :channel AND balance_at IS NOT NULL",
        channel=channel_arn,
    )


def end_into(tx: Tx, channel_arn: str, id: str, other_id: str | None) -> None:
    """Its members are going to another one; None: it stays after all."""
    tx.run(
        "UPDATE sub_channels SET ends_into = :other WHERE channel_arn = :channel AND id = :id",
        channel=channel_arn,
        id=id,
        other=other_id,
    )


def fill(tx: Tx, channel_arn: str, id: str, goes_on: bool) -> None:
    """More members of the others are to go to it, or none any more."""
    tx.run(
        "UPDATE sub_channels SET filling = :filling WHERE channel_arn = :channel AND id = :id",
        channel=channel_arn,
        id=id,
        filling=int(goes_on),
    )


def to_balance(tx: Tx, now: int) -> SubChannel | None:
    """The next one to look at."""
    return tx.one(
        SubChannel,
        "SELECT * FROM sub_channels WHERE balance_at <= :now AND balance_at IS NOT NULL"
        " ORDER BY balance_at, channel_arn, id LIMIT 1",
        now=now,
    )


def delete(tx: Tx, channel_arn: str, id: str) -> None:
    tx.run("DELETE FROM sub_channels WHERE channel_arn = :channel AND id = :id", channel=channel_arn, id=id)
