"""The load generator's requests are accepted, and every frame arrives: the figures themselves are nobody's test."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
from bench.results import Results

ROOT = Path(__file__).resolve().parents[2]


def test_a_tiny_run_measures_everything(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"

    run = subprocess.run(
        [sys.executable, "-m", "bench", "--smoke", "--dir", str(tmp_path), "--json", str(figures)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
    )

    assert run.returncode == 0, run.stderr
    results = msgspec.json.decode(figures.read_bytes(), type=Results)
    assert [sends.campana.per_second.median > 0 for sends in results.sends] == [True, True]
