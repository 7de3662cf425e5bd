"""Multi-user chat from the client's side (RFC 6120, XEP-0045): streams on loopback, without TLS, of anonymous users."""

import asyncio
from collections.abc import Callable, Sequence

from bench.client import ANSWER_TIMEOUT_S, Failed, connect
from bench.peers.load import EARS, Ear, Kind, Load, Room, content

HOST = "localhost"
SERVICE = f"rooms.{HOST}"
OPENING = (
    f"<stream:stream to='{HOST}' version='1.0' xmlns='jabber:client'"
    " xmlns:stream='http://etherx.jabber.org/streams'>".encode()
)
AUTH = b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>"
BIND = b"<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"


class Stream(asyncio.Protocol):
    """A user's connection."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.ear: Ear | None = None
        self.load: Load | None = None
        self._received = b""
        self._arrived = asyncio.Event()
        self._closing = False

    @classmethod
    async def opened(cls, port: int) -> "Stream":
        """With a resource, ready to send."""
        stream = cls()
        await connect(stream, port)
        await stream.exchange(b"<?xml version='1.0'?>" + OPENING, b"</stream:features>")
        await stream.exchange(AUTH, b"<success")
        await stream.exchange(OPENING, b"</stream:features>")
        await stream.exchange(BIND, b"</jid>")
        return stream

    async def enter(self, room: str, nick: str) -> None:
        """Become an occupant; a room that isn't there is made."""
        entering = f"<presence to='{room}@{SERVICE}/{nick}'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
        # The room's subject is the last thing that a new occupant gets.
        await self.exchange(entering.encode(), b"<subject")

    async def exchange(self, data: bytes, until: bytes) -> bytes:
        """Write; what has come when `until` has come. Raises `Failed`."""
        self._received = b""
        self.transport.write(data)
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                while until not in self._received and not self._closing:
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            pass
        if until not in self._received:
            raise Failed(f"No {until!r} came for {data[:200]!r} but {self._received[-1000:]!r}.")
        return self._received

    def close(self) -> None:
        """Cut the connection."""
        self._closing = True
        self.transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self.ear is not None:
            self.ear.take(data)
        elif self.load is not None:
            self.load.fail(Failed(f"A sender was answered {data[:500]!r}."))
        else:
            self._received += data
            self._arrived.set()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._closing and self.load is not None:
            self.load.fail(Failed("A stream was lost."))
        self._closing = True
        self._arrived.set()


class StreamLine:
    """One message under way on a stream."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def send(self, message: bytes) -> None:
        self._stream.transport.write(message)

    def close(self) -> None:
        """The stream stays."""
        self._stream.load = None


class MultiUserChat:
    """Rooms with two occupants each, who hear all that is said.

    With `senders` so many streams of other users are there too: the server lets them speak without entering. Without,
    the two occupants' streams carry all that is under way.
    """

    first_heard_is_accepted = True  # XEP-0045 has no other answer than the message itself
    rendered_per_second = 8_000

    def __init__(
        self, name: str, pid: int, port: int, kinds: Sequence[Kind], archived: Callable[[], int], *, senders: int
    ) -> None:
        self.name = name
        self.pid = pid
        self.archived = archived
        self.rooms = {kind: Room() for kind in kinds}
        self._port = port
        self._occupants: dict[Kind, list[Stream]] = {}
        self._senders: list[Stream] = []
        self._sender_count = senders

    async def open(self) -> None:
        """Rooms, their occupants, and the senders."""
        for kind, room in self.rooms.items():
            streams = [await Stream.opened(self._port) for _ in range(EARS)]
            for number, stream in enumerate(streams):
                await stream.enter(kind.name.lower(), f"ear-{number}")
            for stream in streams:
                stream.ear = Ear(room)
            self._occupants[kind] = streams
        self._senders = [await Stream.opened(self._port) for _ in range(self._sender_count)]

    def rendered(self, kind: Kind, numbers: Sequence[int]) -> list[bytes]:
        """Stanzas."""
        room = f"{kind.name.lower()}@{SERVICE}"
        return [
            f"<message to='{room}' type='groupchat' id='{number}'><body>{content(number)}</body></message>".encode()
            for number in numbers
        ]

    async def lines(self, kind: Kind, senders: int, load: Load) -> Sequence[StreamLine]:
        """A stream of its own for each, or the occupants' in turn."""
        streams = self._senders or self._occupants[kind]
        taken = [streams[number % len(streams)] for number in range(senders)]
        for stream in taken:
            stream.load = load
        return [StreamLine(stream) for stream in taken]

    async def close(self) -> None:
        """End all streams."""
        for stream in [*self._senders, *(each for streams in self._occupants.values() for each in streams)]:
            stream.close()
