"""A discrete-event simulation of one installation: messages from their senders to their last listener.

How long each piece of work takes is drawn: on average what it costs, spread as the answers to single sends are.

Every node is a queue with one server (a core; nodes may share one), PostgreSQL a queue with as many servers as it has
cores, each channel a lock that its writers take one after the other. The draws come from one seed.

A message: its node's core (the call) → the channel's lock → PostgreSQL, until the commit → each node with what it has
to do: write to its own followers, or first hear of it from NATS.
"""

import heapq
import random
from bisect import bisect
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from math import log
from statistics import NormalDist

from bench.capacity.costs import OnPostgres
from bench.capacity.model import Scenario, idle_load


@dataclass(frozen=True, slots=True)
class Setup:
    """How a scenario is run."""

    db_cores: int
    seconds: float
    zipf: float = 0.0
    """Channel number k gets a share of the messages in proportion to k^-zipf; 0: all alike."""
    node_cores: Sequence[int] = ()
    """The core of each node; not given: one of its own for each."""
    hop_us: float = 300.0
    """From node to node through NATS, waiting for cores aside."""
    seed: int = 1


@dataclass(slots=True)
class Outcome:
    """What was seen between the first tenth of the time and its end."""

    node_utilisation: list[float]
    db_utilisation: float
    sends_per_second: float
    deliveries_per_second: float
    answered_ms: list[float] = field(default_factory=list)
    """From each send to its commit."""
    delivered_ms: list[tuple[float, int]] = field(default_factory=list)
    """From each send to its delivery at a node, on average over the node's followers, and how many they are."""
    hottest_ms: list[float] = field(default_factory=list)
    """`answered_ms` of the busiest channel alone."""
    unfinished: int = 0
    """Messages that were sent in time and not committed at the end: a queue that grows."""
    followed: float = 0.0
    """The share of channels that a node has a follower of, on average."""

    def answered(self, share: float) -> float:
        """A percentile of `answered_ms`; `share` from 0 to 1."""
        return _weighted([(ms, 1) for ms in self.answered_ms], share)

    def delivered(self, share: float) -> float:
        """A percentile of `delivered_ms`, by deliveries."""
        return _weighted(self.delivered_ms, share)

    def hottest(self, share: float) -> float:
        """A percentile of `hottest_ms`."""
        return _weighted([(ms, 1) for ms in self.hottest_ms], share)


@dataclass(slots=True)
class _Message:
    at: float
    node: int
    channel: int


@dataclass(slots=True)
class _Core:
    """One server with a queue; jobs are (message, node, kind, whether the node was woken for it)."""

    queue: "deque[tuple[_Message, int, str, bool]]" = field(default_factory=deque)
    busy: bool = False


def simulate(costs: OnPostgres, scenario: Scenario, setup: Setup) -> Outcome:
    """The same outcome for the same arguments."""
    return _Simulation(costs, scenario, setup).run()


