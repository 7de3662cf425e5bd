"""LISTEN and NOTIFY: how nodes tell one another without anything but their database.

On connections of its own and after the commit: a pending NOTIFY would serialise every commit of the database. What a
node has to tell while it is telling goes together. Notifications carry the names of topics only: a payload must stay
under 8,000 bytes.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec
import psycopg

from campana import log
from campana.clock import Clock
from campana.delivery.notifier import EVERYTHING, Notification
from campana.delivery.notifier.memory import MemoryNotifier
from campana.delivery.notifier.unsent import Unsent
from campana.metrics import NotifierState
from campana.store.postgres_connection import CONNECTION

PAYLOAD_BYTES_MAX: Final = 7_500
RECONNECT_S: Final = 1.0
PING_S: Final = 5.0
PING: Final = "SELECT 1"
ANSWER_S: Final = 5.0
"""How long the server may take for an answer."""

_Connection = psycopg.AsyncConnection[tuple[Any, ...]]


class _Told(msgspec.Struct, array_like=True):
    node: str
    topics: list[str]


_decoder = msgspec.json.Decoder(_Told)


class PostgresNotifier:
    """A `Notifier` over the database that the nodes share."""

    def __init__(self, url: str, *, cluster: str, node: str, clock: Clock, state: NotifierState) -> None:
        """`cluster`: what the nodes of one database have in common; `node`: what tells this one from the others."""
        self._url = url
        self._channel = f"campana_{cluster}"
        self._node = node
        self._clock = clock
        self._state = state
        self._here = MemoryNotifier()
        self._unsent = Unsent(with_entries=False)

    def notify(self, topics: Notification) -> None:
        self._here.notify(topics)
        self._unsent.add(topics)

    def subscribe(self, take: Callable[[Notification], None]) -> None:
        self._here.subscribe(take)

    async def run(self) -> None:
        while True:
            try:
                async with await self._connected() as hearing, await self._connected() as telling:
                    await hearing.execute(f'LISTEN "{self._channel}"')
                    self._state.connected()
                    log.info("notifier.connected", by="postgres")
                    # Nobody heard this node meanwhile, nor did it hear them.
                    self._here.notify(EVERYTHING)
                    self._unsent.lost()
                    async with asyncio.TaskGroup() as tasks:
                        tasks.create_task(self._hear(hearing))
                        tasks.create_task(self._tell(telling))
            except* (psycopg.Error, OSError) as errors:
                self._state.disconnected()
                log.warning("notifier.disconnected", by="postgres", error=str(errors.exceptions[0]).partition("\n")[0])
            await self._clock.sleep(RECONNECT_S)

    async def _connected(self) -> _Connection:
        return await psycopg.AsyncConnection.connect(self._url, autocommit=True, **CONNECTION)

    async def _hear(self, connection: _Connection) -> None:
        while True:
            async for notify in connection.notifies(timeout=PING_S):
                self._take(notify.payload)
            # A server that hangs looks like one that has nothing to say.
            async with asyncio.timeout(ANSWER_S):
                await connection.execute(PING)

    def _take(self, payload: str) -> None:
        try:
            told = _decoder.decode(payload)
        except msgspec.DecodeError:  # of a version that says it in another way: it says that there is something
            told = _Told("", [])
        if told.node != self._node:
            self._here.notify(dict.fromkeys(told.topics, ()))

    async def _tell(self, connection: _Connection) -> None:
        while True:
            payloads = [*_payloads(self._node, await self._unsent.take())]
            async with asyncio.timeout(ANSWER_S):
                await connection.execute(
                    "SELECT pg_notify(%s, payload) FROM unnest(%s::text[]) AS payload", (self._channel, payloads)
                )


def _payloads(node: str, topics: Notification) -> Iterator[str]:
    """As few as may be; at least one."""
    names: list[str] = []
    size = len(node) + 16
    for name in topics:
        more = len(msgspec.json.encode(name)) + 1
        if names and size + more > PAYLOAD_BYTES_MAX:
            yield msgspec.json.encode(_Told(node, names)).decode()
            names, size = [], len(node) + 16
        names.append(name)
        size += more
    yield msgspec.json.encode(_Told(node, names)).decode()
