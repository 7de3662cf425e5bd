"""What a node has still to tell the others. It is bounded: what is too much becomes "look after everything"."""

import asyncio

from campana.delivery.notifier import EVERYTHING, Notification
from campana.store.topics import Entry

TOPICS_MAX = 10_000
ENTRIES_MAX = 10_000


class Unsent:
    """Filled by commits, emptied by a notifier's task; on one event loop."""

    def __init__(self, *, with_entries: bool) -> None:
        """`with_entries`: keep the entries too, not the names of the topics alone."""
        self._with_entries = with_entries
        self._topics: dict[str, list[Entry]] = {}
        self._entries = 0
        self._everything = False
        self._some = asyncio.Event()

    def add(self, topics: Notification) -> None:
        """These have new entries."""
        for name, entries in topics.items():
            kept = self._topics.setdefault(name, [])
            if self._with_entries and self._entries < ENTRIES_MAX:
                kept.extend(entries)
                self._entries += len(entries)
        if len(self._topics) > TOPICS_MAX:
            self.lost()
        self._some.set()

    def lost(self) -> None:
        """Something could not be told: the others have to look after everything."""
        self._topics, self._entries, self._everything = {}, 0, True
        self._some.set()

    async def take(self) -> Notification:
        """What there is to tell, as soon as there is something; EVERYTHING alone stands for more than it says."""
        await self._some.wait()
        self._some.clear()
        topics, everything = self._topics, self._everything
        self._topics, self._entries, self._everything = {}, 0, False
        return EVERYTHING if everything else topics
