"""Rows of app instance admins: a role of a user or bot."""

from campana.store.database import Page, Position, Row, Tx


class Admin(Row, frozen=True):
    app_instance_arn: str
    admin_arn: str
    created_at: int


def find(tx: Tx, app_instance_arn: str, admin_arn: str) -> Admin | None:
    return tx.one(
        Admin,
        "SELECT * FROM admins WHERE app_instance_arn = :app AND admin_arn = :admin",
        app=app_instance_arn,
        admin=admin_arn,
    )


def insert(tx: Tx, admin: Admin) -> bool:
    """False if it is there already."""
    return (
        tx.run(
            "INSERT INTO admins (app_instance_arn, admin_arn, created_at) VALUES (:app, :admin, :at)"
            " ON CONFLICT DO NOTHING",
            app=admin.app_instance_arn,
            admin=admin.admin_arn,
            at=admin.created_at,
        )
        == 1
    )


def delete(tx: Tx, app_instance_arn: str, admin_arn: str) -> bool:
    return (
        tx.run(
            "DELETE FROM admins WHERE app_instance_arn = :app AND admin_arn = :admin",
            app=app_instance_arn,
            admin=admin_arn,
        )
        == 1
    )


def page(tx: Tx, app_instance_arn: str, after: Position | None, limit: int) -> Page[Admin]:
    return tx.page(
        Admin,
        "SELECT * FROM admins WHERE app_instance_arn = :app",
        key=("created_at", "admin_arn"),
        after=after,
        limit=limit,
        app=app_instance_arn,
    )
