"""Time and randomness: the one door by which they come in.

`server/app.py` hands a `Clock` and an `Ids` down; the rules below it see only values (`now`, an id).
"""

import asyncio
import random
import secrets
import time
from typing import Protocol


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


class Ids:
    """Ids and randomness. With a seed the sequence is repeatable; without, it comes from the operating system."""

    def __init__(self, seed: int | None = None) -> None:
        self._random: random.Random = secrets.SystemRandom() if seed is None else random.Random(seed)
        self._last_message = 0

    def uuid(self) -> str:
        """A lower-case UUID v4: resources, request ids."""
        # By hand, at a third of what uuid.UUID costs: every answer has one.
        digits = f"{self._random.getrandbits(128) & _RANDOM_OF_UUID | _VERSION_4:032x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    def message(self, now: int) -> str:
        """A message id: 64 hexadecimal characters that rise in the order they are given out.

        48 bits of milliseconds and 16 of counter come first, so that messages of one millisecond keep
        their order and a database appends to its index instead of writing all over it.
        """
        self._last_message = max(now << 16, self._last_message + 1)
        return f"{self._last_message:016x}{self._random.getrandbits(192):048x}"

    def token(self, characters: int = 64) -> str:
        """Unguessable lower-case hexadecimal characters: callback ids, secrets."""
        return f"{self._random.getrandbits(4 * characters):0{characters}x}"

    def jitter(self) -> float:
        """A number in [0, 1), to spread retries."""
        return self._random.random()
