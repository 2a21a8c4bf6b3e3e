"""The wall clock, watched against the monotonic one: a jump is told of, and one forward is not believed at once.

What acts by the age of things must not take a clock that was set to next year for a year that has passed: retention
would remove everything, and every queue would be an alert.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hcsyncd.clock import MICROSECONDS, Clock
from hcsyncd.events import ClockJumped, ClockSettled, Event

LOOK_SECS = 1.0


class SteadyClock:
    """Wall time without the jumps forward that are not believed yet: for ages and deadlines that outlive the run. What
    is only to be dated takes the plain clock."""

    def __init__(self, clock: Clock, jump_secs: float, settle_secs: float, emit: Callable[[Event], None]) -> None:
        self._clock = clock
        self._bound = jump_secs
        self._settle = settle_secs
        self._emit = emit
        self._wall, self._monotonic = clock.now(), clock.monotonic()
        self._doubted = 0  # microseconds that the wall clock is ahead of what is believed
        self._jump = 0.0  # seconds, of the last jump while it is young
        self._until = 0.0  # on the monotonic clock: so long it is young

    def now(self) -> int:
        """Microseconds since the Unix epoch."""
        self.look()
        return self._wall - self._doubted

    def monotonic(self) -> float:
        return self._clock.monotonic()

    @property
    def jump_secs(self) -> float:
        """How far the wall clock jumped, while that is not settled; 0 when it is steady."""
        return self._jump

    def look(self) -> None:
        """Compare the clocks. Costs nothing worth mentioning."""
        wall, monotonic = self._clock.now(), self._clock.monotonic()
        moved = (wall - self._wall) / MICROSECONDS - (monotonic - self._monotonic)
        self._wall, self._monotonic = wall, monotonic
        if abs(moved) > self._bound:
            self._doubted = max(0, self._doubted + int(moved * MICROSECONDS))
            self._jump = moved
            self._until = monotonic + self._settle
            self._emit(ClockJumped(moved))
        if self._jump and monotonic >= self._until:
            self._believe(confirmed=False)

    def confirm(self) -> None:
        """A person says that the wall clock is right."""
        self.look()
        if self._jump:
            self._believe(confirmed=True)

    def _believe(self, *, confirmed: bool) -> None:
        if self._doubted:
            self._emit(ClockSettled(self._doubted / MICROSECONDS, confirmed))
        self._doubted = 0
        self._jump = 0.0

    async def run(self) -> None:
        """Look every second, until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_SECS)
