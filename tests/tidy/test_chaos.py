"""What `make chaos` makes of what it has seen. Its judgement of histories is tested in tests/stories/test_crash.py."""

import itertools
from pathlib import Path

import pytest
from chaos import faults, programs, report
from chaos.api import NO_ANSWER, Attempt
from chaos.faults import FAULTS
from chaos.programs import Broken
from chaos.recording import FaultResult, Recording, Window


def test_every_fault_comes_once_before_any_comes_again_and_a_seed_repeats_a_run() -> None:
    def deck(seed: int) -> list[str]:
        return [each.fault.name for each in itertools.islice(faults.schedule(seed, FAULTS, 3), 2 * len(FAULTS))]

    first, second = deck(1)[: len(FAULTS)], deck(1)[len(FAULTS) :]

    assert sorted(first) == sorted(second) == sorted(each.name for each in FAULTS)
    assert deck(1) == deck(1) != deck(2)


def test_where_packets_cannot_be_lost_the_rest_is_done() -> None:
    assert {*FAULTS} - {*faults.possible(loses_packets=False)} == {each for each in FAULTS if each.loses_packets}


def test_faults_that_would_undo_one_another_do_not_come_together() -> None:
    strikes = [*itertools.islice(faults.together(faults.schedule(1, FAULTS, 3), 3), 40)]

    assert max(len(each) for each in strikes) == 3
    for together in strikes:
        engines = [strike.fault.engine for strike in together if strike.fault.engine]
        nodes = [strike.node for strike in together if not strike.fault.engine]
        assert (len(engines), len(nodes)) == (len({*engines}), len({*nodes}))
    assert {strike.fault.name for each in strikes for strike in each} == {fault.name for fault in FAULTS}


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "_postgres", lambda: None)
    monkeypatch.setattr(programs, "_which", lambda name: None if name == "haproxy" else f"/usr/sbin/{name}")

    with pytest.raises(Broken, match=r"initdb.*apt install postgresql.*, haproxy .*apt install haproxy"):
        programs.find()


def recorded() -> FaultResult:
    """A fault from 100 to 110: sends every second but from 102 to 107, and what a session had of it."""
    recording = Recording()
    for second in (*range(90, 103), *range(107, 125)):
        recording.accepted(second - 0.5, second)
        recording.attempt(Attempt(second - 0.5, 0.5, 201))
    recording.accepted(101.5, 106.9)
    recording.attempt(Attempt(103, 1, 503))
    recording.attempt(Attempt(105, 2, NO_ANSWER, "broken"))
    recording.attempt(Attempt(112, 1.5, 502))
    recording.lost_session(104)
    recording.came_back(104, 111)
    recording.heard(115, 8.5)
    recording.heard(130, 99)  # of another time
    (result,) = recording.results([Window("a fault", 100, 110)])
    return result


def test_what_a_fault_cost_is_counted() -> None:
    result = recorded()

    assert (result.times, result.lasted_s) == (1, 10)
    assert (result.ok, result.unavailable, result.other_errors) == (6, 1, 1)
    assert result.silence_s == pytest.approx(4.9)  # from 102 to 106.9
    assert result.slowest_s == 5.4
    assert result.p50_ms == (500, 500, 500)
    assert (result.sessions_lost, result.back_s, result.live_s) == (1, 7, 8.5)
    assert result.recovery_s == 3.5  # the 502 of after it


def test_figures_replace_the_last_ones_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = tmp_path / "reliability.md"
    document.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    monkeypatch.setattr(report, "DOCUMENT", document)
    results = report.Results("2026-11-26", "", 7, 4.2, 3, [recorded()], 20, {"SENT": 18, "DENIED": 2}, 12, 30, [])

    report.write(results)

    text = document.read_text()
    assert text.startswith(f"before\n{report.BEGIN}\n")
    assert text.endswith(f"{report.END}\nafter\n")
    assert "old" not in text
    assert "20 sends were accepted (2 DENIED, 18 SENT)" in text
    assert "nothing to complain of" in text
    assert "| a fault | 1, 10 s |" in text


def test_operators_are_told_of_every_fault() -> None:
    text = report.DOCUMENT.read_text("utf-8")

    assert [fault.name for fault in FAULTS if f"| {fault.name} |" not in text.partition(report.BEGIN)[0]] == []
