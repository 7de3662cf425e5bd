"""LISTEN and NOTIFY on a server that hangs."""

import asyncio
from pathlib import Path

import pytest

from campana.clock import SystemClock
from campana.delivery.notifier import Notification, postgres
from campana.delivery.notifier.postgres import PostgresNotifier
from campana.settings import PostgresUrl
from tests import stores

pytestmark = pytest.mark.postgres
PATIENCE_S = 30


class State:
    """What the notifier says of itself, to be awaited."""

    def __init__(self) -> None:
        self.changes = asyncio.Queue[str]()

    def connected(self) -> None:
        self.changes.put_nowait("up")

    def disconnected(self) -> None:
        self.changes.put_nowait("down")


def test_a_server_that_keeps_silent_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "PING_S", 0.1)
    monkeypatch.setattr(postgres, "ANSWER_S", 0.3)
    monkeypatch.setattr(postgres, "RECONNECT_S", 0.1)
    url = stores.url(tmp_path)
    assert isinstance(url, PostgresUrl)

    async def story() -> None:
        states, news = [State(), State()], asyncio.Event()
        one, other = (
            PostgresNotifier(url.text, cluster="c", node=name, clock=SystemClock(), state=state)  # type: ignore[arg-type]
            for name, state in zip(("one", "other"), states, strict=True)
        )

        def hear(told: Notification) -> None:
            if "channel/news" in told:
                news.set()

        other.subscribe(hear)
        running = [asyncio.create_task(each.run()) for each in (one, other)]
        assert [await state.changes.get() for state in states] == ["up", "up"]

        monkeypatch.setattr(postgres, "PING", "SELECT pg_sleep(60)")
        assert await states[1].changes.get() == "down"
        monkeypatch.setattr(postgres, "PING", "SELECT 1")

        while await states[1].changes.get() != "up":
            pass
        while not news.is_set():
            one.notify({"channel/news": ()})
            await asyncio.sleep(0.02)
        for each in running:
            each.cancel()
        await asyncio.wait(running)

    asyncio.run(asyncio.wait_for(story(), PATIENCE_S))
