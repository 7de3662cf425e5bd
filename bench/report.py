"""Results as a table for the terminal and as Markdown for README.md."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from bench.machine import Machine
from bench.results import Rate, Results, Spread

README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- results: written by python -m bench --write -->", "<!-- end of results -->"


class Row(NamedTuple):
    """One line of the table."""

    what: str
    campana: str
    compared: str
    ratio: str


def rows(results: Results) -> Iterator[Row]:
    """Every figure, with what it is compared with."""
    for sends in results.sends:
        who = "1 sender" if sends.senders == 1 else f"{sends.senders} senders"
        yield Row(
            f"durable sends, {who}, 10 live sessions",
            _rate(sends.campana),
            f"floor: {_rate(sends.floor)}",
            _ratio(sends.ratio),
        )
        yield Row("the same", _rate(sends.campana), f"thin floor: {_rate(sends.thin_floor)}", _ratio(sends.thin_ratio))
    noise = results.noise
    for how, rate, ratio, noisy in (
        ("rates off", noise.without_rates, noise.ratio_without_rates, noise.noisy_per_second_without_rates),
        ("rates on", noise.with_rates, noise.ratio_with_rates, noise.noisy_per_second_with_rates),
    ):
        yield Row(
            f"sends of {noise.quiet_senders} quiet users next to one with {noise.noisy_senders} under way, {how}",
            f"{_rate(rate)} (the noisy one: {noisy:,}/s)",
            f"alone: {_rate(noise.alone)}",
            f"p99 × {_ratio(ratio)}",
        )
    flow = results.flow
    yield Row(
        "latency a channel flow adds, send to delivery",
        f"{flow.added.median:.2f} ms ({flow.without_flow.median:.2f} → {flow.with_flow.median:.2f})",
        f"bare round trip to the processor: {flow.bare_round_trip.median:.2f} ms",
        _ratio(flow.ratio),
    )
    for fan_out in results.fan_out:
        yield Row(
            f"a message to {fan_out.sockets:,} sessions, send to last",
            f"{fan_out.campana.median:.1f} ms",
            f"raw sockets, the same {fan_out.frame_bytes:,} bytes: {fan_out.raw.median:.1f} ms",
            _ratio(fan_out.ratio),
        )
    for fan_out in results.fan_out:
        yield Row(
            f"memory of an idle session ({fan_out.sockets:,} of them)",
            f"{fan_out.per_session_kib:.1f} KiB",
            f"raw socket: {fan_out.per_raw_socket_kib:.1f} KiB",
            f"{fan_out.per_session_kib / fan_out.per_raw_socket_kib:.1f}" if fan_out.per_raw_socket_kib > 0 else "",
        )
    start = results.start_up
    yield Row(
        "start to first answer",
        f"{start.campana.median:.0f} ms, {start.resident_kib / 1024:.0f} MiB resident",
        f"python -c pass: {start.bare_interpreter.median:.0f} ms",
        f"{start.campana.median / start.bare_interpreter.median:.1f}",
    )


def taken_on(results: Results) -> str:
    """Where the figures come from, in a sentence or two."""
    generator = ", ".join(f"{each.generator_per_second:,}/s with {each.senders}" for each in results.sends)
    plan = f" by a {results.plan} run" if results.plan != "full" else ""
    return (
        f"Taken on {results.taken_on}{' at ' + results.commit if results.commit else ''}{plan}:"
        f" {of_machine(results.machine)}. The load generator alone reaches {generator}."
    )


def of_machine(machine: Machine) -> str:
    """What the figures were taken on."""
    pinned = "servers pinned to one, load on another" if machine.pinned else "servers and load together"
    return (
        f"{machine.cpu}, {machine.cores} cores ({pinned}), {machine.memory_gib:.0f} GiB, {machine.system},"
        f" {machine.python}, SQLite {machine.sqlite}, {machine.filesystem or 'unknown filesystem'} with"
        f" {machine.fdatasyncs_per_second:,} fdatasync/s; load average before the run {machine.load_before}"
    )


def show(results: Results, console: Console) -> None:
    """The table."""
    table = Table(title="Campana, side by side with its floors", title_justify="left")
    for column in ("", "Campana", "compared with"):
        table.add_column(column, overflow="fold")
    table.add_column("ratio", justify="right")
    for row in rows(results):
        table.add_row(*row)
    console.print(table)
    console.print(taken_on(results), highlight=False)


def write_readme(results: Results) -> None:
    """Put the figures between the markers."""
    lines = [
        "| | Campana | compared with | ratio |",
        "|---|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in rows(results)),
    ]
    put(BEGIN, END, "\n".join([taken_on(results), "", *lines]))


def put(begin: str, end: str, text: str) -> None:
    """Into README.md, between these markers."""
    readme = README.read_text("utf-8")
    before, _, rest = readme.partition(begin)
    _, _, after = rest.partition(end)
    README.write_text(f"{before}{begin}\n{text}\n{end}{after}", "utf-8")


def _rate(rate: Rate) -> str:
    return f"{rate.per_second.median:,.0f}/s, p50 {rate.p50:.2f}, p99 {rate.p99:.2f} ms"


def _ratio(spread: Spread) -> str:
    return f"{spread.median:.2f} ({spread.low:.2f}–{spread.high:.2f})"
