"""Rows of channels."""

from campana.store.database import Page, Position, Row, Tx


class Channel(Row, frozen=True):
    arn: str
    app_instance_arn: str
    name: str
    mode: str
    privacy: str
    metadata: str | None
    created_by: str
    created_at: int
    updated_at: int
    last_message_at: int | None
    channel_flow_arn: str | None
    elastic: str | None = None
    """JSON of an ElasticChannelConfiguration; None: an ordinary channel."""
    expiration_days: int | None = None
    expiration_criterion: str | None = None
    expires_at: int | None = None
    """When to look whether it has expired; for one that expires by its last message a lower bound."""
    last_untargeted_at: int | None = None
    """When the newest persistent message came that everybody in the channel may see."""
    last_message_id: str = ""
    """The highest id of a persistent message, of any type; '': there was none."""

    @property
    def channel_arn(self) -> str:
        return self.arn


class Listed(Row, frozen=True):
    """What a channel's summary needs, and the time of what it is listed by: a membership, a moderator's role."""

    created_at: int
    channel_arn: str
    name: str
    mode: str
    privacy: str
    metadata: str | None
    last_untargeted_at: int | None


def find(tx: Tx, arn: str) -> Channel | None:
    return tx.one(Channel, "SELECT * FROM channels WHERE arn = :arn", arn=arn)


def insert(tx: Tx, channel: Channel) -> bool:
    """False if there is one with this ARN."""
    return (
        tx.run(
            """
            INSERT INTO channels (arn, app_instance_arn, name, mode, privacy, metadata, created_by, created_at,
                updated_at, last_message_at, channel_flow_arn, elastic, expiration_days, expiration_criterion,
                expires_at)
            VALUES (:arn, :app, :name, :mode, :privacy, :metadata, :created_by, :created_at, :created_at, NULL, NULL,
                :elastic, :days, :criterion, :expires_at)
            ON CONFLICT DO NOTHING
            """,
            arn=channel.arn,
            app=channel.app_instance_arn,
            name=channel.name,
            mode=channel.mode,
            privacy=channel.privacy,
            metadata=channel.metadata,
            created_by=channel.created_by,
            created_at=channel.created_at,
            elastic=channel.elastic,
            days=channel.expiration_days,
            criterion=channel.expiration_criterion,
            expires_at=channel.expires_at,
        )
        == 1
    )


def update(tx: Tx, channel: Channel) -> None:
    """Write what can change: name, mode, metadata, flow, and when that was."""
    tx.run(
        "UPDATE channels SET name = :name, mode = :mode, metadata = :metadata, channel_flow_arn = :flow,"
        " updated_at = :at WHERE arn = :arn",
        arn=channel.arn,
        name=channel.name,
        mode=channel.mode,
        metadata=channel.metadata,
        flow=channel.channel_flow_arn,
        at=channel.updated_at,
    )


def _later(column: str) -> str:
    """The later of what stands there and `:at`; what lies after `:not_behind` was a mistake."""
    return f"{column} = CASE WHEN {column} > :at AND {column} <= :not_behind THEN {column} ELSE :at END"


_ID = "last_message_id = CASE WHEN last_message_id > :id THEN last_message_id ELSE :id END"
_NEW = f"UPDATE channels SET {_ID}, {_later('last_message_at')}, {_later('last_untargeted_at')} WHERE arn = :arn"
_NEW_TARGETED = f"UPDATE channels SET {_ID}, {_later('last_message_at')} WHERE arn = :arn"
_NEW_CONTROL = f"UPDATE channels SET {_ID} WHERE arn = :arn"


def has_new_message(tx: Tx, arn: str, id: str, at: int, *, not_behind: int) -> None:
    """One that everybody in the channel may see. The times of the last message do not go back, but for what lies after
    `not_behind`."""
    id, at = _newest(tx, _NEW, arn, id, at)
    tx.put_last(arn, _NEW, arn=arn, id=id, at=at, not_behind=not_behind)


