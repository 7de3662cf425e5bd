"""The figures of `bench peers` as tables, for the terminal and for README.md."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from bench.report import of_machine, put
from bench.results import PeerCase, PeerFigures, PeerRatio, PeerResults, Spread

BEGIN, END = "<!-- peers: written by python -m bench peers --write -->", "<!-- end of peers -->"


def tables(results: PeerResults) -> Iterator[tuple[list[str], list[list[str]]]]:
    """The head and the rows: first what each server did, then the ratios."""
    names = list(dict.fromkeys(figures.who for case in results.cases for figures in case.figures))
    yield ["delivered to 2 live sessions", *names], [_figures_row(case, names) for case in results.cases]
    head = ["", "compared with", "rate ×", "p50 ×", "p99 ×"]
    yield head, [_ratio_row(case, ratio) for case in results.cases for ratio in case.ratios]


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
    return f"{figures.per_second.median:,.0f}/s, p50 {figures.p50.median:.2f}, p99 {figures.p99.median:.2f} ms"


def _ratio_row(case: PeerCase, ratio: PeerRatio) -> list[str]:
    spreads = (ratio.rate, ratio.p50, ratio.p99)
    return [f"{_case(case)}: {ratio.ours}", ratio.theirs, *(_spread(each) for each in spreads)]


def _spread(spread: Spread) -> str:
    return f"{spread.median:.2f} ({spread.low:.2f}–{spread.high:.2f})"


def _case(case: PeerCase) -> str:
    return f"{case.kind}, {case.senders} sender{'s' if case.senders > 1 else ''}"
