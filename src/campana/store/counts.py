"""What a quota limits, counted beside the rows: one look-up however many rows there are."""

from collections.abc import Sequence

from campana.store.database import Row, Tx


class _Count(Row, frozen=True):
    owner: str
    count: int


def of(tx: Tx, owner: str, what: str) -> int:
    return tx.scalar("SELECT count FROM counts WHERE owner = :owner AND what = :what", owner=owner, what=what) or 0


def of_many(tx: Tx, owners: Sequence[str], what: str) -> dict[str, int]:
    """The counts of many owners (not empty); those who never had any are left out."""
    rows = tx.all(
        _Count, "SELECT owner, count FROM counts WHERE what = :what AND owner IN (:owners)", what=what, owners=owners
    )
    return {row.owner: row.count for row in rows}


def add(tx: Tx, owner: str, what: str, change: int) -> None:
    """Count `change` more, or fewer."""
    tx.run(
        "INSERT INTO counts (owner, what, count) VALUES (:owner, :what, :change)"
        " ON CONFLICT (owner, what) DO UPDATE SET count = counts.count + :change",
        owner=owner,
        what=what,
        change=change,
    )


def forget(tx: Tx, owner: str) -> None:
    """The owner is gone."""
    tx.run("DELETE FROM counts WHERE owner = :owner", owner=owner)
