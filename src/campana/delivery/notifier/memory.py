"""The notifier of a single node: nobody else to tell, nobody else to hear."""

import asyncio
from collections.abc import Callable

from campana.delivery.notifier import Notification
from campana.metrics import NotifierState


class MemoryNotifier:
    """A `Notifier` within one process."""

    def __init__(self, state: NotifierState | None = None) -> None:
        self._state = state
        self._takers: list[Callable[[Notification], None]] = []

    def notify(self, topics: Notification) -> None:
        for take in self._takers:
            take(topics)

    def subscribe(self, take: Callable[[Notification], None]) -> None:
        self._takers.append(take)

    async def run(self) -> None:
        if self._state is not None:
            self._state.connected()
        await asyncio.Event().wait()  # there are no other nodes
