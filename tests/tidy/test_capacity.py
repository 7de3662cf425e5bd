"""docs/capacity.md says what the kept costs give, and the simulation agrees with the arithmetic where both can say."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from bench.capacity import check, costs, figure, page, plans
from bench.capacity.costs import Costs
from bench.capacity.model import Scenario, database_load, idle_load, nats_load, node_load, nodes_needed
from bench.capacity.simulation import Setup, simulate

ROOT = Path(__file__).resolve().parents[2]
COSTS = costs.read().postgres
CALM = Scenario(nodes=5, messages_per_second=1_000, channels=100, sessions=5_000, follows=2)
SETUP = Setup(db_cores=8, seconds=3.0)


def test_the_page_and_its_figure_are_current() -> None:
    assert page.text(costs.read(), check.read()) == page.PAGE.read_text("utf-8"), "python -m bench capacity write"
    assert figure.svg(costs.read()) == page.FIGURE.read_text("utf-8")


@pytest.mark.parametrize("interest", [False, True])
def test_the_simulation_gives_what_the_arithmetic_says(interest: bool) -> None:
    scenario = replace(CALM, interest=interest, follows=0.05 if interest else CALM.follows)

    outcome = simulate(COSTS, scenario, SETUP)

    average = sum(outcome.node_utilisation) / scenario.nodes
    assert average == pytest.approx(node_load(COSTS, scenario).seen, rel=0.08)
    for_sends = [scenario.messages_per_second * each / 1e6 for each in (COSTS.send_db_us, COSTS.send_db_alone_us)]
    assert 0.95 * for_sends[0] < outcome.db_utilisation * SETUP.db_cores < 1.05 * for_sends[1]
    assert for_sends[0] < database_load(COSTS, scenario).cores < 1.1 * for_sends[0]  # the polls are little beside them
    assert outcome.deliveries_per_second == pytest.approx(scenario.deliveries_per_second, rel=0.08)
    assert outcome.followed == pytest.approx(scenario.followed, abs=0.08)
    assert outcome.unfinished < 20


def test_the_same_seed_gives_the_same_outcome_and_another_one_another() -> None:
    small = Setup(db_cores=2, seconds=0.5)

    assert simulate(COSTS, CALM, small) == simulate(COSTS, CALM, small)
    assert simulate(COSTS, CALM, small) != simulate(COSTS, CALM, replace(small, seed=2))


def test_a_channel_takes_no_more_than_its_lock_allows() -> None:
    one = Scenario(nodes=20, messages_per_second=2 * COSTS.sends_per_second_hot, channels=1, sessions=1, follows=1)

    outcome = simulate(COSTS, one, SETUP)

    # Of what was sent after the start was over, some was still waiting at the end: half got through, or less.
    assert outcome.sends_per_second < 0.55 * one.messages_per_second
    assert outcome.unfinished > 0.4 * one.messages_per_second * SETUP.seconds


def test_what_is_asked_of_a_busy_core_waits() -> None:
    one_core = replace(SETUP, node_cores=(0,) * CALM.nodes)

    apart, together = simulate(COSTS, CALM, SETUP), simulate(COSTS, CALM, one_core)

    assert sum(together.node_utilisation) <= 1.005 + CALM.nodes * idle_load(COSTS, CALM)
    assert together.delivered(0.5) > apart.delivered(0.5)


def test_nodes_are_as_many_as_are_needed_and_not_one_more() -> None:
    needed = nodes_needed(COSTS, CALM, 0.3)

    assert needed is not None
    assert node_load(COSTS, replace(CALM, nodes=needed)).total <= 0.3
    assert node_load(COSTS, replace(CALM, nodes=needed - 1)).total > 0.3


def test_where_every_node_hears_everything_more_nodes_are_no_help() -> None:
    too_much = replace(CALM, messages_per_second=1.1e6 / COSTS.heard_us)

    assert nodes_needed(COSTS, too_much, 1.0) is None
    assert plans.cell(COSTS, 1).scenario is None


def test_the_readings_have_all_memberships() -> None:
    for reading in plans.READINGS:
        assert reading.population * reading.follows == plans.CHANNELS * plans.MEMBERS
    assert plans.READINGS[0].deliveries_per_second == 1e9


def test_nats_passes_a_message_to_all_nodes_but_its_own() -> None:
    load = nats_load(COSTS, CALM)

    assert load.bytes_out_per_second == pytest.approx(4 * load.bytes_in_per_second)


def test_a_tiny_run_measures_every_cost_and_checks_them(tmp_path: Path) -> None:
    run = [sys.executable, "-m", "bench", "capacity", "--smoke"]  # not in tmp_path: PostgreSQL, as another user, cannot
    run += ["--costs", str(tmp_path / "measure.json")]

    for what, type in (("measure", Costs), ("check", list[check.Check])):
        file = tmp_path / f"{what}.json"
        done = subprocess.run([*run, "--json", str(file), what], cwd=ROOT, capture_output=True, text=True)
        if "There is no" in done.stderr:
            pytest.skip(done.stderr)
        assert done.returncode == 0, done.stderr
        msgspec.json.decode(file.read_bytes(), type=type)
