"""What is measured while faults happen, and what it comes to for each kind of fault. Times are of `time.monotonic`."""

import threading
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import msgspec
from bench.results import percentile

from chaos.api import NO_ANSWER, Attempt

CALM_S = 6.0
"""Before a fault, and after its end, what is measured beside it."""


class Window(msgspec.Struct, frozen=True):
    """One fault: from its beginning to when its cause was gone."""

    fault: str
    begun: float
    mended: float


class FaultResult(msgspec.Struct, frozen=True):
    """All faults of one kind. Times are in seconds, but latencies in milliseconds."""

    fault: str
    times: int
    lasted_s: float
    """The longest."""
    accepted: int
    """Sends while it lasted."""
    ok: int
    unavailable: int
    """Answers 503, of a node or of the balancer."""
    other_errors: int
    """502, 504, and connections that broke."""
    silence_s: float
    """The longest time without an accepted send, until the calm after it."""
    p50_ms: tuple[float, float, float]
    """From the first attempt to the acceptance: before, while it lasted, after."""
    p99_ms: tuple[float, float, float]
    slowest_s: float
    """Of the sends that began while it lasted."""
    live_s: float
    """The longest that a message took to a live session."""
    sessions_lost: int
    back_s: float
    """The longest that a lost session took to come back."""
    recovery_s: float
    """From the cause's end to the last failure; 0 if there was none."""


class Recording:
    """Filled by whoever sends and listens; from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._attempts: list[Attempt] = []
        self._accepted: list[tuple[float, float]] = []
        self._heard: list[tuple[float, float]] = []
        self._lost: list[float] = []
        self._back: list[tuple[float, float]] = []

    def attempt(self, attempt: Attempt) -> None:
        """One exchange."""
        with self._lock:
            self._attempts.append(attempt)

    def accepted(self, begun: float, answered: float) -> None:
        """A send, from its first attempt to its acceptance."""
        with self._lock:
            self._accepted.append((begun, answered))

    def heard(self, at: float, seconds: float) -> None:
        """A live session heard what was sent so long ago."""
        self._heard.append((at, seconds))

    def lost_session(self, at: float) -> None:
        """A session ended."""
        self._lost.append(at)

    def came_back(self, lost_at: float, at: float) -> None:
        """A session that was lost is there again."""
        self._back.append((lost_at, at))

    def slow(self, seconds: float) -> list[Attempt]:
        """Exchanges that took longer."""
        return [each for each in self._attempts if each.seconds > seconds]

    @property
    def sends(self) -> int:
        """Accepted in all."""
        return len(self._accepted)

    def results(self, windows: Sequence[Window]) -> list[FaultResult]:
        """One for each kind of fault, in the order of their first."""
        kinds = dict.fromkeys(each.fault for each in windows)
        return [self._result([each for each in windows if each.fault == kind]) for kind in kinds]

    def _result(self, windows: Sequence[Window]) -> FaultResult:
        attempts = [each for each in self._attempts if _within(each.at, windows)]
        status = Counter(_class(each.status) for each in attempts)
        before = self._latencies([(each.begun - CALM_S, each.begun) for each in windows])
        during = self._latencies([(each.begun, each.mended) for each in windows])
        after = self._latencies([(each.mended, each.mended + CALM_S) for each in windows])
        lost = [at for at in self._lost if _within(at, windows)]
        return FaultResult(
            fault=windows[0].fault,
            times=len(windows),
            lasted_s=round(max(each.mended - each.begun for each in windows), 1),
            accepted=sum(each.begun <= at < each.mended for each in windows for _, at in self._accepted),
            ok=status["ok"],
            unavailable=status["503"],
            other_errors=status["other"],
            silence_s=round(max(self._silence(each) for each in windows), 1),
            p50_ms=(_ms(before, 0.5), _ms(during, 0.5), _ms(after, 0.5)),
            p99_ms=(_ms(before, 0.99), _ms(during, 0.99), _ms(after, 0.99)),
            slowest_s=round(max(during, default=0.0), 1),
            live_s=round(max((lag for at, lag in self._heard if _within(at, windows, CALM_S)), default=0.0), 1),
            sessions_lost=len(lost),
            back_s=round(max((at - since for since, at in self._back if since in lost), default=0.0), 1),
            recovery_s=round(max(self._recovery(each) for each in windows), 1),
        )

    def _latencies(self, spans: Sequence[tuple[float, float]]) -> list[float]:
        """Of the sends that began in one of them."""
        return [done - begun for begun, done in self._accepted if any(start <= begun < end for start, end in spans)]

    def _silence(self, window: Window) -> float:
        end = window.mended + CALM_S
        times = sorted(done for _, done in self._accepted if window.begun <= done < end)
        marks = [window.begun, *times, end]
        return max(later - earlier for earlier, later in pairwise(marks))

    def _recovery(self, window: Window) -> float:
        end = window.mended + CALM_S
        failed = [each.at + each.seconds for each in self._attempts if _class(each.status) != "ok"]
        back = [at for since, at in self._back if window.begun <= since < end]
        return max((at - window.mended for at in (*failed, *back) if window.mended < at < end), default=0.0)


def _within(at: float, windows: Sequence[Window], more: float = 0.0) -> bool:
    return any(each.begun <= at < each.mended + more for each in windows)


def _class(status: int) -> str:
    if status == 503:
        return "503"
    # Refusals that are right, as of a callback that comes again, are answers.
    return "other" if status == NO_ANSWER or status >= 500 else "ok"


def _ms(seconds: Sequence[float], share: float) -> float:
    return round(percentile(seconds, share) * 1000, 1) if seconds else 0.0
