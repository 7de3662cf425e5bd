"""Who hears which journal entry, and what this node still has to read to know.

Sans-I/O: values in, decisions out; no clock, no database, no sockets. The reader around it feeds entries as they
come, in any order and more than once, and carries out what the hub asks for (`to_read`, `to_close`).

What holds, and why every follower hears its entries once, in order, without gaps:

- A topic's cursor moves by one entry at a time; its followers are those who hear the entry after the cursor.
- A follower begins at a number: the head it was opened at plus one, or the number a `follow` entry of its user's
  topic names. Is the cursor just before it, the follower is added; is the cursor further back, it waits in `coming`;
  is the cursor past it, the follower catches up by itself, from the journal, until it is level with the cursor.
- It stops at an entry that makes its user leave, heard by itself or together with the others.

Each stretch begins at exactly one entry of the user's topic, which is itself heard once and in order. So entries of
different topics may overtake one another, and `joins` of a channel's entries need not be looked at.
"""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Protocol


class Entry(Protocol):
    """What the hub reads of a journal entry (`store/topics.py`)."""

    @property
    def topic(self) -> str: ...
    @property
    def number(self) -> int: ...
    @property
    def frame(self) -> str: ...
    @property
    def only(self) -> tuple[str, ...] | None: ...
    @property
    def leaves(self) -> tuple[str, ...]: ...
    @property
    def ends(self) -> bool: ...
    @property
    def follow(self) -> str | None: ...
    @property
    def follow_from(self) -> int: ...
    @property
    def close(self) -> int | None: ...


class Follower:
    """Somebody who hears entries: a live session of a user. `live` falls once, when it is closed.

    The hub calls neither method; they are what the reader does with the hub's decisions.
    """

    __slots__ = ("live", "topics", "user")

    def __init__(self, user: str) -> None:
        self.user = user
        self.live = True
        self.topics: list[Topic] = []  # a list: most users have few channels, and a set costs ten times as much

    def write(self, frames: bytes, number: int) -> None:
        """Hear `number` frames, ready for the wire. Never raises, never waits."""
        raise NotImplementedError

    def end(self, code: int, reason: str = "") -> None:
        """Hear no more, with a WebSocket close code."""
        raise NotImplementedError


class Topic:
    """A topic that somebody on this node follows."""

    __slots__ = ("coming", "cursor", "followers", "name")

    def __init__(self, name: str, cursor: int) -> None:
        self.name = name
        self.cursor = cursor
        self.followers: dict[Follower, None] = {}  # ordered, unlike a set
        self.coming: dict[int, list[Follower]] | None = None  # by the number of the first entry they hear


class CatchUp:
    """A follower that began behind the topic's cursor and hears the journal by itself, from `next` on."""

    __slots__ = ("follower", "later", "next", "topic")

    def __init__(self, follower: Follower, topic: str, next: int) -> None:
        self.follower = follower
        self.topic = topic
        self.next = next
        self.later: list[int] = []  # beginnings that were announced meanwhile: their turn is after this one


