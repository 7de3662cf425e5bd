"""The floor: what any server like this has to do for a durable send, and nothing else.

Campana's own front, signature check and decoding; one bare INSERT, committed together with those that wait; 201; one
frame, rendered before, to every socket. No channels, members, roles, idempotency, journal or order.
"""

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from bench import serving
from campana.api.base import Timestamp, encode_frame
from campana.api.messaging import (
    ChannelMessage,
    ChannelMessagePersistenceType,
    ChannelMessageStatus,
    ChannelMessageStatusStructure,
    ChannelMessageType,
    Identity,
    SendChannelMessageRequest,
    SendChannelMessageResponse,
)
from campana.auth import stored_keys
from campana.auth.caller import KeyRing, Known, root
from campana.auth.sealing import KEY_BYTES, Sealer
from campana.auth.session_token import SessionTokens
from campana.clock import Ids, SystemClock
from campana.frames import render
from campana.server import interpreter
from campana.server.authentication import Authentication
from campana.server.cors import Cors
from campana.server.front import Front
from campana.server.listener import HttpListener
from campana.server.websocket import Socket, Sockets, text_frame
from campana.settings import Settings
from campana.store.database import Tx
from campana.store.sqlite import SqliteDatabase
from campana.wire import codec, router
from campana.wire.http import HttpRequest, HttpResponse

T = TypeVar("T")

SENT = ChannelMessageStatusStructure(value=ChannelMessageStatus.SENT)


class Floor:
    """Answers sends."""

    def __init__(self, folder: Path, access_key_id: str, secret: str) -> None:
        settings = Settings()
        self.clock, self.ids = SystemClock(), Ids()
        account, unused = settings.account.account_id, bytes(KEY_BYTES)
        keys = KeyRing(
            account,
            [Known(root(access_key_id, account), secret)],
            roles={},
            sealer=Sealer(unused, stored_keys.PURPOSE, self.ids),
            tokens=SessionTokens(unused, self.ids),
            look_up=self._look_up,
        )
        self._authentication = Authentication(settings, keys, self.clock, over_tls=False)
        self.db = SqliteDatabase(folder / "floor.db")
        self.db.write_now(lambda tx: tx.run("CREATE TABLE messages (id TEXT PRIMARY KEY, channel TEXT, content TEXT)"))
        self._live: set[Socket] = set()
        self._frame = text_frame(typical_frame())
        self.sockets = Sockets(self._join)

    async def _look_up(self, work: Callable[[Tx], T], /) -> T:
        return self.db.read_now(work)

    async def _join(self, socket: Socket, request: HttpRequest) -> None:
        self._live.add(socket)
        socket.write(self._frame)
        socket.when_closed(lambda code: self._live.discard(socket))

    async def handle(self, request: HttpRequest, request_id: str) -> HttpResponse:
        """One send, on disk when it is answered."""
        route, labels, query = router.match(request.method, request.raw_path, request.raw_query)
        await self._authentication.caller(request)
        send = codec.decode(route, labels, query, request.headers, request.body)
        assert isinstance(send, SendChannelMessageRequest)
        message_id = self.ids.message(self.clock.now())
        await self.db.write(_insert, message_id, send.channel_arn, send.content)
        for socket in self._live:
            socket.write(self._frame)
        return codec.respond(
            route, SendChannelMessageResponse(channel_arn=send.channel_arn, message_id=message_id, status=SENT)
        )


def _insert(tx: Tx, message_id: str, channel_arn: str, content: str) -> None:
    tx.run(
        "INSERT INTO messages (id, channel, content) VALUES (:id, :channel, :content)",
        id=message_id,
        channel=channel_arn,
        content=content,
    )


def typical_frame() -> str:
    """The frame of a message as `world.message` sends them."""
    app = "arn:aws:chime:us-east-1:123456789012:app-instance/0d6e1b1e-2f9b-4a55-8f0e-6a3c1f0a7b10"
    message = ChannelMessage(
        channel_arn=f"{app}/channel/0d6e1b1e-2f9b-4a55-8f0e-6a3c1f0a7b10",
        message_id="0" * 64,
        content="x" * 300,
        metadata='{"client":"bench"}',
        type=ChannelMessageType.STANDARD,
        created_timestamp=Timestamp(0),
        last_updated_timestamp=Timestamp(0),
        sender=Identity(arn=f"{app}/user/user-0", name="User 0"),
        redacted=False,
        persistence=ChannelMessagePersistenceType.PERSISTENT,
        status=SENT,
    )
    return render("CREATE_CHANNEL_MESSAGE", "STANDARD", encode_frame(message))


def main(folder: Path) -> None:
    """Serve until SIGTERM."""
    floor = Floor(folder, os.environ["CAMPANA_ROOT_ACCESS_KEY_ID"], os.environ["CAMPANA_ROOT_SECRET_ACCESS_KEY"])

    async def start(ending: asyncio.Event) -> int:
        front = Front(floor.handle, ids=floor.ids, cors=Cors(("*",)), ready=lambda: True)
        http = HttpListener(front, floor.sockets, clock=floor.clock)
        await http.start()
        interpreter.tune()
        return http.port

    serving.run(start)
    floor.db.close_now()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
