"""Time, behind a seam: wall time for records, monotonic time for waits, so that a clock jump moves no deadline."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol

MICROSECONDS = 1_000_000


class Clock(Protocol):
    """Where the engine reads time. The fake in tests is moved by hand."""

    def now(self) -> int:
        """Wall time in microseconds since the Unix epoch; may jump."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> int:
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        return time.monotonic()


def isoformat(moment: int) -> str:
    """Render microseconds since the epoch as RFC 3339 in UTC with milliseconds: 2026-01-31T23:59:59.123Z."""
    text = datetime.fromtimestamp(moment / MICROSECONDS, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
