"""The suite's fixtures, and the plugin that keeps the outcome of each operation's checks.

`@operation("SendChannelMessage", …)` says which operations a test speaks for. `@choice("reason")` marks what AWS's
documentation leaves open: the expectation is then Campana's, and AWS is not asked.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import botocore
import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.conformance import model, target
from tests.conformance.processor import Processor
from tests.conformance.target import Target
from tests.conformance.world import World

_TARGET = pytest.StashKey[Target]()
_REPORT = pytest.StashKey["Report"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("conformance")
    group.addoption(
        "--aws", action="store_true", help="the service under test is AWS: leave out what AWS doesn't promise"
    )
    group.addoption("--conformance-report", metavar="FILE", help="write the outcome of each operation's checks as JSON")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "operation(*names): the operations that a test speaks for")
    config.addinivalue_line("markers", "choice(reason): AWS's documentation leaves it open, and Campana decided so")
    config.stash[_REPORT] = Report()


class Report:
    """Outcomes by operation."""

    def __init__(self) -> None:
        self.target = ""
        self._outcomes: dict[str, dict[str, str]] = defaultdict(dict)
        self._chosen: dict[str, set[str]] = defaultdict(set)
        self._choices: dict[str, set[str]] = defaultdict(set)

    def add(self, item: pytest.Item, outcome: str) -> None:
        """The outcome of one of a test's phases; a failure of any is the test's."""
        reasons = {str(reason) for mark in item.iter_markers("choice") for reason in mark.args}
        test = item.nodeid.rpartition("/")[2]
        for name in operations_of(item):
            if self._outcomes[name].get(test) != "failed":
                self._outcomes[name][test] = outcome
            if reasons:
                self._chosen[name].add(test)
            for reason in reasons:
                self._choices[reason].add(name)

    def content(self) -> dict[str, Any]:
        """What is written: the same for the same outcomes, but for the date."""
        return {
            "server": self.target,
            "model": f"botocore {botocore.__version__}",
            "date": datetime.now(UTC).date().isoformat(),
            "operations": {name: self._of(name) for name in sorted({name for _, name in model.operations()})},
            "choices": {reason: sorted(names) for reason, names in sorted(self._choices.items())},
        }

    def _of(self, name: str) -> dict[str, Any]:
        """How many checks ended how, and how many of them are Campana's choice; the names of those that failed."""
        outcomes = self._outcomes.get(name, {})
        counts = {which: list(outcomes.values()).count(which) for which in ("passed", "failed", "skipped")}
        failures = sorted(test for test, outcome in outcomes.items() if outcome == "failed")
        return {**counts, "chosen": len(self._chosen.get(name, ())), **({"failures": failures} if failures else {})}


def operations_of(item: pytest.Item) -> set[str]:
    """The operations that a test speaks for."""
    return {str(name) for mark in item.iter_markers("operation") for name in mark.args}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = yield
    if report.when == "call" or report.outcome != "passed":
        item.config.stash[_REPORT].add(item, report.outcome)
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    file = session.config.getoption("conformance_report", None)
    if file:
        Path(file).write_text(_lines(session.config.stash[_REPORT].content()), "utf-8")


def _lines(content: dict[str, Any]) -> str:
    """JSON with a line for each operation and each choice, so that a change can be read."""
    parts = []
    for name, value in content.items():
        if isinstance(value, dict):
            inner = [f"  {json.dumps(key, ensure_ascii=False)}: {json.dumps(each)}" for key, each in value.items()]
            parts.append(f" {json.dumps(name)}: {{\n" + ",\n".join(inner) + "\n }")
        else:
            parts.append(f" {json.dumps(name)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


@pytest.fixture(scope="session")
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """The service under test."""
    aws = bool(request.config.getoption("aws", False))
    with target.found(tmp_path_factory.mktemp("conformance"), aws=aws) as found:
        request.config.stash[_TARGET] = found
        request.config.stash[_REPORT].target = found.name
        yield found


@pytest.fixture(scope="session")
def world(service: Target) -> Iterator[World]:
    """The app instance of the run and what stands in it."""
    try:
        world = World(service)
    except (BotoCoreError, ClientError) as error:
        if service.given:  # a thousand tests would say the same
            pytest.exit(f"{service.name} can't be used: {error}", returncode=2)
        raise
    yield world
    world.delete()


@pytest.fixture(autouse=True)
def _choices_are_not_for_aws(request: pytest.FixtureRequest, service: Target) -> None:
    mark = request.node.get_closest_marker("choice")
    if mark is not None and service.aws:
        pytest.skip(f"a choice of Campana: {mark.args[0]}")


@pytest.fixture
def processor(service: Target) -> Iterator[Processor]:
    """A processor that accepts every event; skips where the service can't call this machine."""
    if not service.calls_http:
        pytest.skip("the service can't call a processor on this machine")
    processor = Processor()
    yield processor
    processor.close()