class Hub:
    """Topics and followers of one node."""

    def __init__(self) -> None:
        self._topics: dict[str, Topic] = {}
        self._users: dict[str, list[Follower]] = {}
        self._catching_up: dict[tuple[Follower, str], CatchUp] = {}
        self._behind: dict[str, None] = {}
        self._closing: list[tuple[Follower, int]] = []

    # Followers

    def open(self, follower: Follower, topics: Iterable[tuple[str, int]]) -> None:
        """A new follower, and the topics it follows, each from a number on."""
        self._users.setdefault(follower.user, []).append(follower)
        for name, number in topics:
            self._follow(follower, name, number)

    def close(self, follower: Follower) -> None:
        """The follower hears nothing more. A second time changes nothing."""
        if not follower.live:
            return
        follower.live = False
        for topic in follower.topics:
            del topic.followers[follower]
            self._forget_if_unused(topic)
        follower.topics = []
        if peers := self._users.get(follower.user):
            if follower in peers:
                peers.remove(follower)
            if not peers:
                del self._users[follower.user]

    # Entries

    def cursor(self, name: str) -> int | None:
        """The number of the newest entry of the topic that was taken; None if nobody here follows it."""
        topic = self._topics.get(name)
        return None if topic is None else topic.cursor

    def take(self, entry: Entry) -> Sequence[Follower]:
        """Who hears the entry. Nobody, if it was taken before, or if one before it is missing (then that is read)."""
        topic = self._topics.get(entry.topic)
        if topic is None or entry.number <= topic.cursor:
            return ()
        if entry.number > topic.cursor + 1:
            self._behind[topic.name] = None
            return ()
        topic.cursor = entry.number
        hearing = self._hearing(topic, entry.only)
        for follower in [*topic.followers] if entry.ends else self._followers_of(topic, entry.leaves):
            self._leave(follower, topic)
        if entry.follow is not None or entry.close is not None:
            for follower in [*topic.followers]:
                self._steer(follower, entry)
                if entry.close is not None:
                    self._leave(follower, topic)
        if topic.coming:
            for follower in topic.coming.pop(topic.cursor + 1, ()):
                self._add(follower, topic)
        self._forget_if_unused(topic)
        return hearing

    def take_missed(self, catch_up: CatchUp, entries: Sequence[Entry]) -> list[Entry]:
        """The next entries of a catch-up, read from the journal: those the follower hears, in order."""
        follower = catch_up.follower
        heard: list[Entry] = []
        left = False
        for entry in entries:
            if not follower.live or left:
                break
            assert entry.number == catch_up.next, f"gap in {entry.topic}: {entry.number} instead of {catch_up.next}"
            catch_up.next += 1
            if entry.only is None or follower.user in entry.only:
                heard.append(entry)
            self._steer(follower, entry)
            left = entry.ends or follower.user in entry.leaves or entry.close is not None
        # Level with the cursor by now, or not yet: following from the next number on says it all.
        self._catching_up.pop((follower, catch_up.topic), None)
        for number in catch_up.later if left else [catch_up.next, *catch_up.later]:
            self._follow(follower, catch_up.topic, number)
        return heard

    # What the node has to do

    def suspect(self, names: Iterable[str]) -> None:
        """These topics may have entries that were not seen here; those nobody follows do not matter."""
        self._behind.update((name, None) for name in names if name in self._topics)

    def suspect_all(self) -> None:
        """Any topic may have entries that were not seen here."""
        self._behind.update(dict.fromkeys(self._topics))

    def waits(self) -> bool:
        """Whether `to_read` or `to_close` have something."""
        return bool(self._behind or self._catching_up or self._closing)

    def to_read(self, limit: int) -> tuple[list[tuple[str, int]], list[CatchUp]]:
        """Up to `limit` topics with the number after which to read, each handed out once; as many catch-ups."""
        names = list(islice(self._behind, limit))
        for name in names:
            del self._behind[name]
        catch_ups = list(islice(self._catching_up.values(), limit))
        return [(name, self._topics[name].cursor) for name in names if name in self._topics], catch_ups

    def to_close(self) -> list[tuple[Follower, int]]:
        """Followers whose user is gone, with the close code; each once."""
        closing, self._closing = self._closing, []
        return closing

    def lost(self, name: str) -> list[Follower]:
        """The journal has no more what the topic's cursor needs: who misses entries and must begin anew."""
        topic = self._topics[name]
        missing = dict(topic.followers)
        for waiting in (topic.coming or {}).values():
            missing.update(dict.fromkeys(waiting))
        topic.coming = None
        self._forget_if_unused(topic)
        return [*missing]

    # Helpers

    def _hearing(self, topic: Topic, only: tuple[str, ...] | None) -> list[Follower]:
        return [*topic.followers] if only is None else self._followers_of(topic, only)

    def _followers_of(self, topic: Topic, users: tuple[str, ...]) -> list[Follower]:
        """By user, since a topic may have ten thousand followers and an entry concern two of them."""
        return [f for user in dict.fromkeys(users) for f in self._users.get(user, ()) if f in topic.followers]

    def _steer(self, follower: Follower, entry: Entry) -> None:
        if entry.follow is not None:
            self._follow(follower, entry.follow, entry.follow_from)
        if entry.close is not None:
            self._closing.append((follower, entry.close))

    def _follow(self, follower: Follower, name: str, number: int) -> None:
        if not follower.live:
            return
        if catch_up := self._catching_up.get((follower, name)):
            catch_up.later.append(number)
            return
        topic = self._topics.get(name)
        if topic is None:
            topic = self._topics[name] = Topic(name, number - 1)
            self._behind[name] = None  # entries may have passed by unheeded
        if number == topic.cursor + 1:
            self._add(follower, topic)
        elif number > topic.cursor:
            topic.coming = topic.coming or {}
            topic.coming.setdefault(number, []).append(follower)
            self._behind[name] = None
        elif follower not in topic.followers:
            self._catching_up[follower, name] = CatchUp(follower, name, number)

    def _add(self, follower: Follower, topic: Topic) -> None:
        if follower.live and follower not in topic.followers:
            topic.followers[follower] = None
            follower.topics.append(topic)

    def _leave(self, follower: Follower, topic: Topic) -> None:
        del topic.followers[follower]
        follower.topics.remove(topic)

    def _forget_if_unused(self, topic: Topic) -> None:
        if not topic.followers and not topic.coming:
            self._topics.pop(topic.name, None)
            self._behind.pop(topic.name, None)
