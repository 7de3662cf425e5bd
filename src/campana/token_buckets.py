"""Token buckets: how many calls a second are admitted, and twice as many at once after a pause.

Pure: the time comes in, a decision goes out. A bucket is one number, the time at which it will be full again; one
that is full needs no number, so that only keys of the last seconds are in memory, however many there are.
"""

from collections.abc import Hashable, Sequence
from typing import Final

from campana.limits import BURST

_SECOND: Final = 1_000_000_000  # times are in nanoseconds here: 30 a second is no whole number of milliseconds
GENERATION_NS: Final = (BURST + 1) * _SECOND
"""Longer than an empty bucket takes to be full again, at any rate."""
KEYS_MAX: Final = 100_000
"""Of a generation; there are two. Above it buckets are forgotten early: those callers are admitted too often."""

Take = tuple[Hashable, int]
"""The key of a bucket and its rate, in calls a second."""


class Buckets:
    """Buckets by key; a key that is not here has a full one.

    In any time t no more than burst + rate × t calls are admitted, and after 1/rate without any the next one is. A
    clock that is put back adds nothing to a bucket and takes no more from it than is in it.
    """

    def __init__(self) -> None:
        self._recent: dict[Hashable, int] = {}
        self._earlier: dict[Hashable, int] = {}
        self._turned_at = 0

    def __len__(self) -> int:
        """Numbers in memory."""
        return len(self._recent) + len(self._earlier)

    def admit(self, takes: Sequence[Take], now_ms: int) -> bool:
        """Take one from each bucket, or, if one is empty, none from any: a refused call costs nothing."""
        now = now_ms * 1_000_000
        self._turn(now)
        taken, admitted = [], True
        for key, per_second in takes:
            interval = _interval(per_second)
            empty = now + interval * per_second * BURST  # when a bucket that is empty now will be full
            full_at = max(self._full_at(key), now)
            if full_at > empty:  # the clock was put back: from here on an empty bucket fills as any other
                self._recent[key] = full_at = empty
            admitted = admitted and full_at + interval <= empty
            taken.append((key, full_at + interval))
        if admitted:
            self._recent.update(taken)
        return admitted

    def first_empty(self, takes: Sequence[Take], now_ms: int) -> Hashable:
        """Of those that `admit` refused: the key of the bucket for which it did."""
        now = now_ms * 1_000_000
        for key, per_second in takes:
            interval = _interval(per_second)
            if self._full_at(key) + interval > now + interval * per_second * BURST:
                return key
        raise AssertionError("no bucket is empty")

    def give_back(self, takes: Sequence[Take]) -> None:
        """What `admit` took."""
        for key, per_second in takes:
            if full_at := self._full_at(key):
                self._recent[key] = full_at - _interval(per_second)

    def _full_at(self, key: Hashable) -> int:
        found = self._recent.get(key)
        return self._earlier.get(key, 0) if found is None else found

    def _turn(self, now: int) -> None:
        """Forget the buckets that nobody took from since the last turn: they have filled up meanwhile."""
        if now < self._turned_at:
            self._turned_at = now
        if now - self._turned_at >= GENERATION_NS or len(self._recent) >= KEYS_MAX:
            self._earlier, self._recent = self._recent, {}
            self._turned_at = now


def _interval(per_second: int) -> int:
    """Nanoseconds between calls, rounded up: rather a little less than the rate than more."""
    return -(-_SECOND // per_second)
