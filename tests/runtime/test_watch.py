"""The readings that alerts are judged by: silence, shares of failures, certificates, and what is held."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from hcsyncd.clock import MICROSECONDS
from hcsyncd.config.model import Site
from hcsyncd.events import (
    CertificateSeen,
    DeliverySent,
    DeliveryUnsure,
    MessageReceived,
    RouteFailed,
    StoreFailed,
    StoreRecovered,
    WorkerLost,
)
from hcsyncd.observe.metrics import Metrics
from hcsyncd.runtime.alert_rules import ChannelReading
from hcsyncd.runtime.certificates import expiry_of
from hcsyncd.runtime.live import ChannelStatus, Health
from hcsyncd.runtime.steady_clock import SteadyClock
from hcsyncd.runtime.watch import Surroundings, Watch
from hcsyncd.store.ports import Alert, Arrears, Hold, HoldKind
from hcsyncd.store.store import Store
from tests.fakes.authority import Authority
from tests.fakes.clock import START, FakeClock
from tests.fakes.events import RecordedEvents
from tests.fakes.site_folder import SOURCE, SiteFolder
from tests.fakes.stored import arrival

HOUR = 3600 * MICROSECONDS


class Bench:
    """A watch over a site with one silent source, a real store, and counters that a test feeds."""

    def __init__(self, store: Store, site: Site, clock: FakeClock) -> None:
        self.store = store
        self.clock = clock
        self.metrics = Metrics()
        self.source = ChannelStatus("adt_in", "source", "mllp", "hl7", Health.UP)
        self.destination = ChannelStatus("events_out", "destination", "http", "json", Health.UP)
        around = Surroundings(
            lambda: site, lambda: [self.source, self.destination], lambda: 5, lambda: Arrears(overdue={"events_out": 2})
        )
        steady = SteadyClock(clock, 5, 600, RecordedEvents())
        self.watch = Watch(around, store.alerts, self.metrics, steady, (), 300.0, "interface team")

    async def channel(self, name: str) -> ChannelReading:
        readings = await self.watch.read()
        return next(channel for channel in readings.channels if channel.name == name)

    def received(self, count: int = 1) -> None:
        for _ in range(count):
            self.metrics.count(MessageReceived("adt_in", 1, "ADT^A01", 10, 0.001))


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    folder = SiteFolder(tmp_path / "site")
    folder.write("channels/adt_in.yaml", SOURCE + "owner: ward\nalerts: {silent_after_secs: 900}\n")
    clock = FakeClock()
    store = await Store.open(tmp_path / "store", RecordedEvents(), clock)
    yield Bench(store, folder.site(), clock)
    await store.close()


async def test_a_feed_is_heard_when_something_comes(bench: Bench) -> None:
    assert (await bench.channel("adt_in")).heard_at == START, "senders get their time after a start"
    bench.clock.advance(600)
    assert (await bench.channel("adt_in")).heard_at == START
    bench.received()
    assert (await bench.channel("adt_in")).heard_at == START + 600 * MICROSECONDS
    assert (await bench.channel("adt_in")).owner == "ward"


async def test_a_feed_that_was_silent_before_a_restart_still_is(bench: Bench) -> None:
    await bench.store.inbox.put(arrival(channel="adt_in", received_at=START - HOUR))
    await bench.store.alerts.put(Alert("silent-feed", "adt_in", "", "", START - HOUR // 2))
    assert (await bench.channel("adt_in")).heard_at == START - HOUR


async def test_a_held_channel_is_neither_down_nor_silent(bench: Bench) -> None:
    bench.source = replace(bench.source, error="address in use")
    assert (await bench.channel("adt_in")).error == "address in use"
    bench.source = replace(bench.source, holds=(Hold(HoldKind.RECEIVING, "adt_in", "anna", START, "r"),))
    held = await bench.channel("adt_in")
    assert (held.error, held.heard_at) == ("", 0)


async def test_failures_are_counted_within_the_window(bench: Bench) -> None:
    bench.received(10)
    bench.watch.hear(RouteFailed("adt_in", 1, "events", "transform-failed", "text"))
    bench.metrics.count(DeliverySent("events_out", "events", 1, 1, 1, 0.1, 0.2))
    bench.metrics.count(DeliveryUnsure("events_out", "events", 2, 2, "ack-lost"))
    found = await bench.channel("adt_in")
    assert (found.carried, found.failed) == (10, 1)
    found = await bench.channel("events_out")
    assert (found.carried, found.failed, found.overdue) == (2, 1, 2)
    bench.clock.advance(301)
    await bench.watch.read()
    bench.clock.advance(301)
    assert (await bench.channel("adt_in")).carried == 0


async def test_the_store_the_workers_and_the_disk_are_read(bench: Bench) -> None:
    bench.watch.hear(StoreFailed("the disk is full"))
    bench.watch.hear(WorkerLost(1, 2, "exit"))
    readings = await bench.watch.read()
    assert (readings.store_error, readings.workers_lost, readings.free_bytes) == ("the disk is full", 1, 5)
    bench.watch.hear(StoreRecovered())
    bench.clock.advance(301)
    readings = await bench.watch.read()
    assert (readings.store_error, readings.workers_lost) == ("", 0)


async def test_certificates_that_peers_show_are_remembered_by_name(bench: Bench) -> None:
    for expires_at in (1, 2):
        bench.watch.hear(CertificateSeen("adt_in", "ehr.hospital", expires_at))
    bench.watch.hear(CertificateSeen("gone_in", "other", 3))
    (certificate,) = (await bench.watch.read()).certificates
    assert (certificate.name, certificate.expires_at, certificate.owner) == ("ehr.hospital", 2, "ward")


def test_when_the_certificates_of_a_file_expire(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    issued = authority.issue("hub.hospital")
    expires_at = expiry_of(issued.certificate, is_authorities=False)
    assert expires_at is not None
    assert expiry_of(authority.file, is_authorities=True) is not None
    assert expiry_of(issued.key, is_authorities=False) is None
    assert expiry_of(tmp_path / "none.pem", is_authorities=False) is None


async def test_a_store_that_cannot_be_read_is_a_reading_beside_what_it_said_last(bench: Bench) -> None:
    before = await bench.watch.read()
    await bench.store.close()
    readings = await bench.watch.read()
    assert "closed" in readings.store_error
    assert readings.channels == before.channels
