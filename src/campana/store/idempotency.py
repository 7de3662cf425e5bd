"""Answers kept for clients that repeat themselves (client request tokens)."""

from campana.store.database import Row, Tx


class Kept(Row, frozen=True):
    key: str
    body_sha256: str
    response: str
    created_at: int


def find(tx: Tx, key: str, not_before: int) -> Kept | None:
    """What was answered to this key since `not_before`."""
    kept = tx.seen[key] if key in tx.seen else tx.one(Kept, "SELECT * FROM idempotency WHERE key = :key", key=key)
    return kept if kept is not None and kept.created_at >= not_before else None


def keep(tx: Tx, kept: Kept, not_before: int) -> bool:
    """False if there is one since `not_before`."""
    values: dict[str, str | int] = {
        "key": kept.key,
        "body": kept.body_sha256,
        "response": kept.response,
        "at": kept.created_at,
    }
    if tx.seen.get(kept.key, kept) is None:  # it was looked for, and is not there
        tx.put(_INSERT, **values)
        tx.seen[kept.key] = kept
        return True
    return (
        tx.run(
            f"{_INSERT} ON CONFLICT (key) DO UPDATE SET body_sha256 = excluded.body_sha256,"
            " response = excluded.response, created_at = excluded.created_at"
            " WHERE idempotency.created_at < :not_before",
            not_before=not_before,
            **values,
        )
        == 1
    )


_INSERT = "INSERT INTO idempotency (key, body_sha256, response, created_at) VALUES (:key, :body, :response, :at)"


def forget(tx: Tx, before: int, limit: int) -> int:
    """Remove up to `limit` answers older than `before`; how many there were."""
    return tx.run(
        "DELETE FROM idempotency WHERE key IN"
        " (SELECT key FROM idempotency WHERE created_at < :before ORDER BY created_at LIMIT :limit)",
        before=before,
        limit=limit,
    )
