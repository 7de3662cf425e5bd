"""The figures of a run, as they are written to JSON. Times in milliseconds unless the name says otherwise."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from bench.machine import Machine


class Spread(msgspec.Struct, frozen=True):
    """The median of several rounds, and how far they differed."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float], digits: int = 2) -> "Spread":
        """Rounded to so many digits."""
        return cls(*(round(value, digits) for value in (median(values), min(values), max(values))))


class Rate(msgspec.Struct, frozen=True):
    """A server under load: the medians of its rounds."""

    per_second: Spread
    p50: float
    p99: float


class Sends(msgspec.Struct, frozen=True):
    """Durable sends of so many concurrent senders to a channel with ten live sessions, who heard every one."""

    senders: int
    campana: Rate
    floor: Rate
    ratio: Spread
    """Campana's rate by the floor's, of paired rounds."""
    thin_floor: Rate
    """The floor without Campana's front, store or patience."""
    thin_ratio: Spread
    generator_per_second: int
    """What the load generator reaches against a server that does nothing."""


class Flow(msgspec.Struct, frozen=True):
    """One send after another, from the send to the frame at a live session."""

    without_flow: Spread
    with_flow: Spread
    added: Spread
    bare_round_trip: Spread
    """POST of the same event to the same processor, to its 2xx."""
    ratio: Spread
    """The latency added by the bare round trip, of paired rounds."""


class Noise(msgspec.Struct, frozen=True):
    """Quiet senders, some messages a second each, next to one noisy user with so many requests under way."""

    quiet_senders: int
    noisy_senders: int
    alone: Rate
    without_rates: Rate
    with_rates: Rate
    ratio_without_rates: Spread
    """The 99th percentile next to the noisy one by that alone, of paired rounds."""
    ratio_with_rates: Spread
    noisy_per_second_without_rates: int
    """What the noisy one is answered, refusals included."""
    noisy_per_second_with_rates: int


class FanOut(msgspec.Struct, frozen=True):
    """One message to so many sockets, from the send to the last one's having received it."""

    sockets: int
    frame_bytes: int
    campana: Spread
    raw: Spread
    """A process without anything but sockets, writing the same bytes."""
    ratio: Spread
    per_session_kib: float
    """Resident memory of the server process; the kernel's share of a socket is not in it."""
    per_raw_socket_kib: float


class StartUp(msgspec.Struct, frozen=True):
    """From the start of the process to its first answer, with a data folder that is there already."""

    campana: Spread
    bare_interpreter: Spread
    resident_kib: int


class Results(msgspec.Struct, frozen=True):
    """A whole run."""

    taken_on: str
    commit: str
    plan: str
    machine: Machine
    start_up: StartUp
    sends: list[Sends]
    noise: Noise
    flow: Flow
    fan_out: list[FanOut]


class PointAtScale(msgspec.Struct, frozen=True):
    """One call at one size; ratios are to the smallest size, of paired rounds."""

    size: int
    ms: Spread
    ratio: Spread
    cpu_us: int
    """CPU time of the server."""
    cpu_ratio: Spread
    read_kib: float
    """What the server's system calls read: pages that SQLite has not in its own cache, and the request."""


class CaseAtScale(msgspec.Struct, frozen=True):
    """One call along one axis, the smallest size first."""

    what: str
    axis: str
    points: list[PointAtScale]


class ScaleResults(msgspec.Struct, frozen=True):
    """A run of `bench scale`."""

    taken_on: str
    commit: str
    machine: Machine
    messages: int
    channels: int
    users: int
    file_mib: int
    message_bytes: int
    """What a message of 300 characters takes in the file, with its indexes."""
    resident_mib: int
    """Of the server, at the end."""
    cases: list[CaseAtScale]


class PeerFigures(msgspec.Struct, frozen=True):
    """A server in one case: the medians of its rounds."""

    who: str
    per_second: Spread
    """Messages that all live sessions have got."""
    p50: Spread
    """From the send to the last live session."""
    p99: Spread
    accepted_p50: Spread
    """From the send to the acceptance."""
    cpu_us: Spread
    """CPU time of the server and the database for each message."""


class PeerRatio(msgspec.Struct, frozen=True):
    """Campana's figures by a peer's, of paired rounds: a higher rate is better, a lower time."""

    ours: str
    theirs: str
    rate: Spread
    p50: Spread
    p99: Spread
    cpu: Spread


class PeerCase(msgspec.Struct, frozen=True):
    """What a message goes through, and how many senders there are."""

    kind: str
    senders: int
    figures: list[PeerFigures]
    ratios: list[PeerRatio]


class PeerResults(msgspec.Struct, frozen=True):
    """A run of `bench peers`."""

    taken_on: str
    commit: str
    plan: str
    machine: Machine
    postgres: str
    skipped: list[str]
    """Which peers are not in it, and why."""
    generator_per_second: dict[int, int]
    """By the number of senders: what the load generator reaches against a server that does nothing."""
    cases: list[PeerCase]


def write(results: Results | ScaleResults | PeerResults, file: Path) -> None:
    """As indented JSON."""
    file.write_bytes(msgspec.json.format(msgspec.json.encode(results)) + b"\n")


def paired(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """The ratios of rounds taken one after the other."""
    return Spread.of([one / other for one, other in zip(ours, theirs, strict=True)])


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` (0 to 1) of the values lie below."""
    ordered: list[Any] = sorted(values)
    return float(ordered[min(len(ordered) - 1, int(len(ordered) * share))])
