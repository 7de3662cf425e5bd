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

from bench import fan_out, flow, machine, report, results, sends, servers, start_up
from bench.client import Failed
from bench.plan import FULL, QUICK, SMOKE, Plan
from bench.results import Results
from bench.signing import Key

HERE = Path(__file__).parent


def main() -> int:
    """The exit code: 0 measured, 1 a frame or an answer was not what it must be, or the machine does not do."""
    args = _arguments()
    plan: Plan = args.plan
    if args.sockets is not None:
        plan = replace(plan, sockets=args.sockets)
    console = Console(stderr=True)
    args.dir.mkdir(parents=True, exist_ok=True)
    if machine.filesystem(args.dir) in machine.IN_MEMORY and plan is not SMOKE:
        console.print(f"bench: {args.dir} is in memory, where nothing is durable; give a folder on a disk with --dir")
        return 1
    folder = Path(tempfile.mkdtemp(prefix="campana-bench-", dir=args.dir))
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


async def _measure(plan: Plan, folder: Path, tell: Callable[[str], None]) -> Results:
    facts = machine.facts(folder)
    servers.pin(1)
    key = Key.made()
    started = start_up.measure(plan, folder, key, tell)
    sent = await sends.measure(plan, folder, key, tell)
    flowed = await flow.measure(plan, folder, key, tell)
    fanned_out, memory = await fan_out.measure(plan, folder, key, tell)
    return Results(
        taken_on=time.strftime("%Y-%m-%d", time.gmtime()),
        commit=machine.commit(),
        plan=plan.name,
        machine=facts,
        start_up=started,
        sends=sent,
        flow=flowed,
        fan_out=fanned_out,
        memory=memory,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure the server, side by side with floors."
    )
    plans = parser.add_mutually_exclusive_group()
    plans.add_argument(
        "--quick", dest="plan", action="store_const", const=QUICK, help="in well under a minute, noisier"
    )
    plans.add_argument("--smoke", dest="plan", action="store_const", const=SMOKE, help="only to see that it runs")
    parser.set_defaults(plan=FULL)
    parser.add_argument("--sockets", type=int, metavar="N", help=f"sessions of the fan-out (default: {FULL.sockets:,})")
    parser.add_argument("--dir", type=Path, default=Path(tempfile.gettempdir()), help="folder for data, on a real disk")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures go (default: bench/last.json)")
    parser.add_argument("--write", action="store_true", help="keep them: bench/results.json and bench/README.md")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
