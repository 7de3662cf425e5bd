"""Which sub-channel of an elastic channel a member goes to, and which ones are split or joined.

Pure: numbers in, decisions out (spec/elastic-channels.md §4). `sizes` maps sub-channel ids to their regular members,
in the order of creation.
"""

from collections.abc import Mapping
from dataclasses import dataclass


def minimum_memberships(target: int, percentage: int) -> int:
    """Below this a sub-channel is joined with another: the ceiling of the percentage."""
    return -(-target * percentage // 100)


def sub_channel_for(sizes: Mapping[str, int], target: int) -> str | None:
    """The fullest sub-channel that still has room: rooms stay lively and few. None: all are full."""
    open_ones = [(size, -position, name) for position, (name, size) in enumerate(sizes.items()) if size < target]
    return max(open_ones)[2] if open_ones else None


def moves_to(filling: str, sizes: Mapping[str, int], most: int) -> dict[str, int]:
    """How many members each other sub-channel gives to a new one, `most` of them together.

    Taken evenly, just enough that it holds the average. That is more than the minimum: all the others were full when
    it was made, and the minimum is 40 percent of the target at most.
    """
    average = -(-sum(sizes.values()) // len(sizes))
    left = {name: size for name, size in sizes.items() if name != filling}
    moves = dict.fromkeys(left, 0)
    for _ in range(min(most, average - sizes[filling])):
        fullest = max(left, key=left.__getitem__)
        left[fullest] -= 1
        moves[fullest] += 1
    return {name: count for name, count in moves.items() if count}


@dataclass(frozen=True, slots=True)
class Join:
    """All members of `ending` go to `staying`; then `ending` is no more."""

    ending: str
    staying: str


def join(sizes: Mapping[str, int], *, minimum: int, target: int) -> Join | None:
    """The next two sub-channels to make one of; None: nothing is to be done.

    The smallest of those below the minimum ends that another has room for, and its members go to the fullest one that
    has. Ties end the newer and keep the older. The last sub-channel stays.
    """
    newest_first = [*sizes][::-1]
    small = (name for name in newest_first if sizes[name] < minimum)
    for ending in sorted(small, key=sizes.__getitem__):
        fitting = [name for name in sizes if name != ending and sizes[name] + sizes[ending] <= target]
        if fitting:
            return Join(ending, max(fitting, key=sizes.__getitem__))
    return None
