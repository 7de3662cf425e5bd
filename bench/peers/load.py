"""The same load for every server: messages with numbers in them, live sessions that look for the numbers.

No protocol is parsed further than that: a number is found in the bytes, whatever is around it.
"""

import asyncio
import gc
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import count
from time import perf_counter
from typing import Protocol

from bench.client import ANSWER_TIMEOUT_S, Failed, HttpConnection, connect
from bench.results import percentile

EARS = 2
"""Live sessions in a room."""
CONTENT_LENGTH = 300
_MARK = re.compile(rb"#(\d{8})#")
_MARK_LENGTH = 10
_numbers = count(10_000_000)


class Kind(StrEnum):
    """What a message goes through on its way."""

    PLAIN = "without a flow"
    HTTP = "HTTP processor"
    IN_PROCESS = "in-process processor"


class Line(Protocol):
    """Something that carries one message after another to a server. A sender has one."""

    def send(self, message: bytes, /) -> None:
        """Write a whole request or stanza."""

    def close(self) -> None:
        """Let go of what was opened for this round."""


@dataclass(frozen=True, slots=True)
class Round:
    """What a server did in one round; times in milliseconds."""

    per_second: float
    """Messages that all live sessions have got."""
    p50: float
    """From the send to the last live session."""
    p99: float
    accepted_p50: float
    """From the send to the acceptance: an answer of success, or a first live session that hears it."""


@dataclass(slots=True)
class UnderWay:
    """A message that was sent."""

    line: Line
    sent_at: float
    ears_left: int
    accepted: bool = False


class Room:
    """The live sessions that hear one channel."""

    def __init__(self) -> None:
        self.ears: list[Ear] = []
        self.load: Load | None = None

    def heard(self, number: int) -> None:
        """By one of them."""
        if self.load is None:
            raise Failed(f"Message {number} was heard after everybody had heard everything.")
        self.load.heard(number)


class Ear:
    """A live session's bytes."""

    def __init__(self, room: Room) -> None:
        self.numbers: list[int] = []
        self._room = room
        self._rest = b""
        room.ears.append(self)

    def take(self, data: bytes) -> None:
        """The next bytes."""
        if self._rest:
            data = self._rest + data
        end = 0
        for found in _MARK.finditer(data):
            end = found.end()
            number = int(found[1])
            self.numbers.append(number)
            self._room.heard(number)
        self._rest = data[max(end, len(data) - _MARK_LENGTH + 1) :]


class HttpLine:
    """A connection of its own."""

    def __init__(self, load: "Load", success: int) -> None:
        self._load = load
        self._success = success
        self._connection = HttpConnection(self._on_answer)
        self._closing = False

    @classmethod
    async def connected(cls, port: int, load: "Load", success: int) -> "HttpLine":
        """To a server that answers `success` if it takes a message."""
        line = cls(load, success)
        await connect(line._connection, port)
        return line

    def send(self, message: bytes) -> None:
        self._connection.send(message)

    def close(self) -> None:
        self._closing = True
        self._connection.transport.abort()

    def _on_answer(self, connection: HttpConnection, status: int, body: bytes) -> None:
        if status == self._success:
            self._load.accepted(self)
        elif not self._closing:
            self._load.fail(Failed(f"A send was answered {status}: {body[:300].decode(errors='replace')}"))


class Contender(Protocol):
    """A server with a room for each kind that it has, and two live sessions in each."""

    @property
    def name(self) -> str:
        """With its version, if it is a peer."""

    @property
    def pid(self) -> int:
        """Of its process; its database is another."""

    @property
    def rooms(self) -> Mapping[Kind, Room]:
        """One for each kind that it is measured with."""

    @property
    def first_heard_is_accepted(self) -> bool:
        """Whether it has no answer of its own to a message that says it is taken."""

    @property
    def rendered_per_second(self) -> int:
        """So many messages are made ready for a second of a round: more than the server can take."""

    async def open(self) -> None:
        """Make users, rooms and live sessions."""

    async def close(self) -> None:
        """End the live sessions."""

    def archived(self) -> int | None:
        """The messages in its database, all rooms together; None if it has none."""

    def rendered(self, kind: Kind, numbers: Sequence[int]) -> list[bytes]:
        """A request or stanza for each number."""

    async def lines(self, kind: Kind, senders: int, load: "Load") -> Sequence[Line]:
        """One for each sender."""


