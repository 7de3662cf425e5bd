"""The faults: what is done, to whom, for how long, and how it is undone; and their order, which a seed decides."""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from chaos import network
from chaos.engines import Databases, Nats
from chaos.nodes import Node
from chaos.programs import Broken

NATS, POSTGRES = "NATS", "PostgreSQL"


@dataclass(frozen=True, slots=True)
class World:
    """What can be broken."""

    nodes: Sequence[Node]
    databases: Databases
    nats: Nats


@dataclass(frozen=True, slots=True)
class Fault:
    """A kind of fault. `begin` and `end` block; between them it lasts `seconds`."""

    name: str
    seconds: float
    begin: Callable[[World, Node], None]
    end: Callable[[World, Node], None]
    engine: str = ""
    """It happens to this engine, and so to all; else to one node."""
    loses_packets: bool = False
    of_nats: bool = False

    @property
    def mended_by_beginning(self) -> bool:
        """Whether the cause is gone when `begin` returns: what `end` does only prepares for the next fault."""
        return self.seconds == 0


def _nothing(world: World, node: Node) -> None:
    pass


def _stop(world: World, node: Node) -> None:
    if code := node.stop():
        raise Broken(f"{node.name} ended with {code} when it was asked to stop")


def _restart_nats(world: World, node: Node) -> None:
    world.nats.end()
    time.sleep(5)
    world.nats.start()


FAULTS = (
    Fault("node killed (SIGKILL), started again", 2, lambda w, n: n.kill(), lambda w, n: n.start()),
    Fault("node stopped (SIGTERM), started again", 1, _stop, lambda w, n: n.start()),
    Fault("node paused (SIGSTOP) for 30 s", 30, lambda w, n: n.pause(), lambda w, n: n.resume()),
    Fault("node cut off from NATS", 10, lambda w, n: n.notifier.cut(), lambda w, n: n.notifier.mend(), of_nats=True),
    Fault("NATS hangs for a node", 15, lambda w, n: n.notifier.hang(), lambda w, n: n.notifier.go_on(), of_nats=True),
    Fault("node cut off from PostgreSQL", 10, lambda w, n: n.database.cut(), lambda w, n: n.database.mend()),
    Fault("PostgreSQL hangs for a node", 22, lambda w, n: n.database.hang(), lambda w, n: n.database.go_on()),
    Fault(
        "packets of a node to NATS lost",
        15,
        lambda w, n: network.lose(n.notifier.host),
        lambda w, n: network.find(n.notifier.host),
        loses_packets=True,
        of_nats=True,
    ),
    Fault(
        "packets of a node to PostgreSQL lost",
        22,
        lambda w, n: network.lose(n.database.host),
        lambda w, n: network.find(n.database.host),
        loses_packets=True,
    ),
    Fault("NATS restarts", 0, _restart_nats, _nothing, engine=NATS, of_nats=True),
    Fault("PostgreSQL restarts (immediate)", 0, lambda w, n: w.databases.restart(), _nothing, engine=POSTGRES),
    Fault(
        "PostgreSQL fails over to its replica",
        0,
        lambda w, n: w.databases.fail_over(),
        lambda w, n: w.databases.rebuild(),
        engine=POSTGRES,
    ),
    Fault(
        "PostgreSQL freezes, and fails over",
        0,
        lambda w, n: w.databases.fail_over_from_frozen(),
        lambda w, n: w.databases.rebuild(),
        engine=POSTGRES,
    ),
    Fault(
        "PostgreSQL's only replica is away",
        15,
        lambda w, n: w.databases.lose_replica(),
        lambda w, n: w.databases.find_replica(),
        engine=POSTGRES,
    ),
)


@dataclass(frozen=True, slots=True)
class Strike:
    """A fault that is to happen: `node` is the index of the one it happens to."""

    fault: Fault
    node: int

    def beside(self, other: "Strike") -> bool:
        """Whether both may happen at the same time: one would else undo what the other did."""
        if self.fault.engine or other.fault.engine:
            return self.fault.engine != other.fault.engine
        return self.node != other.node


def possible(*, loses_packets: bool, with_nats: bool = True, only: str = "") -> list[Fault]:
    """The faults whose names have `only` in them, without those that can't be had here."""
    return [
        each
        for each in FAULTS
        if only in each.name and (loses_packets or not each.loses_packets) and (with_nats or not each.of_nats)
    ]


def schedule(seed: int, possible: Sequence[Fault], nodes: int) -> Iterator[Strike]:
    """For ever: every kind of fault once, in any order, then every kind again."""
    chance = random.Random(f"{seed} faults")
    while True:
        for fault in chance.sample(possible, len(possible)):
            yield Strike(fault, chance.randrange(nodes))


def together(schedule: Iterator[Strike], number: int) -> Iterator[list[Strike]]:
    """Up to `number` strikes for each time, in the order of the schedule."""
    waiting: list[Strike] = []
    while True:
        taken: list[Strike] = []
        while len(waiting) < 2 * number:
            waiting.append(next(schedule))
        for strike in [*waiting]:
            if len(taken) < number and all(strike.beside(each) for each in taken):
                taken.append(strike)
                waiting.remove(strike)
        yield taken
