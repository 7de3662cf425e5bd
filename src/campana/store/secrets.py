"""Secrets that all nodes share, such as the key that seals page tokens."""

from campana.store.database import Tx


def get_or_make(tx: Tx, name: str, fresh: str) -> str:
    """The secret of that name; `fresh` becomes it if there is none."""
    tx.run("INSERT INTO secrets (name, value) VALUES (:name, :fresh) ON CONFLICT DO NOTHING", name=name, fresh=fresh)
    value: str = tx.scalar("SELECT value FROM secrets WHERE name = :name", name=name)
    return value


def put(tx: Tx, name: str, value: str) -> None:
    """Set, or replace."""
    tx.run(
        "INSERT INTO secrets (name, value) VALUES (:name, :value)"
        " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        name=name,
        value=value,
    )
