"""Prefetch: a new session is handed the details of its user's channels (spec/realtime.md §5).

At the pace of its client: the next channel is read when the last one has left, so that a slow client is neither sent
more than it can take nor kept waiting for in memory. Live events go past and do not wait.
"""

import asyncio
from collections.abc import Callable

from campana.delivery.session import Session
from campana.operations import channel_details
from campana.operations.channel_details import Order, Sizes
from campana.store.database import Database
from campana.unit_of_work import Units

READS_AT_ONCE = 2
"""Of all sessions together: after a restart thousands come at once, and callers read, too."""


class Prefetch:
    """One for each node."""

    def __init__(self, db: Database, units: Units, text_frame: Callable[[str], bytes], sizes: Sizes) -> None:
        self._db = db
        self._units = units
        self._text_frame = text_frame
        self._sizes = sizes
        self._turns = asyncio.Semaphore(READS_AT_ONCE)

    async def __call__(self, session: Session, order: Order) -> None:
        """Returns when all is written, or when the session has ended. Raises what the database raises."""
        async with self._turns:
            places = await self._db.read(channel_details.places, session.user, order, self._sizes.channels)
        for place in places:
            if not await session.socket.drained():
                return
            async with self._turns:
                frame = await self._db.read(self._units.run, channel_details.frame, session.user, place, self._sizes)
            if frame is not None:
                session.write(self._text_frame(frame), 1)
