"""Whether the wall clock may decide what is old after a time that no run saw: what goes because a machine came up in
another year cannot be brought back. Jumps during a run are `hcsyncd.runtime.steady_clock`'s."""

from __future__ import annotations

from hcsyncd.clock import MICROSECONDS, Clock
from hcsyncd.store.ports import ClockSeen, Retention

DAY = 86_400 * MICROSECONDS
GAP = DAY  # a longer time without a run is doubted
STEADY = DAY  # a clock that is doubted is believed when it has gone on so long


class TrustedTime:
    """Compares the clock, at the start, with what the store last saw. A machine that was off for longer than a day is
    doubted as well: for one more day, which costs nothing but space. Use `look` before `wait_secs`."""

    def __init__(self, retention: Retention, clock: Clock) -> None:
        self._retention = retention
        self._clock = clock
        self._seen: ClockSeen | None = None
        self.ahead_secs = 0.0  # the time that no run saw, when it is that which is doubted

    async def look(self) -> bool:
        """Whether the clock is believed now. Fails with StoreError."""
        now = self._clock.now()
        seen = self._seen or await self._retention.clock_seen()
        doubted_at = seen.doubted_at
        if self._seen is None and seen.seen_at and now - seen.seen_at > GAP:
            doubted_at, self.ahead_secs = now, (now - seen.seen_at) / MICROSECONDS
        elif doubted_at and (now < doubted_at or now - doubted_at >= STEADY):  # set right again, or steady
            doubted_at = 0
        await self._note(ClockSeen(now, doubted_at))
        return not doubted_at

    async def believe(self) -> None:
        """A person says that the clock is right."""
        await self._note(ClockSeen(self._clock.now(), 0))

    @property
    def wait_secs(self) -> float:
        """How long a doubted clock has still to go on; 0 when it is believed."""
        if self._seen is None or not self._seen.doubted_at:
            return 0.0
        return max(0.0, (self._seen.doubted_at + STEADY - self._clock.now()) / MICROSECONDS)

    async def _note(self, seen: ClockSeen) -> None:
        await self._retention.note_clock(seen)
        self._seen = seen
