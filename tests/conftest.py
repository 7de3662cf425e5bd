"""Fixtures that many tests use: one server for the run, an app instance for each test."""

from collections.abc import Iterator

import pytest

from tests import stores
from tests.harness import App, Processor, RunningServer, running


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--postgres",
        nargs="?",
        const="",
        metavar="URL",
        help="run on PostgreSQL: on the server of this URL, or on a private one (without =URL)",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "sqlite: about SQLite itself; not run with --postgres")
    config.addinivalue_line("markers", "postgres: about PostgreSQL itself; run with --postgres only")
    if (url := config.getoption("--postgres")) is not None:
        stores.begin(url)


def pytest_unconfigure(config: pytest.Config) -> None:
    if stores.on_postgres():
        stores.end()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    foreign = "sqlite" if stores.on_postgres() else "postgres"
    config.hook.pytest_deselected(items=[each for each in items if each.get_closest_marker(foreign)])
    items[:] = [each for each in items if not each.get_closest_marker(foreign)]


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
