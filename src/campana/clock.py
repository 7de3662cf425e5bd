"""Time and randomness: the one door by which they come in.

`server/app.py` hands a `Clock` and an `Ids` down; the rules below it see only values (`now`, an id).
"""

import asyncio
import os
import random
import secrets
import time
from collections import deque
from typing import Final, Protocol


class Clock(Protocol):
    """What time it is, in milliseconds since the epoch, and waiting."""

    def now(self) -> int: ...
    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> int:
        return time.time_ns() // 1_000_000

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


stopwatch = time.perf_counter
"""Seconds from some beginning, for measuring how long something took; nothing is decided by it."""

_VERSION_4 = 0x4 << 76 | 0x2 << 62  # RFC 9562 §5.4: version and variant, between 122 random bits
_RANDOM_OF_UUID = ~(0xF << 76 | 0x3 << 62)
_48_BITS: Final = (1 << 48) - 1


_POOLED_BYTES: Final = 32  # the longest id
_POOLED: Final = 128


class _PooledRandom(secrets.SystemRandom):
    """The operating system's randomness, fetched 4 KiB at a time: the system call costs more than all else of an id.

    Threads may share it: `popleft` gives a piece to one of them only.
    """

    def __init__(self) -> None:
        super().__init__()
        self._pool: deque[bytes] = deque()

    def getrandbits(self, k: int) -> int:
        size = (k + 7) // 8
        if size > _POOLED_BYTES:
            return super().getrandbits(k)
        try:
            piece = self._pool.popleft()
        except IndexError:
            fresh = os.urandom(_POOLED * _POOLED_BYTES)
            piece, *rest = (fresh[at : at + _POOLED_BYTES] for at in range(0, len(fresh), _POOLED_BYTES))
            self._pool.extend(rest)
        return int.from_bytes(piece[:size]) >> (8 * size - k)


class Ids:
    """Ids and randomness. With a seed the sequence is repeatable; without, it comes from the operating system."""

    def __init__(self, seed: int | None = None) -> None:
        self._random: random.Random = _PooledRandom() if seed is None else random.Random(seed)
        self._last_message = 0

    def uuid(self) -> str:
        """A lower-case UUID v4: resources, request ids."""
        # By hand, at a third of what uuid.UUID costs: every answer has one.
        digits = f"{self._random.getrandbits(128) & _RANDOM_OF_UUID | _VERSION_4:032x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    def uuid_in_time(self, now: int) -> str:
        """A UUID v7 (RFC 9562 §5.7): its first 48 bits are `now`, so that a database appends to its index."""
        digits = f"{now & _48_BITS:012x}7{self._random.getrandbits(76) & ~(0x3 << 62) | 0x2 << 62:019x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    def message(self, now: int, after: str = "") -> str:
        """A message id: 64 hexadecimal characters that rise in the order they are given out, and above `after`, an id
        that another process may have given out.

        48 bits of milliseconds and 16 of counter come first, so that messages of one millisecond keep
        their order and a database appends to its index instead of writing all over it.
        """
        self._last_message = max(now << 16, self._last_message + 1, int(after[:16] or "0", 16) + 1)
        return f"{self._last_message:016x}{self._random.getrandbits(192):048x}"

    def token(self, characters: int = 64) -> str:
        """Unguessable lower-case hexadecimal characters: callback ids, secrets."""
        return f"{self._random.getrandbits(4 * characters):0{characters}x}"

    def jitter(self) -> float:
        """A number in [0, 1), to spread retries."""
        return self._random.random()
