"""Quotas and rates that were set on this server, for one app instance or (ARN '') for all.

They go before the settings. `campana quotas` writes them while a server is running.
"""

from campana.store.database import Row, Tx

EVERYWHERE = ""


class Used(Row, frozen=True):
    count: int
    quota: int | None
    """None: what the settings say."""


class Adjusted(Row, frozen=True):
    app_instance_arn: str
    name: str
    value: int


def used(tx: Tx, *, owner: str, what: str, app_instance_arn: str, name: str) -> Used:
    """How many of `what` the owner has, and how many it may have by the quota `name`: one look-up for both."""
    found = tx.one(
        Used,
        """
        SELECT COALESCE((SELECT count FROM counts WHERE owner = :owner AND what = :what), 0), COALESCE(
            (SELECT value FROM quotas WHERE app_instance_arn = :app AND name = :name),
            (SELECT value FROM quotas WHERE app_instance_arn = '' AND name = :name))
        """,
        owner=owner,
        what=what,
        app=app_instance_arn,
        name=name,
    )
    assert found is not None
    return found


def find(tx: Tx, app_instance_arn: str, name: str) -> int | None:
    """What is in force in an app instance; None: what the settings say."""
    value: int | None = tx.scalar(
        """
        SELECT COALESCE(
            (SELECT value FROM quotas WHERE app_instance_arn = :app AND name = :name),
            (SELECT value FROM quotas WHERE app_instance_arn = '' AND name = :name))
        """,
        app=app_instance_arn,
        name=name,
    )
    return value


def in_force(tx: Tx, app_instance_arn: str) -> dict[str, int]:
    """All that was set and holds in this app instance, by name; for the rest the settings say it."""
    everywhere = of(tx, EVERYWHERE)
    here = of(tx, app_instance_arn) if app_instance_arn else []
    return {each.name: each.value for each in (*everywhere, *here)}


def of(tx: Tx, app_instance_arn: str) -> list[Adjusted]:
    """What was set for this app instance, or (EVERYWHERE) for all; by name."""
    return tx.all(Adjusted, "SELECT * FROM quotas WHERE app_instance_arn = :app ORDER BY name", app=app_instance_arn)


def put(tx: Tx, app_instance_arn: str, name: str, value: int) -> None:
    tx.run(
        "INSERT INTO quotas (app_instance_arn, name, value) VALUES (:app, :name, :value)"
        " ON CONFLICT (app_instance_arn, name) DO UPDATE SET value = excluded.value",
        app=app_instance_arn,
        name=name,
        value=value,
    )


def delete(tx: Tx, app_instance_arn: str, name: str) -> int:
    """How many there were."""
    return tx.run("DELETE FROM quotas WHERE app_instance_arn = :app AND name = :name", app=app_instance_arn, name=name)


def delete_all(tx: Tx, app_instance_arn: str) -> int:
    """How many there were."""
    return tx.run("DELETE FROM quotas WHERE app_instance_arn = :app", app=app_instance_arn)
