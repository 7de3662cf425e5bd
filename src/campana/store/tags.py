"""Rows of tags, by the ARN of what they are on."""

from campana.store.database import Row, Tx


class Tag(Row, frozen=True):
    key: str
    value: str


def of(tx: Tx, resource_arn: str) -> list[Tag]:
    """In the order of their keys."""
    return tx.all(Tag, "SELECT key, value FROM tags WHERE resource_arn = :arn ORDER BY key", arn=resource_arn)


def put(tx: Tx, resource_arn: str, key: str, value: str) -> None:
    """Set, or overwrite."""
    tx.run(
        "INSERT INTO tags (resource_arn, key, value) VALUES (:arn, :key, :value)"
        " ON CONFLICT (resource_arn, key) DO UPDATE SET value = excluded.value",
        arn=resource_arn,
        key=key,
        value=value,
    )


def delete(tx: Tx, resource_arn: str, key: str) -> None:
    tx.run("DELETE FROM tags WHERE resource_arn = :arn AND key = :key", arn=resource_arn, key=key)


def delete_all(tx: Tx, resource_arn: str) -> None:
    """What they were on is gone."""
    tx.run("DELETE FROM tags WHERE resource_arn = :arn", arn=resource_arn)
