"""Measures the unit costs: one kind of work at a time, CPU time of each process that has a part in it."""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from nats.aio.client import Client
from nats.aio.msg import Msg

from bench import flow, machine, servers, world
from bench.capacity.costs import Costs, OnPostgres, OnSqlite
from bench.capacity.installation import Installation, installed
from bench.client import Api, Audience, Failed
from bench.comparison import paths
from bench.comparison.commits import Version
from bench.comparison.paths import Calls, Cost, Subject
from bench.sends import Load, Round
from bench.servers import THIS_TREE, Process
from bench.signing import Key, label
from bench.world import Channel
from campana.clock import SystemClock
from campana.delivery.hub import Follower, Hub
from campana.delivery.journal_reader import JournalReader
from campana.delivery.notifier.memory import MemoryNotifier
from campana.store.postgres import PostgresDatabase

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    rounds: int
    calls: Calls
    sends: int  # of a round
    flow_sends: int
    few: int  # sessions of a fan-out
    many: int
    messages: int  # of a fan-out
    channels: int  # of a user whose session follows many
    old_rows: int  # for the sweeper
    topics: int  # of a poll
    idle_s: float


FULL = Plan(7, paths.FULL, 2_000, 300, 10, 1_000, 40, 200, 400_000, 5_000, 3.0)
SMOKE = Plan(1, paths.SMOKE, 60, 10, 5, 20, 3, 5, 1_000, 100, 0.2)

CHANNELS = 32
MEMBERS = 10
NODES = 3
A, B, C = range(NODES)  # A is sent to; B and C hear it
LOAD_TIMEOUT_S = 60.0
STREAM = 50  # messages between nodes that are told without a pause


async def measure(plan: Plan, folder: Path, tell: Tell) -> Costs:
    """Some minutes."""
    facts = machine.facts(folder)
    servers.pin(1)
    key = Key.made()
    on_sqlite = await _on_sqlite(plan, folder / "sqlite", key, tell)
    on_postgres = await _on_postgres(plan, folder / "postgres", key, tell)
    return Costs(time.strftime("%Y-%m-%d", time.gmtime()), machine.commit(), facts, on_sqlite, on_postgres)


async def _on_sqlite(plan: Plan, folder: Path, key: Key, tell: Tell) -> OnSqlite:
    costs: dict[str, list[Cost]] = {}
    async with Subject.started(Version("", THIS_TREE), folder, key, plan.calls) as subject:
        for number in range(plan.rounds + 1):
            tell(f"SQLite, round {number} of {plan.rounds}")
            for what, call in subject.paths().items():
                costs.setdefault(what, []).append(await call())
    one, many, through_flow, _, listed = ([*each[1:]] for each in costs.values())  # the first was for warming up
    return OnSqlite(
        sends_per_second_1=round(1e6 / median(cost.wall for cost in one)),
        sends_per_second_32=round(1e6 / median(cost.wall for cost in many)),
        send_cpu_us_1=round(median(cost.cpu for cost in one)),
        send_cpu_us_32=round(median(cost.cpu for cost in many)),
        flow_cpu_us=round(median(cost.cpu for cost in through_flow)),
        list_cpu_us=round(median(cost.cpu for cost in listed)),
    )


@dataclass(frozen=True, slots=True)
class Used:
    """By one kind of work, for each time it was done."""

    nodes: tuple[float, ...]  # CPU time in microseconds, as all below
    db: float
    nats: float
    wal_bytes: float
    nats_in: float  # messages
    nats_in_bytes: float
    seconds: float


class Work:
    """Runs work and says what it used."""

    def __init__(self, all: Installation) -> None:
        self._all = all

    async def use(self, times: int, work: Callable[[], Awaitable[None]]) -> Used:
        """Of one of so many that `work` does."""
        gc.collect()
        gc.disable()
        before, begun = self._now(), time.perf_counter()
        await work()
        seconds, after = time.perf_counter() - begun, self._now()
        gc.enable()
        differences = [(new - old) / times for new, old in zip(after, before, strict=True)]
        count = len(self._all.nodes)
        nodes = tuple(each / 1e3 for each in differences[:count])
        db, nats, wal_bytes, nats_in, nats_in_bytes = differences[count:]
        return Used(nodes, db / 1e3, nats / 1e3, wal_bytes, nats_in, nats_in_bytes, seconds / times)

    def _now(self) -> list[int]:
        counts = self._all.nats.counts()
        return [
            *(machine.cpu_ns(node.pid) for node in self._all.nodes),
            self._all.postgres.cpu_ns(),
            self._all.nats.cpu_ns(),
            self._all.postgres.wal_bytes(),
            counts["in_msgs"],
            counts["in_bytes"],
        ]


