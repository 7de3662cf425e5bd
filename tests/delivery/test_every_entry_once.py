"""Whatever happens to notifications, each session hears exactly its entries: once, in order, without gaps.

Nodes with their real hubs, readers and sessions over one journal in memory. Hypothesis draws what is committed, which
notifications are lost, doubled, late or out of order, when sessions come and go, and how far each read from the
database gets before something else happens: coroutines are driven by hand, step by step, so every interleaving can
occur. What a session should have heard is worked out from the journal alone.
"""

from collections.abc import Callable, Coroutine, Generator, Sequence
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from campana.clock import SystemClock
from campana.delivery.hub import Hub
from campana.delivery.journal_reader import JournalReader
from campana.delivery.notifier import Notification
from campana.delivery.notifier.memory import MemoryNotifier
from campana.delivery.session import Admitted, Session, Sessions
from campana.frames import SESSION_ESTABLISHED
from campana.store.topics import Entry

USERS = ("ann", "bob", "cid")
CHANNELS = ("channel/lobby", "channel/den")
NODES = (0, 1)
BUSY = (0, 0, 0, 1)  # most happens on one node, so that its sessions get in each other's way


def framed(text: str) -> bytes:
    """What stands for a WebSocket frame here: frames that are written together can be told apart."""
    return text.encode() + b"\n"


class Pause:
    """Where a coroutine stands still until the test lets it go on."""

    def __await__(self) -> Generator[None, None, None]:
        yield


class Journal:
    """The journal and who is in which channel; it stands for the database and its transactions too."""

    def __init__(self) -> None:
        self.entries: dict[str, list[Entry]] = {}
        self.members: dict[str, list[str]] = {channel: [] for channel in CHANNELS}
        self.users = list(USERS)
        self.fresh: list[Entry] = []

    def add(self, topic: str, **steering: Any) -> int:
        log = self.entries.setdefault(topic, [])
        number = len(log) + 1
        log.append(Entry(topic=topic, number=number, frame=f"{topic}#{number}", **steering))
        self.fresh.append(log[-1])
        return number

    def change(self, what: str, user: str, other: str, channel: str) -> None:
        """One operation; those that make no sense now do nothing."""
        members = self.members[channel]
        match what:
            case "message":
                self.add(channel)
            case "targeted":
                self.add(channel, only=(user, other))
            case "join" if user in self.users and user not in members:
                members.append(user)
                number = self.add(channel, joins=(user,))
                self.add(f"user/{user}", follow=channel, follow_from=number)
            case "leave" if user in members:
                members.remove(user)
                self.add(channel, leaves=(user,))
            case "delete channel" if members:
                self.members[channel] = []
                self.add(channel, ends=True)
            case "delete user" if user in self.users:
                self.users.remove(user)
                for each in CHANNELS:
                    self.change("leave", user, other, each)
                self.add(f"user/{user}", close=4003)
            case "create user" if user not in self.users:
                self.users.append(user)

    # As a `Database`, with itself for the transaction

    async def read(self, work: Callable[..., Any], *args: Any) -> Any:
        await Pause()
        result = work(self, *args)  # sees what is committed by now …
        await Pause()
        return result  # … and answers later

    # As a `delivery.journal_reader.Journal`

    def after(self, tx: object, topic: str, number: int, limit: int) -> list[Entry]:
        return self.entries.get(topic, [])[number : number + limit]

    def heads(self, tx: object, names: Sequence[str]) -> dict[str, int]:
        return {name: len(self.entries[name]) for name in names if name in self.entries}


class Client:
    """A socket, and what came out of it."""

    def __init__(self, node: "Node", user: str, name: str) -> None:
        self.node = node
        self.user = user
        self.name = name
        self.code: int | None = None
        self.frames: list[str] = []
        self.snapshot: dict[str, int] | None = None
        """The head of every topic when the session's topics were read."""
        self.joined: list[str] = []
        """The channels the user was a member of then."""
        self.opening: Coroutine[Any, Any, Session | None] | None = node.sessions.open(self, self)

    def write(self, frames: bytes, number: int) -> None:
        assert self.code is None
        texts = frames.decode().split("\n")[:-1]  # frames of this test end in one
        assert len(texts) == number
        self.frames += texts

    def close(self, code: int, reason: str = "") -> None:
        assert self.code is None
        self.code = code

    def step(self) -> None:
        self.opening = stepped(self.opening)

    def heard(self, topic: str) -> list[str]:
        return [frame for frame in self.frames if frame.startswith(topic + "#")]

    def should_hear(self, journal: Journal, topic: str) -> list[str]:
        """What the journal says; nothing but its order of entries within the topic counts."""
        if self.snapshot is None:
            return []
        following = topic in self.joined or topic == f"user/{self.user}"
        frames = []
        for entry in journal.entries.get(topic, [])[self.snapshot.get(topic, 0) :]:
            following = following or self.user in entry.joins
            if following and (entry.only is None or self.user in entry.only):
                frames.append(entry.frame)
            if self.user in entry.leaves or entry.ends or entry.close:
                following = False
        return frames


