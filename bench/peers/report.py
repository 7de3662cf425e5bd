"""The figures of `bench peers` as tables, for the terminal and for README.md."""

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from bench.peers.load import Kind
from bench.report import of_machine, put
from bench.results import PeerCase, PeerFigures, PeerRatio, PeerResults

BEGIN, END = "<!-- peers: written by python -m bench peers --write -->", "<!-- end of peers -->"


@dataclass(frozen=True, slots=True)
class Target:
    """A rate that Campana is to have at least, and times at most, by the peer's."""

    rate: float | None = None
    p50: float | None = None
    p99: float | None = None

    def __str__(self) -> str:
        parts = (("rate × ≥", self.rate), ("p50 × ≤", self.p50), ("p99 × ≤", self.p99))
        return ", ".join(f"{name} {value:g}" for name, value in parts if value is not None)


TARGETS = {
    (Kind.PLAIN, "ejabberd"): Target(rate=2, p99=0.5),
    (Kind.PLAIN, "Synapse"): Target(rate=50, p99=0.02),
    (Kind.HTTP, "ejabberd"): Target(rate=1, p50=2.5),
    (Kind.IN_PROCESS, "ejabberd"): Target(rate=2),
}


def tables(results: PeerResults) -> Iterator[tuple[list[str], list[list[str]]]]:
    """The head and the rows: first what each server did, then the ratios."""
    names = list(dict.fromkeys(figures.who for case in results.cases for figures in case.figures))
    yield ["delivered to 2 live sessions", *names], [_figures_row(case, names) for case in results.cases]
    ours = list(dict.fromkeys(ratio.ours for case in results.cases for ratio in case.ratios))
    yield (
        ["by a peer's figure", "to reach", *ours],
        [
            _ratio_row(case, theirs, [ratio for ratio in case.ratios if ratio.theirs == theirs])
            for case in results.cases
            for theirs in dict.fromkeys(ratio.theirs for ratio in case.ratios)
        ],
    )


def taken_on(results: PeerResults) -> str:
    """Where the figures come from, and who is missing."""
    generator = ", ".join(f"{rate:,}/s with {senders}" for senders, rate in results.generator_per_second.items())
    plan = f" by a {results.plan} run" if results.plan != "full" else ""
    text = (
        f"Taken on {results.taken_on}{' at ' + results.commit if results.commit else ''}{plan}:"
        f" {of_machine(results.machine)}; PostgreSQL {results.postgres}. The load generator alone reaches {generator}."
    )
    return " ".join([text, *(f"{each}." for each in results.skipped)])


def show(results: PeerResults, console: Console) -> None:
    """All tables."""
    for head, rows in tables(results):
        table = Table()
        for column in head:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    console.print(taken_on(results), highlight=False)


def write_readme(results: PeerResults) -> None:
    """Put the tables between the markers."""
    parts = [taken_on(results)]
    for head, rows in tables(results):
        lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|", *(f"| {' | '.join(row)} |" for row in rows)]
        parts.append("\n".join(lines))
    put(BEGIN, END, "\n\n".join(parts))


def _figures_row(case: PeerCase, names: list[str]) -> list[str]:
    of = {figures.who: figures for figures in case.figures}
    return [_case(case), *(_figures(of[name]) if name in of else "" for name in names)]


def _figures(figures: PeerFigures) -> str:
    return (
        f"{figures.per_second.median:,.0f}/s, p50 {figures.p50.median:.2f}, p99 {figures.p99.median:.2f} ms,"
        f" CPU {figures.cpu_us.median:,.0f} µs"
    )


def _ratio_row(case: PeerCase, theirs: str, ratios: list[PeerRatio]) -> list[str]:
    target = TARGETS.get((Kind(case.kind), theirs.partition(" ")[0]), Target())
    return [f"{_case(case)}: {theirs}", str(target), *(_ratio(ratio, target) for ratio in ratios)]


def _ratio(ratio: PeerRatio, target: Target) -> str:
    marked = (
        ("rate", ratio.rate, target.rate and ratio.rate.median >= target.rate),
        ("p50", ratio.p50, target.p50 and ratio.p50.median <= target.p50),
        ("p99", ratio.p99, target.p99 and ratio.p99.median <= target.p99),
        ("CPU", ratio.cpu, None),
    )
    return ", ".join(
        f"{name} × {spread.median:.2f} ({spread.low:.2f}–{spread.high:.2f}){' ✓' if reached else ''}"
        for name, spread, reached in marked
    )


def _case(case: PeerCase) -> str:
    return f"{case.kind}, {case.senders} sender{'s' if case.senders > 1 else ''}"
