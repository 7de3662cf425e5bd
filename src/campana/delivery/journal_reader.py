"""Reads the journal and feeds the hub; what the hub decides, it writes to the sessions.

The common case does not read: a notification of this node carries its entries, and `take` writes their frames
before it returns. Only what the hub misses (a gap, a topic just followed, a session that began behind) is read.
Whatever is read or notified meanwhile, in whichever order: the hub takes each entry once, so nothing here has to wait
for anything else.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from campana import log
from campana.clock import Clock
from campana.delivery.hub import CatchUp, Follower, Hub
from campana.delivery.notifier import Notification, Notifier
from campana.metrics import Metrics
from campana.metrics.families import Tally
from campana.store import topics
from campana.store.database import Database, Tx
from campana.store.topics import Entry
from campana.tracing import Kind, NoTracing, Tracing

POLL_SECONDS = 5.0
RETRY_SECONDS = 1.0  # after a database error
TOPICS_PER_READ = 500
ENTRIES_PER_READ = 1_000
ENTRIES_PER_TOPIC = 100
INTERNAL_ERROR = 1011  # WebSocket close code; clients come back on it (spec/realtime.md §3)


class Journal(Protocol):
    """What is read, inside a transaction; `store/topics.py` is one."""

    def after(self, tx: Tx, topic: str, number: int, limit: int) -> list[Entry]: ...
    def heads(self, tx: Tx, names: Sequence[str]) -> dict[str, int]: ...


class JournalReader:
    """One for each node; everything but `run` is called on the event loop and returns at once."""

    def __init__(
        self,
        db: Database,
        notifier: Notifier,
        hub: Hub,
        clock: Clock,
        text_frame: Callable[[str], bytes],
        *,
        poll_s: float = POLL_SECONDS,
        journal: Journal = topics,
        metrics: Metrics | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        """`text_frame` turns text into a WebSocket frame, done once for all who hear it; `poll_s` is in seconds."""
        self._db = db
        self._hub = hub
        self._clock = clock
        self._text_frame = text_frame
        self._poll_s = poll_s
        self._journal = journal
        self._metrics = metrics or Metrics()
        self._tracing = tracing or NoTracing()
        self._wake = asyncio.Event()
        self._reading = asyncio.Lock()
        notifier.subscribe(self.take)

    def open(self, follower: Follower, follows: Iterable[tuple[str, int]]) -> None:
        """From here on the follower hears these topics, each from the number given with it."""
        self._hub.open(follower, follows)
        self._wake_if_needed()

    def close(self, follower: Follower) -> None:
        """The follower hears nothing more."""
        self._hub.close(follower)

    def take(self, notification: Notification) -> None:
        """Deliver the entries that come with it; what comes without, or with a gap before it, will be read."""
        if not notification:
            self.poll()
            return
        names: Iterable[str] = notification
        if len(notification) > 1:
            # Users' topics first: a join is then heard as it passes, without reading it back.
            names = sorted(notification, key=_is_channel)
        for name in names:
            entries = notification[name]
            if entries:
                self._deliver(entries, self._metrics.entries_notified)
            else:
                self._hub.suspect((name,))
        self._end_closed()
        self._wake_if_needed()

    def poll(self) -> None:
        """Look after every topic, in case a notification was lost."""
        self._hub.suspect_all()
        self._wake_if_needed()

    async def run(self) -> None:
        """Read what is missing, and poll; until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read_on_wake())
            tasks.create_task(self._poll_regularly())

    async def settle(self) -> None:
        """Read until nothing is known to be missing. Raises what the database raises; then nothing is forgotten."""
        async with self._reading:  # a catch-up that two read at once would look like one with a gap
            while self._hub.waits():
                self._end_closed()
                await self._read_some()

    # The two tasks of `run`

    async def _read_on_wake(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self.settle()
            except Exception:  # a database that is away comes back; without this task nobody would hear it
                log.exception("journal.unread")
                await self._clock.sleep(RETRY_SECONDS)
                self._wake.set()

    async def _poll_regularly(self) -> None:
        while True:
            await self._clock.sleep(self._poll_s)
            self.poll()

    # Reading

    async def _read_some(self) -> None:
        behind, catch_ups = self._hub.to_read(TOPICS_PER_READ)
        behind.sort(key=lambda topic: _is_channel(topic[0]))
        wanted = [*behind, *((catch_up.topic, catch_up.next - 1) for catch_up in catch_ups)]
        if not wanted:
            return
        try:
            found = await self._db.read(_read, self._journal, wanted)
        except BaseException:
            self._hub.suspect(name for name, _ in behind)
            raise
        self._hub.suspect(name for name, _ in behind[len(found) :])
        for (name, after), entries in zip(behind, found, strict=False):
            self._take_read(name, after, entries)
        for catch_up, entries in zip(catch_ups, found[len(behind) :], strict=False):
            self._take_missed(catch_up, entries)
        self._end_closed()

    def _take_read(self, name: str, after: int, entries: list[Entry] | None) -> None:
        if entries is None:
            return
        if _contiguous(after, entries):
            self._deliver(entries, self._metrics.entries_read)
            if len(entries) >= ENTRIES_PER_TOPIC:
                self._hub.suspect((name,))
        elif self._hub.cursor(name) == after:
            self._end_lost(name, self._hub.lost(name))

    def _take_missed(self, catch_up: CatchUp, entries: list[Entry] | None) -> None:
        entries = _contiguous(catch_up.next - 1, entries or [])
        if not entries:
            self._end_lost(catch_up.topic, [catch_up.follower])
        for entry in self._hub.take_missed(catch_up, entries):
            if entry.frame:
                catch_up.follower.write(self._text_frame(entry.frame), 1)
                self._metrics.frames_sent.add()
        self._metrics.entries_caught_up.add(len(entries))

    # Telling sessions

    def _deliver(self, entries: Sequence[Entry], counter: Tally) -> None:
        """Entries of one topic. Those in a row with the same listeners are written together: a system call for each
        frame and socket is what a fan-out costs most."""
        hearing: Sequence[Follower] = ()
        frames: list[bytes] = []
        newest = 0
        for entry in entries:
            now_hearing = self._hub.take(entry)
            if not now_hearing or not entry.frame:
                continue
            if now_hearing != hearing:
                self._write(hearing, frames)
                hearing, frames = now_hearing, []
            frames.append(self._text_frame(entry.frame))
            newest = entry.at
            if entry.trace:
                self._trace(entry, len(now_hearing))
        self._write(hearing, frames)
        counter.add(len(entries))
        if newest:
            self._metrics.journal_lag.observe((self._clock.now() - newest) / 1000)

    def _write(self, hearing: Sequence[Follower], frames: list[bytes]) -> None:
        if not frames:
            return
        joined = b"".join(frames)
        for follower in hearing:
            follower.write(joined, len(frames))
        self._metrics.frames_sent.add(len(hearing) * len(frames))
        for _ in frames:
            self._metrics.fanout.observe(len(hearing))

    def _trace(self, entry: Entry, recipients: int) -> None:
        """That it was handed to its sessions, under what it came of and, as messaging has it, linked with it."""
        with self._tracing.span("deliver", Kind.CONSUMER, parent=entry.trace, links=(entry.trace,)) as span:
            span.set("campana.recipients", recipients)
            span.set("campana.lag_ms", self._clock.now() - entry.at)

    def _end_closed(self) -> None:
        for follower, code in self._hub.to_close():
            follower.end(code)

    def _end_lost(self, name: str, followers: Sequence[Follower]) -> None:
        # A silent gap would be worse: clients reconnect and read what they missed.
        log.warning("journal.lost", topic=name, sessions=len(followers))
        for follower in followers:
            follower.end(INTERNAL_ERROR, "Events were lost")

    def _wake_if_needed(self) -> None:
        if self._hub.waits():
            self._wake.set()


def _read(tx: Tx, journal: Journal, wanted: Sequence[tuple[str, int]]) -> list[list[Entry] | None]:
    """For each topic and number the entries after it, None if there are none, [] if they are not to be had; fewer than
    wanted when it is enough."""
    heads = journal.heads(tx, [name for name, _ in wanted])
    found: list[list[Entry] | None] = []
    count = 0
    for name, number in wanted:
        if count >= ENTRIES_PER_READ:
            break
        head = heads.get(name, number)
        entries = journal.after(tx, name, number, ENTRIES_PER_TOPIC) if head > number else None
        if head < number:
            entries = []  # a database that failed over lost what sessions have heard: what comes now has its numbers
        found.append(entries)
        count += len(entries or ())
    return found


def _contiguous(after: int, entries: list[Entry]) -> list[Entry]:
    """The entries up to the first gap."""
    return [entry for number, entry in enumerate(entries, after + 1) if entry.number == number]


def _is_channel(name: str) -> bool:
    return not name.startswith("user/")
