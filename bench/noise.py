"""Quiet senders next to a noisy one: how much longer their sends take, without rates and with them.

Each quiet sender has a channel of its own and sends a few messages a second. The noisy user has hundreds of requests
under way to one channel and sends the next as soon as one is answered, or refused.
"""

import asyncio
import gc
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from bench import servers, world
from bench.client import ANSWER_TIMEOUT_S, Api, Failed, HttpConnection, connect
from bench.plan import Plan
from bench.results import Noise, Rate, Spread, paired, percentile
from bench.servers import Process
from bench.signing import Key
from bench.world import Channel

QUIET_PER_SECOND = 4  # of each quiet sender: well below all rates
IN_FORCE_S = 1.2  # rates that were set are in force after a second
NOISY_PER_SECOND_MAX = 12_000


class Figures(NamedTuple):
    """Sends a second, and the median and the 99th percentile of their times in milliseconds."""

    per_second: float
    p50: float
    p99: float


class Quiet:
    """Connections, there before the noise, that send at their times, each when its last send has been answered."""

    def __init__(self) -> None:
        self._connections: list[HttpConnection] = []
        self._answered: set[HttpConnection] = set()
        self._latencies: list[float] = []
        self._all_answered = asyncio.Event()
        self._failure: Failed | None = None

    @classmethod
    async def connected(cls, port: int, senders: int) -> "Quiet":
        quiet = cls()
        quiet._connections = [HttpConnection(quiet._on_answer) for _ in range(senders)]
        for connection in quiet._connections:
            await connect(connection, port)
        quiet._answered.update(quiet._connections)
        return quiet

    async def run(self, requests: list[bytes], seconds: float) -> Figures:
        """Raises `Failed` for any answer but 201."""
        loop, began = asyncio.get_running_loop(), asyncio.get_running_loop().time()
        self._latencies = []
        for tick in range(int(seconds * QUIET_PER_SECOND)):
            for number, connection in enumerate(self._connections):
                due = began + (tick + number / len(self._connections)) / QUIET_PER_SECOND
                await asyncio.sleep(max(0.0, due - loop.time()))
                if connection in self._answered:  # else this one is left out: it lowers the rate
                    self._answered.discard(connection)
                    self._all_answered.clear()
                    connection.send(requests.pop())
        took = loop.time() - began
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            await self._all_answered.wait()
        if self._failure is not None:
            raise self._failure
        return Figures(
            len(self._latencies) / took,
            percentile(self._latencies, 0.5) * 1000,
            percentile(self._latencies, 0.99) * 1000,
        )

    def _on_answer(self, connection: HttpConnection, status: int, body: bytes) -> None:
        if status != 201:
            self._failure = Failed(f"A quiet send was answered {status}: {body[:300].decode(errors='replace')}")
            self._all_answered.set()
            return
        self._latencies.append(perf_counter() - connection.sent_at)
        self._answered.add(connection)
        if len(self._answered) == len(self._connections):
            self._all_answered.set()


class Noisy:
    """Connections that each send the next request as soon as the last one is answered, until told to end."""

    def __init__(self, requests: list[bytes]) -> None:
        self._requests = requests
        self._next = 0
        self._connections: list[HttpConnection] = []
        self.admitted = self.refused = 0

    async def begin(self, port: int, senders: int) -> None:
        self._connections = [HttpConnection(self._on_answer) for _ in range(senders)]
        for connection in self._connections:
            await connect(connection, port)
        for connection in self._connections:
            self._send(connection)

    def end(self) -> None:
        """Cut all connections."""
        for connection in self._connections:
            connection.transport.abort()

    def _send(self, connection: HttpConnection) -> None:
        connection.send(self._requests[self._next % len(self._requests)])
        self._next += 1

    def _on_answer(self, connection: HttpConnection, status: int, body: bytes) -> None:
        if status == 0:
            return
        if status == 201:
            self.admitted += 1
        else:
            self.refused += 1
        self._send(connection)


