"""`python -m bench capacity`."""

import argparse
import asyncio
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import uvloop
from rich.console import Console

from bench.capacity import check, costs, measure, page
from bench.client import Failed


def main(words: list[str]) -> int:
    """The exit code: 0 done, 1 a program is missing or an answer was not what it must be."""
    args = _arguments(words)
    if args.what == "write":
        page.write(costs.read(args.costs), check.read())
        return 0
    console = Console(stderr=True)
    folder = Path(tempfile.mkdtemp(prefix="campana-capacity-", dir=args.dir))
    folder.chmod(0o711)  # PostgreSQL may run as another user
    try:
        with console.status("…") as status, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run((_measure if args.what == "measure" else _check)(args, folder, status.update))
    except Failed as failure:
        console.print(f"bench: {failure}", markup=False)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


async def _measure(args: argparse.Namespace, folder: Path, tell: Callable[[str], None]) -> None:
    plan = measure.SMOKE if args.smoke else measure.FULL
    _write(await measure.measure(plan, folder, tell), args.json or costs.FILE)


async def _check(args: argparse.Namespace, folder: Path, tell: Callable[[str], None]) -> None:
    plan = check.SMOKE if args.smoke else check.FULL
    _write(await check.check(plan, costs.read(args.costs), folder, tell), args.json or check.FILE)


def _write(found: object, file: Path) -> None:
    file.write_bytes(msgspec.json.format(msgspec.json.encode(found)) + b"\n")


def _arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench capacity",
        description="What docs/capacity.md is made of. `measure`: unit costs of nodes on a private PostgreSQL and NATS,"
        " in some minutes. `check`: the simulation's prediction for three nodes against three nodes. `write`: the page"
        " and its figure.",
    )
    parser.add_argument("what", choices=("measure", "check", "write"))
    parser.add_argument("--dir", type=Path, default=Path(tempfile.gettempdir()), help="folder for data, on a real disk")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures go (default: bench/capacity)")
    parser.add_argument(
        "--costs", type=Path, metavar="FILE", default=costs.FILE, help="what `check` predicts with (default: the kept)"
    )
    parser.add_argument("--smoke", action="store_true", help="only to see that it runs")
    return parser.parse_args(words)
