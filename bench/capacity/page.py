"""docs/capacity.md: text by hand, tables between markers; and the figure beside it."""

from collections.abc import Sequence

from bench.capacity import figure, tables
from bench.capacity.check import Check
from bench.capacity.costs import Costs
from bench.machine import ROOT

PAGE = ROOT / "docs" / "capacity.md"
FIGURE = ROOT / "docs" / "capacity.svg"


def text(costs: Costs, checks: Sequence[Check]) -> str:
    """The page as it is to be. Raises `ValueError` for a table whose markers are not there."""
    page = PAGE.read_text("utf-8")
    for name, table in tables.TABLES.items():
        begin, end = f"<!-- {name}: written by python -m bench capacity write -->", f"<!-- end of {name} -->"
        before, found, rest = page.partition(begin)
        _, found_end, after = rest.partition(end)
        if not (found and found_end):
            raise ValueError(f"{PAGE.name} has no place for the table “{name}”.")
        page = f"{before}{begin}\n{table(costs, checks)}\n{end}{after}"
    return page


def write(costs: Costs, checks: Sequence[Check]) -> None:
    """The page and the figure."""
    PAGE.write_text(text(costs, checks), "utf-8")
    FIGURE.write_text(figure.svg(costs), "utf-8")
