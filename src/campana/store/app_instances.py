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
        "UPDATE app_instances SET retention_days = :days, retention_deletes_from = :deletes_from WHERE arn = :arn",
        arn=arn,
        days=days,
        deletes_from=deletes_from,
    )


def retaining(tx: Tx, now: int) -> list[AppInstance]:
    """Those whose old messages may be deleted for good by now."""
    return tx.all(
        AppInstance,
        "SELECT * FROM app_instances WHERE retention_days IS NOT NULL AND retention_deletes_from <= :now",
        now=now,
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