async def measure(plan: Plan, folder: Path, key: Key, tell: Callable[[str], None]) -> Noise:
    """Alone, next to the noisy one without rates, and with them, by turns, on one server."""
    data = folder / "campana-noise"
    with servers.campana(data, key) as server:
        api = await Api.connect(server.port, server.signer())
        everybody = await world.channel(api, plan.quiet_senders + 1)
        app_arn = everybody.arn.partition("/channel/")[0]
        *quiet, noisy = [await world.another_channel(api, app_arn, (member,)) for member in everybody.members]
        api.close()
        senders = await Quiet.connected(server.port, plan.quiet_senders)
        await _round(plan, server, senders, quiet)  # to warm up
        rounds: dict[str, list[Figures]] = {"alone": [], "open": [], "rated": []}
        heard: dict[str, list[float]] = {"open": [], "rated": []}
        for number in range(plan.noise_rounds):
            for how in rounds:
                tell(f"noise, {how}, round {number + 1} of {plan.noise_rounds}")
                if how == "rated":
                    await _set_rates(data, key, on=True)
                loud = await _noise(plan, server, noisy) if how != "alone" else None
                await asyncio.sleep(plan.warm_seconds)
                rounds[how].append(await _round(plan, server, senders, quiet))
                if loud is not None:
                    loud.end()
                    heard[how].append(loud.admitted + loud.refused)
                if how == "rated":
                    await _set_rates(data, key, on=False)
                await asyncio.sleep(0.2)  # what was cut is let go
    alone, without, with_rates = rounds.values()
    seconds = plan.noise_seconds
    return Noise(
        quiet_senders=plan.quiet_senders,
        noisy_senders=plan.noisy_senders,
        alone=_rate(alone),
        without_rates=_rate(without),
        with_rates=_rate(with_rates),
        ratio_without_rates=paired([each.p99 for each in without], [each.p99 for each in alone]),
        ratio_with_rates=paired([each.p99 for each in with_rates], [each.p99 for each in alone]),
        noisy_per_second_without_rates=round(sum(heard["open"]) / len(heard["open"]) / seconds),
        noisy_per_second_with_rates=round(sum(heard["rated"]) / len(heard["rated"]) / seconds),
    )


async def _noise(plan: Plan, server: Process, channel: Channel) -> Noisy:
    number = plan.noisy_senders + int(plan.noise_seconds * NOISY_PER_SECOND_MAX)
    noisy = Noisy(world.messages(server.signer(), channel, number))
    await noisy.begin(server.port, plan.noisy_senders)
    return noisy


async def _round(plan: Plan, server: Process, senders: Quiet, channels: list[Channel]) -> Figures:
    signer = server.signer()
    sends = int(plan.noise_seconds * QUIET_PER_SECOND) * len(channels)
    requests = [
        world.message(signer, channel, channel.members[0])
        for channel in (channels[number % len(channels)] for number in range(sends))
    ][::-1]
    gc.collect()
    gc.disable()
    try:
        return await senders.run(requests, plan.noise_seconds)
    finally:
        gc.enable()


async def _set_rates(data: Path, key: Key, *, on: bool) -> None:
    words = ["-m", "campana", "quotas", "set", "rates-enforced", str(int(on)), "--data-dir", str(data)]
    environment = servers.environment(key)
    await asyncio.to_thread(
        subprocess.run, [sys.executable, *words], cwd=data, env=environment, check=True, stdout=subprocess.DEVNULL
    )
    await asyncio.sleep(IN_FORCE_S)


def _rate(rounds: list[Figures]) -> Rate:
    return Rate(
        per_second=Spread.of([each.per_second for each in rounds], 0),
        p50=Spread.of([each.p50 for each in rounds]).median,
        p99=Spread.of([each.p99 for each in rounds]).median,
    )
