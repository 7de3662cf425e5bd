"""What the tests of channel flows say often."""

import asyncio
import queue
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest
from botocore.exceptions import ClientError

from campana.flows import machine
from campana.store.sqlite import SqliteDatabase
from tests.harness import PATIENCE_S, App, Heard, Processor, RunningServer, Session, User, calls_back

FORBIDDEN = "You do not have sufficient access to perform this action."
CONFLICT = "There was a conflict processing the request. Try your request again."
TOO_LONG = "Channel Messages size limit exceeded"

_numbers = count(1)


def not_pending(event: dict[str, Any]) -> str:
    """What a callback is told that comes after the verdict."""
    return (
        "Unable to complete processing of non-pending message"
        f" for callback id: {event['CallbackId']}, message id: {event['ChannelMessage']['MessageId']}"
    )


@contextmanager
def refused(status: int, code: str, text: str | None = None) -> Iterator[None]:
    """What is done inside is answered with this error, word for word if `text` is given."""
    try:
        yield
    except ClientError as error:
        told = error.response
        assert (told["ResponseMetadata"]["HTTPStatusCode"], told["Error"]["Code"]) == (status, f"{code}Exception"), told
        assert told["Error"]["Message"]
        assert text is None or told["Error"]["Message"] == text
    else:
        raise AssertionError(f"not refused with {status} {code}")


@dataclass(frozen=True)
class Lobby:
    """A channel with a flow. Ann made it and so moderates it; bob and cid are members; root is the admin."""

    app: App
    flow: str
    channel: str
    root: User
    ann: User
    bob: User
    cid: User

    @classmethod
    def of(cls, app: App, *processors: str | tuple[str, str]) -> "Lobby":
        """With a flow of these processors: a ResourceArn, or one with its fallback action."""
        root = app.admin("root")
        ann, bob, cid = app.users("ann", "bob", "cid")
        flow = app.flow(*processors)
        channel = ann.makes_channel(members=[bob, cid], flow=flow)
        return cls(app, flow, channel, root, ann, bob, cid)

    @property
    def server(self) -> RunningServer:
        return self.app.server

    def sends(self, content: str = "hello", **more: Any) -> str:
        """Bob sends a message; its id."""
        return self.bob.sends(self.channel, content, **more)

    def hands(self, processor: Processor, act: Callable[[], Any]) -> dict[str, Any]:
        """The event that the processor gets when bob acts, once it is on disk that it has it."""
        with Writes(self.server) as writes:
            act()
            event = processor.takes()
            writes.until_taken()
        return event

    def sent(self, processor: Processor, content: str = "hello", **more: Any) -> str:
        """A message of bob's that the processor let pass; its id."""
        message_id = self.sends(content, **more)
        calls_back(self.app, processor.takes())
        return message_id

    def edits(self, message_id: str, content: str = "edited", **more: Any) -> Any:
        """Bob proposes another content."""
        return self.bob.update_channel_message(ChannelArn=self.channel, MessageId=message_id, Content=content, **more)

    def gets(self, message_id: str, by: User | None = None) -> dict[str, Any]:
        """The message as bob, or somebody else, sees it."""
        reader = by or self.bob
        return reader.get_channel_message(ChannelArn=self.channel, MessageId=message_id)["ChannelMessage"]

    def status(self, message_id: str) -> dict[str, str]:
        """What bob is told of his message."""
        return self.bob.get_channel_message_status(ChannelArn=self.channel, MessageId=message_id)["Status"]

    def lists(self, by: User | None = None) -> list[tuple[str, str]]:
        """Contents and statuses of the channel's messages as bob, or somebody else, sees them; newest first."""
        return [(each["Content"], each["Status"]["Value"]) for each in (by or self.bob).reads(self.channel)]

    def heard(self, session: Session) -> list[Heard]:
        """All that a session of this channel has been sent since it was last asked."""
        end = f"end {next(_numbers)}"
        self.ann.sends(self.channel, end, Type="CONTROL", Persistence="NON_PERSISTENT")
        events = session.until("CREATE_CHANNEL_MESSAGE", Content=end)
        return [each for each in events if not str(each.payload.get("Content", "")).startswith("end ")]


def told(events: list[Heard]) -> list[tuple[str, str, str]]:
    """Type, content and status of each event about a message."""
    return [(each.type, each.payload["Content"], each.payload["Status"]["Value"]) for each in events]


class Writes:
    """The writing transactions of a server: `ended` gets (operation or function, arguments) when one has ended.

    What earlier messages' invocations have to write is written before.
    """

    def __init__(self, server: RunningServer) -> None:
        self._server = server
        self.ended: queue.Queue[tuple[str, tuple[Any, ...]]] = queue.Queue()
        self.queued: queue.Queue[str] = queue.Queue()
        self._database = server.server._db
        self._patch = pytest.MonkeyPatch()

    def __enter__(self) -> "Writes":
        self._server.run(self._earlier_ones())
        self._watch("write", lambda *arguments: arguments)
        if not isinstance(self._database, SqliteDatabase):  # there `write` does it
            self._watch("write_in_turn", lambda resource, *arguments: arguments)
        self._watch("write_together", lambda resource, ahead, *arguments: arguments)
        return self

    async def _earlier_ones(self) -> None:
        runner = self._server.server._runner
        assert runner is not None
        if runner._tasks:
            await asyncio.wait(runner._tasks)

    def __exit__(self, *exception: object) -> None:
        self._patch.undo()

    def _watch(self, method: str, work_and_arguments: Callable[..., tuple[Any, ...]]) -> None:
        write = getattr(self._database, method)

        async def watched(*given: Any, **named: Any) -> Any:
            work, *arguments = work_and_arguments(*given)
            return await self._watched(lambda: write(*given, **named), work, *arguments)

        self._patch.setattr(self._database, method, watched)

    async def _watched(self, write: Callable[[], Awaitable[Any]], work: Callable[..., Any], *arguments: Any) -> Any:
        # An operation's name, or that of a worker's function.
        names = (getattr(each, "name", None) or getattr(each, "__name__", None) for each in arguments[:2])
        what = next(filter(None, names), "")
        self.queued.put(what)
        try:
            return await write()
        finally:
            self.ended.put((what, arguments))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Transactions run, but none is committed."""
        released = threading.Event()
        with pytest.MonkeyPatch.context() as patch:
            if isinstance(self._database, SqliteDatabase):
                self._database._committer.submit(released.wait)
            else:
                from campana.store.postgres_tx import PostgresTx

                commit = PostgresTx._commit
                patch.setattr(PostgresTx, "_commit", lambda tx: (released.wait(), commit(tx)))
            try:
                yield
            finally:
                released.set()

    def until_ended(self, what: str, wanted: Callable[[tuple[Any, ...]], bool] = lambda arguments: True) -> None:
        """Wait for the end of one whose arguments are wanted."""
        while True:
            name, arguments = self.ended.get(timeout=PATIENCE_S)
            if name == what and wanted(arguments):
                return

    def until_taken(self) -> None:
        """Wait until it is on disk that a processor has an event: from then on its 48 hours count."""
        self.until_ended("report", lambda arguments: isinstance(arguments[-1], machine.InvocationAccepted))

    def until_queued(self, what: str, number: int) -> None:
        """Wait until so many have come as far as the queue."""
        while number:
            number -= self.queued.get(timeout=PATIENCE_S) == what
