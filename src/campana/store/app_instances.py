"""Rows of app instances."""

from campana.store.database import Page, Position, Row, Tx


class AppInstance(Row, frozen=True):
    arn: str
    account: str
    name: str
    metadata: str | None
    created_at: int
    updated_at: int
    retention_days: int | None = None
    retention_deletes_from: int | None = None
    """When deletion for good begins, after the days of grace."""
    retention_purges_at: int | None = None
    """When somebody must look for messages to delete for good."""
    retention_purged_to: str | None = None
    """The channel that a round of that has come to; None: at its beginning."""


def find(tx: Tx, arn: str) -> AppInstance | None:
    return tx.one(AppInstance, "SELECT * FROM app_instances WHERE arn = :arn", arn=arn)


def insert(tx: Tx, instance: AppInstance) -> None:
    tx.run(
        "INSERT INTO app_instances (arn, account, name, metadata, created_at, updated_at)"
        " VALUES (:arn, :account, :name, :metadata, :created_at, :updated_at)",
        arn=instance.arn,
        account=instance.account,
        name=instance.name,
        metadata=instance.metadata,
        created_at=instance.created_at,
        updated_at=instance.updated_at,
    )


def update(tx: Tx, arn: str, *, name: str, metadata: str | None, at: int) -> None:
    tx.run(
        "UPDATE app_instances SET name = :name, metadata = :metadata, updated_at = :at WHERE arn = :arn",
        arn=arn,
        name=name,
        metadata=metadata,
        at=at,
    )


def set_retention(tx: Tx, arn: str, *, days: int | None, deletes_from: int | None) -> None:
    tx.run(
        "UPDATE app_instances SET retention_days = :days, retention_deletes_from = :deletes_from,"
        " retention_purges_at = :deletes_from, retention_purged_to = NULL WHERE arn = :arn",
        arn=arn,
        days=days,
        deletes_from=deletes_from,
    )


def to_purge(tx: Tx, now: int) -> AppInstance | None:
    """One whose old messages are to be deleted for good by now."""
    return tx.one(
        AppInstance,
        "SELECT * FROM app_instances WHERE retention_purges_at <= :now AND retention_purges_at IS NOT NULL"
        " ORDER BY retention_purges_at LIMIT 1",
        now=now,
    )


def purged(tx: Tx, arn: str, *, to: str | None, next_at: int) -> None:
    """The round has come to the channel `to`, or (None) to its end; look again at `next_at`."""
    tx.run(
        "UPDATE app_instances SET retention_purged_to = :to, retention_purges_at = :at WHERE arn = :arn",
        arn=arn,
        to=to,
        at=next_at,
    )


def delete(tx: Tx, arn: str) -> None:
    tx.run("DELETE FROM app_instances WHERE arn = :arn", arn=arn)


def page(tx: Tx, account: str, after: Position | None, limit: int) -> Page[AppInstance]:
    return tx.page(
        AppInstance,
        "SELECT * FROM app_instances WHERE account = :account",
        key=("created_at", "arn"),
        after=after,
        limit=limit,
        account=account,
    )
