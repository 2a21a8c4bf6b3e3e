"""Metrics for Prometheus, derived from events, with gauges read at each scrape.

Feeding an event costs a dictionary look-up and an addition, because some events come with every message. The families
of `prometheus_client` are made from the plain counters at a scrape, which runs in a thread."""

from __future__ import annotations

import resource
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Protocol

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from hcsyncd.events import Event
from hcsyncd.observe.catalogue import METRICS, Kind, Metric

CONTENT_TYPE = CONTENT_TYPE_LATEST

MAX_LABEL_VALUES = 100  # of one label that is not a name of the site; a cause from a peer must not fill the memory
OTHER = "other"
NAMED_BY_THE_SITE = frozenset({"channel", "destination", "route", "state"})

Labels = tuple[str, ...]
Readings = Mapping[str, Mapping[Labels, float]]  # metric name -> label values -> value
Feed = Callable[[Event], None]


class Metrics:
    """Counts events. Its `count` is a subscriber of the bus, to be called in one thread only."""

    def __init__(self, catalogue: Iterable[Metric] = METRICS) -> None:
        self._series = [_SERIES[metric.kind](metric) for metric in catalogue]
        feeds: dict[type[Event], list[Feed]] = {}
        for series in self._series:
            for kind, value in series.metric.feeds.items():
                feeds.setdefault(kind, []).append(series.feed(value))
        self._feeds = {kind: tuple(functions) for kind, functions in feeds.items()}

    def count(self, event: Event) -> None:
        """Add one event to every metric that it feeds."""
        for feed in self._feeds.get(type(event), ()):
            feed(event)

    def render(self, readings: Readings) -> bytes:
        """The text of a scrape. ``readings`` are the gauges that no event feeds. May run in a thread."""
        registry = CollectorRegistry()
        registry.register(_Scrape([*self._series], {**process_readings(), **readings}))
        return generate_latest(registry)


class _Series(Protocol):
    """One metric with all its label values."""

    metric: Metric

    def __init__(self, metric: Metric) -> None: ...

    def feed(self, value: float | str) -> Feed:
        """How one kind of event is added; ``value`` is a number or the event's field that holds it."""
        ...

    def family(self, reading: Mapping[Labels, float]) -> Family: ...


class _Keys:
    """Which label values an event belongs to, with every open-ended label held to a bounded set."""

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self._seen: dict[str, set[str]] = {label: set() for label in labels if label not in NAMED_BY_THE_SITE}
        self._known: dict[object, Labels] = {}
        self._read = attrgetter(*labels) if labels else None

    def __call__(self, event: Event) -> Labels:
        if self._read is None:
            return ()
        values = self._read(event)
        return self._known.get(values) or self._new(values)

    def _new(self, values: object) -> Labels:
        texts = values if isinstance(values, tuple) else (values,)
        key = tuple(self._bounded(label, str(text)) for label, text in zip(self._labels, texts, strict=True))
        if OTHER not in key:
            self._known[values] = key
        return key

    def _bounded(self, label: str, text: str) -> str:
        seen = self._seen.get(label)
        if seen is None or text in seen:
            return text
        if len(seen) >= MAX_LABEL_VALUES:
            return OTHER
        seen.add(text)
        return text


class _Counter:
    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self._keys = _Keys(metric.labels)
        self._values: dict[Labels, float] = {} if metric.labels else {(): 0.0}

    def feed(self, value: float | str) -> Feed:
        if isinstance(value, str):
            return partial(self._add_field, attrgetter(value))
        return partial(self._add, value)

    def _add(self, amount: float, event: Event) -> None:
        key = self._keys(event)
        self._values[key] = self._values.get(key, 0.0) + amount

    def _add_field(self, read: Callable[[Event], float], event: Event) -> None:
        self._add(read(event), event)

    def family(self, reading: Mapping[Labels, float]) -> Family:
        family = CounterMetricFamily(self.metric.name, self.metric.help, labels=self.metric.labels)
        for key, value in {**self._values, **reading}.items():
            family.add_metric(key, value)
        return family


class _Gauge:
    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self._keys = _Keys(metric.labels)
        self._values: dict[Labels, float] = {}

    def feed(self, value: float | str) -> Feed:
        if isinstance(value, str):
            return partial(self._set_field, attrgetter(value))
        return partial(self._set, value)

    def _set(self, value: float, event: Event) -> None:
        self._values[self._keys(event)] = value

    def _set_field(self, read: Callable[[Event], float], event: Event) -> None:
        self._set(read(event), event)

    def family(self, reading: Mapping[Labels, float]) -> Family:
        family = GaugeMetricFamily(self.metric.name, self.metric.help, labels=self.metric.labels)
        for key, value in {**self._values, **reading}.items():
            family.add_metric(key, value)
        return family


class _Histogram:
    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self._keys = _Keys(metric.labels)
        self._bounds = metric.buckets
        self._counts: dict[Labels, list[int]] = {}  # by bucket, not cumulated; the last is above every bound
        self._sums: dict[Labels, float] = {}

    def feed(self, value: float | str) -> Feed:
        return partial(self._observe, attrgetter(str(value)))

    def _observe(self, read: Callable[[Event], float], event: Event) -> None:
        key = self._keys(event)
        value = read(event)
        counts = self._counts.get(key)
        if counts is None:
            counts = self._counts[key] = [0] * (len(self._bounds) + 1)
            self._sums[key] = 0.0
        counts[bisect_left(self._bounds, value)] += 1
        self._sums[key] += value

    def family(self, reading: Mapping[Labels, float]) -> Family:  # noqa: ARG002 - a histogram is never read at a scrape
        family = HistogramMetricFamily(self.metric.name, self.metric.help, labels=self.metric.labels)
        for key, counts in self._counts.copy().items():
            buckets, total = [], 0
            for bound, count in zip((*self._bounds, float("inf")), counts.copy(), strict=True):
                total += count
                buckets.append(("+Inf" if bound == float("inf") else str(bound), total))
            family.add_metric(key, buckets, self._sums[key])
        return family


_SERIES: dict[Kind, type[_Counter] | type[_Gauge] | type[_Histogram]] = {
    Kind.COUNTER: _Counter,
    Kind.GAUGE: _Gauge,
    Kind.HISTOGRAM: _Histogram,
}


class _Scrape(Collector):
    def __init__(self, series: list[_Series], readings: Readings) -> None:
        self._series = series
        self._readings = readings

    def collect(self) -> Iterator[Family]:
        for series in self._series:
            yield series.family(self._readings.get(series.metric.name, {}))


def process_readings() -> dict[str, dict[Labels, float]]:
    """What the daemon process itself takes of the machine, on Linux; its workers are not counted in."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "hcsyncd_process_resident_bytes": {(): float(pages * resource.getpagesize())},
        "hcsyncd_process_cpu_seconds_total": {(): used.ru_utime + used.ru_stime},
        "hcsyncd_process_open_files": {(): float(sum(1 for _ in Path("/proc/self/fd").iterdir()))},
    }
