"""Turns: of one bearer only so many calls are under way at once; more wait, and leave the others room.

Hundreds of calls of one user would fill every batch of the store and every turn of the event loop, and each call of
anybody else would take as long as all of them together.
"""

import asyncio
from collections import deque
from typing import Final

CALLS_AT_ONCE: Final = 32
"""Enough for a batch of the store: one bearer alone is hardly slower than with more."""


class Turns:
    """Who waits is bounded by the connections there are: each has one call under way."""

    def __init__(self, at_once: int = CALLS_AT_ONCE) -> None:
        self._at_once = at_once
        self._under_way: dict[str, int] = {}
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    async def take(self, who: str) -> None:
        """Returns when a call of `who` may begin; then it must be given back."""
        under_way = self._under_way.get(who, 0)
        if under_way < self._at_once:
            self._under_way[who] = under_way + 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(who, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it had just been handed over
                self.give_back(who)
            raise

    def give_back(self, who: str) -> None:
        """The call is over: the turn goes to the one that has waited longest."""
        waiting = self._waiting.get(who)
        while waiting:
            turn = waiting.popleft()
            if not waiting:
                del self._waiting[who]
            if not turn.done():
                turn.set_result(None)
                return
        left = self._under_way[who] - 1
        if left:
            self._under_way[who] = left
        else:
            del self._under_way[who]
