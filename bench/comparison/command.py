"""`python -m bench compare`."""

import argparse
import asyncio
import shutil
import tempfile
from pathlib import Path

import uvloop
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench import machine, servers
from bench.client import Failed
from bench.comparison import run
from bench.comparison.commits import WORKING_TREE, Version, default_base, version
from bench.comparison.run import Compared
from bench.comparison.verdict import Comparison, Verdict

SLOWER, NOTHING_SAID = 1, 2  # exit codes
FILE_COLUMNS = 120


def main(words: list[str]) -> int:
    """The exit code: 0 no path is slower, 1 one is, 2 the CPU time of one stayed unclear or nothing was measured."""
    args = _arguments(words)
    console = Console(stderr=True)
    args.dir.mkdir(parents=True, exist_ok=True)
    if machine.filesystem(args.dir) in machine.IN_MEMORY and args.plan is run.FULL:
        console.print(f"bench: {args.dir} is in memory, where nothing is durable; give a folder on a disk with --dir")
        return NOTHING_SAID
    folder = Path(tempfile.mkdtemp(prefix="campana-compare-", dir=args.dir))
    folder.chmod(0o711)  # PostgreSQL may run as another user
    try:
        old = version(args.base or default_base(), folder / "old", console.print)
        new = version(args.head, folder / "new", console.print)
        servers.pin(1)
        with (
            Progress(
                TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console, transient=True
            ) as progress,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            task = progress.add_task("…")

            def tell(what: str, done: int, most: int) -> None:
                progress.update(task, description=what, completed=done, total=most)

            found = runner.run(run.compare(args.plan, old, new, folder, tell, on_postgres=args.postgres))
    except Failed as failure:
        console.print(f"bench: {failure}", markup=False)
        return NOTHING_SAID
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    out = Console()
    if not out.is_terminal:
        out.width = FILE_COLUMNS
    return _say(old, new, found, out)


def _say(old: Version, new: Version, found: dict[str, Compared], console: Console) -> int:
    rounds = len(next(iter(found.values())).old)
    table = Table(title=f"{new.name} compared with {old.name}, {rounds} rounds of each", title_justify="left")
    table.add_column("")
    for column in ("CPU of the server", "ratio", "to the client", "ratio"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    verdicts = set()
    for what, compared in found.items():
        before, after = compared.medians()
        cpu, wall = compared.cpu(), compared.wall()
        verdict = _of(cpu, wall)
        verdicts.add(verdict)
        table.add_row(
            what,
            f"{before.cpu:,.0f} → {after.cpu:,.0f} µs",
            _ratio(cpu),
            f"{before.wall / 1e3:,.2f} → {after.wall / 1e3:,.2f} ms",
            _ratio(wall),
            _COLOURS[verdict] + verdict.value,
        )
    console.print(table)
    console.print(
        "Ratios are medians of paired rounds with the interval that holds the true one at 99 %. Slower: more than 10 %,"
        " and no difference is outside of the interval.",
        highlight=False,
    )
    if Verdict.SLOWER in verdicts:
        return SLOWER
    if Verdict.UNCLEAR in verdicts:
        console.print(
            "The rounds differ too much, or were too few, to tell: run it again, when less else is running.",
            highlight=False,
        )
        return NOTHING_SAID
    return 0


_COLOURS = {Verdict.SLOWER: "[red]", Verdict.UNCLEAR: "[yellow]", Verdict.FASTER: "[green]", Verdict.NOT_SLOWER: ""}


def _of(cpu: Comparison, wall: Comparison) -> Verdict:
    """CPU time decides; the client's time can only add that it is slower: a wait, a lock, one more flush.

    What a client waits depends on the disk and on who else wants the core, and is often unclear.
    """
    return Verdict.SLOWER if wall.verdict is Verdict.SLOWER else cpu.verdict


def _ratio(comparison: Comparison) -> str:
    return f"{comparison.median:.2f} ({comparison.low:.2f}–{comparison.high:.2f})"


def _arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench compare",
        description="Whether a hot path is more than 10 % slower than it was: two commits, measured by turns in one"
        " run. Ends with 1 if one is, with 2 if the machine was too restless to tell.",
    )
    parser.add_argument(
        "base",
        nargs="?",
        help="the commit to compare with (default: where this branch left main; on main origin/main, if it is behind;"
        " otherwise HEAD while files in src differ from it, or HEAD~1)",
    )
    parser.add_argument(
        "head", nargs="?", default=WORKING_TREE, help="the commit that may be slower (default: the files as they are)"
    )
    parser.add_argument(
        "--postgres", action="store_true", help="on a private PostgreSQL server each; its CPU time counts as well"
    )
    parser.add_argument("--dir", type=Path, default=Path(tempfile.gettempdir()), help="folder for data, on a real disk")
    parser.add_argument(
        "--smoke", dest="plan", action="store_const", const=run.SMOKE, default=run.FULL, help="only to see that it runs"
    )
    return parser.parse_args(words)
