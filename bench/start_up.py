"""From the start of the process to its first answer."""

from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from time import perf_counter

from bench import servers
from bench.client import Failed
from bench.plan import Plan
from bench.results import Spread, StartUp
from bench.signing import Key


def measure(plan: Plan, folder: Path, key: Key, tell: Callable[[str], None]) -> StartUp:
    """Several starts with one data folder; the first, which makes the folder, does not count."""
    times: list[float] = []
    bare: list[float] = []
    resident_kib = 0
    for number in range(plan.starts + 1):
        tell(f"start-up, {number} of {plan.starts}")
        begun = perf_counter()
        with servers.campana(folder / "campana-start", key) as server:
            connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
            connection.request("GET", "/readyz")
            if connection.getresponse().status != 200:
                raise Failed("The server is not ready.")
            times.append((perf_counter() - begun) * 1000)
            connection.close()
            resident_kib = server.resident_kib()
        bare.append(servers.seconds_of(["-c", "pass"]) * 1000)
    return StartUp(Spread.of(times[1:], 0), Spread.of(bare[1:], 0), resident_kib)
