"""Messages that several nodes take in the same millisecond stand in lists in the order in which they were sent."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import stores
from tests.cluster.nodes import user
from tests.harness import App, MovableClock, RunningServer, running

pytestmark = pytest.mark.postgres

MESSAGES = 12


@pytest.fixture
def standing_still(tmp_path: Path) -> Iterator[list[RunningServer]]:
    """Two nodes with one database, for which no time passes."""
    database = stores.settings(tmp_path)
    clock = MovableClock()
    with running(tmp_path / "one", clock, **database) as one:
        shutil.copytree(tmp_path / "one/data", tmp_path / "other/data")  # for its secrets.key
        with running(tmp_path / "other", clock, **database) as other:
            clock.stop()
            yield [one, other]


@pytest.mark.parametrize("type", ["STANDARD", "CONTROL"])
def test_messages_of_one_millisecond_are_listed_in_the_order_they_were_sent(
    standing_still: list[RunningServer], type: str
) -> None:
    app = App(standing_still[0])
    ann, bob = app.users("ann", "bob")
    channel = ann.makes_channel(members=[bob])

    sent = [user(standing_still[number % 2], ann).sends(channel, f"{number}", Type=type) for number in range(MESSAGES)]

    assert [each["MessageId"] for each in bob.reads(channel)] == sent[::-1]
