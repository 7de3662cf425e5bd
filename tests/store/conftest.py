"""A real database file for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import stores

from campana.store import migrate
from campana.store.database import Database

NOW = 1_800_000_000_000


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    """A database with the schema of this version, closed at the end."""
    database = stores.opened(tmp_path)
    database.write_now(lambda tx: migrate.apply(tx, NOW))
    yield database
    database.close_now()
