"""One run: everything measured, side by side; JSON and a table come out."""

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import uvloop
from rich.console import Console

from bench import command, fan_out, flow, machine, noise, report, results, scale, scale_report, sends, servers, start_up
from bench.client import Failed
from bench.comparison import command as comparison
from bench.peers import report as peers_report
from bench.peers import run as peers_run
from bench.peers.programs import Missing
from bench.plan import FULL, QUICK, SMOKE, Plan
from bench.results import Results
from bench.signing import Key

HERE = Path(__file__).parent
SCALE_PLANS = {FULL: scale.FULL, QUICK: scale.QUICK, SMOKE: scale.SMOKE}
PEER_PLANS = {FULL: peers_run.FULL, QUICK: peers_run.QUICK, SMOKE: peers_run.SMOKE}


def main() -> int:
    """The exit code: 0 measured, 1 a frame or an answer was not what it must be, or the machine does not do."""
    if sys.argv[1:2] == ["capacity"]:
        from bench.capacity import command as capacity  # needs psycopg and nats-py, which nothing else here does

        return capacity.main(sys.argv[2:])
    if sys.argv[1:2] == ["compare"]:
        return comparison.main(sys.argv[2:])
    args = _arguments()
    plan: Plan = args.plan
    if args.sockets is not None:
        plan = replace(plan, sockets=(args.sockets,))
    console = Console(stderr=True)
    args.dir.mkdir(parents=True, exist_ok=True)
    if machine.filesystem(args.dir) in machine.IN_MEMORY and plan is not SMOKE:
        console.print(f"bench: {args.dir} is in memory, where nothing is durable; give a folder on a disk with --dir")
        return 1
    folder = Path(tempfile.mkdtemp(prefix="campana-bench-", dir=args.dir))
    if args.what == "scale":
        return _scale(args, folder, console)
    if args.what == "peers":
        return _peers(args, folder, console)
    try:
        with console.status("…") as status, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            measured = runner.run(_measure(plan, folder, status.update))
    except Failed as failure:
        console.print(f"bench: {failure}", markup=False)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    report.show(measured, Console())
    results.write(measured, args.json or HERE / ("results.json" if args.write else "last.json"))
    if args.write:
        report.write_readme(measured)
    return 0


def _scale(args: argparse.Namespace, folder: Path, console: Console) -> int:
    plan = SCALE_PLANS[args.plan]
    if args.messages is not None:
        plan = replace(plan, messages=args.messages)
    data = args.data or folder / "scale"
    try:
        with console.status("…") as status:
            sizes = scale.prepare(plan, data, status.update)
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                measured = runner.run(scale.measure(plan, sizes, data, Key.made(), status.update))
    except Failed as failure:
        console.print(f"bench: {failure}", markup=False)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    scale_report.show(measured, Console())
    results.write(measured, args.json or HERE / ("scale.json" if args.write else "last.json"))
    if args.write:
        scale_report.write_readme(measured)
    return 0


def _peers(args: argparse.Namespace, folder: Path, console: Console) -> int:
    try:
        with console.status("…") as status, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            measured = runner.run(peers_run.measure(PEER_PLANS[args.plan], folder, Key.made(), status.update))
    except Missing as missing:
        console.print(f"bench: nothing to measure without {missing}", markup=False)
        return 1
    except Failed as failure:
        console.print(f"bench: {failure}", markup=False)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    peers_report.show(measured, Console())
    results.write(measured, args.json or HERE / ("peers.json" if args.write else "last.json"))
    if args.write:
        peers_report.write_readme(measured)
    return 0


async def _measure(plan: Plan, folder: Path, tell: Callable[[str], None]) -> Results:
    facts = machine.facts(folder)
    servers.pin(1)
    key = Key.made()
    started = start_up.measure(plan, folder, key, tell)
    sent = await sends.measure(plan, folder, key, tell)
    disturbed = await noise.measure(plan, folder, key, tell)
    flowed = await flow.measure(plan, folder, key, tell)
    fanned_out = [await fan_out.measure(plan, sockets, folder, key, tell) for sockets in fan_out.fitting(plan.sockets)]
    return Results(
        taken_on=time.strftime("%Y-%m-%d", time.gmtime()),
        commit=machine.commit(),
        plan=plan.name,
        machine=facts,
        start_up=started,
        sends=sent,
        noise=disturbed,
        flow=flowed,
        fan_out=fanned_out,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure the server, side by side with floors; `compare` (--help) two commits of it;"
        " `capacity` (--help): what docs/capacity.md is made of.",
    )
    parser.add_argument(
        "what",
        nargs="?",
        choices=("floors", "scale", "peers"),
        default="floors",
        help="side by side with floors, the same calls among few rows and many, or side by side with ejabberd, Prosody"
        " and Synapse (default: floors)",
    )
    plans = parser.add_mutually_exclusive_group()
    plans.add_argument(
        "--quick", dest="plan", action="store_const", const=QUICK, help="in well under a minute, noisier"
    )
    plans.add_argument("--smoke", dest="plan", action="store_const", const=SMOKE, help="only to see that it runs")
    parser.set_defaults(plan=FULL)
    parser.add_argument("--sockets", type=int, metavar="N", help="sessions of the fan-out (default: 1,000 and 10,000)")
    parser.add_argument(
        "--messages",
        type=int,
        metavar="N",
        help=f"messages in the file of `scale`, a multiple of 2,000 (default: {scale.FULL.messages:,}; 10,000,000 is"
        " the size that one node is designed for and takes 15 GB and half an hour)",
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="where `scale` keeps its file, to be used again")
    parser.add_argument("--dir", type=Path, default=Path(tempfile.gettempdir()), help="folder for data, on a real disk")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures go (default: bench/last.json)")
    parser.add_argument("--write", action="store_true", help="keep them: bench/results.json and bench/README.md")
    return parser.parse_args()


if __name__ == "__main__":
    command.run(main)
