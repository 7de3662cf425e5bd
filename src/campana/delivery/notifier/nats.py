"""NATS: how many nodes tell one another, without a word to the database.

One subject for each shard of topics, and each message has the entries with it, so that a node that hears it need not
read the journal; they are a hint like those of the node's own, and go where they would be too long.
"""

import zlib
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg

from campana import log
from campana.delivery.notifier import EVERYTHING, Notification
from campana.delivery.notifier.memory import MemoryNotifier
from campana.delivery.notifier.unsent import Unsent
from campana.metrics import NotifierState
from campana.store.topics import Entry

SHARDS: Final = 64
MESSAGE_BYTES_MAX: Final = 256 * 1024
"""Servers take four times as much by default."""
RECONNECT_S: Final = 1
PING_S: Final = 5

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(dict[str, list[Entry]])


class NatsNotifier:
    """A `Notifier` over one NATS server or a cluster of them."""

    def __init__(self, servers: Sequence[str], *, cluster: str, state: NotifierState) -> None:
        """`cluster`: what the nodes of one database have in common, and others that use these servers have not."""
        self._servers = [*servers]
        self._subject = f"campana.{cluster}"
        self._here = MemoryNotifier()
        self._unsent = Unsent(with_entries=True)
        self._client = Client()
        self._state = state
        self._down = False

    def notify(self, topics: Notification) -> None:
        self._here.notify(topics)
        self._unsent.add(topics)

    def subscribe(self, take: Callable[[Notification], None]) -> None:
        self._here.subscribe(take)

    async def run(self) -> None:
        try:
            await self._client.connect(
                self._servers,
                name=self._subject,
                no_echo=True,
                max_reconnect_attempts=-1,
                reconnect_time_wait=RECONNECT_S,
                ping_interval=PING_S,
                error_cb=self._failed,
                disconnected_cb=self._disconnected,
                reconnected_cb=self._connected,
            )
            await self._client.subscribe(f"{self._subject}.*", cb=self._hear)
            await self._client.flush()
            await self._connected()
            while True:
                await self._tell(await self._unsent.take())
        finally:
            await self._client.close()

    async def _tell(self, topics: Notification) -> None:
        if not self._client.is_connected:
            return  # with the connection comes the word to look after everything
        shards: dict[int, dict[str, Sequence[Entry]]] = {}
        for name, entries in topics.items():
            shards.setdefault(zlib.crc32(name.encode()) % SHARDS, {})[name] = entries
        for shard, told in (shards or {0: {}}).items():
            message = _encoder.encode(told)
            if len(message) > MESSAGE_BYTES_MAX:
                message = _encoder.encode(dict.fromkeys(told, ()))
            if len(message) > MESSAGE_BYTES_MAX:
                message = _encoder.encode(EVERYTHING)
            await self._client.publish(f"{self._subject}.{shard}", message)

    async def _hear(self, message: Msg) -> None:
        try:
            told = _decoder.decode(message.data)
        except msgspec.DecodeError:  # of a version that says it in another way: it says that there is something
            told = {}
        self._here.notify(told)

    async def _connected(self) -> None:
        self._down = False
        self._state.connected()
        log.info("notifier.connected", by="nats")
        # Nobody heard this node meanwhile, nor did it hear them.
        self._here.notify(EVERYTHING)
        self._unsent.lost()

    async def _disconnected(self) -> None:
        self._say_down("the connection was lost")

    async def _failed(self, error: Exception) -> None:
        """Servers that are not there, and messages that came too fast."""
        if self._client.is_connected:
            log.warning("notifier.failed", by="nats", error=repr(error))
            self._here.notify(EVERYTHING)
        else:
            self._say_down(repr(error))

    def _say_down(self, error: str) -> None:
        """Once for each time that it is away."""
        if not self._down and not self._client.is_closed:
            self._down = True
            self._state.disconnected()
            log.warning("notifier.disconnected", by="nats", error=error)
