"""From the ratios of paired rounds to "slower", "not slower" or "unclear".

The rule has to live with a machine that others use too: single rounds differ by tens of per cent there. Rounds of the
two versions are taken one right after the other, so what disturbs both alike drops out of their ratio; the median of
the ratios takes no notice of the rounds in which it did not; and the order statistics around the median say how far it
may be off, without a guess about how the noise is distributed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from math import comb
from statistics import median

SLOWER = 1.10
"""More than 10 % is what counts."""
CONFIDENCE = 0.99
ROUNDS_MIN = 8
"""Fewer have no interval that is so sure, not even from the lowest to the highest."""


class Verdict(Enum):
    """What a comparison says of one figure of one path."""

    SLOWER = "slower"
    FASTER = "faster"
    NOT_SLOWER = "not slower"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Comparison:
    """The median of paired ratios (new by old; of costs, so more is worse) and its interval."""

    median: float
    low: float
    high: float
    rounds: int

    @classmethod
    def of(cls, ratios: Sequence[float]) -> "Comparison":
        """At least one ratio."""
        ordered = sorted(ratios)
        low, high = interval(len(ordered))
        return cls(median(ordered), ordered[low], ordered[high], len(ordered))

    @property
    def verdict(self) -> Verdict:
        """Slower: the median is past 10 %, and no difference at all lies outside of the interval.

        Not slower: the median is within 10 %, and the interval does not reach twice as far. Anything else is unclear.
        """
        if self.rounds < ROUNDS_MIN:
            return Verdict.UNCLEAR
        if self.median > SLOWER and self.low > 1:
            return Verdict.SLOWER
        if self.median <= SLOWER and self.high <= 2 * SLOWER - 1:
            return Verdict.FASTER if self.high < 1 and self.median < 1 / SLOWER else Verdict.NOT_SLOWER
        return Verdict.UNCLEAR

    @property
    def settled(self) -> bool:
        """Whether more rounds would hardly change the verdict: the interval is clear of 10 %, on one side."""
        return self.rounds >= ROUNDS_MIN and (self.low > SLOWER or self.high <= SLOWER)


def interval(number: int) -> tuple[int, int]:
    """Which of so many ordered values bracket the median of what they were drawn from, as indices.

    The number of values below the true median is binomial with p = 1/2, so the interval between the k-th value from
    either end misses it with the probability of fewer than k heads in `number` tosses, twice.
    """
    allowed = (1 - CONFIDENCE) / 2
    below, index = 0.0, 0
    while index < (number - 1) // 2:
        below += comb(number, index) / 2**number
        if below > allowed:
            break
        index += 1
    index = max(0, index - 1)
    return index, number - 1 - index