class Load:
    """One round: senders that each send the next message when the last one is through.

    Through is accepted, or with `until_heard` accepted and heard by all live sessions.
    """

    def __init__(self, contender: Contender, kind: Kind, *, until_heard: bool) -> None:
        self._contender = contender
        self._kind = kind
        self._room = contender.rooms[kind]
        self._until_heard = until_heard
        self.sent = 0
        self._messages: list[tuple[int, bytes]] = []
        self._sent: list[int] = []
        self._under_way: dict[int, UnderWay] = {}
        self._of_line: dict[Line, int] = {}
        self._delivered: list[float] = []
        self._accepted: list[float] = []
        self._from = self._until = self._delivered_last = 0.0
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self, senders: int, warm_seconds: float, seconds: float) -> Round:
        """Raises `Failed` unless each live session has heard each message that was sent, once."""
        number = senders + int((warm_seconds + seconds) * self._contender.rendered_per_second)
        numbers = [next(_numbers) for _ in range(number)]
        rendered = self._contender.rendered(self._kind, numbers)
        self._messages = list(zip(numbers, rendered, strict=True))[::-1]
        self._room.load = self
        for ear in self._room.ears:
            ear.numbers.clear()
        lines = await self._contender.lines(self._kind, senders, self)
        gc.collect()
        gc.disable()
        try:
            self._from = perf_counter() + warm_seconds
            self._until = self._from + seconds
            for line in lines:
                self._send(line)
            async with asyncio.timeout(warm_seconds + seconds + ANSWER_TIMEOUT_S):
                await self._done
        except TimeoutError:
            missing = len(self._under_way)
            raise Failed(f"{self._contender.name}, {self._kind}: {missing} messages did not get through.") from None
        finally:
            gc.enable()
            self._room.load = None
            for line in lines:
                line.close()
        for ear in self._room.ears:
            if sorted(ear.numbers) != self._sent:
                raise Failed(f"{self._contender.name}: a live session has not heard exactly what was sent.")
        self.sent = len(self._sent)
        return Round(
            per_second=len(self._delivered) / (max(self._until, self._delivered_last) - self._from),
            p50=percentile(self._delivered, 0.5) * 1000,
            p99=percentile(self._delivered, 0.99) * 1000,
            accepted_p50=percentile(self._accepted or self._delivered, 0.5) * 1000,
        )

    def accepted(self, line: Line) -> None:
        """What `line` has sent is taken by the server."""
        number = self._of_line[line]
        message = self._under_way[number]
        message.accepted = True
        now = perf_counter()
        if self._from <= now < self._until:
            self._accepted.append(now - message.sent_at)
        self._look(number, message)

    def heard(self, number: int) -> None:
        """By one live session."""
        message = self._under_way.get(number)
        if message is None or message.ears_left == 0:
            self.fail(Failed(f"{self._contender.name}: message {number} was heard too often."))
            return
        message.ears_left -= 1
        if message.ears_left == 0:
            now = perf_counter()
            # What stands still for a whole round has the time until it goes on for its rate.
            if self._from <= now < self._until or (now >= self._until and not self._delivered):
                self._delivered.append(now - message.sent_at)
                self._delivered_last = now
        if self._contender.first_heard_is_accepted and not message.accepted:
            self.accepted(message.line)
        elif message.ears_left == 0:
            self._look(number, message)

    def fail(self, failure: Failed) -> None:
        """The round is worth nothing."""
        if not self._done.done():
            self._done.set_exception(failure)

    def _look(self, number: int, message: UnderWay) -> None:
        """At a message that has just been accepted, or heard by the last one."""
        heard = message.ears_left == 0
        if heard and message.accepted:
            del self._under_way[number]
        if message.accepted and (heard or not self._until_heard) and self._of_line[message.line] == number:
            self._send(message.line)
        if not self._under_way and not self._done.done() and perf_counter() >= self._until:
            self._done.set_result(None)

    def _send(self, line: Line) -> None:
        now = perf_counter()
        if now >= self._until or not self._messages:
            self._until = min(now, self._until)
            return
        number, message = self._messages.pop()
        self._sent.append(number)
        self._of_line[line] = number
        self._under_way[number] = UnderWay(line, now, EARS)
        line.send(message)


def content(number: int) -> str:
    """Of a message: 300 characters."""
    return f"{'x' * (CONTENT_LENGTH - _MARK_LENGTH)}#{number:08}#"
