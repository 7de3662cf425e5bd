"""Rounds of both versions by turns, until each path's verdict is settled or there were enough."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench.comparison import paths
from bench.comparison.commits import Version
from bench.comparison.paths import Calls, Cost, Subject
from bench.comparison.verdict import Comparison
from bench.signing import Key

Tell = Callable[[str, int, int], None]
"""(what is under way, rounds done, rounds at most)"""


@dataclass(frozen=True, slots=True)
class Plan:
    """Each start has new processes on new data: how one process happens to lie in memory is not the commit's doing."""

    starts_min: int
    starts_max: int
    rounds: int  # of each start
    calls: Calls


FULL = Plan(starts_min=4, starts_max=10, rounds=6, calls=paths.FULL)
SMOKE = Plan(starts_min=1, starts_max=1, rounds=2, calls=paths.SMOKE)


@dataclass(slots=True)
class Compared:
    """What was measured of one path, in pairs."""

    old: list[Cost] = field(default_factory=list)
    new: list[Cost] = field(default_factory=list)

    def cpu(self) -> Comparison:
        """Of the server's CPU time."""
        return Comparison.of([new.cpu / old.cpu for new, old in zip(self.new, self.old, strict=True)])

    def wall(self) -> Comparison:
        """Of what a client waits."""
        return Comparison.of([new.wall / old.wall for new, old in zip(self.new, self.old, strict=True)])

    def medians(self) -> tuple[Cost, Cost]:
        """Of the old and the new, for people to see."""
        old, new = (
            Cost(median(cost.wall for cost in costs), median(cost.cpu for cost in costs))
            for costs in (self.old, self.new)
        )
        return old, new


async def compare(
    plan: Plan, old: Version, new: Version, folder: Path, tell: Tell, *, on_postgres: bool = False
) -> dict[str, Compared]:
    """Both are up at once, on one core, and by turns one of them works: old, new, new, old …"""
    key = Key.made()
    found: dict[str, Compared] = {}
    done, most = 0, plan.starts_max * plan.rounds
    for start in range(plan.starts_max):
        tell(f"start {start + 1}: servers, users, sessions", done, most)
        async with AsyncExitStack() as stack:
            place = folder / f"start-{start}"
            pair = [(old, "old"), (new, "new")]
            if start % 2:
                pair.reverse()
            subjects = {
                side: await stack.enter_async_context(
                    Subject.started(version, place / side, key, plan.calls, on_postgres=on_postgres)
                )
                for version, side in pair
            }
            await _round(subjects, {}, reverse=False)  # to be warm
            for number in range(plan.rounds):
                tell(f"start {start + 1}, round {number + 1} of {plan.rounds}", done, most)
                await _round(subjects, found, reverse=bool((start + number) % 2))
                done += 1
        if start + 1 >= plan.starts_min and all(each.cpu().settled for each in found.values()):
            break
    return found


async def _round(subjects: dict[str, Subject], found: dict[str, Compared], *, reverse: bool) -> None:
    old, new = subjects["old"].paths(), subjects["new"].paths()
    for what in old:
        compared = found.setdefault(what, Compared())
        turns = [(old, compared.old), (new, compared.new)]
        if reverse:
            turns.reverse()
        for calls, costs in turns:
            costs.append(await calls[what]())
