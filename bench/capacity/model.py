"""What an installation needs, added up from unit costs: the arithmetic that needs no simulation.

A node is one process on one core. CPU times are in microseconds, utilisations shares of 1.
"""

from dataclasses import dataclass, replace

from bench.capacity.costs import OnPostgres
from campana.delivery.journal_reader import POLL_SECONDS
from campana.limits import JOURNAL_MS

DAY_S = 86_400
JOURNAL_S = JOURNAL_MS / 1000
POLL_S = POLL_SECONDS


@dataclass(frozen=True, slots=True)
class Scenario:
    """One installation: nodes on one PostgreSQL and one NATS, and what its users do."""

    nodes: int
    messages_per_second: float
    channels: int
    sessions: int
    follows: float
    """Channels that each session follows."""
    interest: bool = False
    """Whether a node hears only of channels that are followed there; Campana's nodes hear of all."""

    @property
    def listeners(self) -> float:
        """Sessions that hear a message of an average channel."""
        return self.sessions * self.follows / self.channels

    @property
    def deliveries_per_second(self) -> float:
        """Frames written, all nodes together, when all channels are alike."""
        return self.messages_per_second * self.listeners

    @property
    def followed(self) -> float:
        """The share of channels that a node has a follower of, when sessions are spread at random."""
        return 1 - float((1 - 1 / self.nodes) ** self.listeners)

    @property
    def topics_of_node(self) -> float:
        """That a node looks after in each poll: its sessions' users and the channels that they follow."""
        return self.sessions / self.nodes + self.channels * self.followed


@dataclass(frozen=True, slots=True)
class Part:
    """Jobs of one kind on a node: how many a second, and their cost to a busy node and to one that had to wake up."""

    per_second: float
    busy_us: float
    alone_us: float


@dataclass(frozen=True, slots=True)
class NodeLoad:
    """What an average node does, in cores it would take if it were never idle: at 1 there is no more."""

    sends: float
    heard: float
    deliveries: float
    idle: float
    """What it does in any case: timers, and the poll of the topics that it follows."""
    seen: float
    """The utilisation that `top` shows: higher, because a process that waits is woken for each thing."""

    @property
    def total(self) -> float:
        """Above 1 means: more than a core can do."""
        return self.sends + self.heard + self.deliveries + self.idle


def node_load(costs: OnPostgres, scenario: Scenario) -> NodeLoad:
    """Of an average node.

    What wakes a node up costs it more than what it finds waiting when it has done something else. So with A cores if
    all found it busy and B if all woke it, the utilisation u is that for which u = A u + B (1 - u).
    """
    rate, nodes = scenario.messages_per_second, scenario.nodes
    sends = Part(rate / nodes, costs.send_node_us, costs.send_node_alone_us)
    heard_share = scenario.followed if scenario.interest else 1.0
    heard = Part(rate * (nodes - 1) / nodes * heard_share, costs.heard_us, costs.heard_alone_us)
    deliveries = Part(scenario.deliveries_per_second / nodes, costs.socket_us, costs.socket_us)
    parts = (sends, heard, deliveries)
    idle = idle_load(costs, scenario)
    busy = sum(part.per_second * part.busy_us for part in parts) / 1e6 + idle
    alone = sum(part.per_second * part.alone_us for part in parts) / 1e6 + idle
    return NodeLoad(
        sends=sends.per_second * sends.busy_us / 1e6,
        heard=heard.per_second * heard.busy_us / 1e6,
        deliveries=deliveries.per_second * deliveries.busy_us / 1e6,
        idle=idle,
        seen=alone / (1 - busy + alone) if busy < 1 else 1.0,
    )


def idle_load(costs: OnPostgres, scenario: Scenario) -> float:
    """The share of a core that an average node needs while nobody sends anything."""
    polled_per_second = scenario.topics_of_node / POLL_S
    return (costs.idle_us_per_second + polled_per_second * costs.poll_topic_node_us) / 1e6


def nodes_needed(costs: OnPostgres, scenario: Scenario, most: float, limit: int = 5_000) -> int | None:
    """The fewest nodes on which none does more than `most` of a core; None if `limit` of them would not do."""
    low, high = 1, limit
    if node_load(costs, replace(scenario, nodes=limit)).total > most:
        return None
    while low < high:
        middle = (low + high) // 2
        if node_load(costs, replace(scenario, nodes=middle)).total <= most:
            high = middle
        else:
            low = middle + 1
    return low


@dataclass(frozen=True, slots=True)
class DatabaseLoad:
    """Of one PostgreSQL."""

    cores: float
    """CPU time a second, for sends and for the nodes' polls."""
    wal_bytes_per_second: float
    message_bytes_per_day: float
    journal_bytes: float
    """That are there at any time: ten minutes' worth."""
    answer_bytes: float
    """That are there at any time: a day's worth."""
    sweeping: float
    """Rows that become old, by those that the nodes can remove; above 1 they pile up."""


def database_load(costs: OnPostgres, scenario: Scenario) -> DatabaseLoad:
    """Of sends without a flow, and of the nodes' polls."""
    messages_per_second = scenario.messages_per_second
    polled_per_second = scenario.nodes * scenario.topics_of_node / POLL_S
    return DatabaseLoad(
        cores=(messages_per_second * costs.send_db_us + polled_per_second * costs.poll_topic_db_us) / 1e6,
        wal_bytes_per_second=messages_per_second * costs.wal_bytes,
        message_bytes_per_day=messages_per_second * costs.message_bytes * DAY_S,
        journal_bytes=messages_per_second * costs.journal_bytes * JOURNAL_S,
        answer_bytes=messages_per_second * costs.answer_bytes * DAY_S,
        sweeping=messages_per_second / costs.swept_per_second,
    )


@dataclass(frozen=True, slots=True)
class NatsLoad:
    """Of one NATS server that all nodes are connected to."""

    cores: float
    bytes_in_per_second: float
    bytes_to_each_node_per_second: float
    bytes_out_per_second: float


def nats_load(costs: OnPostgres, scenario: Scenario) -> NatsLoad:
    """A message goes to each node but the one it comes from."""
    share = scenario.followed if scenario.interest else 1.0
    to_each = scenario.messages_per_second * (scenario.nodes - 1) / scenario.nodes * share
    return NatsLoad(
        cores=(scenario.messages_per_second * costs.nats_in_us + scenario.nodes * to_each * costs.nats_out_us) / 1e6,
        bytes_in_per_second=scenario.messages_per_second * costs.nats_bytes,
        bytes_to_each_node_per_second=to_each * costs.nats_bytes,
        bytes_out_per_second=scenario.nodes * to_each * costs.nats_bytes,
    )
