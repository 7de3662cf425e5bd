"""The figures of `bench scale` as tables, one for each axis, for the terminal and for README.md."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from bench.report import of_machine, put
from bench.results import CaseAtScale, ScaleResults, Spread

BEGIN, END = "<!-- scale: written by python -m bench scale --write -->", "<!-- end of scale -->"


def tables(results: ScaleResults) -> Iterator[tuple[list[str], list[list[str]]]]:
    """Of each axis the head and the rows."""
    for axis in dict.fromkeys(case.axis for case in results.cases):
        cases = [case for case in results.cases if case.axis == axis]
        first, *others = [f"{point.size:,}" for point in cases[0].points]
        head = [axis, f"{first}: to the answer", "the server's CPU time", *others, "KiB read"]
        yield head, [_row(case) for case in cases]


def _row(case: CaseAtScale) -> list[str]:
    first, *others = case.points
    return [
        case.what,
        f"{first.ms.median:.2f} ms",
        f"{first.cpu_us:,} µs",
        *(_ratio(point.cpu_ratio) for point in others),
        f"{first.read_kib:.0f} → {case.points[-1].read_kib:.0f}",
    ]


def _ratio(spread: Spread) -> str:
    return f"× {spread.median:.2f} ({spread.low:.2f}–{spread.high:.2f})"


def taken_on(results: ScaleResults) -> str:
    """Where the figures come from, and how large the file was."""
    return (
        f"Taken on {results.taken_on}{' at ' + results.commit if results.commit else ''}:"
        f" {of_machine(results.machine)}."
        f" One file of {results.file_mib / 1024:.1f} GiB with {results.messages:,} messages"
        f" ({results.message_bytes:,} bytes each, indexes included), {results.channels:,} channels and"
        f" {results.users:,} users; the server had {results.resident_mib:,} MiB resident at the end."
    )


def show(results: ScaleResults, console: Console) -> None:
    """All tables."""
    for head, rows in tables(results):
        table = Table()
        for column in head:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    console.print(taken_on(results), highlight=False)


def write_readme(results: ScaleResults) -> None:
    """Put the figures between the markers."""
    lines = [taken_on(results)]
    for head, rows in tables(results):
        lines += ["", f"| {' | '.join(head)} |", "|" + "---|" * len(head), *(f"| {' | '.join(row)} |" for row in rows)]
    put(BEGIN, END, "\n".join(lines))
