"""What a quota limits, counted beside the rows: one look-up however many rows there are."""

from campana.store.database import Tx


def of(tx: Tx, owner: str, what: str) -> int:
    return tx.scalar("SELECT count FROM counts WHERE owner = :owner AND what = :what", owner=owner, what=what) or 0


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