class Node:
    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.hub = Hub()
        db: Any = journal
        self.reader = JournalReader(db, MemoryNotifier(), self.hub, SystemClock(), framed, journal=db)
        self.sessions = Sessions[Client](
            db, self.reader, SystemClock(), framed, self.judge, follows=self.follows, connections_per_user=3
        )
        self.inbox: list[Notification] = []
        self.settling: Coroutine[Any, Any, None] | None = None
        self.read_for: list[tuple[str, dict[str, int], list[str]]] = []

    async def judge(self, client: Client) -> Admitted:
        await Pause()
        return Admitted(client.user, client.name)

    def follows(self, tx: Any, user: str) -> list[tuple[str, int]] | None:
        heads = {topic: len(entries) for topic, entries in self.journal.entries.items()}
        joined = [channel for channel in CHANNELS if user in self.journal.members[channel]]
        self.read_for.append((user, heads, joined))
        if user not in self.journal.users:
            return None
        return [(topic, heads.get(topic, 0)) for topic in (f"user/{user}", *joined)]

    def step(self) -> None:
        self.settling = stepped(self.settling or self.reader.settle())


def stepped(coroutine: Coroutine[Any, Any, Any] | None) -> Coroutine[Any, Any, Any] | None:
    """Let it run to its next pause; None when it has ended."""
    if coroutine is None:
        return None
    try:
        coroutine.send(None)
    except StopIteration:
        return None
    return coroutine


changes = st.tuples(
    st.sampled_from(["message"] * 4 + ["join"] * 4 + ["leave"] * 2 + ["targeted"])
    | st.sampled_from(["delete channel", "delete user", "create user"]),
    st.sampled_from(USERS),
    st.sampled_from(USERS),
    st.sampled_from(CHANNELS),
)
nodes = st.sampled_from(BUSY)
which = st.integers(0, 1_000)


