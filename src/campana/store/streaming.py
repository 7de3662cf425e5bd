"""Rows of streaming configurations: which stream gets which data of an app instance."""

from campana.store.database import Row, Tx


class StreamingConfiguration(Row, frozen=True):
    app_instance_arn: str
    data_type: str
    resource_arn: str


def of(tx: Tx, app_instance_arn: str) -> list[StreamingConfiguration]:
    return tx.all(
        StreamingConfiguration,
        "SELECT * FROM streaming_configurations WHERE app_instance_arn = :app ORDER BY data_type",
        app=app_instance_arn,
    )


def insert(tx: Tx, configuration: StreamingConfiguration) -> None:
    tx.run(
        "INSERT INTO streaming_configurations (app_instance_arn, data_type, resource_arn)"
        " VALUES (:app, :type, :resource)",
        app=configuration.app_instance_arn,
        type=configuration.data_type,
        resource=configuration.resource_arn,
    )


def delete_all(tx: Tx, app_instance_arn: str) -> None:
    tx.run("DELETE FROM streaming_configurations WHERE app_instance_arn = :app", app=app_instance_arn)
