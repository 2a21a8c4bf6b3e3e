"""Metrics: what each event adds, what a scrape says, and that labels stay bounded."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from hcsyncd.events import (
    DaemonStopping,
    DeliverySent,
    DiskLow,
    DiskRecovered,
    GenerationActivated,
    MessageReceived,
    MessageRejected,
    MessageReplayed,
    SourceFailed,
    SourceStarted,
    SourceStopped,
)
from hcsyncd.observe.metrics import MAX_LABEL_VALUES, Metrics, Readings

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scraped(metrics: Metrics, readings: Readings | None = None) -> Samples:
    return dict(samples(metrics.render(readings or {}).decode()))


def samples(text: str) -> Iterator[tuple[tuple[str, frozenset[tuple[str, str]]], float]]:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            yield (sample.name, frozenset(sample.labels.items())), sample.value


def at(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return name, frozenset(labels.items())


def received(channel: str = "adt_in", seconds: float = 0.002) -> MessageReceived:
    return MessageReceived(channel, 7, "ADT^A01", 1000, seconds)


def test_counters_count_and_add_by_label() -> None:
    metrics = Metrics()
    for channel in ("adt_in", "adt_in", "files_in"):
        metrics.count(received(channel))
    found = scraped(metrics)
    assert found[at("hcsyncd_messages_received_total", channel="adt_in")] == 2
    assert found[at("hcsyncd_messages_received_total", channel="files_in")] == 1
    assert found[at("hcsyncd_messages_received_bytes_total", channel="adt_in")] == 2000


def test_a_counter_without_labels_is_there_from_the_start() -> None:
    metrics = Metrics()
    assert scraped(metrics)[at("hcsyncd_messages_replayed_total")] == 0
    metrics.count(MessageReplayed(1, 2))
    assert scraped(metrics)[at("hcsyncd_messages_replayed_total")] == 1


def test_histograms_cumulate() -> None:
    metrics = Metrics()
    for seconds in (0.0005, 0.0006, 3.0, 60.0):
        metrics.count(received(seconds=seconds))
    found = scraped(metrics)

    def bucket(le: str) -> float:
        return found[at("hcsyncd_intake_seconds_bucket", channel="adt_in", le=le)]

    assert [bucket(le) for le in ("0.0005", "0.001", "2.5", "5.0", "10.0", "+Inf")] == [1, 2, 2, 3, 3, 4]
    assert found[at("hcsyncd_intake_seconds_count", channel="adt_in")] == 4
    assert found[at("hcsyncd_intake_seconds_sum", channel="adt_in")] == pytest.approx(63.0011)


def test_one_event_may_feed_several_metrics() -> None:
    metrics = Metrics()
    metrics.count(DeliverySent("relay_out", "relay", 1, 7, 1, 0.01, 2.0))
    found = scraped(metrics)
    assert found[at("hcsyncd_deliveries_sent_total", destination="relay_out", route="relay")] == 1
    assert found[at("hcsyncd_send_seconds_sum", destination="relay_out")] == 0.01
    assert found[at("hcsyncd_delivery_seconds_sum", destination="relay_out")] == 2.0


def test_gauges_follow_the_last_event() -> None:
    metrics = Metrics()
    up = at("hcsyncd_source_up", channel="adt_in")
    values = []
    for event in (SourceStarted("adt_in", "x"), SourceFailed("adt_in", "gone", 1.0), SourceStopped("adt_in")):
        metrics.count(event)
        values.append(scraped(metrics)[up])
    assert values == [1, 0, 0]
    metrics.count(GenerationActivated(4, 1, 1, ""))
    metrics.count(DiskLow(1, 2))
    assert scraped(metrics)[at("hcsyncd_generation")] == 4
    assert scraped(metrics)[at("hcsyncd_disk_low")] == 1
    metrics.count(DiskRecovered(3))
    assert scraped(metrics)[at("hcsyncd_disk_low")] == 0


def test_readings_are_part_of_a_scrape() -> None:
    readings: Readings = {"hcsyncd_deliveries_open": {("relay_out",): 12.0}, "hcsyncd_store_pending": {(): 3.0}}
    found = scraped(Metrics(), readings)
    assert found[at("hcsyncd_deliveries_open", destination="relay_out")] == 12
    assert found[at("hcsyncd_store_pending")] == 3


def test_the_process_reads_itself() -> None:
    found = scraped(Metrics())
    assert found[at("hcsyncd_process_resident_bytes")] > 1_000_000
    assert found[at("hcsyncd_process_cpu_seconds_total")] > 0
    assert found[at("hcsyncd_process_open_files")] > 2


def test_causes_that_a_peer_makes_up_do_not_fill_the_memory() -> None:
    metrics = Metrics()
    for number in range(MAX_LABEL_VALUES + 50):
        metrics.count(MessageRejected("adt_in", number, f"cause-{number}", 1))
    found = scraped(metrics)
    name = "hcsyncd_messages_rejected_total"
    assert len([key for key in found if key[0] == name]) == MAX_LABEL_VALUES + 1
    assert found[at(name, channel="adt_in", cause="other")] == 50
    metrics.count(MessageRejected("adt_in", 1, "cause-1", 1))
    assert scraped(metrics)[at(name, channel="adt_in", cause="cause-1")] == 2


def test_a_label_value_of_any_text_survives() -> None:
    metrics = Metrics()
    metrics.count(MessageRejected("adt_in", 1, 'a"b\\c\nd', 1))
    assert scraped(metrics)[at("hcsyncd_messages_rejected_total", channel="adt_in", cause='a"b\\c\nd')] == 1


def test_an_event_that_feeds_nothing_is_no_error() -> None:
    metrics = Metrics()
    before = set(scraped(metrics))
    metrics.count(DaemonStopping("test"))
    assert set(scraped(metrics)) == before


def test_a_scrape_in_another_thread_meets_new_series() -> None:
    metrics = Metrics()
    failures: list[BaseException] = []
    done = threading.Event()

    def scrape() -> None:
        try:
            while not done.is_set():
                metrics.render({})
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=scrape)
    thread.start()
    for number in range(2000):
        metrics.count(received(f"channel_{number}"))
    done.set()
    thread.join()
    assert failures == []
