"""The tables of docs/capacity.md, from the costs that are kept; the same ones each time."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from bench.capacity import plans
from bench.capacity.check import Check, Seen
from bench.capacity.costs import Costs
from bench.capacity.model import DAY_S, Scenario, node_load
from bench.capacity.simulation import Setup, simulate
from bench.report import of_machine

SIMULATED_S = 1.0
DB_CORES = 8
HOT_MEMBERS = 100
RETENTION_DAYS = 30
PARTITIONS = 16
"""By channel, for each day."""

Render = Callable[[Costs, Sequence[Check]], str]


def unit_costs(costs: Costs, _: Sequence[Check]) -> str:
    """What one of everything costs."""
    lite, big = costs.sqlite, costs.postgres
    rows = [
        ("a send, SQLite, 1 sender (10 sessions hear it)", f"{lite.send_cpu_us_1:,} µs", "", "", ""),
        ("a send, SQLite, 32 senders (10 sessions hear it)", f"{lite.send_cpu_us_32:,} µs", "", "", ""),
        ("a message through a flow, SQLite", f"{lite.flow_cpu_us:,} µs", "", "", ""),
        (
            "a send, PostgreSQL, 32 under way",
            f"{big.send_node_us:,} µs",
            f"{big.send_db_us:,} µs",
            f"{big.wal_bytes:,} bytes",
            f"{big.nats_in_us:.0f} µs, {big.nats_bytes:,} bytes",
        ),
        ("the same, each by itself", f"{big.send_node_alone_us:,} µs", f"{big.send_db_alone_us:,} µs", "", ""),
        ("another node hears of a message, in a stream", f"{big.heard_us:,} µs", "", "", f"{big.nats_out_us:.0f} µs"),
        ("the same, when it had to wake up for it", f"{big.heard_alone_us:,} µs", "", "", ""),
        (f"a frame of {big.frame_bytes:,} bytes to one more session", f"{big.socket_us:.1f} µs", "", "", ""),
        (
            "what a flow adds to a message (one HTTP processor), PostgreSQL",
            f"{big.flow_nodes_us:,} µs",
            f"{big.flow_db_us:,} µs",
            f"{big.flow_wal_bytes:,} bytes",
            "",
        ),
        ("ListChannelMessages, 50 of them, PostgreSQL", f"{big.list_node_us:,} µs", f"{big.list_db_us:,} µs", "", ""),
        ("a session opens, in one channel", f"{big.open_us:,} µs", "", "", ""),
        ("and for each channel more", f"{big.open_channel_us:.1f} µs", "", "", ""),
        (
            "a topic is looked after, every five seconds",
            f"{big.poll_topic_node_us:.1f} µs",
            f"{big.poll_topic_db_us:.1f} µs",
            "",
            "",
        ),
    ]
    return "\n".join(
        [
            f"Taken on {costs.taken_on} at {costs.commit}: {of_machine(costs.machine)}.",
            "",
            *_table(("CPU time of", "node", "PostgreSQL", "WAL", "NATS server"), rows),
        ]
    )


def limits(costs: Costs, _: Sequence[Check]) -> str:
    """What a core, a channel, a database can do at most."""
    lite, big = costs.sqlite, costs.postgres
    rows = [
        ("one process with SQLite", f"{lite.sends_per_second_32:,} sends/s", "its core"),
        ("one node with PostgreSQL", f"{1e6 / big.send_node_us:,.0f} sends/s", "its core: Python, one at a time"),
        ("one core of PostgreSQL", f"{1e6 / big.send_db_us:,.0f} sends/s", "its statements"),
        (
            "one channel, all its senders at one node",
            f"{big.sends_per_second_hot:,} sends/s",
            "one transaction at a time, with up to 32 sends that waited at the node; at several nodes fewer share one",
        ),
        ("one node's core", f"{1e6 / big.socket_us:,.0f} frames/s", "a system call for each socket"),
        ("one node's core", f"hears of {1e6 / big.heard_us:,.0f} messages/s", "and does nothing else"),
        (
            "removal of what is old (a day's answers, ten minutes' journal)",
            f"{big.swept_per_second:,} rows/s of each",
            "4,000 rows at a time, one node at a time",
        ),
        ("a GiB of a node's memory", f"{2**20 / big.session_kib:,.0f} idle sessions", f"{big.session_kib} KiB each"),
        (
            "one node's core",
            f"opens {1e6 / big.open_us:,.0f} sessions/s that follow one channel,"
            f" {1e6 / (big.open_us + 99 * big.open_channel_us):,.0f}/s that follow 100",
            "each topic's head is read and kept",
        ),
    ]
    return "\n".join(_table(("", "at most", "because of"), rows))


def readings(costs: Costs, _: Sequence[Check]) -> str:
    """How the three numbers may be meant, and what each asks for."""
    big = costs.postgres
    rows = []
    for reading in plans.READINGS:
        bits = big.frame_bytes * 8 * reading.frames_per_session
        rows.append(
            (
                reading.what,
                _short(reading.population),
                f"{reading.follows:,.0f}",
                f"{reading.listeners:,.0f}",
                f"{reading.deliveries_per_second:,.0f}",
                f"{reading.frames_per_session:,.0f}/s, {bits / 1e6:,.2f} Mbit/s",
                f"{bits * plans.CONNECTED / 1e9:,.0f} Gbit/s",
                f"{reading.deliveries_per_second * big.socket_us / 1e6:,.0f}",
            )
        )
    columns = (
        "1,000,000 sessions, 100,000 messages/s", "users", "channels of a user", "sessions that hear a message",
        "frames/s", "to each session", "out of the nodes", "cores that only write frames",
    )  # fmt: skip
    return "\n".join(_table(columns, rows))


def cells(costs: Costs, _: Sequence[Check]) -> str:
    """The last reading, cut into independent installations."""
    rows = []
    for cell in plans.cells(costs.postgres):
        scenario = cell.scenario
        per_cell = plans.MESSAGES_PER_SECOND // cell.cells
        nats = f"{cell.nats.cores:.1f}, {cell.nats.bytes_out_per_second * 8 / 1e9:,.1f} Gbit/s out"
        rows.append(
            (
                f"{cell.cells}",
                f"{per_cell:,}/s, {plans.CONNECTED // cell.cells:,}",
                f"{scenario.nodes} ({scenario.nodes * cell.cells:,})" if scenario else "none is enough",
                f"{cell.node.sends:.2f} + {cell.node.heard:.2f} + {cell.node.deliveries:.2f} + {cell.node.idle:.2f}",
                f"{cell.database.cores:.1f}",
                f"{cell.database.wal_bytes_per_second / 1e6:,.0f} MB/s",
                nats if scenario is not None else "",
                f"{cell.nats.bytes_to_each_node_per_second * 8 / 1e6:,.0f} Mbit/s",
                f"{cell.database.sweeping:.1f}",
            )
        )
    columns = (
        "cells", "messages, sessions of each", "nodes of each (of all)", "a node: sends + hearing + frames + polls",
        "PostgreSQL: cores", "WAL", "NATS: cores, network", "NATS to each node", "old rows by what is removed",
    )  # fmt: skip
    return "\n".join(_table(columns, rows))


def simulated(costs: Costs, _: Sequence[Check]) -> str:
    """One cell of the plan, and what happens when channels are not alike."""
    rows = []
    chosen = plans.cell(costs.postgres, plans.CHOSEN_CELLS).scenario
    assert chosen is not None
    calm = replace(chosen, messages_per_second=chosen.messages_per_second / 2)
    for what, scenario, zipf in (
        ("the plan, all channels alike", chosen, 0.0),
        ("half the messages", calm, 0.0),
        ("channel number k gets k^-0.5 of the messages", chosen, 0.5),
        ("channel number k gets 1/k of the messages", chosen, 1.0),
    ):
        outcome = simulate(costs.postgres, scenario, Setup(db_cores=DB_CORES, seconds=SIMULATED_S, zipf=zipf))
        hottest = _share_of_first(scenario.channels, zipf) * scenario.messages_per_second
        rows.append(
            (
                what,
                f"{sum(outcome.node_utilisation) / scenario.nodes:.0%}, {max(outcome.node_utilisation):.0%}",
                f"{outcome.db_utilisation:.0%}",
                f"{outcome.answered(0.5):,.1f}, {outcome.answered(0.99):,.1f} ms",
                f"{outcome.delivered(0.5):,.1f}, {outcome.delivered(0.99):,.1f} ms",
                f"{hottest:,.0f}/s: {outcome.hottest(0.99):,.1f} ms",
                f"{outcome.unfinished:,}",
            )
        )
    columns = (
        f"one of {plans.CHOSEN_CELLS} cells: {chosen.nodes} nodes", "a node's core: average, busiest",
        f"PostgreSQL's {DB_CORES} cores", "send to answer: p50, p99", "send to delivery: p50, p99",
        "the busiest channel's sends, p99 to the answer", "not answered at the end",
    )  # fmt: skip
    return "\n".join(_table(columns, rows))


def storage(costs: Costs, _: Sequence[Check]) -> str:
    """What lies on disk, and how it would be cut."""
    rows = []
    for number in plans.CELLS:
        cell = plans.cell(costs.postgres, number)
        rate, load = plans.MESSAGES_PER_SECOND / number, cell.database
        day = load.message_bytes_per_day
        rows.append(
            (
                f"{number}",
                f"{rate * DAY_S / 1e6:,.0f} million",
                f"{day / 1e9:,.0f} GB",
                f"{day * RETENTION_DAYS / 1e12:,.1f} TB",
                f"{day / PARTITIONS / 1e9:,.1f} GB",
                f"{load.journal_bytes / 1e9:,.1f} GB",
                f"{load.answer_bytes / 1e9:,.0f} GB",
                f"{load.wal_bytes_per_second * DAY_S / 1e12:,.1f} TB",
            )
        )
    columns = (
        "cells", "messages a day", "their bytes a day", f"kept for {RETENTION_DAYS} days",
        f"one partition (a day, 1 of {PARTITIONS} by channel)", "journal", "answers (a day of them)", "WAL a day",
    )  # fmt: skip
    return "\n".join(_table(columns, rows))


def interest(costs: Costs, _: Sequence[Check]) -> str:
    """What it would be worth if nodes heard only of channels that somebody there follows."""
    rows = []
    for what, nodes, rate, listeners in (
        ("1,000 channels of 50, all connected", 20, 3_000, 50),
        ("the same, one in ten connected", 20, 3_000, 5),
        ("talks of two, both connected", 20, 3_000, 2),
        ("1,000 channels of 50, all connected", 4, 600, 50),
        ("talks of two, both connected", 4, 600, 2),
        (f"a cell of the plan, {plans.CHOSEN_CELLS} cells", 0, 0, 0),
        ("the plan in one cell", 1_000, 100_000, 100),
    ):
        if nodes:
            scenario = Scenario(nodes, rate, 1_000, listeners * 1_000, 1.0)
        else:
            chosen = plans.cell(costs.postgres, plans.CHOSEN_CELLS).scenario
            assert chosen is not None
            scenario = chosen
        all, some = (node_load(costs.postgres, replace(scenario, interest=each)) for each in (False, True))
        rows.append(
            (
                what,
                f"{scenario.nodes:,}, {scenario.messages_per_second:,.0f}/s",
                f"{scenario.followed:.0%}",
                f"{all.heard:.3f} of {all.total:.2f}",
                f"{some.heard:.3f} of {some.total:.2f}",
                f"{all.seen:.0%} → {some.seen:.0%}",
            )
        )
    columns = (
        "", "nodes, messages of all", "channels that a node follows", "of its core: hearing of all", "of those alone",
        "as top shows it",
    )  # fmt: skip
    return "\n".join(_table(columns, rows))


def checked(_: Costs, checks: Sequence[Check]) -> str:
    """The simulation by the side of the real thing."""
    rows = []
    for check in checks:
        rows.append((f"{check.messages_per_second}/s, measured", *_seen(check.measured)))
        rows.append(("predicted", *_seen(check.predicted)))
        rows.append(("measured by predicted", *_ratios(check)))
    columns = (
        "", "CPU of the nodes", "CPU of PostgreSQL", "deliveries", "send to answer: p50", "p99",
        "send to delivery: p50", "p99",
    )  # fmt: skip
    return "\n".join(_table(columns, rows))


TABLES: dict[str, Render] = {
    "unit costs": unit_costs,
    "limits": limits,
    "readings": readings,
    "cells": cells,
    "simulated": simulated,
    "storage": storage,
    "interest": interest,
    "check": checked,
}


def _seen(seen: Seen) -> Sequence[str]:
    latencies = (seen.answered_p50_ms, seen.answered_p99_ms, seen.delivered_p50_ms, seen.delivered_p99_ms)
    return (
        f"{seen.nodes_cpu:.2f}",
        f"{seen.db_cpu:.2f}",
        f"{seen.deliveries_per_second:,.0f}/s",
        *(f"{each:.1f} ms" for each in latencies),
    )


def _ratios(check: Check) -> Sequence[str]:
    names = Seen.__struct_fields__
    return [f"× {getattr(check.measured, name) / getattr(check.predicted, name):.2f}" for name in names]


def _share_of_first(channels: int, zipf: float) -> float:
    return float(1 / sum(rank**-zipf for rank in range(1, channels + 1)))


def _short(number: int) -> str:
    return f"{number // 1_000_000} million"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(columns)} |",
        f"|{'---|' * len(columns)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
