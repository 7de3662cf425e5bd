"""Rows of users' endpoints: devices that push notifications go to."""

from campana.store.database import Page, Position, Row, Tx


class Endpoint(Row, frozen=True):
    user_arn: str
    id: str
    name: str | None
    type: str
    resource_arn: str
    attributes: str
    """JSON of EndpointAttributes."""
    device_token: str
    allow_messages: str
    status: str
    status_reason: str | None
    created_at: int
    updated_at: int


def find(tx: Tx, user_arn: str, id: str) -> Endpoint | None:
    return tx.one(Endpoint, "SELECT * FROM endpoints WHERE user_arn = :user AND id = :id", user=user_arn, id=id)


def by_device(tx: Tx, user_arn: str, type: str, device_token: str) -> Endpoint | None:
    return tx.one(
        Endpoint,
        "SELECT * FROM endpoints WHERE user_arn = :user AND type = :type AND device_token = :token",
        user=user_arn,
        type=type,
        token=device_token,
    )


def insert(tx: Tx, endpoint: Endpoint) -> None:
    tx.run(
        """
        INSERT INTO endpoints (user_arn, id, name, type, resource_arn, attributes, device_token, allow_messages,
            status, status_reason, created_at, updated_at)
        VALUES (:user, :id, :name, :type, :resource, :attributes, :token, :allow, :status, NULL, :at, :at)
        """,
        user=endpoint.user_arn,
        id=endpoint.id,
        name=endpoint.name,
        type=endpoint.type,
        resource=endpoint.resource_arn,
        attributes=endpoint.attributes,
        token=endpoint.device_token,
        allow=endpoint.allow_messages,
        status=endpoint.status,
        at=endpoint.created_at,
    )


def update(tx: Tx, endpoint: Endpoint) -> None:
    """Write what can change: name and whether messages are allowed."""
    tx.run(
        "UPDATE endpoints SET name = :name, allow_messages = :allow, updated_at = :at"
        " WHERE user_arn = :user AND id = :id",
        user=endpoint.user_arn,
        id=endpoint.id,
        name=endpoint.name,
        allow=endpoint.allow_messages,
        at=endpoint.updated_at,
    )


def delete(tx: Tx, user_arn: str, id: str) -> bool:
    """False if there was none."""
    return tx.run("DELETE FROM endpoints WHERE user_arn = :user AND id = :id", user=user_arn, id=id) == 1


def delete_all(tx: Tx, user_arn: str) -> None:
    """The user is gone."""
    tx.run("DELETE FROM endpoints WHERE user_arn = :user", user=user_arn)


def page(tx: Tx, user_arn: str, after: Position | None, limit: int) -> Page[Endpoint]:
    return tx.page(
        Endpoint,
        "SELECT * FROM endpoints WHERE user_arn = :user",
        key=("created_at", "id"),
        after=after,
        limit=limit,
        user=user_arn,
    )
