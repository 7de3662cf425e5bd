"""The load generator's requests are accepted, and every frame arrives: the figures themselves are nobody's test."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from bench.peers import programs
from bench.results import PeerResults, Results, ScaleResults

ROOT = Path(__file__).resolve().parents[2]


def run(*words: str, **environment: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), **environment}
    done = subprocess.run(
        [sys.executable, "-m", "bench", *words], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_a_tiny_run_measures_everything(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"

    run("--smoke", "--dir", str(tmp_path), "--json", str(figures))

    results = msgspec.json.decode(figures.read_bytes(), type=Results)
    assert [sends.campana.per_second.median > 0 for sends in results.sends] == [True, True]


def test_a_tiny_run_among_few_rows_and_many_measures_everything(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"

    run("scale", "--smoke", "--dir", str(tmp_path), "--json", str(figures))

    results = msgspec.json.decode(figures.read_bytes(), type=ScaleResults)
    assert results.message_bytes > 300
    # Not the CPU time: the kernel's count of it stands still between two ticks of its clock.
    assert all(len(case.points) > 1 and case.points[-1].ms.median > 0 for case in results.cases)


def test_a_tiny_run_next_to_the_peers_that_are_there_measures_everything(tmp_path: Path) -> None:
    try:
        programs.postgres_binaries()
    except programs.Missing as missing:
        pytest.skip(f"There is no {missing}.")
    figures = tmp_path / "figures.json"

    # Without Synapse, which takes its time to start.
    run("peers", "--smoke", "--dir", str(tmp_path), "--json", str(figures), XDG_CACHE_HOME=str(tmp_path))

    results = msgspec.json.decode(figures.read_bytes(), type=PeerResults)
    assert len(results.cases) == 6
    for case in results.cases:
        assert case.figures[0].who == "Campana on PostgreSQL"
        assert all(each.p99.median > 0 for each in case.figures)
