"""Turns: of one bearer only so many calls are under way at once; more wait, and leave the others room.

Hundreds of calls of one user would fill every batch of the store and every turn of the event loop, and each call of
anybody else would take as long as all of them together.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from campana.clock import stopwatch

ALONE: Final = 32
"""Enough for a batch of the store: one bearer alone is hardly slower than with more."""
BESIDE_OTHERS: Final = 8
"""A quarter less throughput for the one, a third of the time for the others."""
OTHERS_S: Final = 1.0
"""How long somebody's call is remembered: others call seldom, and are to find room when they do."""


class Turns:
    """Who waits is bounded by the connections there are: each has one call under way."""

    def __init__(
        self, alone: int = ALONE, beside_others: int = BESIDE_OTHERS, time: Callable[[], float] = stopwatch
    ) -> None:
        """How many calls of a bearer are under way, if nobody else calls, and otherwise. `time` in seconds."""
        self._alone = alone
        self._beside_others = beside_others
        self._time = time
        self._latest = ""
        self._changed_at = time() - OTHERS_S  # when a call was another bearer's than the one before
        self._under_way: dict[str, int] = {}
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    async def take(self, who: str) -> None:
        """Returns when a call of `who` may begin; then it must be given back."""
        if who != self._latest:
            if self._latest:
                self._changed_at = self._time()
            self._latest = who
        under_way = self._under_way.get(who, 0)
        if under_way < self._beside_others or under_way < self._at_once():
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
        """The call is over: its turn, and those that others have not claimed, go to whoever has waited longest."""
        left = self._under_way[who] - 1
        if (waiting := self._waiting.get(who)) is not None:
            at_once = self._at_once()
            while waiting and left < at_once:
                turn = waiting.popleft()
                if not turn.done():
                    turn.set_result(None)
                    left += 1
            if not waiting:
                del self._waiting[who]
        if left:
            self._under_way[who] = left
        else:
            del self._under_way[who]

    def _at_once(self) -> int:
        return self._alone if self._time() - self._changed_at >= OTHERS_S else self._beside_others
