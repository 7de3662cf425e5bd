"""What the program counts and times, for Prometheus (docs/reference/metrics.md).

One `Metrics` for each server, with a registry of its own. What happens for each call and each frame is counted with
metrics/families.py, all else with the library's own counters.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.registry import Collector

from campana.metrics.families import Distribution, Distributions, Reading, Tallies, Tally

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4

LATENCIES: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds."""
WAITS: Final = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 600.0, 3_600.0, 86_400.0, 172_800.0)
"""Seconds, for what may take two days."""
RECIPIENTS: Final = (0, 1, 2, 5, 10, 50, 100, 500, 1_000, 5_000, 10_000)
BATCHES: Final = (1, 2, 4, 8, 16, 32, 64, 128)

UNKNOWN: Final = "unknown"
"""The operation of a request that is for none."""
UNREADABLE: Final = "unreadable"
"""The operation of a request that was refused before it was complete."""
OTHERS: Final = "others"
CLOSE_CODES: Final = frozenset({1000, 1001, 1005, 1006, 1008, 1009, 1011, 1012, 1013, 4001, 4002, 4003, 4005, 4401})
PROCESSORS_MAX: Final = 100
"""Whoever may create flows chooses what processors are called; more than this are counted together."""


class Described(NamedTuple):
    """A metric as documentation has it. `name` is that of its samples, but for a histogram's three endings."""

    name: str
    kind: str
    labels: tuple[str, ...]
    text: str


