"""Notifiers tell journal readers that topics have new entries.

A notification may be lost, doubled, late or out of order: it says "look at this topic", and the entries it may carry
are a hint. The journal reader takes an entry only when it is the next one, and looks after every topic now and then.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from campana.store.topics import Entry

Notification = Mapping[str, Sequence[Entry]]
"""Topics, each with its new entries if they are at hand, in order; without any, the journal has to be read.

One without topics says that notifications may have been lost: look after everything.
"""
EVERYTHING: Notification = {}
WORK: Final = "work"
"""Stands where topics do and is none, so it concerns no session: somebody must look for executions that are due."""


class Notifier(Protocol):
    """The port. Everything but `run` is called on the event loop and returns at once."""

    def notify(self, topics: Notification) -> None:
        """Tell this node's subscribers at once, with the entries, and the other nodes as soon as may be."""

    def subscribe(self, take: Callable[[Notification], None]) -> None:
        """Call `take` from within `notify`: on the node that wrote them, entries reach sockets without a detour.

        And with what other nodes tell.
        """

    async def run(self) -> None:
        """Tell the other nodes and hear them, until cancelled. What it needs for that may go and come back."""