async def _on_postgres(plan: Plan, folder: Path, key: Key, tell: Tell) -> OnPostgres:
    with (
        servers.own("processor", folder / "processor", key, core=1) as processor,
        installed(folder / "nodes", NODES, key, processor=processor) as all,
    ):
        return await _Measurement(plan, all, processor, tell).run()


class _Measurement:
    """On one installation, one thing after another."""

    def __init__(self, plan: Plan, all: Installation, processor: Process, tell: Tell) -> None:
        self._plan = plan
        self._all = all
        self._work = Work(all)
        self._processor = processor
        self._tell = tell
        self._node = all.nodes[A]
        self._alone: list[Round] = []

    async def run(self) -> OnPostgres:
        api = await Api.connect(self._node.port, self._node.signer())
        self._tell("PostgreSQL: users and channels")
        first = await world.channel(api, MEMBERS)
        app = first.arn.partition("/channel/")[0]
        channels = [first, *[await world.another_channel(api, app, first.members) for _ in range(CHANNELS - 1)]]
        idle = (await self._work.use(1, lambda: asyncio.sleep(self._plan.idle_s))).nodes[C] / self._plan.idle_s
        await self._sends(channels, 32)  # to be warm
        self._all.postgres.run("ANALYZE")  # nobody else does it: autovacuum is off while CPU time is counted
        spread = await self._rounds("sends to many channels", lambda: self._sends(channels, 32))
        rows = self._rows()
        hot = await self._rounds("sends to one channel", lambda: self._sends([first], 32))
        alone = await self._rounds("sends one after another", lambda: self._sends(channels, 1))
        sizes = self._sizes(rows)
        lists = await self._rounds("lists", lambda: self._lists(api, first))
        socket_us, frame_bytes, session_kib, open_us = await self._fan_out(api, app)
        flows = await self._flows(api, channels)
        open_channel_us = await self._open_many(api, app, open_us)
        stream = await self._stream(channels)
        poll_node_us, poll_db_us = await self._polled()
        api.close()
        node_us = _median(used.nodes[A] for used in spread)
        db_us = _median(used.db for used in spread)
        # One comes in and goes out to each node: what NATS uses is split evenly.
        nats_us = median(used.nats for used in stream) / (NODES + 1)
        return OnPostgres(
            sends_per_second_spread=round(1 / median(used.seconds for used in spread)),
            sends_per_second_hot=round(1 / median(used.seconds for used in hot)),
            send_node_us=node_us,
            send_node_alone_us=_median(used.nodes[A] for used in alone),
            send_db_us=db_us,
            send_db_alone_us=_median(used.db for used in alone),
            send_p50_ms=round(median(each.p50 for each in self._alone), 2),
            send_p99_ms=round(median(each.p99 for each in self._alone), 2),
            wal_bytes=_median(used.wal_bytes for used in spread),
            message_bytes=sizes["messages"],
            journal_bytes=sizes["journal"],
            answer_bytes=sizes["idempotency"],
            heard_us=_median((used.nodes[B] + used.nodes[C]) / 2 for used in stream),
            heard_alone_us=_median((used.nodes[B] + used.nodes[C]) / 2 for used in alone),
            socket_us=socket_us,
            frame_bytes=frame_bytes,
            nats_bytes=_median(used.nats_in_bytes / used.nats_in for used in alone),
            nats_in_us=round(nats_us, 1),
            nats_out_us=round(nats_us, 1),
            flow_nodes_us=_median(sum(used.nodes) for used in flows) - node_us,
            flow_db_us=_median(used.db for used in flows) - db_us,
            flow_wal_bytes=_median(used.wal_bytes for used in flows) - _median(used.wal_bytes for used in spread),
            session_kib=session_kib,
            open_us=open_us,
            open_channel_us=open_channel_us,
            list_node_us=_median(used.nodes[A] for used in lists),
            list_db_us=_median(used.db for used in lists),
            swept_per_second=await self._swept(),
            poll_topic_node_us=poll_node_us,
            poll_topic_db_us=poll_db_us,
            idle_us_per_second=round(idle),
        )

    async def _rounds(self, what: str, round_: Callable[[], Awaitable[Used]]) -> list[Used]:
        found = []
        for number in range(self._plan.rounds):
            self._tell(f"PostgreSQL, {what}, round {number + 1} of {self._plan.rounds}")
            found.append(await round_())
        return found

    async def _sends(self, channels: list[Channel], senders: int) -> Used:
        count = self._plan.sends if senders > 1 else self._plan.sends // 8
        signer = self._node.signer()
        requests = [
            world.message(signer, channel, channel.members[number % MEMBERS])
            for number in range(count)
            for channel in [channels[number % len(channels)]]
        ]

        async def work() -> None:
            seen = await Load(requests, 0.0, LOAD_TIMEOUT_S).run(self._node.port, senders)
            if senders == 1:
                self._alone.append(seen)

        return await self._work.use(count, work)

    async def _lists(self, api: Api, channel: Channel) -> Used:
        signer = self._node.signer()
        path = f"/channels/{label(channel.arn)}/messages"
        requests = [
            signer.request("GET", path, query="max-results=50", bearer=channel.members[0])
            for _ in range(self._plan.calls.lists)
        ]

        async def work() -> None:
            for request in requests:
                status, answer = await api.exchange(request)
                if status != 200:
                    raise Failed(f"A list was answered {status}: {answer[:300].decode(errors='replace')}")

        return await self._work.use(len(requests), work)

    async def _stream(self, channels: list[Channel]) -> list[Used]:
        """Of a message from another node, when many wait for a node at any time.

        One node cannot send so much: what it tells the others is recorded, and told again.
        """
        self._tell("PostgreSQL, many messages from other nodes")
        client = Client()
        await client.connect([self._all.nats.url])
        recorded: list[Msg] = []

        async def record(message: Msg) -> None:
            recorded.append(message)

        recording = await client.subscribe("campana.>", cb=record)
        await client.flush()
        await self._sends(channels, 32)
        await recording.unsubscribe()
        count = max(self._plan.sends, len(recorded))

        async def work() -> None:
            for number in range(count):
                message = recorded[number % len(recorded)]
                await client.publish(message.subject, message.data)
                if number % STREAM == 0:
                    await client.flush()
            await client.flush()
            await asyncio.sleep(0.2)  # until all have been heard

        used = [await self._work.use(count, work) for _ in range(self._plan.rounds)]
        await client.close()
        return used

    async def _fan_out(self, api: Api, app: str) -> tuple[float, int, float, int]:
        """Microseconds for each socket, bytes of a frame, KiB of a session, microseconds of its opening; at B."""
        plan, node = self._plan, self._all.nodes[B]
        crowded = await world.channel(api, -(-plan.many // world.SESSIONS_PER_USER))
        costs: dict[int, list[float]] = {}
        audiences: list[Audience] = []
        sizes: list[tuple[float, int]] = []
        for sessions in (plan.few, plan.many):
            self._tell(f"PostgreSQL, fan-out to {sessions:,} sessions")
            audience = Audience()
            handshakes = world.handshakes(node, crowded, sessions)
            resident = node.resident_kib()
            opened = await self._work.use(sessions, lambda a=audience, h=handshakes: a.join(node.port, h))  # type: ignore[misc]
            sizes.append(((node.resident_kib() - resident) / sessions, round(opened.nodes[B])))
            for _ in range(plan.rounds):
                costs.setdefault(sessions, []).append(await self._messages(api, crowded, audience))
            audience.keeps = True
            await flow.delivery_ms(1, self._node, api, audience, crowded)
            frame_bytes = len(audience.kept()[0])
            audiences.append(audience)
            await audience.close()
        few, many = median(costs[plan.few]), median(costs[plan.many])
        return (round((many - few) / (plan.many - plan.few), 2), frame_bytes, round(sizes[1][0], 1), sizes[1][1])

    async def _messages(self, api: Api, channel: Channel, audience: Audience) -> float:
        async def work() -> None:
            await flow.delivery_ms(self._plan.messages, self._node, api, audience, channel)

        return (await self._work.use(self._plan.messages, work)).nodes[B]

    async def _flows(self, api: Api, channels: list[Channel]) -> list[Used]:
        await flow.call_back(self._processor, self._node)
        chosen = channels[: CHANNELS // 2]
        await flow.associate(api, *chosen)
        audience = Audience()
        listening = Channel(chosen[0].arn, chosen[0].members[-1:])
        await audience.join(self._node.port, world.handshakes(self._node, listening, 1))
        found = []
        for number in range(self._plan.rounds + 1):
            self._tell(f"PostgreSQL, flows, round {number} of {self._plan.rounds}")
            signer, count = self._node.signer(), self._plan.flow_sends
            requests = [
                world.message(signer, channel, channel.members[0])
                for turn in range(count)
                for channel in [chosen[turn % len(chosen)]]
            ]

            async def work(requests: list[bytes] = requests, target: int = audience.count + count) -> None:
                await Load(requests, 0.0, LOAD_TIMEOUT_S).run(self._node.port, 8)
                await audience.heard(target)

            found.append(await self._work.use(count, work))
        await audience.close()
        return found[1:]

    async def _open_many(self, api: Api, app: str, open_us: int) -> float:
        """Microseconds for each channel that a session follows when it opens."""
        self._tell("PostgreSQL, sessions that follow many channels")
        busy = (await world.channel(api, 1)).members
        for _ in range(self._plan.channels):
            await world.another_channel(api, busy[0].partition("/user/")[0], busy)
        found = []
        for _ in range(self._plan.rounds):
            audience = Audience()
            handshakes = world.handshakes(self._all.nodes[B], Channel("", busy), 5)

            async def work(audience: Audience = audience, handshakes: list[bytes] = handshakes) -> None:
                await audience.join(self._all.nodes[B].port, handshakes)
                await asyncio.sleep(0.1)  # what comes after the first frame is the session's as well

            found.append((await self._work.use(5, work)).nodes[B])
            await audience.close()
        return round((median(found) - open_us) / self._plan.channels, 1)

    async def _polled(self) -> tuple[float, float]:
        """Microseconds of CPU time of a node, and of PostgreSQL, for each topic that a node looks after in a poll.

        By the node's own reader, in this process: in a node it would be told apart from nothing else.
        """
        self._tell("PostgreSQL, topics are looked after")
        arn = "arn:aws:chime:us-east-1:123456789012:app-instance/0d6e1b1e-2f9b-4a55-8f0e-6a3c1f0a7b10/channel"
        names = [f"channel/{arn}/{number:08d}-2f9b-4a55-8f0e-6a3c1f0a7b10" for number in range(self._plan.topics)]
        values = ", ".join(f"('{name}', 1)" for name in names)
        self._all.postgres.run(f"INSERT INTO topics (name, head) VALUES {values}")
        self._all.postgres.run("ANALYZE topics")
        database = PostgresDatabase(self._all.postgres.url, connections_max=2)
        reader = JournalReader(database, MemoryNotifier(), Hub(), SystemClock(), str.encode)
        reader.open(Follower("user"), [(name, 2) for name in names])
        await reader.settle()
        own: list[float] = []

        async def work() -> None:
            begun = time.process_time()
            reader.poll()
            await reader.settle()
            own.append((time.process_time() - begun) * 1e6 / len(names))

        used = [await self._work.use(len(names), work) for _ in range(self._plan.rounds + 1)]
        await database.close()
        return round(median(own[1:]), 2), round(median(each.db for each in used[1:]), 2)

    async def _swept(self) -> int:
        """Rows a second that the nodes remove of a table."""
        self._tell("PostgreSQL, what is old is removed")
        database = self._all.postgres
        database.run(
            "INSERT INTO idempotency SELECT 'old ' || n, repeat('x', 64), repeat('x', 200), 1"
            f" FROM generate_series(1, {self._plan.old_rows}) n"
        )
        begun, most = time.perf_counter(), self._plan.old_rows
        while (left := int(database.value("SELECT count(*) FROM idempotency WHERE created_at = 1"))) > 0:
            await asyncio.sleep(0.1)
            if time.perf_counter() - begun > LOAD_TIMEOUT_S:
                return round((most - left) / LOAD_TIMEOUT_S)
        return round(most / (time.perf_counter() - begun))

    # What PostgreSQL has counted

    def _rows(self) -> dict[str, tuple[int, int]]:
        database = self._all.postgres
        return {
            table: (
                database.value(f"SELECT count(*) FROM {table}"),
                database.value(f"SELECT pg_total_relation_size('{table}')"),
            )
            for table in ("messages", "journal", "idempotency")
        }

    def _sizes(self, before: dict[str, tuple[int, int]]) -> dict[str, int]:
        """Bytes of a row of each table, from the growth since."""
        after = self._rows()
        return {
            table: round((after[table][1] - size) / max(1, after[table][0] - rows))
            for table, (rows, size) in before.items()
        }


def _median(values: Iterable[float]) -> int:
    return round(median(values))
