"""NATS: how many nodes tell one another, without a word to the database.

One subject for each shard of topics, and each message has the entries with it, so that a node that hears it need not
read the journal; they are a hint like those of the node's own, and go where they would be too long.
"""

import asyncio
import zlib
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from nats import errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.transport import TcpTransport

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
ANSWER_S: Final = 5
"""How long the server may take to answer a ping."""
LET_GO_S: Final = 1

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
        self._state = state
        self._up = self._said_down = False

    def notify(self, topics: Notification) -> None:
        self._here.notify(topics)
        self._unsent.add(topics)

    def subscribe(self, take: Callable[[Notification], None]) -> None:
        self._here.subscribe(take)

    async def run(self) -> None:
        # One client for each connection. nats-py's own way to connect anew first waits until what was written is taken,
        # by a server that hangs: never.
        while True:
            client = Client()
            lost = asyncio.Event()
            try:
                await self._connect(client, lost)
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._tell_on(client))
                    tasks.create_task(_watch(client, lost))
            except* (errors.Error, OSError, TimeoutError) as failures:
                self._say_down(repr(failures.exceptions[0]))
            finally:
                await _let_go(client)
            await asyncio.sleep(RECONNECT_S)

    async def _connect(self, client: Client, lost: asyncio.Event) -> None:
        """To any server that takes it, however long that takes; sets `lost` when that is over."""

        async def ended() -> None:
            lost.set()

        await client.connect(
            self._servers,
            name=self._subject,
            no_echo=True,
            allow_reconnect=False,
            reconnect_time_wait=RECONNECT_S,
            error_cb=self._failed,
            closed_cb=ended,
        )
        await client.subscribe(f"{self._subject}.*", cb=self._hear)
        await client.flush(ANSWER_S)
        self._up, self._said_down = True, False
        self._state.connected()
        log.info("notifier.connected", by="nats")
        # Nobody heard this node meanwhile, nor did it hear them.
        self._here.notify(EVERYTHING)
        self._unsent.lost()

    async def _tell_on(self, client: Client) -> None:
        while True:
            await self._tell(client, await self._unsent.take())

    async def _tell(self, client: Client, topics: Notification) -> None:
        """What is not told, as the connection is lost, is made good by the word to look after everything."""
        shards: dict[int, dict[str, Sequence[Entry]]] = {}
        for name, entries in topics.items():
            shards.setdefault(zlib.crc32(name.encode()) % SHARDS, {})[name] = entries
        for shard, told in (shards or {0: {}}).items():
            message = _encoder.encode(told)
            if len(message) > MESSAGE_BYTES_MAX:
                message = _encoder.encode(dict.fromkeys(told, ()))
            if len(message) > MESSAGE_BYTES_MAX:
                message = _encoder.encode(EVERYTHING)
            await client.publish(f"{self._subject}.{shard}", message)
            _heed_cancellation()

    async def _hear(self, message: Msg) -> None:
        try:
            told = _decoder.decode(message.data)
        except msgspec.DecodeError:  # of a version that says it in another way: it says that there is something
            told = {}
        self._here.notify(told)

    async def _failed(self, error: Exception) -> None:
        """Servers that are not there, and messages that came too fast."""
        if self._up:
            log.warning("notifier.failed", by="nats", error=repr(error))
            self._here.notify(EVERYTHING)
        else:
            self._say_down(repr(error))

    def _say_down(self, error: str) -> None:
        """Once for each time that it is away."""
        self._up = False
        if not self._said_down:
            self._said_down = True
            self._state.disconnected()
            log.warning("notifier.disconnected", by="nats", error=error)


def _heed_cancellation() -> None:
    """nats-py passes it over while it waits for room to write."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def _watch(client: Client, lost: asyncio.Event) -> None:
    """Raises when the connection is lost, or the server does not answer."""
    while not await _happens(lost, PING_S):
        async with asyncio.timeout(ANSWER_S):
            await client.flush(ANSWER_S)
    raise ConnectionResetError("the connection was lost")


async def _happens(event: asyncio.Event, within_s: float) -> bool:
    try:
        async with asyncio.timeout(within_s):
            return await event.wait()
    except TimeoutError:
        return False


async def _let_go(client: Client) -> None:
    """End the connection, if need be without the server."""
    transport = client._transport  # nats-py ends nothing that waits to be written
    try:
        async with asyncio.timeout(LET_GO_S):
            await client.close()
    except (errors.Error, OSError, TimeoutError, AssertionError):  # the last: it never came to connect
        pass
    finally:
        if isinstance(transport, TcpTransport) and transport._io_writer is not None:
            transport._io_writer.transport.abort()
