"""Nothing is lost and nothing happens twice when, of several nodes behind a balancer, one after the other is killed."""

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from tests import stores
from tests.brokers import nats
from tests.cluster.balancer import Balancer
from tests.cluster.nodes import nodes
from tests.stories.crash_history import complaints
from tests.stories.crash_world import SETTINGS, World
from tests.stories.serving import Server

pytestmark = pytest.mark.postgres

SEED = int(os.environ.get("CRASH_SEED", "1"))
KILLS = int(os.environ.get("CRASH_KILLS", "6"))
NODES = 3


class Cluster:
    """Nodes behind a balancer, as the crash story knows a server: `kill` ends one of them, `start` brings it back."""

    def __init__(self, folder: Path, started: list[Server]) -> None:
        self.data_dir = folder
        self._nodes = started
        self._down: Server | None = None
        self._chance = random.Random(f"{SEED} nodes")
        self._balancer = Balancer([int(each.url.rpartition(":")[2]) for each in started])
        self.url = self._balancer.url

    @property
    def environment(self) -> dict[str, str]:
        return self._nodes[0].environment

    def client(self, service: str) -> Any:
        return self._nodes[0].client(service)

    def kill(self) -> None:
        self._down = self._chance.choice(self._nodes)
        self._down.kill()

    def start(self) -> None:
        assert self._down is not None
        self._down.start()

    def stop(self) -> int:
        self._balancer.close()
        return max(abs(each.stop()) for each in self._nodes)


@contextmanager
def cluster(folder: Path, notifier: str) -> Iterator[Cluster]:
    with nats() as broker:
        own = {**SETTINGS, "CAMPANA_NOTIFIER__URL": broker.url if notifier == "nats" else ""}
        with nodes(folder, NODES, **own) as started:
            yield Cluster(folder, started)


@pytest.mark.parametrize("notifier", ["nats", "postgres"])
def test_every_accepted_message_has_one_verdict_whichever_node_is_killed(tmp_path: Path, notifier: str) -> None:
    with cluster(tmp_path, notifier) as server:
        world = World(cast(Server, server), SEED)
        print(f"CRASH_SEED={SEED} CRASH_KILLS={KILLS}")

        history = world.live_through(KILLS)

        print("killed when", *(f"\n  {moment}" for moment, _ in world.kills))
        print(world.summary(history))
        found = complaints(history)
        assert not found, "\n".join([f"{len(found)} complaints:", *found[:20]])
        assert len(world.kills) == KILLS
        assert world.unfinished() == 0
        assert stores.on_postgres()
