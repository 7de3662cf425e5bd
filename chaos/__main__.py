"""One run: everything started, broken, mended and judged."""

import argparse
import asyncio
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import msgspec
from bench import command, machine
from bench.signing import Key
from rich.console import Console
from tests.stories.crash_history import History, complaints, course

from chaos import faults, network, programs, report
from chaos.engines import Databases, Nats
from chaos.faults import Strike, World
from chaos.journal import Journal
from chaos.load import Hung, Load
from chaos.nodes import Node
from chaos.programs import Broken
from chaos.proxies import Balancer, Relay
from chaos.recording import CALM_S, Recording, Window

NODES = 3
HANG_S = 45
"""An answer later than this is a complaint: a node is paused for 30 s at most."""
BETWEEN_S = CALM_S + 2


def main() -> int:
    """The exit code: 0 all is well, 1 something is to complain of, 2 the run could not be."""
    args = _arguments()
    console = Console(stderr=True)
    try:
        found = programs.find()
        network.enter(sys.argv[1:])
        if network.can_lose():
            network.prepare()
    except Broken as error:
        console.print(f"chaos: {error}", markup=False, highlight=False)
        return 2
    seed = args.seed if args.seed is not None else random.SystemRandom().randrange(1_000_000)
    console.print(f"chaos: SEED={seed}", highlight=False)
    possible = faults.possible(loses_packets=network.can_lose(), with_nats=args.with_nats, only=args.only)
    if not possible:
        console.print(
            f"chaos: no fault has '{args.only}' in its name: {', '.join(each.name for each in faults.FAULTS)}"
        )
        return 2
    if not network.can_lose():
        console.print("chaos: packets can't be made to vanish here (that needs root, unshare and ip); left out")
    strikes = faults.together(faults.schedule(seed, possible, NODES), args.together)
    folder = Path(tempfile.mkdtemp(prefix="campana-chaos-", dir=args.dir))
    folder.chmod(0o755)  # PostgreSQL may be another user's
    kept = args.keep
    try:
        with (
            _started(found, folder, Key.made(), with_nats=args.with_nats) as (world, balancer, key),
            console.status("…") as status,
        ):
            tell: Callable[[str], None] = status.update
            results = asyncio.run(_run(world, balancer, key, seed, strikes, args.seconds, tell))
            ends = {node.name: node.stop() for node in world.nodes}
        gone_wrong = [f"{name} ended with {code} when it was asked to stop" for name, code in ends.items() if code]
        results = msgspec.structs.replace(results, complaints=[*results.complaints, *gone_wrong])
        kept = kept or bool(results.complaints)
    except Broken as error:
        kept = True
        console.print(f"chaos: {error}", markup=False, highlight=False)
        return 2
    finally:
        if kept:
            console.print(f"chaos: logs are in {folder}", markup=False, highlight=False)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    report.show(results, Console())
    if args.json:
        args.json.write_bytes(msgspec.json.format(msgspec.json.encode(results)) + b"\n")
    if args.write:
        report.write(results)
    return 1 if results.complaints else 0


@contextmanager
def _started(
    found: programs.Programs, folder: Path, key: Key, *, with_nats: bool
) -> Iterator[tuple[World, Balancer, Key]]:
    """All processes; they are ended in any case."""
    with ExitStack() as stack:
        databases, nats = Databases(found, folder / "postgres"), Nats(found, folder)
        stack.callback(databases.stop)
        databases.start()
        stack.callback(nats.end)
        nats.start()
        nodes = []
        for number in range(1, NODES + 1):
            ports = [each.port for each in databases.servers]
            relays = (
                Relay(found, folder, f"postgres-of-{number}", f"127.0.1.{number}", ports),
                Relay(found, folder, f"nats-of-{number}", f"127.0.2.{number}", [nats.port]),
            )
            for relay in relays:
                relay.start()
                stack.callback(relay.end)
            node = Node(folder, f"node-{number}", *relays, key, nats=with_nats)
            stack.callback(node.close)
            node.start()
            nodes.append(node)
        balancer = Balancer(found, folder, [node.port for node in nodes])
        balancer.start()
        stack.callback(balancer.end)
        yield World(nodes, databases, nats), balancer, key


