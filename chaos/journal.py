"""What the nodes told their sessions, from the database: the listener that is always there.

The server keeps an entry for ten minutes, so it is read all the time.
"""

import asyncio
import threading
from contextlib import suppress
from typing import Any

import msgspec
import psycopg
from tests.stories.crash_history import Event

from chaos.engines import Databases

PAUSE_S = 30


class Journal:
    """The message events of each channel, in order."""

    def __init__(self, databases: Databases, channels: dict[str, str]) -> None:
        """`channels`: their ARNs by lane."""
        self.events: dict[str, list[Event]] = {lane: [] for lane in channels}
        self._databases = databases
        self._channels = channels
        self._reading = threading.Lock()
        self._read_to = dict.fromkeys(channels, 0)

    async def follow(self) -> None:
        """Read again and again, until cancelled."""
        while True:
            await asyncio.sleep(PAUSE_S)
            with suppress(psycopg.Error):  # it is away
                await asyncio.to_thread(self.read)

    def read(self) -> None:
        """Read what is new; raises AssertionError for a gap."""
        with self._reading:
            self._read()

    def _read(self) -> None:
        for lane, arn in self._channels.items():
            rows = self._databases.primary.sql(
                "SELECT number, frame FROM journal WHERE topic = %s AND number > %s::bigint ORDER BY number",
                f"channel/{arn}",
                str(self._read_to[lane]),
            )
            for number, text in rows:
                assert number == self._read_to[lane] + 1, f"the journal of {lane} has a gap before {number}"
                self._read_to[lane] = number
                self._take(lane, msgspec.json.decode(text))

    def _take(self, lane: str, frame: Any) -> None:
        type = frame["Headers"]["x-amz-chime-event-type"]
        payload = msgspec.json.decode(frame["Payload"])
        if type.endswith("_CHANNEL_MESSAGE") and payload["Type"] == "STANDARD":
            self.events[lane].append(Event(type, payload["MessageId"], payload["Content"]))
