"""Intake closes before the disk is full, says so once, and opens when there is room again."""

from __future__ import annotations

import shutil
from pathlib import Path

from hcsyncd.events import DiskLow, DiskRecovered
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
