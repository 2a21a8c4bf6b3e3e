"""Free space on the store's disk: below the bound, arrivals are refused before the disk is really full. So they are
while it cannot be measured."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

from hcsyncd.events import DiskFailed, DiskLow, DiskRecovered, Event
from hcsyncd.flow.intake import Gate

CHECK_SECS = 1.0
REOPEN_FACTOR = 1.1  # so that a disk at the bound does not open and close the gate with every message
LOW = "disk-low"
FAILED = "disk-failed"


class DiskGuard:
    """Closes and opens the gate of intake."""

    def __init__(self, folder: Path, min_free_bytes: int, gate: Gate, emit: Callable[[Event], None]) -> None:
        self._folder = folder
        self._bound = min_free_bytes
        self._gate = gate
        self._emit = emit
        self.free_bytes = 0

    def look(self) -> None:
        """Measure once, and move the gate if it must."""
        try:
            self.free_bytes = shutil.disk_usage(self._folder).free
        except OSError as error:
            self._fail(error)
            return
        reason = self._gate.reason
        if reason in ("", FAILED) and self.free_bytes < self._bound:
            self._gate.close(LOW)
            self._emit(DiskLow(self.free_bytes, self._bound))
        elif reason == FAILED or (reason == LOW and self.free_bytes >= self._bound * REOPEN_FACTOR):
            self._gate.open()
            self._emit(DiskRecovered(self.free_bytes))

    def _fail(self, error: OSError) -> None:
        """What a disk holds that cannot even be measured, nobody can promise to keep."""
        self.free_bytes = 0
        if self._gate.reason in ("", LOW):
            self._gate.close(FAILED)
            self._emit(DiskFailed(str(error)))

    async def run(self) -> None:
        """Look every second, until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(CHECK_SECS)
