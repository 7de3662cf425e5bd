"""Ways to hand an event to a processor. Each invoker says how that went by returning an outcome, and never raises.

| outcome | means |
|---|---|
| `Accepted` | somebody durable has the event; the callback will come |
| `Answered` | the answer is there already: the function ran in this process |
| `Unreachable` | the processor did not get the event: retry, then the fallback action |
| `Failed` | it got the event and raised, timed out or died: retry, then wait for the callback |
| `Stopped` | the server is stopping: nothing is reported, and the invocation is made again after the start |
"""

from typing import Any, Protocol

import msgspec

from campana.flows.execution import Invocation


class Accepted(msgspec.Struct, frozen=True):
    """Somebody durable has the event."""


class Answered(msgspec.Struct, frozen=True):
    """What the function returned."""

    value: Any


class Unreachable(msgspec.Struct, frozen=True):
    """Why the processor did not get the event."""

    reason: str


class Failed(msgspec.Struct, frozen=True):
    """What the function did instead of ending well."""

    reason: str
    stack: str = ""


class Stopped(msgspec.Struct, frozen=True):
    """The server is stopping."""


Outcome = Accepted | Answered | Unreachable | Failed | Stopped


class Invoker(Protocol):
    """One way to hand over events."""

    async def invoke(self, invocation: Invocation) -> Outcome: ...
    async def close(self) -> None: ...
