"""Rows of channel flows; `processors` is the JSON of the ProcessorList."""

from campana.store.database import Page, Position, Row, Tx


class ChannelFlow(Row, frozen=True):
    arn: str
    app_instance_arn: str
    name: str
    processors: str
    created_at: int
    updated_at: int


def find(tx: Tx, arn: str) -> ChannelFlow | None:
    """The flow, if its app instance is not deleted."""
    return tx.one(
        ChannelFlow,
        "SELECT f.* FROM channel_flows f JOIN app_instances a ON a.arn = f.app_instance_arn WHERE f.arn = :arn",
        arn=arn,
    )


def insert(tx: Tx, flow: ChannelFlow) -> None:
    tx.run(
        "INSERT INTO channel_flows (arn, app_instance_arn, name, processors, created_at, updated_at)"
        " VALUES (:arn, :app, :name, :processors, :at, :at)",
        arn=flow.arn,
        app=flow.app_instance_arn,
        name=flow.name,
        processors=flow.processors,
        at=flow.created_at,
    )


def update(tx: Tx, arn: str, *, name: str, processors: str, at: int) -> None:
    tx.run(
        "UPDATE channel_flows SET name = :name, processors = :processors, updated_at = :at WHERE arn = :arn",
        arn=arn,
        name=name,
        processors=processors,
        at=at,
    )


def delete(tx: Tx, arn: str) -> None:
    tx.run("DELETE FROM channel_flows WHERE arn = :arn", arn=arn)


def page(tx: Tx, app_instance_arn: str, after: Position | None, limit: int) -> Page[ChannelFlow]:
    return tx.page(
        ChannelFlow,
        "SELECT * FROM channel_flows WHERE app_instance_arn = :app",
        key=("created_at", "arn"),
        after=after,
        limit=limit,
        app=app_instance_arn,
    )
