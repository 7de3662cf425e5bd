"""A channel flow's processor that answers at once: 202, and a signed ChannelFlowCallback that changes nothing.

`POST /flow` is for events of the server. `POST /bare` takes the same events and calls nobody back. `POST /server` says
where callbacks go (the body is host:port), `POST /last` answers with the last event.
"""

import asyncio
import os

import httptools
import msgspec

from bench import serving
from bench.client import HttpConnection
from bench.signing import Key, Signer, label

ACCEPTED = b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n"


class Message(msgspec.Struct):
    message_id: str = msgspec.field(name="MessageId")
    channel_arn: str = msgspec.field(name="ChannelArn")


class Event(msgspec.Struct):
    callback_id: str = msgspec.field(name="CallbackId")
    message: Message = msgspec.field(name="ChannelMessage")


_events = msgspec.json.Decoder(Event)


class Callbacks:
    """Sends callbacks, one after another."""

    def __init__(self) -> None:
        self.last = b""
        self._authority = ""
        self._waiting: asyncio.Queue[Event] = asyncio.Queue(10_000)
        self._answers: asyncio.Queue[int] = asyncio.Queue(1)

    def to(self, authority: str) -> None:
        self._authority = authority

    def add(self, event: bytes) -> None:
        self.last = event
        self._waiting.put_nowait(_events.decode(event))

    async def run(self) -> None:
        """Until cancelled. A refused callback ends the process: the message would never be delivered."""
        key = Key(os.environ["CAMPANA_ROOT_ACCESS_KEY_ID"], os.environ["CAMPANA_ROOT_SECRET_ACCESS_KEY"])
        event = await self._waiting.get()
        connection = HttpConnection(lambda _, status, body: self._answers.put_nowait(status))
        host, _, port = self._authority.partition(":")
        await asyncio.get_running_loop().create_connection(lambda: connection, host, int(port))
        while True:
            body = msgspec.json.encode(
                {"CallbackId": event.callback_id, "ChannelMessage": {"MessageId": event.message.message_id}}
            )
            path = f"/channels/{label(event.message.channel_arn)}"
            signer = Signer(key, self._authority)
            connection.send(signer.request("POST", path, body, query="operation=channel-flow-callback"))
            if (status := await self._answers.get()) != 200:
                raise SystemExit(f"a callback was answered {status}")
            event = await self._waiting.get()


class Connection(asyncio.Protocol):
    """The HTTP side."""

    def __init__(self, callbacks: Callbacks) -> None:
        self._callbacks = callbacks
        self._parser = httptools.HttpRequestParser(self)
        self._path = self._body = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._path = self._body = b""

    def on_url(self, url: bytes) -> None:
        self._path += url

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        if self._path == b"/last":
            last = self._callbacks.last
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(last) + last)
            return
        self._transport.write(ACCEPTED)
        if self._path == b"/flow":
            self._callbacks.add(self._body)
        elif self._path == b"/server":
            self._callbacks.to(self._body.decode())


async def start(ending: asyncio.Event) -> int:
    callbacks = Callbacks()
    calling = asyncio.create_task(callbacks.run())
    calling.add_done_callback(lambda _: ending.set())
    return await serving.listen(lambda: Connection(callbacks))


if __name__ == "__main__":
    serving.run(start)
