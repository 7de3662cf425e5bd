"""Nodes are restarted one after the other, and nobody notices but by a 1012, as it should be."""

from pathlib import Path

import pytest

from tests.cluster.scene import scene

pytestmark = pytest.mark.postgres


def test_nodes_are_restarted_one_after_the_other_and_nobody_notices(tmp_path: Path) -> None:
    with scene(tmp_path, 3) as now:
        now.talks()

        for number in (1, 2, 3):
            now.restarts(number)
        now.ends()

        now.nobody_noticed()
