"""The hot paths, each as a number of calls on one running server: what they take, and the server's CPU time."""

import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench import flow, machine, postgres, servers, world
from bench.client import Api, Audience, Failed
from bench.comparison.commits import Version
from bench.postgres import Postgres
from bench.sends import SESSIONS, Load
from bench.servers import Process
from bench.signing import Key, label
from bench.world import Channel

SENDERS = 32
CALLS_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one call; both in microseconds."""

    wall: float
    cpu: float
    """Of the server, all its threads together; with that of its PostgreSQL if it has one."""


@dataclass(frozen=True, slots=True)
class Calls:
    """How many calls of each path make a round; the same number whatever the server's speed."""

    one_sender: int
    many_senders: int
    flow: int
    fan_out: int
    fan_out_sessions: int
    lists: int


FULL = Calls(one_sender=60, many_senders=320, flow=30, fan_out=20, fan_out_sessions=500, lists=100)
SMOKE = Calls(one_sender=5, many_senders=40, flow=3, fan_out=2, fan_out_sessions=20, lists=5)


class Subject:
    """A server of one version, with what the paths need: channels, members, live sessions, a processor."""

    def __init__(self, server: Process, store: Postgres | None, calls: Calls) -> None:
        self._server = server
        self._store = store
        self._calls = calls
        self._plain: Channel
        self._flowing: Channel
        self._crowded: Channel
        self._sessions = Audience()
        self._hears_flow = Audience()
        self._crowd = Audience()
        self._api: Api

    @classmethod
    @asynccontextmanager
    async def started(
        cls, version: Version, folder: Path, key: Key, calls: Calls, *, on_postgres: bool = False
    ) -> AsyncIterator["Subject"]:
        """On the servers' core; its processor, always this tree's, and its PostgreSQL on the load generator's."""
        with ExitStack() as stack:
            processor = stack.enter_context(servers.own("processor", folder / "processor", key, core=1))
            store = stack.enter_context(postgres.started(folder / "postgres")) if on_postgres else None
            server = stack.enter_context(
                servers.campana(
                    folder / "campana",
                    key,
                    processor=processor,
                    options=["--database-url", store.url] if store else [],
                    program=version.program,
                )
            )
            subject = cls(server, store, calls)
            await subject._prepare(processor)
            try:
                yield subject
            finally:
                subject._api.close()
                for audience in (subject._sessions, subject._hears_flow, subject._crowd):
                    await audience.close()

    async def _prepare(self, processor: Process) -> None:
        server = self._server
        self._api = await Api.connect(server.port, server.signer())
        await flow.call_back(processor, server)
        self._plain = await world.channel(self._api, SESSIONS)
        await self._sessions.join(server.port, world.handshakes(server, self._plain, SESSIONS))
        self._flowing = await world.channel(self._api, 2)
        await flow.associate(self._api, self._flowing)
        listening = Channel(self._flowing.arn, self._flowing.members[1:])  # the sender would also hear the pending one
        await self._hears_flow.join(server.port, world.handshakes(server, listening, 1))
        sessions = self._calls.fan_out_sessions
        self._crowded = await world.channel(self._api, sessions // world.SESSIONS_PER_USER)
        await self._crowd.join(server.port, world.handshakes(server, self._crowded, sessions))

    def paths(self) -> dict[str, Callable[[], Awaitable[Cost]]]:
        """By name, in the order in which they are measured: each call of one is a round."""
        return {
            "SendChannelMessage, 1 sender": lambda: self._send(1, self._calls.one_sender),
            f"SendChannelMessage, {SENDERS} senders": lambda: self._send(SENDERS, self._calls.many_senders),
            "through a flow, send to delivery": self._flow,
            f"fan-out to {self._calls.fan_out_sessions} sessions": self._fan_out,
            "ListChannelMessages, 50 of them": self._list,
        }

    async def _send(self, senders: int, calls: int) -> Cost:
        requests = world.messages(self._server.signer(), self._plain, calls)
        expected = self._sessions.count + calls
        load = Load(requests, 0.0, CALLS_TIMEOUT_S)
        with _Costs(self._server, self._store) as costs:
            result = await load.run(self._server.port, senders)
            await self._sessions.heard(expected)
        return costs.of(calls, wall_us=1e6 / result.per_second if senders > 1 else result.p50 * 1e3)

    async def _flow(self) -> Cost:
        with _Costs(self._server, self._store) as costs:
            ms = await flow.delivery_ms(self._calls.flow, self._server, self._api, self._hears_flow, self._flowing)
        return costs.of(self._calls.flow, wall_us=ms * 1e3)

    async def _fan_out(self) -> Cost:
        with _Costs(self._server, self._store) as costs:
            ms = await flow.delivery_ms(self._calls.fan_out, self._server, self._api, self._crowd, self._crowded)
        return costs.of(self._calls.fan_out, wall_us=ms * 1e3)

    async def _list(self) -> Cost:
        path = f"/channels/{label(self._plain.arn)}/messages"
        signer = self._server.signer()
        requests = [
            signer.request("GET", path, query="max-results=50", bearer=self._plain.members[0])
            for _ in range(self._calls.lists)
        ]
        times = []
        with _Costs(self._server, self._store) as costs:
            for request in requests:
                status, answer = await self._api.exchange(request)
                if status != 200:
                    raise Failed(f"A list was answered {status}: {answer[:300].decode(errors='replace')}")
                times.append(self._api.answered_at - self._api.sent_at)
        return costs.of(len(requests), wall_us=median(times) * 1e6)


class _Costs:
    """The CPU time of a server while this is entered; the load generator's garbage is not collected meanwhile."""

    def __init__(self, server: Process, store: Postgres | None) -> None:
        self._pid = server.pid
        self._store = store
        self._ns = 0

    def __enter__(self) -> "_Costs":
        gc.collect()
        gc.disable()
        self._ns = -self._now()
        return self

    def __exit__(self, *_: object) -> None:
        self._ns += self._now()
        gc.enable()

    def _now(self) -> int:
        return machine.cpu_ns(self._pid) + (self._store.cpu_ns() if self._store else 0)

    def of(self, calls: int, *, wall_us: float) -> Cost:
        return Cost(wall_us, max(self._ns, 1) / 1e3 / calls)
