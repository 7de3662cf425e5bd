"""Which engine a database URL stands for."""

from campana.clock import Ids
from campana.metrics import Metrics
from campana.settings import DatabaseUrl, SqliteUrl
from campana.store.database import CannotOpen, Database


def opened(
    url: DatabaseUrl, *, connections_max: int = 2, ids: Ids | None = None, metrics: Metrics | None = None
) -> Database:
    """The database behind `url`, its schema as it is; raises `CannotOpen`."""
    if isinstance(url, SqliteUrl):
        from campana.store.sqlite import SqliteDatabase

        return SqliteDatabase(url.path, metrics)
    try:
        from campana.store.postgres import PostgresDatabase
    except ImportError as error:
        raise CannotOpen(f"PostgreSQL needs a driver ({error}): pip install 'campana[postgres]'.") from None
    return PostgresDatabase(url.text, connections_max=connections_max, ids=ids, metrics=metrics)
