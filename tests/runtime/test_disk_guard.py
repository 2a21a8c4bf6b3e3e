"""Intake closes before the disk is full, says so once, and opens when there is room again."""

from __future__ import annotations

import shutil
from pathlib import Path

from hcsyncd.events import DiskFailed, DiskLow, DiskRecovered
from hcsyncd.flow.intake import Gate
from hcsyncd.runtime.disk import DiskGuard
from tests.fakes.events import RecordedEvents


def test_a_low_disk_closes_the_gate_once_and_room_opens_it(tmp_path: Path) -> None:
    events, gate = RecordedEvents(), Gate()
    full = DiskGuard(tmp_path, shutil.disk_usage(tmp_path).total * 2, gate, events)
    full.look()
    full.look()
    assert gate.reason == "disk-low"
    assert len(events.of(DiskLow)) == 1
    roomy = DiskGuard(tmp_path, 1, gate, events)
    roomy.look()
    roomy.look()
    assert gate.reason == ""
    assert len(events.of(DiskRecovered)) == 1
    assert roomy.free_bytes > 0


def test_a_gate_that_another_reason_closed_is_left_alone(tmp_path: Path) -> None:
    gate = Gate()
    gate.close("stopping")
    DiskGuard(tmp_path, 1, gate, RecordedEvents()).look()
    assert gate.reason == "stopping"


def test_a_disk_that_cannot_be_measured_closes_the_gate_until_it_can(tmp_path: Path) -> None:
    folder = tmp_path / "var"
    folder.mkdir()
    events, gate = RecordedEvents(), Gate()
    guard = DiskGuard(folder, 1, gate, events)
    guard.look()
    folder.rename(tmp_path / "away")
    guard.look()
    guard.look()
    assert gate.reason == "disk-failed"
    assert guard.free_bytes == 0
    (failure,) = events.of(DiskFailed)
    assert "var" in failure.error
    (tmp_path / "away").rename(folder)
    guard.look()
    assert gate.reason == ""
    assert [type(event) for event in events.events] == [DiskFailed, DiskRecovered]


def test_a_disk_that_comes_back_too_full_stays_closed_for_that(tmp_path: Path) -> None:
    gate = Gate()
    gate.close("disk-failed")
    events = RecordedEvents()
    DiskGuard(tmp_path, shutil.disk_usage(tmp_path).total * 2, gate, events).look()
    assert gate.reason == "disk-low"
    assert [type(event) for event in events.events] == [DiskLow]
