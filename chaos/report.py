"""A run as a table for the terminal, and as Markdown for docs/reliability.md."""

from collections.abc import Mapping, Sequence

import msgspec
from bench.machine import ROOT
from rich.console import Console
from rich.table import Table

from chaos.recording import FaultResult

DOCUMENT = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- results: written by python -m chaos --write -->", "<!-- end of results -->"
COLUMNS = (
    "fault",
    "times, longest",
    "sends accepted",
    "answers ok / 503 / broken",
    "no send accepted for",
    "p50 before / during / after, ms",
    "p99",
    "slowest send",
    "latest live",
    "sessions lost, back within",
    "failures after its end",
)
WIDE = 160
"""Characters that the whole table takes; on narrower terminals there is less of it."""
NARROW = (0, 2, 3, 4, 7)


class Results(msgspec.Struct, frozen=True):
    """A run."""

    taken_on: str
    commit: str
    seed: int
    minutes: float
    nodes: int
    faults: Sequence[FaultResult]
    sends: int
    verdicts: Mapping[str, int]
    """Of the accepted messages, how many ended how."""
    sessions: int
    connections: int
    """That they took, one after the other."""
    complaints: Sequence[str]


def row(result: FaultResult) -> tuple[str, ...]:
    """As COLUMNS."""
    lost = f"{result.sessions_lost}, {result.back_s:g} s" if result.sessions_lost else "0"
    return (
        result.fault,
        f"{result.times}, {result.lasted_s:g} s",
        str(result.accepted),
        f"{result.ok} / {result.unavailable} / {result.other_errors}",
        f"{result.silence_s:g} s",
        " / ".join(f"{each:.0f}" for each in result.p50_ms),
        " / ".join(f"{each:.0f}" for each in result.p99_ms),
        f"{result.slowest_s:g} s",
        f"{result.live_s:g} s",
        lost,
        f"{result.recovery_s:g} s",
    )


def summary(results: Results) -> str:
    """What it was, and what came of it, in a few sentences."""
    verdicts = ", ".join(f"{number:,} {name}" for name, number in sorted(results.verdicts.items()))
    faults = sum(each.times for each in results.faults)
    judged = "nothing to complain of" if not results.complaints else f"{len(results.complaints)} complaints"
    return (
        f"Taken on {results.taken_on}{' at ' + results.commit if results.commit else ''}, seed {results.seed}:"
        f" {faults} faults in {results.minutes:.1f} minutes, {results.nodes} nodes. {results.sends:,} sends were"
        f" accepted ({verdicts}); {results.sessions} users heard them over {results.connections} sessions: {judged}."
    )


def show(results: Results, console: Console) -> None:
    """The table, or the most important of its columns, and the complaints."""
    table = Table(title="Campana under faults", title_justify="left")
    shown = range(len(COLUMNS)) if console.width >= WIDE else NARROW
    for index in shown:
        table.add_column(COLUMNS[index], justify="right" if index else "left")
    for each in results.faults:
        cells = row(each)
        table.add_row(*(cells[index] for index in shown))
    console.print(table)
    console.print(summary(results), highlight=False)
    for complaint in results.complaints[:30]:
        console.print(f"[red]✗[/] {complaint}", highlight=False)


def write(results: Results) -> None:
    """Put the figures between the markers."""
    lines = [
        f"| {' | '.join(COLUMNS)} |",
        "|---" * len(COLUMNS) + "|",
        *(f"| {' | '.join(row(each))} |" for each in results.faults),
    ]
    text = DOCUMENT.read_text("utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    DOCUMENT.write_text(
        "".join((before, BEGIN, "\n", summary(results), "\n\n", "\n".join(lines), "\n", END, after)), "utf-8"
    )