async def _run(
    world: World,
    balancer: Balancer,
    key: Key,
    seed: int,
    strikes: Iterator[list[Strike]],
    seconds: float,
    tell: Callable[[str], None],
) -> report.Results:
    recording = Recording()
    load = Load(balancer.port, key, seed, recording)
    begun = time.monotonic()
    windows: list[Window] = []
    wrong: list[str] = []
    history: History | None = None
    try:
        tell("making a world")
        await load.start()
        journal = Journal(world.databases, load.channels)
        following = asyncio.create_task(journal.follow())
        await asyncio.sleep(BETWEEN_S)
        windows = await _break_things(world, strikes, begun + seconds, tell, recording)
        tell("coming to rest")
        await load.end_sending()
        await load.come_to_rest(lambda: asyncio.to_thread(_unfinished, world))
        tell("looking at what is left")
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
        await asyncio.to_thread(journal.read)
        history = await load.history(journal.events)
        wrong += complaints(history)
    except (Hung, AssertionError) as error:
        wrong.append(f"{type(error).__name__}: {error}")
    finally:
        await load.close()
    for attempt in recording.slow(HANG_S):
        wrong.append(f"a request got its answer ({attempt.status} {attempt.error}) after {attempt.seconds:.0f} s")
    return report.Results(
        taken_on=time.strftime("%Y-%m-%d", time.gmtime()),
        commit=machine.commit(),
        seed=seed,
        minutes=round((time.monotonic() - begun) / 60, 1),
        nodes=len(world.nodes),
        faults=recording.results(windows),
        sends=recording.sends,
        verdicts=Counter() if history is None else Counter(course(s.lane, s.content).verdict for s in history.sent),
        sessions=len(load.users),
        connections=0 if history is None else len(history.connections),
        complaints=wrong,
    )


async def _break_things(
    world: World, strikes: Iterator[list[Strike]], until: float, tell: Callable[[str], None], recording: Recording
) -> list[Window]:
    windows: list[Window] = []
    for number, together in enumerate(strikes):
        if time.monotonic() >= until and number:
            break
        tell(f"{recording.sends:,} sends; {', '.join(each.fault.name for each in together)}")
        windows += await asyncio.gather(*(_break_one(world, each, late) for late, each in enumerate(together)))
        await asyncio.sleep(BETWEEN_S)
    return windows


async def _break_one(world: World, strike: Strike, late_s: float) -> Window:
    fault, node = strike.fault, world.nodes[strike.node]
    await asyncio.sleep(late_s)
    begun = time.monotonic()
    await asyncio.to_thread(fault.begin, world, node)
    mended = time.monotonic()
    await asyncio.sleep(fault.seconds)
    await asyncio.to_thread(fault.end, world, node)
    if not fault.mended_by_beginning:
        mended = time.monotonic()
    return Window(fault.name, begun, mended)


def _unfinished(world: World) -> int:
    """Executions without a verdict."""
    rows = world.databases.primary.sql(
        "SELECT count(*) FROM executions WHERE state IN ('INVOKING', 'AWAITING_CALLBACK')"
    )
    return int(rows[0][0])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m chaos", description="Break nodes, engines and the ways between them under load, and judge."
    )
    environment = os.environ.get
    parser.add_argument(
        "--seed", type=int, default=int(environment("SEED", "0")) or None, metavar="N", help="repeat a run's faults"
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=60 * float(environment("MINUTES") or 4),
        metavar="S",
        help="begin no fault later than this (default: 60 × MINUTES of the environment, or 240)",
    )
    parser.add_argument("--only", default="", metavar="WORDS", help="only faults that have these words in their name")
    parser.add_argument(
        "--without-nats", dest="with_nats", action="store_false", help="nodes tell one another over PostgreSQL"
    )
    parser.add_argument("--together", type=int, default=1, metavar="N", help="so many faults at a time (default: 1)")
    parser.add_argument("--dir", type=Path, default=Path(tempfile.gettempdir()), help="folder for data, on a real disk")
    parser.add_argument("--keep", action="store_true", help="keep the logs, also of a run with nothing to complain of")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    parser.add_argument("--write", action="store_true", help="keep the figures in docs/reliability.md")
    return parser.parse_args()


if __name__ == "__main__":
    command.run(main)
