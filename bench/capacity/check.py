"""The simulation against the thing itself: three nodes, PostgreSQL and NATS on this machine, some hundred sessions.

All nodes share one core, which the simulation is told; PostgreSQL, NATS and the load generator share the other, which
it knows nothing of.
"""

import asyncio
import gc
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

import msgspec

from bench import machine, servers, world
from bench.capacity.costs import Costs
from bench.capacity.installation import Installation, installed
from bench.capacity.model import Scenario
from bench.capacity.simulation import Setup, simulate
from bench.client import Api, Failed, HttpConnection, connect
from bench.results import percentile
from bench.signing import Key, Signer
from bench.world import Channel

FILE = Path(__file__).with_name("check.json")
NODES, CHANNELS, FOLLOWS = 3, 20, 2
SEED = 7
SETTLE_S = 1.0
SETTLES_MAX = 20
_ID = re.compile(rb'"MessageId":"([0-9a-f]{64})"')
_ID_IN_FRAME = re.compile(rb'\\"MessageId\\":\\"([0-9a-f]{64})\\"')


class Seen(msgspec.Struct, frozen=True):
    """What was measured, or predicted, at one rate."""

    nodes_cpu: float
    """Of the three nodes together, as a share of one core."""
    db_cpu: float
    deliveries_per_second: float
    answered_p50_ms: float
    answered_p99_ms: float
    delivered_p50_ms: float
    delivered_p99_ms: float


class Check(msgspec.Struct, frozen=True):
    """Both, at a rate."""

    messages_per_second: int
    measured: Seen
    predicted: Seen


