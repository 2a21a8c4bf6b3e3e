"""The table of metrics is whole and follows the naming law."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from hcsyncd.events import Event
from hcsyncd.observe.catalogue import LOG_ONLY, METRICS, Kind, Metric, metrics_page

UNITS = ("_seconds", "_bytes", "_total")


def all_kinds(of: type[Event] = Event) -> Iterator[type[Event]]:
    for kind in of.__subclasses__():
        yield kind
        yield from all_kinds(kind)


def test_each_event_feeds_a_metric_or_is_for_the_log_alone() -> None:
    feeding = {kind for metric in METRICS for kind in metric.feeds}
    assert {kind.__name__ for kind in all_kinds()} == {kind.__name__ for kind in feeding | LOG_ONLY}
    assert feeding & LOG_ONLY == set()


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: str(metric.name))
def test_a_metric_is_well_named_and_its_fields_exist(metric: Metric) -> None:
    assert re.fullmatch(r"hcsyncd_[a-z]+(_[a-z]+)*", metric.name)
    assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
    if metric.kind is Kind.HISTOGRAM:
        assert metric.name.endswith("_seconds")
        assert all(isinstance(value, str) for value in metric.feeds.values())
        assert list(metric.buckets) == sorted(set(metric.buckets))
    assert metric.help.endswith(".")
    for kind, value in metric.feeds.items():
        fields = set(kind.__struct_fields__)
        assert set(metric.labels) <= fields
        assert isinstance(value, (int, float)) or value in fields


def test_names_are_unique() -> None:
    names = [metric.name for metric in METRICS]
    assert len(names) == len(set(names))


def test_labels_are_never_identifiers_of_one_message() -> None:
    labels = {label for metric in METRICS for label in metric.labels}
    bounded = {"channel", "destination", "route", "cause", "reason", "fault", "switch", "verb", "code", "kind", "sink"}
    assert labels <= bounded | {"hold", "outcome", "how", "data"}


def test_the_page_lists_every_metric() -> None:
    page = metrics_page()
    for metric in METRICS:
        assert f"| `{metric.name}` |" in page
