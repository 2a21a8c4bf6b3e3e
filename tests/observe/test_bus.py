"""Events reach every subscriber, whatever one of them does."""

from __future__ import annotations

import pytest

from hcsyncd.events import DaemonStopping, DiskRecovered, Event
from hcsyncd.observe.bus import EventBus
from tests.fakes.events import RecordedEvents


def test_every_subscriber_hears_every_event_in_order() -> None:
    early, late = RecordedEvents(), RecordedEvents()
    bus = EventBus(early)
    bus.emit(DaemonStopping("first"))
    bus.subscribe(late)
    bus.emit(DaemonStopping("second"))
    assert early.events == [DaemonStopping("first"), DaemonStopping("second")]
    assert late.events == [DaemonStopping("second")]


def test_a_subscriber_hears_only_what_it_wants() -> None:
    everything, disks = RecordedEvents(), RecordedEvents()
    bus = EventBus(everything)
    bus.emit(DiskRecovered(1))
    bus.subscribe(disks, lambda kind: kind is DiskRecovered)
    for event in (DaemonStopping("test"), DiskRecovered(2), DaemonStopping("test")):
        bus.emit(event)
    assert disks.events == [DiskRecovered(2)]
    assert len(everything.events) == 4


def test_a_failing_subscriber_harms_no_other_and_is_reported_once(capsys: pytest.CaptureFixture[str]) -> None:
    heard = RecordedEvents()

    def fails(event: Event) -> None:
        raise ValueError("SECRET")

    bus = EventBus(fails, heard)
    bus.emit(DaemonStopping("test"))
    bus.emit(DiskRecovered(1))
    assert len(heard.events) == 2
    report = capsys.readouterr().err
    assert report.count("\n") == 1
    assert "DaemonStopping" in report
    assert "ValueError" in report
    assert "test_bus.py" in report
    assert "SECRET" not in report