def read(file: Path = FILE) -> list[Check]:
    """What was measured last, and kept."""
    return msgspec.json.decode(file.read_bytes(), type=list[Check])


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is tried."""

    sessions: int
    rates: tuple[int, ...]
    rounds: int  # of each rate, by turns
    seconds: float  # of a round


FULL = Plan(300, (50, 150, 300), 3, 6.0)
SMOKE = Plan(20, (20,), 1, 1.0)


async def check(plan: Plan, costs: Costs, folder: Path, tell: Callable[[str], None]) -> list[Check]:
    """One installation, the rates by turns; medians of their rounds."""
    servers.pin(1)
    key = Key.made()
    with installed(folder / "check", NODES, key) as all:
        crowd = await _Crowd.gathered(all, plan.sessions, tell)
        await crowd.run(plan.rates[0], 1.0)  # to be warm
        measured: dict[int, list[Seen]] = {rate: [] for rate in plan.rates}
        for number in range(plan.rounds):
            for rate, seen in measured.items():
                tell(f"{rate} messages a second, round {number + 1} of {plan.rounds}")
                seen.append(await crowd.run(rate, plan.seconds))
        await crowd.close()
    return [Check(rate, _median(seen), predicted(plan, costs, rate)) for rate, seen in measured.items()]


def _median(rounds: list[Seen]) -> Seen:
    return Seen(*(median(getattr(seen, name) for seen in rounds) for name in Seen.__struct_fields__))


def predicted(plan: Plan, costs: Costs, rate: int) -> Seen:
    """By the simulation, for the same installation."""
    scenario = Scenario(NODES, rate, CHANNELS, plan.sessions, FOLLOWS)
    setup = Setup(db_cores=1, seconds=plan.rounds * plan.seconds, node_cores=(0,) * NODES, seed=SEED)
    outcome = simulate(costs.postgres, scenario, setup)
    return Seen(
        nodes_cpu=round(sum(outcome.node_utilisation), 3),
        db_cpu=round(outcome.db_utilisation, 3),
        deliveries_per_second=round(outcome.deliveries_per_second),
        answered_p50_ms=round(outcome.answered(0.5), 2),
        answered_p99_ms=round(outcome.answered(0.99), 2),
        delivered_p50_ms=round(outcome.delivered(0.5), 2),
        delivered_p99_ms=round(outcome.delivered(0.99), 2),
    )


class _Ear(asyncio.Protocol):
    """A session that notes when it hears of which message."""

    def __init__(self, handshake: bytes, heard: list[tuple[bytes, float]], greeted: Callable[[], None]) -> None:
        self._handshake = handshake
        self._heard = heard
        self._greeted: Callable[[], None] | None = greeted
        self._rest = b""
        self.transport: asyncio.Transport
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        transport.write(self._handshake)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(None)

    def data_received(self, data: bytes) -> None:
        now = perf_counter()
        if self._greeted is not None:
            self._rest += data
            if b"SESSION_ESTABLISHED" in self._rest:
                self._greeted()
                self._greeted, self._rest = None, b""
            return
        data = self._rest + data
        end = 0
        for found in _ID_IN_FRAME.finditer(data):
            self._heard.append((found[1], now))
            end = found.end()
        self._rest = data[max(end, len(data) - 100) :]


class _Crowd:
    """Sessions at all nodes, and who sends to their channels."""

    def __init__(self, all: Installation, channels: list[Channel]) -> None:
        self._all = all
        self._channels = channels
        self._draw = random.Random(SEED)
        self._heard: list[tuple[bytes, float]] = []
        self._ears: list[_Ear] = []
        self._idle: list[list[HttpConnection]] = [[] for _ in all.nodes]
        self._sent: dict[bytes, float] = {}
        self._answered: list[float] = []
        self._under_way = 0
        self._failure = ""

    @classmethod
    async def gathered(cls, all: Installation, sessions: int, tell: Callable[[str], None]) -> "_Crowd":
        draw = random.Random(SEED)
        node = all.nodes[0]
        api = await Api.connect(node.port, node.signer())
        tell(f"{sessions} users in {FOLLOWS} of {CHANNELS} channels each")
        sender, *users = (await world.channel(api, sessions + 1)).members
        app = sender.partition("/user/")[0]
        members: list[list[str]] = [[sender] for _ in range(CHANNELS)]
        for user in users:
            for channel in draw.sample(members, FOLLOWS):
                channel.append(user)
        channels = [await world.another_channel(api, app, tuple(each)) for each in members]
        api.close()
        crowd = cls(all, channels)
        tell(f"{sessions} sessions")
        for number, user in enumerate(users):
            place = draw.choice(all.nodes)
            greeted = asyncio.Event()
            ear = _Ear(place.signer().connect(user, f"check-{number}"), crowd._heard, greeted.set)
            await connect(ear, place.port)
            await asyncio.wait_for(greeted.wait(), 20)
            crowd._ears.append(ear)
        return crowd

    async def run(self, rate: int, seconds: float) -> Seen:
        """Sends at random moments, to random nodes and channels, whether or not the last ones were answered."""
        draw, all = self._draw, self._all
        signers: list[Signer] = [node.signer() for node in all.nodes]
        plan = []
        at = 0.0
        while (at := at + draw.expovariate(rate)) < seconds:
            node, channel = draw.randrange(NODES), draw.choice(self._channels)
            plan.append((at, node, world.message(signers[node], channel, channel.members[0])))
        self._heard.clear()
        self._sent.clear()
        self._answered.clear()
        gc.collect()
        gc.disable()
        cpu = [machine.cpu_ns(node.pid) for node in all.nodes]
        db_cpu = all.postgres.cpu_ns()
        begun = perf_counter()
        for at, node, request in plan:
            if (wait := begun + at - perf_counter()) > 0:
                await asyncio.sleep(wait)
            (await self._connection(node)).send(request)
            self._under_way += 1
        await asyncio.sleep(max(0.0, begun + seconds - perf_counter()))
        used = sum(machine.cpu_ns(node.pid) - old for node, old in zip(all.nodes, cpu, strict=True)) / 1e9
        db_used = (all.postgres.cpu_ns() - db_cpu) / 1e9
        span = perf_counter() - begun
        for _ in range(SETTLES_MAX):
            await asyncio.sleep(SETTLE_S)  # what was answered last is delivered meanwhile
            if not self._under_way:
                break
        gc.enable()
        if self._failure or self._under_way:
            raise Failed(self._failure or f"{self._under_way} sends were not answered.")
        delivered = [(at - self._sent[id]) * 1e3 for id, at in self._heard]
        answered = [each * 1e3 for each in self._answered]
        return Seen(
            nodes_cpu=round(used / span, 3),
            db_cpu=round(db_used / span, 3),
            deliveries_per_second=round(len(delivered) / span),
            answered_p50_ms=round(percentile(answered, 0.5), 2),
            answered_p99_ms=round(percentile(answered, 0.99), 2),
            delivered_p50_ms=round(percentile(delivered, 0.5), 2),
            delivered_p99_ms=round(percentile(delivered, 0.99), 2),
        )

    async def close(self) -> None:
        """Cut all connections, until they are gone: the nodes would wait for them."""
        for connection in (each for node in self._idle for each in node):
            connection.transport.abort()
        for ear in self._ears:
            ear.transport.abort()
        for ear in self._ears:
            await ear.lost

    async def _connection(self, node: int) -> HttpConnection:
        if self._idle[node]:
            return self._idle[node].pop()
        connection = HttpConnection(lambda connection, status, body: self._take(node, connection, status, body))
        await connect(connection, self._all.nodes[node].port)
        return connection

    def _take(self, node: int, connection: HttpConnection, status: int, body: bytes) -> None:
        if (found := _ID.search(body)) is None or status != 201:
            if status:  # 0: closed by us
                self._failure = f"A send was answered {status}: {body[:300].decode(errors='replace')}"
            return
        self._answered.append(perf_counter() - connection.sent_at)
        self._sent[found[1]] = connection.sent_at
        self._under_way -= 1
        self._idle[node].append(connection)