class Delivery(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.journal = Journal()
        self.nodes = [Node(self.journal) for _ in NODES]
        self.clients: list[Client] = []

    @initialize()
    def ann_is_there(self) -> None:
        self.commit(0, [("join", "ann", "ann", channel) for channel in CHANNELS])
        self.connect(0, "ann", "0")
        self.notify_in_order(0)
        while self.clients[0].opening:
            self.step(self.clients[0])

    @rule(writer=nodes, done=st.lists(changes, min_size=1, max_size=4))
    def commit(self, writer: int, done: list[tuple[str, str, str, str]]) -> None:
        for change in done:
            self.journal.change(*change)
        entries: dict[str, list[Entry]] = {}
        for entry in self.journal.fresh:
            entries.setdefault(entry.topic, []).append(entry)
        self.journal.fresh = []
        for number, node in enumerate(self.nodes):
            node.inbox.append(entries if number == writer else dict.fromkeys(entries, ()))

    @rule(node=nodes, which=which, again=st.booleans())
    def notify(self, node: int, which: int, again: bool) -> None:
        inbox = self.nodes[node].inbox
        if inbox:
            notification = inbox[which % len(inbox)]
            if not again:
                inbox.remove(notification)
            self.nodes[node].reader.take(notification)

    @rule(node=nodes)
    def notify_in_order(self, node: int) -> None:
        for notification in self.nodes[node].inbox:
            self.nodes[node].reader.take(notification)
        self.nodes[node].inbox = []

    @rule(node=nodes)
    def notify_users_later(self, node: int) -> None:
        """A channel's entries overtake those that say who follows it."""
        waiting, self.nodes[node].inbox = self.nodes[node].inbox, []
        for notification in waiting:
            users = {topic: entries for topic, entries in notification.items() if topic.startswith("user/")}
            self.nodes[node].reader.take({topic: notification[topic] for topic in notification if topic not in users})
            if users:
                self.nodes[node].inbox.append(users)

    @rule(node=nodes, which=which)
    def lose_notification(self, node: int, which: int) -> None:
        inbox = self.nodes[node].inbox
        if inbox:
            del inbox[which % len(inbox)]

    @rule(node=nodes)
    def poll(self, node: int) -> None:
        self.nodes[node].reader.poll()

    @rule(node=nodes)
    def read_all(self, node: int) -> None:
        while self.nodes[node].settling or self.nodes[node].hub.waits():
            self.nodes[node].step()

    @rule(node=nodes, steps=st.integers(1, 4))
    def read(self, node: int, steps: int) -> None:
        for _ in range(steps):
            self.nodes[node].step()

    @rule(node=nodes, user=st.sampled_from(USERS), name=st.sampled_from("12345"))
    def connect(self, node: int, user: str, name: str) -> None:
        if len(self.clients) < 20:
            self.clients.append(Client(self.nodes[node], user, name))
            self.step(self.clients[-1])

    @rule(
        node=nodes, user=st.sampled_from(USERS), done=st.lists(changes, min_size=1, max_size=6), notified=st.booleans()
    )
    def connect_while_much_happens(
        self, node: int, user: str, done: list[tuple[str, str, str, str]], notified: bool
    ) -> None:
        """Between the moment a session's topics are read and the moment it begins to follow them."""
        if len(self.clients) >= 20:
            return
        client = Client(self.nodes[node], user, f"late {len(self.clients)}")
        self.clients.append(client)
        while client.opening and client.snapshot is None:
            self.step(client)
        for what, _, other, channel in done:
            self.commit(node, [(what, user, other, channel)])
        if notified:
            self.notify_in_order(node)
        else:
            self.notify_users_later(node)
        while client.opening:
            self.step(client)

    @precondition(lambda self: any(client.opening for client in self.clients))
    @rule(which=which, steps=st.integers(1, 3))
    def establish(self, which: int, steps: int) -> None:
        opening = [client for client in self.clients if client.opening]
        for _ in range(steps):
            self.step(opening[which % len(opening)])

    def step(self, client: Client) -> None:
        client.step()
        for user, heads, joined in client.node.read_for:
            assert user == client.user
            client.snapshot, client.joined = heads, joined
        client.node.read_for = []

    @rule(which=which)
    def disconnect(self, which: int) -> None:
        client = self.clients[which % len(self.clients)]
        if client.code is None:
            client.code = 1006
            client.node.sessions.closed(client)

    @invariant()
    def nothing_wrong_was_heard(self) -> None:
        for client in self.clients:
            assert client.frames[:1] in ([], [SESSION_ESTABLISHED])
            topics = (f"user/{client.user}", *CHANNELS)
            assert len(client.frames[1:]) == sum(len(client.heard(topic)) for topic in topics)
            for topic in topics:
                heard = client.heard(topic)
                assert heard == client.should_hear(self.journal, topic)[: len(heard)]
            assert client.code in (None, 1006, 4002, 4003, 4005)

    def teardown(self) -> None:
        """All notifications left are lost; the next poll makes up for everything."""
        for node in self.nodes:
            node.reader.poll()
        for number in NODES:
            self.read_all(number)
        for client in self.clients:
            while client.opening:
                self.step(client)
        for number in NODES:
            self.read_all(number)
        self.nothing_wrong_was_heard()
        for client in self.clients:
            own = f"user/{client.user}"
            gone = client.snapshot is not None and any(
                entry.close for entry in self.journal.entries.get(own, [])[client.snapshot.get(own, 0) :]
            )
            if client.code is None:
                assert not gone
                assert client.user in self.journal.users
                for topic in (own, *CHANNELS):
                    assert client.heard(topic) == client.should_hear(self.journal, topic)
            client.node.sessions.closed(client)
        for node in self.nodes:
            assert len(node.sessions) == 0
            assert vars(node.hub) == vars(Hub())  # nothing is kept for those who left


TestDelivery = Delivery.TestCase
TestDelivery.settings = settings(max_examples=300, stateful_step_count=80, deadline=None)
