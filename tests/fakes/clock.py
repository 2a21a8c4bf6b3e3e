"""A clock that is moved by hand."""

from __future__ import annotations

from hcsyncd.clock import MICROSECONDS

START = 1_700_000_000 * MICROSECONDS


class FakeClock:
    """Stands still until `advance`; both clocks move together, and `jump` moves the wall clock alone."""

    def __init__(self, now: int = START, monotonic: float = 1000.0) -> None:
        self._now = now
        self._monotonic = monotonic

    def now(self) -> int:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, secs: float) -> None:
        self._now += int(secs * MICROSECONDS)
        self._monotonic += secs

    def jump(self, secs: float) -> None:
        self._now += int(secs * MICROSECONDS)
