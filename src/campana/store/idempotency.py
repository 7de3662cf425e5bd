"""Answers kept for clients that repeat themselves (client request tokens)."""

from campana.store.database import Row, Tx


class Kept(Row, frozen=True):
    key: str
    body_sha256: str
    response: str
    created_at: int


def find(tx: Tx, key: str, not_before: int) -> Kept | None:
    """What was answered to this key since `not_before`."""
    return tx.one(
        Kept, "SELECT * FROM idempotency WHERE key = :key AND created_at >= :not_before", key=key, not_before=not_before
    )


def keep(tx: Tx, kept: Kept, not_before: int) -> bool:
    """False if there is one since `not_before`."""
    return (
        tx.run(
            "INSERT INTO idempotency (key, body_sha256, response, created_at) VALUES (:key, :body, :response, :at)"
            " ON CONFLICT (key) DO UPDATE SET body_sha256 = excluded.body_sha256, response = excluded.response,"
            " created_at = excluded.created_at WHERE idempotency.created_at < :not_before",
            key=kept.key,
            body=kept.body_sha256,
            response=kept.response,
            at=kept.created_at,
            not_before=not_before,
        )
        == 1
    )


def forget(tx: Tx, before: int, limit: int) -> int:
    """Remove up to `limit` answers older than `before`; how many there were."""
    return tx.run(
        "DELETE FROM idempotency WHERE key IN"
        " (SELECT key FROM idempotency WHERE created_at < :before ORDER BY created_at LIMIT :limit)",
        before=before,
        limit=limit,
    )
