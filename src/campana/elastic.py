"""Which sub-channel of an elastic channel a member goes to, and which ones are split or joined.

Pure: numbers in, decisions out (spec/elastic-channels.md §4). `sizes` maps sub-channel ids to their regular members,
in the order of creation.
"""

from collections.abc import Mapping


def minimum_memberships(target: int, percentage: int) -> int:
    """Below this a sub-channel is joined with another: the ceiling of the percentage."""
    return -(-target * percentage // 100)


def sub_channel_for(sizes: Mapping[str, int], target: int) -> str | None:
    """The fullest sub-channel that still has room: rooms stay lively and few. None: all are full."""
    open_ones = [(size, -position, name) for position, (name, size) in enumerate(sizes.items()) if size < target]
    return max(open_ones)[2] if open_ones else None


def moves_to_new(sizes: Mapping[str, int], minimum: int) -> dict[str, int]:
    """How many members each existing sub-channel gives to a new one that a newcomer is about to enter.

    Just enough, taken evenly, that the new one holds the minimum or the average, whichever is more.
    """
    if not sizes:
        return {}
    average = -(-(sum(sizes.values()) + 1) // (len(sizes) + 1))
    wanted = max(minimum, average) - 1
    left = dict(sizes)
    moves = dict.fromkeys(sizes, 0)
    for _ in range(min(wanted, sum(sizes.values()) - len(sizes))):
        fullest = max(left, key=lambda name: left[name])
        left[fullest] -= 1
        moves[fullest] += 1
    return {name: count for name, count in moves.items() if count}


def sub_channel_to_join(sizes: Mapping[str, int], shrunk: str, *, minimum: int, target: int) -> str | None:
    """Where all members of a sub-channel that has shrunk below the minimum go: the fullest with room for them.

    None: it has not, or none has room. The last sub-channel stays.
    """
    size = sizes[shrunk]
    if size >= minimum:
        return None
    fitting = [
        (other, -position, name)
        for position, (name, other) in enumerate(sizes.items())
        if name != shrunk and other + size <= target
    ]
    return max(fitting)[2] if fitting else None
