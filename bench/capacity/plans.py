"""The worked plan: 1,000,000 connected users, 100,000 messages a second, 10,000 channels of 10,000 members.

The three numbers alone leave open how many channels a connected user is in, and all depends on that: `READINGS`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from bench.capacity.costs import OnPostgres
from bench.capacity.model import (
    DatabaseLoad,
    NatsLoad,
    NodeLoad,
    Scenario,
    database_load,
    nats_load,
    node_load,
    nodes_needed,
)

CONNECTED = 1_000_000
MESSAGES_PER_SECOND = 100_000
CHANNELS = 10_000
MEMBERS = 10_000
MEMBERSHIPS = CHANNELS * MEMBERS

UTILISATION = 0.5
"""Of a node's core, on average: the rest is for the busiest moment, and for the sessions of a node that died."""
CELLS = (1, 4, 10, 20, 40, 100)
CHOSEN_CELLS = 20


@dataclass(frozen=True, slots=True)
class Reading:
    """How the numbers may be meant."""

    what: str
    population: int
    """Users that there are, connected or not: all memberships are theirs."""
    sub_channel: int = MEMBERS
    """Members that hear one another; elastic channels have sub-channels of a target size."""

    @property
    def follows(self) -> float:
        """Channels of a user."""
        return MEMBERSHIPS / self.population

    @property
    def listeners(self) -> float:
        """Connected ones among those who hear a message."""
        return self.sub_channel * CONNECTED / self.population

    @property
    def deliveries_per_second(self) -> float:
        """Of all nodes together."""
        return MESSAGES_PER_SECOND * self.listeners

    @property
    def frames_per_session(self) -> float:
        """That each session hears in a second."""
        return self.deliveries_per_second / CONNECTED


READINGS = (
    Reading("everybody who is a member is connected", 1_000_000),
    Reading("the same in elastic channels, sub-channels of 500", 1_000_000, 500),
    Reading("one in ten is connected", 10_000_000),
    Reading("one in a hundred is connected, each in one channel", 100_000_000),
)
CHOSEN = READINGS[-1]


@dataclass(frozen=True, slots=True)
class Cell:
    """A part of the plan that stands alone: nodes with a PostgreSQL and a NATS, for some of the app instances."""

    cells: int
    scenario: Scenario | None
    """None: no number of nodes does it."""
    node: NodeLoad
    database: DatabaseLoad
    nats: NatsLoad


def cell(costs: OnPostgres, cells: int, reading: Reading = CHOSEN) -> Cell:
    """One of so many alike."""
    scenario = Scenario(
        nodes=1,
        messages_per_second=MESSAGES_PER_SECOND / cells,
        channels=CHANNELS // cells,
        sessions=CONNECTED // cells,
        follows=reading.follows,
    )
    nodes = nodes_needed(costs, scenario, UTILISATION)
    placed = Scenario(
        nodes or 1_000, scenario.messages_per_second, scenario.channels, scenario.sessions, scenario.follows
    )
    return Cell(
        cells,
        placed if nodes else None,
        node_load(costs, placed),
        database_load(costs, placed),
        nats_load(costs, placed),
    )


def cells(costs: OnPostgres) -> Iterator[Cell]:
    """From one for all to very many."""
    return (cell(costs, number) for number in CELLS)
