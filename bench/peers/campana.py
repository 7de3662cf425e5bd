"""Campana in the comparison: senders that call SendChannelMessage, two live sessions for each channel."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import cycle
from pathlib import Path

import msgspec

from bench import flow, servers, world
from bench.client import Api, Audience, Listener, connect
from bench.peers.load import EARS, Ear, HttpLine, Kind, Load, Room, content
from bench.peers.programs import Postgres
from bench.servers import Process
from bench.signing import Key, label
from bench.world import Channel

CREATED = 201
SENDERS = 32
COUNT = "SELECT count(*) FROM messages"
ARNS = {
    Kind.HTTP: servers.FUNCTION_ARN,
    Kind.IN_PROCESS: "arn:aws:lambda:us-east-1:123456789012:function:in-process",
}


class LiveSession(Listener):
    """Looks for the messages' numbers, and does what a WebSocket client has to."""

    __slots__ = ("_ear",)

    def __init__(self, audience: Audience, handshake: bytes, room: Room) -> None:
        super().__init__(audience, handshake)
        self._ear = Ear(room)

    def data_received(self, data: bytes) -> None:
        self._ear.take(data)
        super().data_received(data)


class Campana:
    """A server with its two live users, who don't send, and its senders, who have no live session."""

    first_heard_is_accepted = False
    rendered_per_second = 4_000

    def __init__(self, name: str, server: Process, processor: Process, archived: Callable[[], int]) -> None:
        self.name = name
        self.pid = server.pid
        self.archived = archived
        self.rooms: dict[Kind, Room] = {}
        self._server = server
        self._processor = processor
        self._channels: dict[Kind, Channel] = {}
        self._audience = Audience()

    async def open(self) -> None:
        """Users, channels, flows and live sessions."""
        server = self._server
        await flow.call_back(self._processor, server)
        api = await Api.connect(server.port, server.signer())
        plain = await world.channel(api, EARS + SENDERS)
        app_arn = plain.arn.partition("/channel/")[0]
        for kind in Kind:
            channel = plain
            if kind is not Kind.PLAIN:
                channel = await world.another_channel(api, app_arn, plain.members)
                await flow.associate(api, channel, function_arn=ARNS[kind])
            self._channels[kind] = Channel(channel.arn, channel.members[EARS:])
        # One live session hears all channels of its user, so one pair does for all kinds.
        room = Room()
        listening = Channel(plain.arn, plain.members[:EARS])
        for handshake in world.handshakes(server, listening, EARS):
            session = LiveSession(self._audience, handshake, room)
            await connect(session, server.port)
            self._audience.listeners.append(session)
        await self._audience.heard(1)
        self.rooms = dict.fromkeys(Kind, room)
        api.close()

    def rendered(self, kind: Kind, numbers: Sequence[int]) -> list[bytes]:
        """Signed requests of the senders in turn."""
        channel, signer = self._channels[kind], self._server.signer()
        path = f"/channels/{label(channel.arn)}/messages"
        senders = cycle(channel.members)
        return [
            signer.request(
                "POST",
                path,
                msgspec.json.encode(
                    {
                        "Content": content(number),
                        "Type": "STANDARD",
                        "Persistence": "PERSISTENT",
                        "ClientRequestToken": world.token(),
                    }
                ),
                bearer=next(senders),
            )
            for number in numbers
        ]

    async def lines(self, kind: Kind, senders: int, load: Load) -> Sequence[HttpLine]:
        """Connections."""
        return [await HttpLine.connected(self._server.port, load, CREATED) for _ in range(senders)]

    async def close(self) -> None:
        """End the live sessions."""
        await self._audience.close()


@contextmanager
def on_sqlite(folder: Path, key: Key) -> Iterator[Campana]:
    """`campana serve` as it comes."""

    def archived() -> int:
        with closing(sqlite3.connect(f"file:{folder / 'campana.db'}?mode=ro", uri=True)) as file:
            return int(file.execute(COUNT).fetchone()[0])

    with _running("Campana on SQLite", folder, key, None, archived) as contender:
        yield contender


@contextmanager
def on_postgres(folder: Path, key: Key, postgres: Postgres) -> Iterator[Campana]:
    """`campana serve` with a database of the same server that the peers have theirs on."""
    database = postgres.created("campana")
    with _running(
        "Campana on PostgreSQL", folder, key, postgres.url(database), lambda: int(postgres.sql(database, "-c", COUNT))
    ) as contender:
        yield contender


@contextmanager
def _running(
    name: str, folder: Path, key: Key, database_url: str | None, archived: Callable[[], int]
) -> Iterator[Campana]:
    with servers.own("processor", folder.with_name(f"{folder.name}-processor"), key, core=1) as processor:
        options = ["--processor", f"{ARNS[Kind.IN_PROCESS]}=python:bench.peers.words:check"]
        if database_url is not None:
            options += ["--database-url", database_url]
        with servers.campana(folder, key, processor=processor, options=options) as server:
            yield Campana(name, server, processor, archived)
