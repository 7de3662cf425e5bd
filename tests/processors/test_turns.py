"""Verdicts of one channel that wait for its lock leave the database to all other channels."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from tests import stores
from tests.harness import LAMBDA, App, running

from campana.store.database import Tx

pytestmark = pytest.mark.postgres

MESSAGES = 20
"""More than there are connections for writing."""
_answering = threading.Event()


async def answers_when_told(event: dict[str, Any]) -> None:
    """A processor that lets everything pass."""
    await asyncio.to_thread(_answering.wait)


def test_verdicts_that_wait_for_a_busy_channel_do_not_hold_up_another(tmp_path: Path) -> None:
    _answering.clear()
    with running(tmp_path, processors=[f"{LAMBDA}f=python:{__name__}:answers_when_told"]) as server:
        app = App(server)
        ann = app.user("ann")
        busy = ann.makes_channel(flow=app.flow((f"{LAMBDA}f", "ABORT")))
        idle = ann.makes_channel()
        messages = [ann.sends(busy, f"message {number}") for number in range(MESSAGES)]
        session = ann.connects()
        held, release = threading.Event(), threading.Event()

        def hold(tx: Tx) -> None:
            tx.lock(busy)
            held.set()
            release.wait()

        other_node = stores.opened(tmp_path / "data")
        holding = threading.Thread(target=other_node.write_now, args=(hold,))
        holding.start()
        held.wait()
        try:
            _answering.set()
            ann.sends(idle, "nobody is in the way")
            assert session.next().payload["ChannelArn"] == idle
        finally:
            release.set()
            holding.join()
            other_node.close_now()

        assert {session.next().payload["MessageId"] for _ in messages} == {*messages}
