"""A channel flow's processor that answers at once: 202, and a signed ChannelFlowCallback that lets the message pass.

`POST /flow` is for events of the server. `POST /hook` is for servers that wait for the verdict: it is in the answer.
`POST /bare` takes the same events and calls nobody back. `POST /server` says where callbacks go (the body is
host:port), `POST /last` answers with the last event.
"""

import asyncio
import os
import sys
from collections import deque

import httptools
import msgspec

from bench import serving
from bench.client import HttpConnection
from bench.peers.words import denied
from bench.signing import Key, Signer, label

CONNECTIONS = 64
"""For callbacks."""
ACCEPTED = b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n"


class Message(msgspec.Struct):
    message_id: str = msgspec.field(name="MessageId")
    channel_arn: str = msgspec.field(name="ChannelArn")
    content: str = msgspec.field(name="Content", default="")


class Event(msgspec.Struct):
    callback_id: str = msgspec.field(name="CallbackId")
    message: Message = msgspec.field(name="ChannelMessage")


_events = msgspec.json.Decoder(Event)


class Callbacks:
    """Sends callbacks: one under way on each connection, the connection that was free last first."""

    def __init__(self, ending: asyncio.Event) -> None:
        self._ending = ending
        self._key = Key(os.environ["CAMPANA_ROOT_ACCESS_KEY_ID"], os.environ["CAMPANA_ROOT_SECRET_ACCESS_KEY"])
        self._authority = ""
        self._waiting: deque[Event] = deque()
        self._free: list[HttpConnection] = []
        self._opening: set[asyncio.Task[None]] = set()
        self._opened = 0

    def to(self, authority: str) -> None:
        """Where callbacks go from now on: host:port."""
        self._authority = authority
        self._free.clear()
        self._opened = 0

    def add(self, event: Event) -> None:
        """Call back about it."""
        if self._free:
            self._send(self._free.pop(), event)
            return
        self._waiting.append(event)
        if self._opened < CONNECTIONS:
            self._opened += 1
            task = asyncio.create_task(self._open())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open(self) -> None:
        connection = HttpConnection(self._on_answer)
        host, _, port = self._authority.partition(":")
        await asyncio.get_running_loop().create_connection(lambda: connection, host, int(port))
        self._go_on(connection)

    def _go_on(self, connection: HttpConnection) -> None:
        if self._waiting:
            self._send(connection, self._waiting.popleft())
        else:
            self._free.append(connection)

    def _send(self, connection: HttpConnection, event: Event) -> None:
        callback = {
            "CallbackId": event.callback_id,
            "ChannelMessage": {"MessageId": event.message.message_id},
            "DeleteResource": denied(event.message.content),
        }
        signer = Signer(self._key, self._authority)
        path = f"/channels/{label(event.message.channel_arn)}"
        connection.send(
            signer.request("POST", path, msgspec.json.encode(callback), query="operation=channel-flow-callback")
        )

    def _on_answer(self, connection: HttpConnection, status: int, body: bytes) -> None:
        if status == 200:
            self._go_on(connection)
        elif status != 0:  # the message would never be delivered
            print(f"a callback was answered {status}: {body.decode(errors='replace')}", file=sys.stderr)
            self._ending.set()


class Recent:
    """The last event."""

    event = b""


class Connection(asyncio.Protocol):
    """The HTTP side."""

    def __init__(self, callbacks: Callbacks, recent: Recent) -> None:
        self._callbacks = callbacks
        self._recent = recent
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
        match self._path:
            case b"/flow":
                self._transport.write(ACCEPTED)
                self._recent.event = self._body
                self._callbacks.add(_events.decode(self._body))
            case b"/hook":
                verdict = b"deny" if denied(_events.decode(self._body).message.content) else b"pass"
                self._transport.write(_ok(verdict))
            case b"/last":
                self._transport.write(_ok(self._recent.event))
            case b"/server":
                self._callbacks.to(self._body.decode())
                self._transport.write(ACCEPTED)
            case _:
                self._transport.write(ACCEPTED)


def _ok(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body


async def start(ending: asyncio.Event) -> int:
    callbacks, recent = Callbacks(ending), Recent()
    return await serving.listen(lambda: Connection(callbacks, recent))


if __name__ == "__main__":
    serving.run(start)