def has_new_targeted_message(tx: Tx, arn: str, id: str, at: int, *, not_behind: int) -> None:
    """The same of one that only its sender and its target see."""
    id, at = _newest(tx, _NEW_TARGETED, arn, id, at)
    tx.put_last(arn, _NEW_TARGETED, arn=arn, id=id, at=at, not_behind=not_behind)


def has_new_control_message(tx: Tx, arn: str, id: str) -> None:
    """One that is not told to be the last message, but stands in lists as others do."""
    id, _ = _newest(tx, _NEW_CONTROL, arn, id, 0)
    tx.put_last(arn, _NEW_CONTROL, arn=arn, id=id)


def _newest(tx: Tx, sql: str, arn: str, id: str, at: int) -> tuple[str, int]:
    """With those that the transaction put before: nothing is lost if only the last is written."""
    before_id, before_at = tx.seen.get((sql, arn), ("", 0))
    newest = tx.seen[sql, arn] = max(id, before_id), max(at, before_at)
    return newest


def set_expiration(tx: Tx, arn: str, *, days: int | None, criterion: str | None, expires_at: int | None) -> None:
    tx.run(
        "UPDATE channels SET expiration_days = :days, expiration_criterion = :criterion, expires_at = :expires_at"
        " WHERE arn = :arn",
        arn=arn,
        days=days,
        criterion=criterion,
        expires_at=expires_at,
    )


def expiring(tx: Tx, now: int, limit: int) -> list[Channel]:
    """Up to `limit` channels that may have expired by now."""
    return tx.all(
        Channel,
        "SELECT * FROM channels WHERE expires_at <= :now AND expires_at IS NOT NULL ORDER BY expires_at LIMIT :limit",
        now=now,
        limit=limit,
    )


def delete(tx: Tx, arn: str) -> None:
    tx.run("DELETE FROM channels WHERE arn = :arn", arn=arn)


def page_by_privacy(tx: Tx, app_instance_arn: str, privacy: str, after: Position | None, limit: int) -> Page[Channel]:
    return tx.page(
        Channel,
        "SELECT * FROM channels WHERE app_instance_arn = :app AND privacy = :privacy",
        key=("created_at", "arn"),
        after=after,
        limit=limit,
        app=app_instance_arn,
        privacy=privacy,
    )


def page_by_flow(tx: Tx, channel_flow_arn: str, after: Position | None, limit: int) -> Page[Channel]:
    return tx.page(
        Channel,
        "SELECT * FROM channels WHERE channel_flow_arn = :flow",
        key=("created_at", "arn"),
        after=after,
        limit=limit,
        flow=channel_flow_arn,
    )


class ByArn(Row, frozen=True):
    """What a walk through all channels of an app instance sees of each."""

    arn: str
    elastic: str | None


def after(tx: Tx, app_instance_arn: str, arn: str | None, limit: int) -> list[ByArn]:
    """The next channels of an app instance behind `arn`, in the order of ARNs: all of them stand together there."""
    return tx.all(
        ByArn,
        "SELECT arn, elastic FROM channels WHERE arn > :after AND arn < :end ORDER BY arn LIMIT :limit",
        after=arn or f"{app_instance_arn}/channel/",
        end=f"{app_instance_arn}/channel0",  # 0 comes after /
        limit=limit,
    )


class _Arn(Row, frozen=True):
    arn: str


def some_of(tx: Tx, app_instance_arn: str, limit: int) -> list[str]:
    """ARNs of up to `limit` channels, for removing them in batches."""
    rows = tx.all(
        _Arn,
        "SELECT arn FROM channels WHERE app_instance_arn = :app AND privacy IN ('PUBLIC', 'PRIVATE') LIMIT :limit",
        app=app_instance_arn,
        limit=limit,
    )
    return [row.arn for row in rows]
