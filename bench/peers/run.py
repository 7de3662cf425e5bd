"""One run: all servers that are there, by turns, under the same load."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench import machine, servers
from bench.client import Failed
from bench.peers import campana, ejabberd, nothing, programs, prosody, synapse
from bench.peers.load import Contender, Kind, Load, Round
from bench.peers.programs import Missing, Postgres
from bench.results import PeerCase, PeerFigures, PeerRatio, PeerResults, Spread, paired
from bench.signing import Key

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class PeerPlan:
    """How much is measured. Rounds are interleaved: each has all servers, one right after the other."""

    name: str
    senders: tuple[int, ...]
    rounds: int
    seconds: float
    warm_seconds: float


@dataclass(frozen=True, slots=True)
class Measured:
    """A round, and the CPU time that the server and the database had for each message, in microseconds."""

    round: Round
    cpu_us: float


FULL = PeerPlan("full", (1, 32), 7, 1.0, 0.2)
QUICK = PeerPlan("quick", (1, 32), 2, 1.0, 0.2)
SMOKE = PeerPlan("smoke", (1, 4), 1, 0.1, 0.05)


async def measure(plan: PeerPlan, folder: Path, key: Key, tell: Tell) -> PeerResults:
    """Start what is there, and measure it. Raises `Failed`, and `Missing` if there is no PostgreSQL."""
    facts = machine.facts(folder)
    servers.pin(1)
    with ExitStack() as stack:
        tell("starting PostgreSQL")
        postgres = stack.enter_context(programs.postgres(folder.parent))
        ours: list[Contender] = [
            stack.enter_context(campana.on_postgres(folder / "campana-postgres", key, postgres)),
            stack.enter_context(campana.on_sqlite(folder / "campana", key)),
        ]
        candidates: list[tuple[str, AbstractContextManager[Contender]]] = [
            ("ejabberd", ejabberd.running(folder / "ejabberd", key, postgres)),
            ("Prosody", prosody.running(folder / "prosody", postgres)),
            ("Synapse", synapse.running(folder / "synapse", postgres)),
        ]
        theirs: list[Contender] = []
        skipped: list[str] = []
        for name, candidate in candidates:
            tell(f"starting {name}")
            try:
                theirs.append(stack.enter_context(candidate))
            except Missing as missing:
                skipped.append(f"{name} is not in it, because it is not installed here: {missing}")
        bare = nothing.OverHttp(stack.enter_context(servers.own("peers.nothing", folder / "nothing", key, core=0)))
        contenders = [*ours, *theirs]
        everybody: list[Contender] = [*contenders, bare]
        for contender in everybody:
            tell(f"users and rooms of {contender.name}")
            await contender.open()
        sent = dict.fromkeys((contender.name for contender in contenders), 0)
        cases: list[PeerCase] = []
        generator: dict[int, int] = {}
        for kind in Kind:
            for senders in plan.senders:
                rounds = await _rounds(plan, postgres, contenders, kind, senders, sent, tell)
                cases.append(_case(kind, senders, rounds, ours, theirs))
        for senders in plan.senders:
            bare_round = await Load(bare, Kind.PLAIN, until_heard=False).run(senders, plan.warm_seconds, plan.seconds)
            generator[senders] = round(bare_round.per_second)
        for contender in contenders:
            if (archived := contender.archived()) != sent[contender.name]:
                raise Failed(f"{contender.name} delivered {sent[contender.name]} messages and archived {archived}.")
        for contender in everybody:
            await contender.close()
        return PeerResults(
            taken_on=time.strftime("%Y-%m-%d", time.gmtime()),
            commit=machine.commit(),
            plan=plan.name,
            machine=facts,
            postgres=postgres.version,
            skipped=skipped,
            generator_per_second=generator,
            cases=cases,
        )


async def _rounds(
    plan: PeerPlan,
    postgres: Postgres,
    contenders: list[Contender],
    kind: Kind,
    senders: int,
    sent: dict[str, int],
    tell: Tell,
) -> dict[str, list[Measured]]:
    taking_part = [contender for contender in contenders if kind in contender.rooms]
    rounds: dict[str, list[Measured]] = {contender.name: [] for contender in taking_part}
    for number in range(plan.rounds):
        for contender in taking_part:
            tell(f"{kind}, senders: {senders}, round {number + 1} of {plan.rounds}: {contender.name}")
            # Through a flow Campana accepts a message long before it is delivered, the others at the same time.
            load = Load(contender, kind, until_heard=kind is not Kind.PLAIN)
            # All others rest meanwhile, so that what the database does is for this one.
            cpu_ns = machine.cpu_ns(contender.pid) + postgres.cpu_ns()
            measured = await load.run(senders, plan.warm_seconds, plan.seconds)
            cpu_ns = machine.cpu_ns(contender.pid) + postgres.cpu_ns() - cpu_ns
            rounds[contender.name].append(Measured(measured, cpu_ns / load.sent / 1000))
            sent[contender.name] += load.sent
        taking_part.append(taking_part.pop(0))
    return rounds


def _case(
    kind: Kind, senders: int, rounds: dict[str, list[Measured]], ours: list[Contender], theirs: list[Contender]
) -> PeerCase:
    return PeerCase(
        kind=kind.value,
        senders=senders,
        figures=[
            PeerFigures(
                who=who,
                per_second=Spread.of([each.round.per_second for each in measured], 0),
                p50=Spread.of([each.round.p50 for each in measured]),
                p99=Spread.of([each.round.p99 for each in measured]),
                accepted_p50=Spread.of([each.round.accepted_p50 for each in measured]),
                cpu_us=Spread.of([each.cpu_us for each in measured], 0),
            )
            for who, measured in rounds.items()
        ],
        ratios=[
            PeerRatio(
                ours=one.name,
                theirs=other.name,
                rate=paired([each.round.per_second for each in mine], [each.round.per_second for each in their]),
                p50=paired([each.round.p50 for each in mine], [each.round.p50 for each in their]),
                p99=paired([each.round.p99 for each in mine], [each.round.p99 for each in their]),
                cpu=paired([each.cpu_us for each in mine], [each.cpu_us for each in their]),
            )
            for other in theirs
            for one in ours
            if (mine := rounds[one.name]) and (their := rounds.get(other.name))
        ],
    )
