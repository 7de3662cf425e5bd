"""Durable sends a second: N senders, each with one signed request under way, to a channel with ten live sessions."""

import asyncio
import gc
import re
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from bench import servers, world
from bench.client import ANSWER_TIMEOUT_S, Api, Audience, Failed, HttpConnection, connect
from bench.plan import Plan
from bench.results import Rate, Sends, Spread, paired, percentile
from bench.servers import Process
from bench.signing import Key
from bench.world import Channel

SESSIONS = 10
SIGNED_PER_SECOND = {1: 4_000}
SIGNED_PER_SECOND_MAX = 9_000
"""So many requests are signed for each second of a round; a server that takes them all ends its round early."""
_MESSAGE_ID = re.compile(rb'"MessageId":"([0-9a-f]{64})"')
_MESSAGE_ID_IN_FRAME = re.compile(rb'\\"MessageId\\":\\"([0-9a-f]{64})\\"')

Make = Callable[[int], list[bytes]]


@dataclass(frozen=True, slots=True)
class Round:
    """What a server did in one round."""

    per_second: float
    p50: float
    p99: float


class Load:
    """Connections that each send their next request as soon as the last one is answered."""

    def __init__(self, requests: list[bytes], warm_seconds: float, seconds: float) -> None:
        self.answers: list[bytes] = []
        self._requests = requests
        self._warm_seconds = warm_seconds
        self._seconds = seconds
        self._latencies: list[float] = []  # in seconds, of those answered while it counts
        self._counts_from = self._until = 0.0
        self._under_way = 0
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self, port: int, senders: int) -> Round:
        """Raises `Failed` for any answer but 201."""
        connections = [HttpConnection(self._on_answer) for _ in range(senders)]
        for connection in connections:
            await connect(connection, port)
        self._counts_from = perf_counter() + self._warm_seconds
        self._until = self._counts_from + self._seconds
        for connection in connections:
            self._under_way += 1
            connection.send(self._requests.pop())
        try:
            async with asyncio.timeout(self._warm_seconds + self._seconds + ANSWER_TIMEOUT_S):
                await self._done
        except TimeoutError:
            raise Failed(f"{self._under_way} sends were never answered.") from None
        finally:
            for connection in connections:
                connection.transport.abort()
        if not self._latencies:
            raise Failed("Nothing was answered in time.")
        return Round(
            len(self._latencies) / (self._until - self._counts_from),
            percentile(self._latencies, 0.5) * 1000,
            percentile(self._latencies, 0.99) * 1000,
        )

    def _on_answer(self, connection: HttpConnection, status: int, body: bytes) -> None:
        now = perf_counter()
        if status != 201:
            if not self._done.done():
                self._done.set_exception(Failed(f"A send was answered {status}: {body[:300].decode(errors='replace')}"))
            return
        self.answers.append(body)
        if self._counts_from <= now < self._until:
            self._latencies.append(now - connection.sent_at)
        if now < self._until:
            if self._requests:
                connection.send(self._requests.pop())
                return
            self._until = now
        self._under_way -= 1
        if self._under_way == 0:
            self._done.set_result(None)


