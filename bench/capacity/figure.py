"""docs/capacity.svg: what more nodes do not help, and at which rate of messages each part is used up."""

from collections.abc import Sequence
from html import escape
from math import log10

from bench.capacity.costs import Costs
from bench.capacity.model import Scenario, database_load, nats_load, node_load

NODES = 20
CHANNELS = 500
LISTENERS = 100
RATES = (100, 100_000)
SHARES = (0.01, 10.0)
DB_CORES = 16
WAL_BYTES_PER_SECOND = 200e6
LINK_BITS_PER_SECOND = 1e9

WIDTH, HEIGHT = 900, 470
LEFT, RIGHT, TOP, BOTTOM = 70, 300, 56, 56
POINTS = 60
COLOURS = ("#b3261e", "#6a3fa0", "#1f6fb4", "#2e7d32", "#b26a00")


def lines(costs: Costs, rate: float) -> dict[str, float]:
    """The share of each part that so many messages a second use up, in one installation."""
    scenario = Scenario(NODES, rate, CHANNELS, LISTENERS * CHANNELS, 1.0)
    database = database_load(costs.postgres, scenario)
    return {
        "removal of old rows": database.sweeping,
        "a node's core, for hearing alone": node_load(costs.postgres, scenario).heard,
        f"{DB_CORES} cores of PostgreSQL": database.cores / DB_CORES,
        f"WAL, {WAL_BYTES_PER_SECOND / 1e6:.0f} MB/s": database.wal_bytes_per_second / WAL_BYTES_PER_SECOND,
        f"NATS to a node, {LINK_BITS_PER_SECOND / 1e9:.0f} Gbit/s": nats_load(
            costs.postgres, scenario
        ).bytes_to_each_node_per_second
        * 8
        / LINK_BITS_PER_SECOND,
    }


def svg(costs: Costs) -> str:
    """The picture; its text is that of the page around it."""
    rates = [RATES[0] * (RATES[1] / RATES[0]) ** (number / (POINTS - 1)) for number in range(POINTS)]
    drawn = [lines(costs, rate) for rate in rates]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"'
        ' font-size="13" role="img">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="24" font-size="15" font-weight="bold" fill="#222">'
        "What more nodes do not help: one installation, used up at 100 %</text>",
        f'<text x="{LEFT}" y="42" fill="#555">{NODES} nodes; both axes are logarithmic</text>',
        *_grid(),
    ]
    ends = _apart([(name, _y(drawn[-1][name])) for name in drawn[0]])
    for colour, name in zip(COLOURS, drawn[0], strict=True):
        points = [(_x(rate), _y(each[name])) for rate, each in zip(rates, drawn, strict=True)]
        seen = " ".join(f"{x:.1f},{y:.1f}" for x, y in points if TOP <= y <= HEIGHT - BOTTOM)
        full = _full(costs, name)
        parts.append(f'<polyline points="{seen}" fill="none" stroke="{colour}" stroke-width="2.5"/>')
        if full is not None:
            parts.append(f'<circle cx="{_x(full):.1f}" cy="{_y(1):.1f}" r="4.5" fill="{colour}"/>')
        label = escape(name) + (f": {_rounded(full)}/s" if full is not None else "")
        parts.append(f'<text x="{WIDTH - RIGHT + 10}" y="{ends[name]:.1f}" fill="{colour}">{label}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _grid() -> list[str]:
    parts = []
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    for power in range(round(log10(RATES[0])), round(log10(RATES[1])) + 1):
        x = _x(10.0**power)
        parts.append(f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom}" stroke="#ddd"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 20}" text-anchor="middle" fill="#333">{10**power:,}</text>')
    middle = (LEFT + right) / 2
    parts.append(f'<text x="{middle:.0f}" y="{bottom + 42}" text-anchor="middle" fill="#333">messages a second</text>')
    for share in (0.01, 0.1, 1.0, 10.0):
        y = _y(share)
        stroke = 'stroke="#222" stroke-dasharray="5 4"' if share == 1 else 'stroke="#ddd"'
        parts.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" {stroke}/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" fill="#333">{100 * share:,.0f} %</text>')
    return parts


def _full(costs: Costs, name: str) -> float | None:
    """The rate at which it is used up, if it is on the picture."""
    low, high = (float(rate) for rate in RATES)
    if lines(costs, high)[name] < 1:
        return None
    for _ in range(50):
        middle = (low * high) ** 0.5
        low, high = (low, middle) if lines(costs, middle)[name] >= 1 else (middle, high)
    return high


def _apart(ends: Sequence[tuple[str, float]]) -> dict[str, float]:
    """Labels at the ends of their lines, but never on top of one another."""
    placed: dict[str, float] = {}
    last = TOP - 8.0
    for name, y in sorted(ends, key=lambda end: end[1]):
        last = max(last + 20, max(y, TOP) + 4)
        placed[name] = last
    return placed


def _rounded(rate: float) -> str:
    digits = 10 ** (len(str(int(rate))) - 2)
    return f"{round(rate / digits) * digits:,}"


def _x(rate: float) -> float:
    return LEFT + (WIDTH - RIGHT - LEFT) * log10(rate / RATES[0]) / log10(RATES[1] / RATES[0])


def _y(share: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * log10(share / SHARES[0]) / log10(SHARES[1] / SHARES[0])
