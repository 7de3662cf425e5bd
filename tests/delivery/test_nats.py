"""Between two nodes' notifiers and real NATS servers, when those hang."""

import asyncio
from collections.abc import Iterator

import pytest

from campana.delivery.notifier import Notification
from campana.delivery.notifier import nats as notifier
from campana.delivery.notifier.nats import NatsNotifier
from campana.metrics import Metrics
from campana.store.topics import Entry
from tests.brokers import Nats, nats

PATIENCE_S = 20
MUCH = [Entry(topic="channel/a", number=number, frame="x" * 20_000) for number in range(10)]


class State:
    """What the notifier says of itself, to be awaited."""

    def __init__(self) -> None:
        self.ups = asyncio.Queue[None]()

    def connected(self) -> None:
        self.ups.put_nowait(None)

    def disconnected(self) -> None:
        pass


@pytest.fixture
def servers() -> Iterator[list[Nats]]:
    with nats() as one, nats() as other:
        yield [one, other]


def test_a_server_that_hangs_is_left_for_another_however_much_there_is_to_tell(
    servers: list[Nats], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written to it, and is not taken, must keep nobody."""
    monkeypatch.setattr(notifier, "PING_S", 0.2)
    monkeypatch.setattr(notifier, "ANSWER_S", 0.5)
    monkeypatch.setattr(notifier, "RECONNECT_S", 0.1)

    async def story() -> None:
        state = State()
        telling = NatsNotifier([servers[0].url], cluster="c", state=state)  # type: ignore[arg-type]
        running = asyncio.create_task(telling.run())
        await state.ups.get()
        servers[0].freeze()
        telling._servers.append(servers[1].url)
        again = asyncio.create_task(state.ups.get())
        while not again.done():
            assert not running.done(), running.exception()
            telling.notify({f"channel/{number}": MUCH for number in range(20)})
            await asyncio.sleep(0.02)
        hearing = NatsNotifier([servers[1].url], cluster="c", state=Metrics().notifier)
        heard = asyncio.Event()

        def hear(told: Notification) -> None:
            if "channel/news" in told:
                heard.set()

        hearing.subscribe(hear)
        listening = asyncio.create_task(hearing.run())
        while not heard.is_set():
            telling.notify({"channel/news": ()})
            await asyncio.sleep(0.02)
        running.cancel()
        listening.cancel()
        await asyncio.wait({running, listening})

    asyncio.run(asyncio.wait_for(story(), PATIENCE_S))


def test_it_ends_when_it_is_told_to_whatever_its_server_does(
    servers: list[Nats], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifier, "LET_GO_S", 0.2)

    async def story() -> None:
        state = State()
        telling = NatsNotifier([servers[0].url], cluster="c", state=state)  # type: ignore[arg-type]
        running = asyncio.create_task(telling.run())
        await state.ups.get()
        servers[0].freeze()
        for _ in range(20):
            telling.notify({f"channel/{number}": MUCH for number in range(20)})
            await asyncio.sleep(0.02)
        running.cancel()
        await asyncio.wait({running})
        assert running.cancelled()

    asyncio.run(asyncio.wait_for(story(), PATIENCE_S))
