"""Rows of users and bots: whoever can bear a call or be a member. A deleted one keeps its row, for its last name."""

from collections.abc import Iterable

from campana.store.database import Page, Position, Row, Tx


class Identity(Row, frozen=True):
    arn: str
    app_instance_arn: str
    kind: str
    name: str | None
    metadata: str | None
    created_at: int
    updated_at: int
    deleted_at: int | None
    configuration: str | None = None
    """Of a bot: JSON of its Configuration."""
    expiration_days: int | None = None
    expiration_criterion: str | None = None
    expires_at: int | None = None


class _Name(Row, frozen=True):
    arn: str
    name: str | None


_LIVE = """
    SELECT i.* FROM identities i JOIN app_instances a ON a.arn = i.app_instance_arn
    WHERE i.arn = :arn AND i.deleted_at IS NULL
"""


def find(tx: Tx, arn: str) -> Identity | None:
    """The live user or bot, in an app instance that is not deleted."""
    return tx.one(Identity, _LIVE, arn=arn)


def names(tx: Tx, arns: Iterable[str]) -> dict[str, str | None]:
    """The current names, or the last ones of the deleted; unknown ARNs are left out."""
    wanted = list(dict.fromkeys(arns))
    if len(wanted) == 1:
        rows = tx.all(_Name, "SELECT arn, name FROM identities WHERE arn = :arn", arn=wanted[0])
    elif wanted:
        rows = tx.all(_Name, "SELECT arn, name FROM identities WHERE arn IN (:arns)", arns=wanted)
    else:
        rows = []
    return {row.arn: row.name for row in rows}


def insert(tx: Tx, identity: Identity) -> bool:
    """False if there is a live one with this ARN; a deleted one comes back as new."""
    return (
        tx.run(
            """
            INSERT INTO identities (arn, app_instance_arn, kind, name, metadata, created_at, updated_at, deleted_at,
                configuration, expiration_days, expiration_criterion, expires_at)
            VALUES (:arn, :app, :kind, :name, :metadata, :created_at, :created_at, NULL,
                :configuration, :days, :criterion, :expires_at)
            ON CONFLICT (arn) DO UPDATE SET name = excluded.name, metadata = excluded.metadata,
                created_at = excluded.created_at, updated_at = excluded.updated_at, deleted_at = NULL,
                configuration = excluded.configuration, expiration_days = excluded.expiration_days,
                expiration_criterion = excluded.expiration_criterion, expires_at = excluded.expires_at
            WHERE identities.deleted_at IS NOT NULL
            """,
            arn=identity.arn,
            app=identity.app_instance_arn,
            kind=identity.kind,
            name=identity.name,
            metadata=identity.metadata,
            created_at=identity.created_at,
            configuration=identity.configuration,
            days=identity.expiration_days,
            criterion=identity.expiration_criterion,
            expires_at=identity.expires_at,
        )
        == 1
    )


def update(tx: Tx, arn: str, *, name: str | None, metadata: str | None, at: int) -> None:
    tx.run(
        "UPDATE identities SET name = :name, metadata = :metadata, updated_at = :at WHERE arn = :arn",
        arn=arn,
        name=name,
        metadata=metadata,
        at=at,
    )


def set_configuration(tx: Tx, arn: str, configuration: str) -> None:
    tx.run(
        "UPDATE identities SET configuration = :configuration WHERE arn = :arn", arn=arn, configuration=configuration
    )


def set_expiration(tx: Tx, arn: str, *, days: int | None, criterion: str | None, expires_at: int | None) -> None:
    tx.run(
        "UPDATE identities SET expiration_days = :days, expiration_criterion = :criterion, expires_at = :expires_at"
        " WHERE arn = :arn",
        arn=arn,
        days=days,
        criterion=criterion,
        expires_at=expires_at,
    )


def expired(tx: Tx, now: int, limit: int) -> list[Identity]:
    """Up to `limit` live users whose time is over."""
    return tx.all(
        Identity,
        "SELECT * FROM identities WHERE expires_at <= :now AND expires_at IS NOT NULL AND deleted_at IS NULL"
        " ORDER BY expires_at LIMIT :limit",
        now=now,
        limit=limit,
    )


def delete(tx: Tx, arn: str, at: int) -> None:
    """From now on it can bear nothing; the row stays."""
    tx.run(
        "UPDATE identities SET deleted_at = :at, expires_at = NULL WHERE arn = :arn AND deleted_at IS NULL",
        arn=arn,
        at=at,
    )


def page(tx: Tx, app_instance_arn: str, kind: str, after: Position | None, limit: int) -> Page[Identity]:
    return tx.page(
        Identity,
        "SELECT * FROM identities WHERE app_instance_arn = :app AND kind = :kind AND deleted_at IS NULL",
        key=("created_at", "arn"),
        after=after,
        limit=limit,
        app=app_instance_arn,
        kind=kind,
    )


def some_of(tx: Tx, app_instance_arn: str, limit: int) -> list[str]:
    """ARNs of up to `limit` live users and bots, for removing them in batches."""
    rows = tx.all(
        _Name,
        "SELECT arn, name FROM identities WHERE app_instance_arn = :app AND kind IN ('user', 'bot')"
        " AND deleted_at IS NULL LIMIT :limit",
        app=app_instance_arn,
        limit=limit,
    )
    return [row.arn for row in rows]
