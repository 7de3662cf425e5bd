"""The rule by which two commits are compared, and a tiny run of it against real servers."""

import random
import subprocess
import sys
from math import comb
from pathlib import Path

import pytest
from bench.comparison.verdict import CONFIDENCE, ROUNDS_MIN, Comparison, Verdict, interval

ROOT = Path(__file__).resolve().parents[2]


def rounds(slower: float, *, noise: float, number: int, seed: int) -> list[float]:
    """Ratios as a busy machine gives them: each side is off by a share of its own, sometimes by very much."""
    draw = random.Random(seed)

    def off() -> float:
        return draw.lognormvariate(0, noise) * (draw.uniform(1.5, 4) if draw.random() < 0.1 else 1)

    return [slower * off() / off() for _ in range(number)]


@pytest.mark.parametrize("number", [8, 24, 60, 99])
def test_the_interval_is_the_narrowest_that_is_sure_enough(number: int) -> None:
    def misses(index: int) -> float:
        return 2 * sum(comb(number, heads) for heads in range(index + 1)) / 2**number

    low, high = interval(number)

    assert low + high == number - 1
    assert misses(low) <= 1 - CONFIDENCE < misses(low + 1)


def test_a_commit_is_hardly_ever_slower_than_itself() -> None:
    verdicts = [Comparison.of(rounds(1.0, noise=0.1, number=24, seed=seed)).verdict for seed in range(500)]

    assert verdicts.count(Verdict.SLOWER) <= 5


def test_one_that_is_15_per_cent_slower_is_seen_when_there_are_rounds_enough() -> None:
    verdicts = [Comparison.of(rounds(1.15, noise=0.05, number=60, seed=seed)).verdict for seed in range(200)]

    assert verdicts.count(Verdict.SLOWER) >= 190


def test_rounds_that_differ_wildly_say_nothing() -> None:
    assert Comparison.of(rounds(1.0, noise=0.9, number=24, seed=1)).verdict is Verdict.UNCLEAR


def test_a_few_rounds_say_nothing() -> None:
    assert Comparison.of([1.5] * (ROUNDS_MIN - 1)).verdict is Verdict.UNCLEAR
    assert Comparison.of([1.5] * ROUNDS_MIN).verdict is Verdict.SLOWER


def test_a_tiny_run_measures_every_path_of_both(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "compare", "--smoke", "--dir", str(tmp_path), "HEAD"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 2, done.stderr  # too few rounds to say anything
    assert done.stdout.count("unclear") == 5
    assert not list(tmp_path.iterdir())


def test_a_commit_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "compare", "--smoke", "--dir", str(tmp_path), "no-such-branch"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 2
    assert "no-such-branch" in done.stderr
