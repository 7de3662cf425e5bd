"""A server that tries again at once, and a channel with a flow."""

from collections.abc import Iterator

import pytest

from tests.flows.lobby import Lobby
from tests.harness import App, Processor, RunningServer, running


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that waits hardly at all before it tries a processor again. Nobody moves its clock."""
    given = {"flows.retry_delays_ms": (1, 1), "quotas.app_instances_per_account": 1_000_000}  # each test makes one
    with running(tmp_path_factory.mktemp("flows"), **given) as server:
        yield server


@pytest.fixture
def lobby(app: App, processor: Processor) -> Lobby:
    """A channel whose flow has one processor with the fallback action ABORT."""
    return Lobby.of(app, processor.arn)