class Calls(Collector):
    """Every request by operation and status, with the time its answer took.

    AWS's usage metrics (spec/integrations.md §6) are the same numbers, added up.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self.seconds = Distributions(*REQUEST_SECONDS, bounds)
        self._answered: dict[tuple[str, int], Tally] = {}
        self._times: dict[str, Distribution] = {}

    def answered(self, operation: str, status: int, seconds: float) -> None:
        """`operation`: a name of the API, or one of those above; never what a client made up."""
        try:
            self._answered[operation, status].value += 1
            self._times[operation].observe(seconds)
        except KeyError:
            self._answered.setdefault((operation, status), Tally()).value += 1
            times = self._times.setdefault(operation, self.seconds.of(operation))
            times.observe(seconds)

    def refused_early(self, status: int) -> None:
        """By the connection itself: a request that is too long or late, a handshake that is none."""
        self._answered.setdefault((UNREADABLE, status), Tally()).value += 1

    def collect(self) -> Iterable[Metric]:
        requests = CounterMetricFamily(*REQUESTS[:2], labels=REQUESTS[2])
        counted: dict[str, list[int]] = {}
        for (operation, status), tally in [*self._answered.items()]:
            requests.add_metric((operation, str(status)), tally.value)
            usage = counted.setdefault(operation, [0, 0, 0])
            usage[0] += tally.value
            if status >= 400:
                usage[2 if status == 429 else 1] += tally.value
        yield requests
        for index, (name, text, labels) in enumerate(USAGE):
            family = CounterMetricFamily(name, text, labels=labels)
            for operation, usage in counted.items():
                family.add_metric((operation,), usage[index])
            yield family
        yield from self.seconds.collect()


_Declared = tuple[str, str, tuple[str, ...]]
REQUESTS: Final[_Declared] = (
    "campana_requests",
    "Requests answered, by operation and HTTP status. STS calls are among them; requests for no operation are"
    f' "{UNKNOWN}", and those refused before they were complete "{UNREADABLE}".',
    ("operation", "status"),
)
REQUEST_SECONDS: Final[_Declared] = (
    "campana_request_seconds",
    "From a request's last byte to its answer.",
    ("operation",),
)
USAGE: Final[tuple[_Declared, ...]] = (
    ("CallCount", "Calls, as in CloudWatch's AWS/Usage.", ("operation",)),
    ("ErrorCount", "Calls answered with an error other than 429, as in CloudWatch's AWS/Usage.", ("operation",)),
    ("ThrottleCount", "Calls refused by a rate, as in CloudWatch's AWS/Usage.", ("operation",)),
)


class Metrics:
    """All of a server's metrics."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self.described: list[Described] = []

        # Requests
        self.calls = Calls(LATENCIES)
        self._add(self.calls, "counter", *REQUESTS)
        for each in USAGE:
            self._describe("counter", *each)
        self._describe("histogram", *REQUEST_SECONDS)
        self.throttled = self._counter(
            "campana_throttled", "Calls and connections refused because a rate was exceeded, by rate.", "rate"
        )

        # Sessions and delivery
        self.sessions = self._reading("campana_sessions", "Live sessions that are open on this node.")
        self.sessions_opened = self._counter("campana_sessions_opened", "Live sessions established.")
        self.sessions_closed = self._counter(
            "campana_sessions_closed", "WebSockets that ended, by close code; 1006 is none.", "code"
        )
        self.frames_sent = self._tallies("campana_frames_sent", "Frames of events written to sockets.").of()
        self.fanout = self._distributions(
            "campana_fanout_recipients", "Sessions that hear a journal entry, for each entry.", RECIPIENTS
        ).of()
        entries = self._tallies(
            "campana_journal_entries",
            "Journal entries that were delivered here: those that came with a notification, those that had to be read,"
            " and those read again for a session that began behind.",
            "source",
        )
        self.entries_notified = entries.of("notified")
        self.entries_read = entries.of("read")
        self.entries_caught_up = entries.of("caught up")
        self.journal_lag = self._distributions(
            "campana_journal_lag_seconds", "Age of the newest journal entry of a batch when sessions get it.", LATENCIES
        ).of()

        # Channel flows
        self.executions = self._reading(
            "campana_executions",
            "Flow executions in the database by state, looked up every 15 s; no more than 10,000 are counted.",
            "state",
        )
        self.execution_oldest = self._reading(
            "campana_execution_oldest_seconds", "Age of the oldest of these executions, by state.", "state"
        )
        self.execution_seconds = self._distributions(
            "campana_execution_seconds", "From a message's sending to its verdict, by verdict.", WAITS, "verdict"
        )
        self.callbacks = self._tallies(
            "campana_callbacks", "Callbacks of processors that counted, by what they decided.", "decision"
        )
        self._processor_seconds = self._distributions(
            "campana_processor_seconds",
            f'How long invoking a processor took, by its ResourceArn; of those beyond {PROCESSORS_MAX} as "{OTHERS}".',
            LATENCIES,
            "processor",
        )
        self._processor_invocations = self._tallies(
            "campana_processor_invocations",
            "Invocations of processors, by ResourceArn and outcome.",
            "processor",
            "outcome",
        )
        self._processors: set[str] = set()

        # The store
        self.store_waiting = self._reading("campana_store_waiting_calls", "Calls that wait for the store.")
        self.store_batch = self._distributions(
            "campana_store_batch_calls", "Calls that were committed together.", BATCHES
        ).of()
        self.store_commit = self._distributions(
            "campana_store_commit_seconds", "How long a commit took, until it was on disk.", LATENCIES
        ).of()
        self.store_again = self._counter(
            "campana_store_repeats", "PostgreSQL: transactions that were run again, by reason.", "reason"
        )
        self.sqlite_wal = self._reading("campana_sqlite_wal_bytes", "SQLite: size of the write-ahead log's file.")
        self.pool = self._reading("campana_store_pool_connections", "PostgreSQL: connections, by use.", "use")
        self.pool_max = self._reading("campana_store_pool_connections_max", "PostgreSQL: connections there may be.")
        self.pool_waits = self._reading(
            "campana_store_pool_wait_seconds", "PostgreSQL: time that calls have waited for a connection.", counter=True
        )
        self.pool_errors = self._reading(
            "campana_store_pool_errors", "PostgreSQL: connections that could not be had, or were lost.",
            "what", counter=True,
        )  # fmt: skip

        # Workers
        self.sweeper_rows = self._counter("campana_sweeper_rows", "Rows that the sweeper worked on, by step.", "step")
        self.sweeper_failures = self._counter("campana_sweeper_failures", "Steps of the sweeper that failed.", "step")
        self.notifier = NotifierState(
            self._gauge("campana_notifier_up", "1: this node hears the others and tells them; alone it always does."),
            self._counter(
                "campana_notifier_connects", "Connections of the notifier; more than one: it had to reconnect."
            ),
        )
        self.ready = self._reading("campana_ready", "1: this node takes requests (/readyz).")
        self._info = self._gauge("campana_info", "1; the version of the program is a label.", "version")
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def text(self) -> bytes:
        """The exposition. Not for the event loop: it takes some milliseconds."""
        return generate_latest(self.registry)

    def version_is(self, version: str) -> None:
        self._info.labels(version).set(1)

    def closed(self, code: int) -> None:
        """A WebSocket has ended. Clients may close with any number: those that nobody has a use for count together."""
        self.sessions_closed.labels(str(code) if code in CLOSE_CODES else OTHERS).inc()

    def invoked(self, processor: str, outcome: str, seconds: float) -> None:
        """A processor, by its ResourceArn, was invoked."""
        if processor not in self._processors:
            if len(self._processors) >= PROCESSORS_MAX:
                processor = OTHERS
            self._processors.add(processor)
        self._processor_seconds.of(processor).observe(seconds)
        self._processor_invocations.of(processor, outcome).add()

    # Making them

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        self._describe("counter", name, text, labels)
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        self._describe("gauge", name, text, labels)
        return Gauge(name, text, labels, registry=self.registry)

    def _tallies(self, name: str, text: str, *labels: str) -> Tallies:
        tallies = Tallies(name, text, labels)
        self._add(tallies, "counter", name, text, labels)
        return tallies

    def _distributions(self, name: str, text: str, bounds: Sequence[float], *labels: str) -> Distributions:
        distributions = Distributions(name, text, labels, bounds)
        self._add(distributions, "histogram", name, text, labels)
        return distributions

    def _reading(self, name: str, text: str, *labels: str, counter: bool = False) -> Reading:
        reading = Reading(CounterMetricFamily if counter else GaugeMetricFamily, name, text, labels)
        self._add(reading, "counter" if counter else "gauge", name, text, labels)
        return reading

    def _add(self, collector: Collector, kind: str, name: str, text: str, labels: tuple[str, ...]) -> None:
        self.registry.register(collector)
        self._describe(kind, name, text, labels)

    def _describe(self, kind: str, name: str, text: str, labels: tuple[str, ...]) -> None:
        self.described.append(Described(f"{name}_total" if kind == "counter" else name, kind, labels, text))


class NotifierState:
    """What a notifier says of itself."""

    def __init__(self, up: Gauge, connects: Counter) -> None:
        self._up = up
        self._connects = connects

    def connected(self) -> None:
        self._up.set(1)
        self._connects.inc()

    def disconnected(self) -> None:
        self._up.set(0)
