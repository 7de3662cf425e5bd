"""Rows of channel messages. One that is not persistent is here only while it is pending, or has failed."""

from campana.store.database import Page, Position, Row, Tx


class Message(Row, frozen=True):
    id: str
    channel_arn: str
    sub_channel_id: str
    sender_arn: str
    type: str
    persistence: str
    status: str
    status_detail: str | None
    content: str
    metadata: str | None
    content_type: str | None
    message_attributes: str | None
    """JSON of a MessageAttributeMap."""
    push_notification: str | None
    """JSON of a PushNotificationConfiguration."""
    target_arn: str | None
    created_at: int
    updated_at: int
    edited_at: int | None
    redacted_at: int | None

    @property
    def involved(self) -> tuple[str, ...] | None:
        """Who may see it: sender and target of a targeted message; None: everybody in the channel."""
        return None if self.target_arn is None else tuple(sorted({self.sender_arn, self.target_arn}))


def find(tx: Tx, channel_arn: str, id: str) -> Message | None:
    return tx.one(
        Message, "SELECT * FROM messages WHERE id = :id AND channel_arn = :channel", id=id, channel=channel_arn
    )


def insert(tx: Tx, message: Message) -> None:
    tx.put(
        """
        INSERT INTO messages (id, channel_arn, sub_channel_id, sender_arn, type, persistence, status, status_detail,
            content, metadata, content_type, message_attributes, push_notification, target_arn,
            created_at, updated_at, edited_at, redacted_at)
        VALUES (:id, :channel, :sub, :sender, :type, :persistence, :status, NULL,
            :content, :metadata, :content_type, :attributes, :push, :target, :at, :at, NULL, NULL)
        """,
        id=message.id,
        channel=message.channel_arn,
        sub=message.sub_channel_id,
        sender=message.sender_arn,
        type=message.type,
        persistence=message.persistence,
        status=message.status,
        content=message.content,
        metadata=message.metadata,
        content_type=message.content_type,
        attributes=message.message_attributes,
        push=message.push_notification,
        target=message.target_arn,
        at=message.created_at,
    )


def update(tx: Tx, message: Message) -> None:
    """Write what can change: the status, the revision, the times."""
    tx.put(
        """
        UPDATE messages SET status = :status, status_detail = :detail, content = :content, metadata = :metadata,
            content_type = :content_type, message_attributes = :attributes, push_notification = :push,
            updated_at = :updated_at, edited_at = :edited_at, redacted_at = :redacted_at
        WHERE id = :id
        """,
        id=message.id,
        status=message.status,
        detail=message.status_detail,
        content=message.content,
        metadata=message.metadata,
        content_type=message.content_type,
        attributes=message.message_attributes,
        push=message.push_notification,
        updated_at=message.updated_at,
        edited_at=message.edited_at,
        redacted_at=message.redacted_at,
    )


def delete(tx: Tx, id: str) -> None:
    tx.run("DELETE FROM messages WHERE id = :id", id=id)


def purge(tx: Tx, channel_arn: str, sub_channel_id: str, *, before: int, limit: int) -> int:
    """Remove up to `limit` of the oldest messages from before a time, with their executions; how many there were."""
    values: dict[str, str | int] = {"channel": channel_arn, "sub": sub_channel_id, "before": before, "limit": limit}
    tx.run(
        """
        DELETE FROM executions WHERE message_id IN (SELECT id FROM messages WHERE channel_arn = :channel
            AND sub_channel_id = :sub AND created_at < :before ORDER BY created_at, id LIMIT :limit)
        """,
        **values,
    )
    return tx.run(
        """
        DELETE FROM messages WHERE id IN (SELECT id FROM messages WHERE channel_arn = :channel
            AND sub_channel_id = :sub AND created_at < :before ORDER BY created_at, id LIMIT :limit)
        """,
        **values,
    )


_IN_TIME = """
    SELECT * FROM messages WHERE channel_arn = :channel AND sub_channel_id = :sub
    AND created_at >= :not_before AND created_at <= :not_after
"""


def page(
    tx: Tx,
    channel_arn: str,
    sub_channel_id: str,
    *,
    not_before: int,
    not_after: int,
    descending: bool,
    after: Position | None,
    limit: int,
) -> Page[Message]:
    """Messages of every status and for every target: who may see which is the caller's to decide."""
    if after is not None:
        # SQLite looks up the range of times alone: were it not narrowed, it would walk all pages before this one.
        reached = int(after[0] or 0)
        if descending:
            not_after = min(not_after, reached)
        else:
            not_before = max(not_before, reached)
    return tx.page(
        Message,
        _IN_TIME,
        key=("created_at", "id"),
        after=after,
        limit=limit,
        descending=descending,
        channel=channel_arn,
        sub=sub_channel_id,
        not_before=not_before,
        not_after=not_after,
    )
