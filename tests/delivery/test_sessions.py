"""Sessions on the real store: from commit to socket, and every way a session ends."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence, Set
from pathlib import Path
from typing import Any

import pytest

from campana.delivery.hub import Hub
from campana.delivery.journal_reader import JournalReader
from campana.delivery.notifier.memory import MemoryNotifier
from campana.delivery.session import Admitted, Refusal, Session, Sessions
from campana.errors import ServiceUnavailable
from campana.frames import SESSION_ESTABLISHED
from campana.operations.channel_details import Order
from campana.store import app_instances, channels, identities, memberships, migrate, topics
from campana.store.database import Database, Tx
from campana.store.topics import Entry
from tests import stores

APP = "arn:aws:chime:us-east-1:123456789012:app-instance/demo"
ANN, BOB = f"{APP}/user/ann", f"{APP}/user/bob"
LOBBY = f"{APP}/channel/lobby"
TOPIC = topics.of_channel(LOBBY)
NOW = 1_772_600_767_089


def framed(text: str) -> bytes:
    """What stands for a WebSocket frame here: frames that are written together can be told apart."""
    return text.encode() + b"\n"


class Clock:
    """Stands still; whoever sleeps is in `sleeping` until the test wakes it."""

    def __init__(self) -> None:
        self.time = NOW
        self.sleeping: asyncio.Queue[asyncio.Event] = asyncio.Queue()

    def now(self) -> int:
        return self.time

    async def sleep(self, seconds: float) -> None:
        over = asyncio.Event()
        self.sleeping.put_nowait(over)
        await over.wait()


class Socket:
    """What a client would see: frames, then a close code."""

    def __init__(self) -> None:
        self.frames: list[str] = []
        self.code: int | None = None
        self.changed = asyncio.Event()

    def write(self, frames: bytes, number: int) -> None:
        assert self.code is None
        texts = frames.decode().split("\n")[:-1]  # frames of this test end in one
        assert len(texts) == number
        self.frames += texts
        self.changed.set()

    def close(self, code: int, reason: str = "") -> None:
        assert self.code is None
        self.code = code
        self.changed.set()

    @property
    def heard(self) -> list[str]:
        """The frames after SESSION_ESTABLISHED."""
        assert self.frames[:1] == [SESSION_ESTABLISHED]
        return self.frames[1:]


class World:
    """A node: store, notifier, reader, sessions. Requests are what the judge answers."""

    def __init__(self, db: Database, **options: Any) -> None:
        self.db = db
        self.clock = Clock()
        self.hub = Hub()
        self.notifier = MemoryNotifier()
        self.reader = JournalReader(db, self.notifier, self.hub, self.clock, framed)
        self.sessions = Sessions[Admitted | Refusal](db, self.reader, self.clock, framed, self.judge, **options)
        self.notifying = True
        self.asleep: asyncio.Event | None = None
        db.listen(self.notify)

    async def judge(self, request: Admitted | Refusal) -> Admitted | Refusal:
        return request

    def notify(self, notices: Sequence[object]) -> None:
        notification: dict[str, list[Entry]] = {}
        for entry in notices:
            assert isinstance(entry, Entry)
            notification.setdefault(entry.topic, []).append(entry)
        if self.notifying:
            self.notifier.notify(notification)

    async def connect(self, user: str, session_id: str = "1", **options: Any) -> Socket:
        socket = Socket()
        await self.sessions.open(socket, Admitted(user, session_id, **options))
        return socket

    async def reviewed(self) -> None:
        """One more round of `sessions.watch` is over: it sleeps again."""
        if self.asleep is None:
            self.asleep = await self.clock.sleeping.get()
        self.asleep.set()
        self.asleep = await self.clock.sleeping.get()

    async def append(self, *entries: Entry) -> None:
        await self.db.write(topics.append, entries, NOW)

    async def join(self, user: str) -> None:
        def work(tx: Tx) -> None:
            memberships.insert(tx, memberships.Membership(LOBBY, user, "", "DEFAULT", ANN, NOW, NOW, None))
            joined = Entry(topic=TOPIC, frame=f"{user} joins", joins=(user,))
            topics.append(tx, [joined, Entry(topic=topics.of_user(user), follow=TOPIC)], NOW)

        await self.db.write(work)

    async def leave(self, user: str) -> None:
        def work(tx: Tx) -> None:
            memberships.delete(tx, LOBBY, user)
            topics.append(tx, [Entry(topic=TOPIC, frame=f"{user} leaves", leaves=(user,))], NOW)

        await self.db.write(work)

    async def say(self, text: str, only: tuple[str, ...] | None = None) -> None:
        await self.append(Entry(topic=TOPIC, frame=text, only=only))


def story(tell: Callable[[World], Awaitable[None]], folder: Path, **options: Any) -> None:
    """Run it in a world where Ann is a member of the lobby and Bob is not."""

    def start(tx: Tx) -> None:
        migrate.apply(tx, NOW)
        app_instances.insert(tx, app_instances.AppInstance(APP, "123456789012", "demo", None, NOW, NOW))
        for user in (ANN, BOB):
            identities.insert(tx, identities.Identity(user, APP, "user", None, None, NOW, NOW, None))
        channels.insert(
            tx,
            channels.Channel(LOBBY, APP, "Lobby", "UNRESTRICTED", "PRIVATE", None, ANN, NOW, NOW, None, None),
        )

    async def run() -> None:
        db = stores.opened(folder)
        try:
            await db.write(start)
            world = World(db, **options)
            await world.join(ANN)
            await tell(world)
        finally:
            await db.close()

    asyncio.run(run())


def test_a_committed_entry_is_on_the_socket_before_the_caller_goes_on(tmp_path: Path) -> None:
    async def tell(world: World) -> None:
        ann = await world.connect(ANN)
        await world.say("hello")
        await world.say("for bob", only=(BOB,))
        await world.say("for ann", only=(BOB, ANN))
        assert ann.heard == ["hello", "for ann"]

    story(tell, tmp_path)


def test_a_member_hears_from_joining_to_leaving(tmp_path: Path) -> None:
    async def tell(world: World) -> None:
        ann, bob = await world.connect(ANN), await world.connect(BOB)
        await world.say("early")
        await world.join(BOB)
        await world.say("hello")
        await world.leave(BOB)
        await world.say("late")
        assert bob.heard == [f"{BOB} joins", "hello", f"{BOB} leaves"]
        assert ann.heard == ["early", *bob.heard, "late"]

    story(tell, tmp_path)


def test_the_first_member_of_a_channel_nobody_here_followed(tmp_path: Path) -> None:
    async def tell(world: World) -> None:
        bob = await world.connect(BOB)
        await world.join(BOB)
        await world.say("hello")
        await world.reader.settle()
        assert bob.heard == [f"{BOB} joins", "hello"]

    story(tell, tmp_path)


def test_nothing_is_replayed_to_a_new_session(tmp_path: Path) -> None:
    async def tell(world: World) -> None:
        await world.say("before")
        ann = await world.connect(ANN)
        await world.reader.settle()
        assert ann.heard == []

    story(tell, tmp_path)


def test_a_lost_notification_is_made_up_for_by_the_poll(tmp_path: Path) -> None:
    async def tell(world: World) -> None:
        ann = await world.connect(ANN)
        running = asyncio.create_task(world.reader.run())
        world.notifying = False
        await world.say("one")
        await world.say("two")
        (await world.clock.sleeping.get()).set()
        while len(ann.heard) < 2:
            ann.changed.clear()
            await ann.changed.wait()
        running.cancel()
        assert ann.heard == ["one", "two"]

    story(tell, tmp_path)


def test_more_than_one_read_takes_in(tmp_path: Path) -> None:
    async def tell(world: World) -> None:
        ann = await world.connect(ANN)
        world.notifying = False
        await world.append(*(Entry(topic=TOPIC, frame=str(number)) for number in range(1_234)))
        world.reader.poll()
        await world.reader.settle()
        assert ann.heard == [str(number) for number in range(1_234)]

    story(tell, tmp_path)


def test_a_database_error_is_not_the_end_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def tell(world: World) -> None:
        ann = await world.connect(ANN)
        await world.reader.settle()
        world.notifying = False
        await world.say("hello")
        world.reader.poll()

        async def fails(*_: object) -> None:
            raise ServiceUnavailable("Not now.")

        with monkeypatch.context() as patch:
            patch.setattr(world.db, "read", fails)
            with pytest.raises(ServiceUnavailable):
                await world.reader.settle()
        await world.reader.settle()
        assert ann.heard == ["hello"]

    story(tell, tmp_path)


def test_who_heard_what_the_database_lost_must_come_back(tmp_path: Path) -> None:
    """After a fail-over to a replica that was behind, the next entries have numbers that were heard already."""

    async def tell(world: World) -> None:
        ann = await world.connect(ANN)
        await world.say("one")
        await world.say("two")
        world.notifying = False

        def lose(tx: Tx) -> None:
            tx.run("DELETE FROM journal WHERE topic = :topic AND number > 1", topic=TOPIC)
            tx.run("UPDATE topics SET head = 1 WHERE name = :topic", topic=TOPIC)

        await world.db.write(lose)
        world.reader.poll()
        await world.reader.settle()
        assert (ann.heard, ann.code) == (["one", "two"], 1011)

        again = await world.connect(ANN, "2")
        world.notifying = True
        await world.say("another two")
        assert again.heard == ["another two"]

    story(tell, tmp_path)


def test_who_misses_what_the_journal_forgot_must_come_back(tmp_path: Path) -> None:
    async def tell(world: World) -> None:
        ann = await world.connect(ANN)
        await world.reader.settle()
        world.notifying = False
        await world.say("gone")
        await world.db.write(topics.forget, NOW + 1, 100)
        await world.say("kept")
        world.reader.poll()
        await world.reader.settle()
        assert (ann.heard, ann.code) == ([], 1011)
        assert not world.hub.waits()

    story(tell, tmp_path)


@pytest.mark.parametrize("refusal", [Refusal(4401, "Bad signature"), Refusal(4003, "Not allowed")])
def test_a_refused_request_is_closed_with_its_code(tmp_path: Path, refusal: Refusal) -> None:
    async def tell(world: World) -> None:
        socket = Socket()
        assert await world.sessions.open(socket, refusal) is None
        assert (socket.frames, socket.code, len(world.sessions)) == ([], refusal.code, 0)

    story(tell, tmp_path)


def test_the_connection_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    async def tell(world: World) -> None:
        sockets = await asyncio.gather(*(world.connect(ANN, str(number)) for number in range(4)))
        assert sorted(str(socket.code) for socket in sockets) == ["4005", "None", "None", "None"]
        assert (await world.connect(BOB)).code is None

    story(tell, tmp_path, connections_per_user=3)


def test_the_newer_connection_of_a_session_replaces_the_older(tmp_path: Path) -> None:
    async def tell(world: World) -> None:
        older = await world.connect(ANN, "same")
        newer = await world.connect(ANN, "same")
        await world.say("hello")
        assert (older.heard, older.code) == ([], 4002)
        assert (newer.heard, newer.code) == (["hello"], None)

    story(tell, tmp_path, connections_per_user=1)


def test_a_deleted_user_is_cut_off(tmp_path: Path) -> None:
    async def tell(world: World) -> None:
        ann = await world.connect(ANN)
        await world.append(
            Entry(topic=topics.of_user(ANN), close=4003), Entry(topic=TOPIC, frame="ann leaves", leaves=(ANN,))
        )
        assert (ann.heard, ann.code) == (["ann leaves"], 4003)

    story(tell, tmp_path)


def test_a_user_deleted_after_being_judged_gets_no_session(tmp_path: Path) -> None:
    async def tell(world: World) -> None:
        await world.db.write(identities.delete, ANN, NOW)
        ann = await world.connect(ANN)
        assert (ann.frames, ann.code, len(world.sessions)) == ([], 4003, 0)

    story(tell, tmp_path)


def test_a_session_ends_with_its_credentials(tmp_path: Path) -> None:
    async def nothing(grants: Set[Any]) -> Set[Any]:
        assert not grants
        return set()

    async def tell(world: World) -> None:
        watching = asyncio.create_task(world.sessions.watch(nothing))
        ann = await world.connect(ANN, expires_at=NOW + 5_000)
        bob = await world.connect(BOB)
        world.clock.time += 4_999
        await world.reviewed()
        assert ann.code is None
        world.clock.time += 1
        await world.reviewed()
        assert (ann.code, bob.code, len(world.sessions)) == (1001, None, 1)
        watching.cancel()

    story(tell, tmp_path)


def test_a_session_ends_when_its_credentials_are_taken_back(tmp_path: Path) -> None:
    asked: list[Set[Any]] = []

    async def lost(grants: Set[Any]) -> Set[Any]:
        asked.append(grants)
        return {"revoked"}

    async def tell(world: World) -> None:
        ann = await world.connect(ANN, grant="revoked")
        bob = await world.connect(BOB, grant="good")
        own = await world.connect(BOB, "2")
        await world.sessions.review(lost)
        assert (ann.code, bob.code, own.code) == (4401, None, None)
        assert asked == [{"revoked", "good"}]

    story(tell, tmp_path)


def test_a_review_that_fails_is_tried_again(tmp_path: Path) -> None:
    async def lost(grants: Set[Any]) -> Set[Any]:
        if world_is_well:
            return grants
        raise ServiceUnavailable("The disk is full.")

    world_is_well = False

    async def tell(world: World) -> None:
        nonlocal world_is_well
        watching = asyncio.create_task(world.sessions.watch(lost))
        ann = await world.connect(ANN, grant="revoked")
        await world.reviewed()
        assert ann.code is None
        world_is_well = True
        await world.reviewed()
        assert ann.code == 4401
        watching.cancel()

    story(tell, tmp_path)


def test_a_socket_that_closes_leaves_nothing_behind(tmp_path: Path) -> None:
    async def tell(world: World) -> None:
        ann = Socket()
        await world.sessions.open(ann, Admitted(ANN, "1"))
        opening = Socket()
        task = asyncio.create_task(world.sessions.open(opening, Admitted(ANN, "2")))
        await asyncio.sleep(0)
        for socket in (ann, opening, ann):
            world.sessions.closed(socket)
        assert await task is None
        await world.say("hello")
        assert (ann.heard, opening.frames, len(world.sessions)) == ([], [], 0)
        assert vars(world.hub) == vars(Hub())

    story(tell, tmp_path)


def test_prefetched_frames_come_after_session_established_to_who_asks_for_them(tmp_path: Path) -> None:
    async def prefetch(session: Session, order: Order) -> None:
        session.write(framed(f"details, {order} first"), 1)

    async def tell(world: World) -> None:
        assert (await world.connect(ANN, prefetch=Order.UNREAD)).heard == ["details, unread first"]
        assert (await world.connect(BOB)).heard == []

    story(tell, tmp_path, prefetch=prefetch)


def test_what_fails_unexpectedly_closes_the_socket(tmp_path: Path) -> None:
    async def prefetch(session: Session, order: Order) -> None:
        raise RuntimeError("a bug")

    async def tell(world: World) -> None:
        ann = await world.connect(ANN, prefetch=Order.UNREAD)
        assert (ann.heard, ann.code, len(world.sessions)) == ([], 1011, 0)

    story(tell, tmp_path, prefetch=prefetch)
