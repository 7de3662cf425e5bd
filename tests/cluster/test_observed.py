"""Nodes, seen from outside: a trace that goes on at the other node, numbers that say which node did what."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from campana.delivery.notifier.nats import NatsNotifier
from campana.metrics import Metrics, NotifierState
from tests.brokers import Nats, nats
from tests.cluster.nodes import connects, nodes, through, user
from tests.harness import PATIENCE_S, App, Processor, calls_back
from tests.observe.collector import Collector
from tests.observe.scrape import Scrape

pytestmark = pytest.mark.postgres

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_a_message_keeps_its_trace_from_one_node_to_the_other(tmp_path: Path) -> None:
    collector, processor = Collector(), Processor()
    environment = {"CAMPANA_TRACING__ENDPOINT": collector.endpoint, "CAMPANA_METRICS__ENABLED": "true"}
    with nats() as broker, nodes(tmp_path, 2, CAMPANA_NOTIFIER__URL=broker.url, **environment) as (one, other):
        app = App(one)  # type: ignore[arg-type]
        ann, bob = app.users("ann", "bob")
        channel = ann.makes_channel(members=[bob], flow=app.flow(processor.arn))
        heard = [connects(one, ann), connects(other, bob)]

        ann.messaging.meta.events.register("before-send.chime-sdk-messaging.SendChannelMessage", _add_trace)
        user(one, ann).sends(channel, "hello")
        calls_back(through(other, app), processor.takes())
        for each in heard:
            each.until("CREATE_CHANNEL_MESSAGE")
        numbers = [Scrape(one.url), Scrape(other.url)]
        for each in heard:
            each.close()
    processor.close()
    spans = [span for span in collector.spans if span.trace == TRACE]
    collector.close()

    [sent] = [span for span in spans if span.name == "transaction"]
    assert {span.name for span in spans if span.parent == sent.id} == {"invoke processor", "release", "deliver"}
    deliveries = [span for span in spans if span.name == "deliver"]
    assert [span.attributes["campana.recipients"] for span in deliveries][-2:] == [1, 1], "at each node one session"
    assert [each.value("campana_sessions") for each in numbers] == [1, 1]
    assert [each.value("campana_notifier_up") for each in numbers] == [1, 1]
    assert numbers[1].value("campana_callbacks_total", decision="passed") == 1
    assert numbers[0].value("campana_callbacks_total", decision="passed") == 0
    # Bob's node: with the news of it, not from the database.
    assert numbers[1].value("campana_journal_lag_seconds_count") >= 1
    assert numbers[1].value("campana_journal_entries_total", source="notified") >= 1


class Told(NotifierState):
    """Also tells the test."""

    def __init__(self, metrics: Metrics) -> None:
        super().__init__(metrics.notifier._up, metrics.notifier._connects)
        self.changed: asyncio.Queue[bool] = asyncio.Queue()

    def connected(self) -> None:
        super().connected()
        self.changed.put_nowait(True)

    def disconnected(self) -> None:
        super().disconnected()
        self.changed.put_nowait(False)


def test_a_notifier_that_lost_its_connection_says_so_until_it_is_back() -> None:
    metrics = Metrics()

    def shown() -> tuple[float, float]:
        value = metrics.registry.get_sample_value
        return value("campana_notifier_up") or 0, value("campana_notifier_connects_total") or 0

    async def story(broker: Nats) -> None:
        told = Told(metrics)
        running = asyncio.create_task(NatsNotifier([broker.url], cluster="observed", state=told).run())
        async with asyncio.timeout(PATIENCE_S):
            assert await told.changed.get()
            assert shown() == (1, 1)
            broker.kill()
            assert not await told.changed.get()
            assert shown() == (0, 1)
            await asyncio.to_thread(broker.start)
            assert await told.changed.get()
            assert shown() == (1, 2)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    with nats() as broker:
        asyncio.run(story(broker))


def _add_trace(request: Any, **_: Any) -> None:
    request.headers["traceparent"] = f"00-{TRACE}-{PARENT}-01"
