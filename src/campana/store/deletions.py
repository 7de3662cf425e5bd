"""What was deleted at once for callers, and whose remains are removed in small batches."""

from campana.store.database import Row, Tx


class Deletion(Row, frozen=True):
    arn: str
    requested_at: int


def of_sub_channel(channel_arn: str, sub_channel_id: str) -> str:
    """What stands for a sub-channel, which has no ARN."""
    return f"{channel_arn}/sub-channel/{sub_channel_id}"


def add(tx: Tx, arn: str, at: int) -> None:
    tx.run(
        "INSERT INTO deletions (arn, requested_at) VALUES (:arn, :at) ON CONFLICT DO NOTHING",
        arn=arn,
        at=at,
    )


def find(tx: Tx, arn: str) -> Deletion | None:
    """The deletion that is not completed yet."""
    return tx.one(Deletion, "SELECT * FROM deletions WHERE arn = :arn", arn=arn)


def some(tx: Tx, limit: int) -> list[Deletion]:
    return tx.all(Deletion, "SELECT * FROM deletions ORDER BY requested_at LIMIT :limit", limit=limit)


def completed(tx: Tx, arn: str) -> None:
    tx.run("DELETE FROM deletions WHERE arn = :arn", arn=arn)


def rows_of_channel(tx: Tx, channel_arn: str, limit: int) -> int:
    """Remove up to `limit` rows of each kind that a deleted channel left behind; how many there were."""
    gone = 0
    for statement in _OF_CHANNEL:
        gone += tx.run(statement, channel=channel_arn, limit=limit)
    return gone


def rows_of_sub_channel(tx: Tx, channel_arn: str, sub_channel_id: str, limit: int) -> int:
    """Remove up to `limit` messages that a deleted sub-channel left behind, with their executions; how many there
    were."""
    gone = 0
    for statement in _OF_SUB_CHANNEL:
        gone += tx.run(statement, channel=channel_arn, sub=sub_channel_id, limit=limit)
    return gone


_OF_SUB_CHANNEL = (
    "DELETE FROM executions WHERE message_id IN (SELECT id FROM messages"
    " WHERE channel_arn = :channel AND sub_channel_id = :sub ORDER BY created_at, id LIMIT :limit)",
    "DELETE FROM messages WHERE id IN (SELECT id FROM messages"
    " WHERE channel_arn = :channel AND sub_channel_id = :sub ORDER BY created_at, id LIMIT :limit)",
)


_OF_CHANNEL = (
    "DELETE FROM executions WHERE id IN (SELECT id FROM executions WHERE channel_arn = :channel LIMIT :limit)",
    "DELETE FROM messages WHERE id IN (SELECT id FROM messages WHERE channel_arn = :channel LIMIT :limit)",
    "DELETE FROM sub_channels WHERE (channel_arn, id) IN"
    " (SELECT channel_arn, id FROM sub_channels WHERE channel_arn = :channel LIMIT :limit)",
    "DELETE FROM tags WHERE (resource_arn, key) IN"
    " (SELECT resource_arn, key FROM tags WHERE resource_arn = :channel LIMIT :limit)",
    "DELETE FROM moderators WHERE (channel_arn, moderator_arn) IN"
    " (SELECT channel_arn, moderator_arn FROM moderators WHERE channel_arn = :channel LIMIT :limit)",
    "DELETE FROM bans WHERE (channel_arn, member_arn) IN"
    " (SELECT channel_arn, member_arn FROM bans WHERE channel_arn = :channel LIMIT :limit)",
)


def bans_of_identity(tx: Tx, identity_arn: str, limit: int) -> int:
    """Remove up to `limit` bans of a deleted user or bot; how many there were."""
    return tx.run(
        "DELETE FROM bans WHERE (channel_arn, member_arn) IN"
        " (SELECT channel_arn, member_arn FROM bans WHERE member_arn = :identity LIMIT :limit)",
        identity=identity_arn,
        limit=limit,
    )


def rest_of_app_instance(tx: Tx, app_instance_arn: str, limit: int) -> int:
    """Remove up to `limit` admins and flows with their tags, when users and channels are gone; how many there were."""
    gone = tx.run(
        "DELETE FROM admins WHERE (app_instance_arn, admin_arn) IN"
        " (SELECT app_instance_arn, admin_arn FROM admins WHERE app_instance_arn = :app LIMIT :limit)",
        app=app_instance_arn,
        limit=limit,
    )
    tx.run(
        "DELETE FROM tags WHERE resource_arn IN"
        " (SELECT arn FROM channel_flows WHERE app_instance_arn = :app ORDER BY created_at, arn LIMIT :limit)",
        app=app_instance_arn,
        limit=limit,
    )
    return gone + tx.run(
        "DELETE FROM channel_flows WHERE arn IN"
        " (SELECT arn FROM channel_flows WHERE app_instance_arn = :app ORDER BY created_at, arn LIMIT :limit)",
        app=app_instance_arn,
        limit=limit,
    )