class _Simulation:
    def __init__(self, costs: OnPostgres, scenario: Scenario, setup: Setup) -> None:
        self._costs, self._scenario, self._setup = costs, scenario, setup
        self._draw = random.Random(setup.seed)
        self._events: list[tuple[float, int, str, tuple[object, ...]]] = []
        self._number = 0
        core_of = [*setup.node_cores] or [*range(scenario.nodes)]
        self._core_of = core_of
        self._cores = [_Core() for _ in range(max(core_of) + 1)]
        self._followers = self._placed()
        self._locks: dict[int, deque[_Message]] = {}
        self._db_free = setup.db_cores
        self._db_queue: deque[_Message] = deque()
        self._from = setup.seconds / 10
        self._pending = [0] * scenario.nodes
        # That one in a hundred takes so much longer than the one in the middle; log-normal, as waiting often is.
        self._sigma = log(costs.send_p99_ms / costs.send_p50_ms) / NormalDist().inv_cdf(0.99)
        self._used = [0.0] * scenario.nodes  # microseconds
        self._db_used = 0.0
        self._committed = self._delivered = self._in_time = self._in_time_committed = 0
        self._outcome = Outcome([], 0, 0, 0)
        # A send holds its channel's lock for as long as its transaction takes: the database's work, the ways between
        # it and the node, the flush. When others wait it is longer: they want the same core.
        self._lock_us = 1e3 * costs.send_p50_ms - costs.send_node_alone_us
        self._lock_wanted_us = 1e6 / costs.sends_per_second_hot

    def run(self) -> Outcome:
        end = self._setup.seconds
        self._arrivals(end)
        while self._events:
            now, _, what, about = heapq.heappop(self._events)
            if now > end:
                break
            getattr(self, what)(now, *about)
        span = end - self._from
        outcome = self._outcome
        idle = idle_load(self._costs, self._scenario)
        outcome.node_utilisation = [idle + used / 1e6 / span for used in self._used]
        outcome.db_utilisation = self._db_used / 1e6 / span / self._setup.db_cores
        outcome.sends_per_second = self._committed / span
        outcome.deliveries_per_second = self._delivered / span
        outcome.unfinished = self._in_time - self._in_time_committed
        outcome.followed = sum(count > 0 for channel in self._followers for count in channel) / (
            self._scenario.nodes * self._scenario.channels
        )
        return outcome

    # Who is where

    def _placed(self) -> list[list[int]]:
        """Followers of each channel on each node: sessions land on random nodes and follow random channels."""
        scenario, draw = self._scenario, self._draw
        followers = [[0] * scenario.nodes for _ in range(scenario.channels)]
        whole, rest = divmod(scenario.follows, 1)
        for _ in range(scenario.sessions):
            node = draw.randrange(scenario.nodes)
            number = int(whole) + (draw.random() < rest)
            for channel in draw.sample(range(scenario.channels), min(number, scenario.channels)):
                followers[channel][node] += 1
        return followers

    def _arrivals(self, end: float) -> None:
        scenario, draw = self._scenario, self._draw
        shares = [*accumulate((rank + 1) ** -self._setup.zipf for rank in range(scenario.channels))]
        now = 0.0
        while (now := now + draw.expovariate(scenario.messages_per_second)) < end:
            channel = bisect(shares, draw.random() * shares[-1])
            message = _Message(now, draw.randrange(scenario.nodes), channel)
            self._at(now, "_job", message, message.node, "send")
            self._in_time += 1

    def _at(self, when: float, what: str, *about: object) -> None:
        self._number += 1  # events of one moment stay in order
        heapq.heappush(self._events, (when, self._number, what, about))

    # Nodes

    def _job(self, now: float, message: _Message, node: int, kind: str) -> None:
        core = self._cores[self._core_of[node]]
        core.queue.append((message, node, kind, self._pending[node] == 0))
        self._pending[node] += 1
        if not core.busy:
            self._next(now, core)

    def _next(self, now: float, core: _Core) -> None:
        core.busy = bool(core.queue)
        if not core.queue:
            return
        message, node, kind, woken = core.queue.popleft()
        costs = self._costs
        followers = self._followers[message.channel][node]
        writing = followers * costs.socket_us
        work = writing
        if kind == "send":
            work = float(costs.send_node_alone_us if woken else costs.send_node_us)
        elif kind == "hear":
            work += costs.heard_alone_us if woken else costs.heard_us
        work *= self._spread()
        done = now + work / 1e6
        if now >= self._from:
            self._used[node] += work
        if kind != "send" and followers and message.at >= self._from:
            self._delivered += followers
            self._outcome.delivered_ms.append(((done - writing / 2e6 - message.at) * 1e3, followers))
        self._at(done, "_done", core, message, node, kind)

    def _done(self, now: float, core: _Core, message: _Message, node: int, kind: str) -> None:
        self._pending[node] -= 1
        if kind == "send":
            self._lock(now, message)
        self._next(now, core)

    def _spread(self) -> float:
        """A factor around 1, on average 1."""
        return self._draw.lognormvariate(-self._sigma * self._sigma / 2, self._sigma)

    # The database

    def _lock(self, now: float, message: _Message) -> None:
        if message.channel in self._locks:
            self._locks[message.channel].append(message)
        else:
            self._locks[message.channel] = deque()
            self._begin(now, message)

    def _begin(self, now: float, message: _Message) -> None:
        if not self._db_free:
            self._db_queue.append(message)
            return
        woken = self._db_free == self._setup.db_cores
        self._db_free -= 1
        factor = self._spread()
        work = factor * (self._costs.send_db_alone_us if woken else self._costs.send_db_us)
        if now >= self._from:
            self._db_used += work
        self._at(now + work / 1e6, "_worked", message)
        held = factor * (self._lock_wanted_us if self._locks[message.channel] else self._lock_us)
        self._at(now + max(held, work) / 1e6, "_commit", message)

    def _worked(self, now: float, message: _Message) -> None:
        self._db_free += 1
        if self._db_queue:
            self._begin(now, self._db_queue.popleft())

    def _commit(self, now: float, message: _Message) -> None:
        waiting = self._locks[message.channel]
        if waiting:
            self._begin(now, waiting.popleft())
        else:
            del self._locks[message.channel]
        self._in_time_committed += 1
        if message.at >= self._from:
            self._committed += 1
            ms = (now - message.at) * 1e3
            self._outcome.answered_ms.append(ms)
            if message.channel == 0:
                self._outcome.hottest_ms.append(ms)
        followers = self._followers[message.channel]
        for node in range(self._scenario.nodes):
            if node == message.node:
                if followers[node]:
                    self._at(now, "_job", message, node, "write")
            elif followers[node] or not self._scenario.interest:
                self._at(now + self._setup.hop_us / 1e6, "_job", message, node, "hear")


def _weighted(values: Sequence[tuple[float, int]], share: float) -> float:
    """The value that `share` of the weight lies below; 0 without values."""
    if not values:
        return 0.0
    ordered = sorted(values)
    least = share * sum(weight for _, weight in ordered)
    passed = 0
    for value, weight in ordered:
        passed += weight
        if passed >= least:
            return value
    return ordered[-1][0]
