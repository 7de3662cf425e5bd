"""A server whose clock is moved, and an elastic channel."""

from collections.abc import Iterator

import pytest

from tests.elastic.hall import Hall
from tests.harness import App, RunningServer, running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Sub-channels are balanced a second after somebody has left, and here nobody waits for it."""
    with running(tmp_path_factory.mktemp("elastic")) as server:
        yield server


@pytest.fixture
def hall(app: App) -> Hall:
    """A private elastic channel of three sub-channels at most, of four members each; fewer than two are too few."""
    return Hall.of(app)
