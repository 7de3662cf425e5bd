"""`python -m bench capacity`."""

import argparse
import asyncio
import shutil
import tempfile
from pathlib import Path

import msgspec
import uvloop
from rich.console import Console

from bench.capacity import costs, measure
from bench.client import Failed


def main(words: list[str]) -> int:
    args = _arguments(words)
    console = Console(stderr=True)
    folder = Path(tempfile.mkdtemp(prefix="campana-capacity-", dir=args.dir))
    folder.chmod(0o711)  # PostgreSQL may run as another user
    try:
        with console.status("…") as status, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            measured = runner.run(measure.measure(args.plan, folder, status.update))
    except Failed as failure:
        console.print(f"bench: {failure}", markup=False)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    (args.json or costs.FILE).write_bytes(msgspec.json.format(msgspec.json.encode(measured)) + b"\n")
    return 0


def _arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench capacity")
    parser.add_argument("what", choices=("measure",))
    parser.add_argument("--dir", type=Path, default=Path(tempfile.gettempdir()), help="folder for data, on a real disk")
    parser.add_argument("--smoke", dest="plan", action="store_const", const=measure.SMOKE, default=measure.FULL)
    parser.add_argument("--json", type=Path, metavar="FILE", help=f"where they go (default: {costs.FILE.name})")
    return parser.parse_args(words)
