"""How much is measured."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """Rounds are interleaved: each has all that is compared."""

    name: str
    senders: tuple[int, ...]
    send_rounds: int
    send_seconds: float  # of one round of one server, after warming up
    warm_seconds: float
    quiet_senders: int
    noisy_senders: int
    noise_rounds: int
    noise_seconds: float
    flow_rounds: int
    flow_sends: int  # of each kind, in a round
    sockets: tuple[int, ...]
    fan_out_rounds: int
    fan_out_messages: int
    starts: int


FULL = Plan("full", (1, 32, 256), 5, 1.6, 0.3, 20, 256, 5, 3.0, 5, 100, (1_000, 10_000), 5, 10, 5)
QUICK = Plan("quick", (1, 32, 256), 2, 0.8, 0.2, 20, 256, 2, 1.5, 2, 60, (1_000,), 2, 6, 2)
SMOKE = Plan("smoke", (1, 4), 1, 0.1, 0.05, 2, 4, 1, 0.5, 1, 5, (20,), 1, 2, 1)
"""Only to see that it runs."""
