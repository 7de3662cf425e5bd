"""Nothing is lost and nothing happens twice when the server is killed, whatever it was doing.

A failure is looked into with its seed: CRASH_SEED=… CRASH_KILLS=… pytest tests/stories/test_crash.py -s
"""

import os
from collections import Counter
from pathlib import Path

from tests.stories.crash_history import complaints
from tests.stories.crash_world import SETTINGS, World
from tests.stories.serving import serving

SEED = int(os.environ.get("CRASH_SEED", "1"))
KILLS = int(os.environ.get("CRASH_KILLS", "6"))


def test_every_accepted_message_has_one_verdict_whenever_the_server_is_killed(tmp_path: Path) -> None:
    with serving(tmp_path, environment=SETTINGS) as server:
        world = World(server, SEED)
        history = world.live_through(KILLS)

        print(f"seed {SEED}, killed when {world.kills}")
        found = complaints(history)
        assert not found, f"{len(found)} complaints with seed {SEED}:\n" + "\n".join(found[:20])
        assert len(world.kills) == KILLS
        assert world.unfinished() == 0
        assert {
            ("moderated", "pass"),
            ("moderated", "change"),
            ("moderated", "deny"),
            ("lenient", "pass"),
            ("strict", "pass"),
        } <= world.in_flight()
        print(Counter(sent.lane for sent in history.sent))
