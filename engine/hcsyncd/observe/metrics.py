"""Metrics for Prometheus, derived from events, with gauges read at each scrape.

Some events come with every message: their labels are read and looked up once for all the metrics that they feed, and
what is left is an addition each. The families of `prometheus_client` are made from the plain counters at a scrape,
which runs in a thread."""

from __future__ import annotations

import resource
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
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
Add = Callable[[Event], None]


class Metrics:
    """Counts events. Its `count` is a subscriber of the bus, to be called in one thread only."""

    def __init__(self, catalogue: Iterable[Metric] = METRICS) -> None:
        self._series = [_SERIES[metric.kind](metric) for metric in catalogue]
        feeds: dict[type[Event], dict[Labels, _Feed]] = {}
        for series in self._series:
            labels = series.metric.labels
            for kind, value in series.metric.feeds.items():
                feeds.setdefault(kind, {}).setdefault(labels, _Feed(labels)).add(series, value)
        self._feeds = {kind: tuple(by_labels.values()) for kind, by_labels in feeds.items()}

    def count(self, event: Event) -> None:
        """Add one event to every metric that it feeds."""
        for feed in self._feeds.get(type(event), ()):
            feed(event)

    def counted(self, name: str, label: str) -> dict[str, float]:
        """What a counter stands at, by one of its labels."""
        sums: dict[str, float] = {}
        for series in self._series:
            if series.metric.name == name and isinstance(series, _Counter):
                place = series.metric.labels.index(label)
                for key, value in series.values().items():
                    sums[key[place]] = sums.get(key[place], 0.0) + value
        return sums

    def render(self, readings: Readings) -> bytes:
        """The text of a scrape. ``readings`` are the gauges that no event feeds. May run in a thread."""
        registry = CollectorRegistry()
        registry.register(_Scrape([*self._series], {**process_readings(), **readings}))
        return generate_latest(registry)


class _Series(Protocol):
    """One metric with all its label values."""

    metric: Metric

    def __init__(self, metric: Metric) -> None: ...

    def key(self, values: Labels) -> Labels:
        """The label values under which these are counted: open-ended ones are held to a bounded set."""
        ...

    def adder(self, key: Labels, value: float | str) -> Add:
        """How one kind of event is added under ``key``; ``value`` is a number or the event's field that holds it."""
        ...

    def family(self, reading: Mapping[Labels, float]) -> Family: ...


class _Feed:
    """Adds one kind of event to the metrics that it feeds and that have the same labels."""

    def __init__(self, labels: Labels) -> None:
        self._read: Callable[[Event], object] = attrgetter(*labels) if labels else _no_labels
        self._series: list[tuple[_Series, float | str]] = []
        self._known: dict[object, tuple[Add, ...]] = {}

    def add(self, series: _Series, value: float | str) -> None:
        self._series.append((series, value))

    def __call__(self, event: Event) -> None:
        values = self._read(event)
        for add in self._known.get(values) or self._meet(values):
            add(event)

    def _meet(self, values: object) -> tuple[Add, ...]:
        """The first event with these label values."""
        texts = tuple(str(text) for text in (values if isinstance(values, tuple) else (values,)))
        keys = [series.key(texts) for series, _ in self._series]
        adders = tuple(series.adder(key, value) for key, (series, value) in zip(keys, self._series, strict=True))
        if not any(OTHER in key for key in keys):  # else whoever makes up label values would fill the memory here
            self._known[values] = adders
        return adders


def _no_labels(_: Event) -> Labels:
    return ()


class _Keys:
    """The label values that are told apart: those of an open-ended label are as many as come first."""

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self._seen: dict[str, set[str]] = {label: set() for label in labels if label not in NAMED_BY_THE_SITE}

    def __call__(self, values: Labels) -> Labels:
        return tuple(self._bounded(label, text) for label, text in zip(self._labels, values, strict=True))

    def _bounded(self, label: str, text: str) -> str:
        seen = self._seen.get(label)
        if seen is None or text in seen:
            return text
        if len(seen) >= MAX_LABEL_VALUES:
            return OTHER
        seen.add(text)
        return text


@dataclass(slots=True)
class _Number:
    """The value of a counter or gauge under one key."""

    value: float = 0.0


class _Counter:
    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self.key = _Keys(metric.labels)
        self._numbers: dict[Labels, _Number] = {} if metric.labels else {(): _Number()}

    def values(self) -> dict[Labels, float]:
        return {key: number.value for key, number in self._numbers.items()}

    def adder(self, key: Labels, value: float | str) -> Add:
        number = self._numbers.setdefault(key, _Number())
        if isinstance(value, str):
            read: Callable[[Event], float] = attrgetter(value)

            def add_field(event: Event) -> None:
                number.value += read(event)

            return add_field

        def add(_: Event) -> None:
            number.value += value

        return add

    def family(self, reading: Mapping[Labels, float]) -> Family:
        return _filled(CounterMetricFamily, self.metric, self._numbers, reading)


class _Gauge:
    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self.key = _Keys(metric.labels)
        self._numbers: dict[Labels, _Number] = {}

    def adder(self, key: Labels, value: float | str) -> Add:
        number = self._numbers.setdefault(key, _Number())
        if isinstance(value, str):
            read: Callable[[Event], float] = attrgetter(value)

            def set_field(event: Event) -> None:
                number.value = read(event)

            return set_field

        def set_(_: Event) -> None:
            number.value = value

        return set_

    def family(self, reading: Mapping[Labels, float]) -> Family:
        return _filled(GaugeMetricFamily, self.metric, self._numbers, reading)


def _filled(
    kind: type[CounterMetricFamily] | type[GaugeMetricFamily],
    metric: Metric,
    numbers: dict[Labels, _Number],
    reading: Mapping[Labels, float],
) -> Family:
    family = kind(metric.name, metric.help, labels=metric.labels)
    counted = {key: number.value for key, number in numbers.copy().items()}  # a copy: new keys come while this runs
    for key, value in {**counted, **reading}.items():
        family.add_metric(key, value)
    return family


class _Distribution:
    """The observations of a histogram under one key."""

    __slots__ = ("counts", "total")

    def __init__(self, buckets: int) -> None:
        self.counts = [0] * buckets  # not cumulated; the last is above every bound
        self.total = 0.0


class _Histogram:
    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self.key = _Keys(metric.labels)
        self._distributions: dict[Labels, _Distribution] = {}

    def adder(self, key: Labels, value: float | str) -> Add:
        bounds = self.metric.buckets
        distribution = self._distributions.setdefault(key, _Distribution(len(bounds) + 1))
        counts = distribution.counts
        read: Callable[[Event], float] = attrgetter(str(value))

        def observe(event: Event) -> None:
            observed = read(event)
            counts[bisect_left(bounds, observed)] += 1
            distribution.total += observed

        return observe

    def family(self, reading: Mapping[Labels, float]) -> Family:  # noqa: ARG002 - a histogram is never read at a scrape
        family = HistogramMetricFamily(self.metric.name, self.metric.help, labels=self.metric.labels)
        for key, distribution in self._distributions.copy().items():
            buckets, total = [], 0
            for bound, count in zip((*self.metric.buckets, float("inf")), distribution.counts.copy(), strict=True):
                total += count
                buckets.append(("+Inf" if bound == float("inf") else str(bound), total))
            family.add_metric(key, buckets, distribution.total)
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
