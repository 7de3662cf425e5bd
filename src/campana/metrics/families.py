"""Numbers that cost next to nothing to count, and the form that Prometheus' library wants them in.

The library's own counters take a lock each time, and its histograms 2 µs. These are written on the event loop alone;
what several threads count uses the library's.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector


class Distribution:
    """How many values fell into which bucket, and their sum."""

    __slots__ = ("_bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self._bounds, value)] += 1
        self.sum += value


class Distributions(Collector):
    """A histogram, its parts told apart by the values of its labels; written on the event loop alone."""

    def __init__(self, name: str, text: str, labels: tuple[str, ...], bounds: Sequence[float]) -> None:
        self._name, self._text, self._labels = name, text, labels
        self._bounds = tuple(map(float, bounds))
        self._parts: dict[tuple[str, ...], Distribution] = {}
        if not labels:
            self.of()

    def of(self, *values: str) -> Distribution:
        """The part with these values, to be kept by whoever observes often."""
        part = self._parts.get(values)
        if part is None:
            part = self._parts[values] = Distribution(self._bounds)
        return part

    def collect(self) -> Iterable[Metric]:
        family = HistogramMetricFamily(self._name, self._text, labels=self._labels)
        for values, part in [*self._parts.items()]:
            total, buckets = 0, []
            for bound, count in zip(self._bounds, part.counts[:-1], strict=True):
                total += count
                buckets.append((repr(bound), float(total)))
            family.add_metric(values, [*buckets, ("+Inf", float(total + part.counts[-1]))], part.sum)
        yield family


class Tally:
    """A number that rises."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def add(self, number: int = 1) -> None:
        self.value += number


class Tallies(Collector):
    """A counter, as `Distributions` is a histogram."""

    def __init__(self, name: str, text: str, labels: tuple[str, ...]) -> None:
        self._name, self._text, self._labels = name, text, labels
        self._parts: dict[tuple[str, ...], Tally] = {}
        if not labels:
            self.of()

    def of(self, *values: str) -> Tally:
        """The part with these values, to be kept by whoever adds often."""
        part = self._parts.get(values)
        if part is None:
            part = self._parts[values] = Tally()
        return part

    def collect(self) -> Iterable[Metric]:
        family = CounterMetricFamily(self._name, self._text, labels=self._labels)
        for values, part in [*self._parts.items()]:
            family.add_metric(values, part.value)
        yield family


Readings = Mapping[tuple[str, ...], float]
"""Numbers by the values of the labels."""


class Reading(Collector):
    """What is looked up when somebody asks. `read` is called on a thread; without it there are no samples."""

    def __init__(
        self, family: type[GaugeMetricFamily | CounterMetricFamily], name: str, text: str, labels: tuple[str, ...]
    ) -> None:
        self._family, self._name, self._text, self._labels = family, name, text, labels
        self.read: Callable[[], Readings] = dict

    def reads(self, number: Callable[[], float]) -> None:
        """Look up one number, without labels."""
        self.read = lambda: {(): number()}

    def collect(self) -> Iterable[Metric]:
        family = self._family(self._name, self._text, labels=self._labels)
        for values, number in self.read().items():
            family.add_metric(values, number)
        yield family