class Contender:
    """A server with ten live sessions and a supply of signed requests."""

    def __init__(self, port: int, audience: Audience, make: Make, *, frames_have_ids: bool) -> None:
        self._port = port
        self._audience = audience
        self._make = make
        self._frames_have_ids = frames_have_ids
        self._expected = audience.count

    @classmethod
    async def campana(cls, server: Process) -> "Contender":
        """With users and a channel of its own."""
        api = await Api.connect(server.port, server.signer())
        channel = await world.channel(api, SESSIONS)
        api.close()
        audience = Audience()
        await audience.join(server.port, world.handshakes(server, channel, SESSIONS))
        return cls(
            server.port, audience, lambda number: world.messages(server.signer(), channel, number), frames_have_ids=True
        )

    @classmethod
    async def bare(cls, server: Process, *, signed: bool) -> "Contender":
        """A server that knows no channels; without `signed` it takes the same requests again and again."""
        app_arn = "arn:aws:chime:us-east-1:123456789012:app-instance/0d6e1b1e-2f9b-4a55-8f0e-6a3c1f0a7b10"
        users = tuple(f"{app_arn}/user/user-{number}" for number in range(SESSIONS))
        channel = Channel(f"{app_arn}/channel/0d6e1b1e-2f9b-4a55-8f0e-6a3c1f0a7b10", users)
        audience = Audience()
        await audience.join(server.port, world.handshakes(server, channel, SESSIONS))
        if signed:
            return cls(
                server.port,
                audience,
                lambda number: world.messages(server.signer(), channel, number),
                frames_have_ids=False,
            )
        some = world.messages(server.signer(), channel, 1_000)
        return cls(server.port, audience, lambda number: some * (5 * number // 1_000 + 1), frames_have_ids=False)

    async def round(self, plan: Plan, senders: int) -> Round:
        """One; raises `Failed` unless each session has heard every message that was answered, once."""
        signed_per_second = SIGNED_PER_SECOND.get(senders, SIGNED_PER_SECOND_MAX)
        requests = self._make(senders + int((plan.warm_seconds + plan.send_seconds) * signed_per_second))
        if self._audience.count != self._expected:
            raise Failed("A session has heard more than was sent.")
        self._audience.keeps = self._frames_have_ids
        load = Load(requests, plan.warm_seconds, plan.send_seconds)
        gc.collect()
        gc.disable()
        try:
            result = await load.run(self._port, senders)
            self._expected += len(load.answers)
            await self._audience.heard(self._expected)
        finally:
            gc.enable()
        if self._frames_have_ids:
            sent = sorted(_found(_MESSAGE_ID, load.answers))
            for heard in self._audience.kept():
                if sorted(_MESSAGE_ID_IN_FRAME.findall(heard)) != sent:
                    raise Failed("A session has not heard exactly what was sent.")
        return result

    async def close(self) -> None:
        """End the sessions."""
        await self._audience.close()


def _found(pattern: re.Pattern[bytes], answers: list[bytes]) -> list[bytes]:
    matches = [pattern.search(answer) for answer in answers]
    if None in matches:
        raise Failed("An answer has no MessageId.")
    return [match[1] for match in matches if match is not None]


async def measure(plan: Plan, folder: Path, key: Key, tell: Callable[[str], None]) -> list[Sends]:
    """Campana and both floors by turns, for each number of senders; then what the load generator can do."""
    with ExitStack() as stack:
        server = stack.enter_context(servers.campana(folder / "campana", key))
        floor_server = stack.enter_context(servers.own("floor", folder / "floor", key, core=0))
        thin_server = stack.enter_context(servers.own("thin_floor", folder / "thin_floor", key, core=0))
        nothing_server = stack.enter_context(servers.own("nothing", folder / "nothing", key, core=0))
        campana = await Contender.campana(server)
        floor = await Contender.bare(floor_server, signed=True)
        thin_floor = await Contender.bare(thin_server, signed=True)
        nothing = await Contender.bare(nothing_server, signed=False)
        figures = []
        for senders in plan.senders:
            ours: list[Round] = []
            floors: list[Round] = []
            thin_floors: list[Round] = []
            turns = [(floor, floors), (campana, ours), (thin_floor, thin_floors)]
            for number in range(plan.send_rounds):
                tell(f"sends, {senders} at once, round {number + 1} of {plan.send_rounds}")
                for contender, rounds in turns:
                    rounds.append(await contender.round(plan, senders))
                turns.reverse()
            generator = await nothing.round(plan, senders)
            figures.append(
                Sends(
                    senders=senders,
                    campana=_rate(ours),
                    floor=_rate(floors),
                    ratio=_ratio(ours, floors),
                    thin_floor=_rate(thin_floors),
                    thin_ratio=_ratio(ours, thin_floors),
                    generator_per_second=round(generator.per_second),
                )
            )
        for each in (campana, floor, thin_floor, nothing):
            await each.close()
        return figures


def _rate(rounds: list[Round]) -> Rate:
    return Rate(
        per_second=Spread.of([each.per_second for each in rounds], 0),
        p50=Spread.of([each.p50 for each in rounds]).median,
        p99=Spread.of([each.p99 for each in rounds]).median,
    )


def _ratio(ours: list[Round], theirs: list[Round]) -> Spread:
    return paired([each.per_second for each in ours], [each.per_second for each in theirs])
