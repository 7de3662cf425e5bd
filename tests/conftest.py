"""Fixtures that many tests use: one server for the run, an app instance for each test."""

from collections.abc import Iterator

import pytest

from tests.harness import App, Processor, RunningServer, running


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whose clock nobody moves. Tests keep apart by app instances."""
    many = {"quotas.app_instances_per_account": 1_000_000}  # each test makes one
    with running(tmp_path_factory.mktemp("server"), **many) as server:
        yield server


@pytest.fixture
def app(server: RunningServer) -> App:
    return App(server)


@pytest.fixture
def processor() -> Iterator[Processor]:
    """A processor behind HTTP that accepts every event."""
    processor = Processor()
    yield processor
    processor.close()
