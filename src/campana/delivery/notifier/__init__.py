"""Notifiers tell journal readers that topics have new entries.

A notification may be lost, doubled or late: it says "look at this topic", and the entries it may carry are a hint.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Protocol

from campana.store.topics import Entry

Notification = Mapping[str, Sequence[Entry]]
"""Topics, each with its new entries if they are at hand, in order; without any, the journal has to be read."""


class Notifier(Protocol):
    """The port. `notify` is called on the event loop after each commit, in commit order."""

    def notify(self, topics: Notification) -> None:
        """Tell this node's subscribers at once, with the entries, and the other nodes that there is something."""

    def subscribe(self, take: Callable[[Notification], None]) -> None:
        """Call `take` from within `notify`: on the node that wrote them, entries reach sockets without a detour."""

    def notifications(self) -> AsyncIterator[Notification]:
        """What other nodes tell: topics, without entries. Never ends."""
