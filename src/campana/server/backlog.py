"""How many flow executions there are and how old they are, looked up for metrics now and then."""

from typing import Final

from campana import log
from campana.clock import Clock
from campana.errors import ServiceUnavailable
from campana.metrics import Metrics
from campana.store import executions
from campana.store.database import Database

PAUSE_S: Final = 15.0
COUNTED_MAX: Final = 10_000
"""A backlog so long needs no exact number; counting it each time would cost more than it tells."""
STATES: Final = ("INVOKING", "AWAITING_CALLBACK", "FAILED")


class Backlog:
    """What was there at the last look."""

    def __init__(self, db: Database, clock: Clock, metrics: Metrics) -> None:
        self._db = db
        self._clock = clock
        self._number: dict[tuple[str, ...], float] = {}
        self._oldest: dict[tuple[str, ...], float] = {}
        metrics.executions.read = lambda: self._number
        metrics.execution_oldest.read = lambda: self._oldest

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            try:
                await self.look()
            except ServiceUnavailable:
                log.debug("backlog.unread")
            await self._clock.sleep(PAUSE_S)

    async def look(self) -> None:
        """Look now."""
        found = {row.state: row for row in await self._db.read(executions.backlog, COUNTED_MAX)}
        now = self._clock.now()
        self._number = {(state,): found[state].number if state in found else 0 for state in STATES}
        self._oldest = {
            (state,): max(0, now - found[state].oldest_at) / 1000 if state in found else 0 for state in STATES
        }
