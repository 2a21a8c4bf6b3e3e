"""How fast, and at what hours, work that is not urgent may go."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from hcsyncd.clock import MICROSECONDS
from hcsyncd.record import Record

BURST_SECS = 0.2  # what a throttle saves up while nothing is taken
_HOURS = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)\s*-\s*([01]?\d|2[0-3]|24):([0-5]\d)", re.ASCII)


class Throttle:
    """A token bucket: ``rate`` a second on average, on the monotonic clock. 0 sets no limit."""

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._most = max(1.0, rate * BURST_SECS)
        self._tokens = 1.0
        self._filled_at = now

    def available(self, now: float) -> int | None:
        """How many may go now; None: any number."""
        if not self._rate:
            return None
        self._tokens = min(self._most, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now
        return max(int(self._tokens), 0)

    def secs_to_next(self) -> float:
        """Seconds until one more may go, counted from the last look."""
        return max(1.0 - self._tokens, 0.0) / self._rate if self._rate else 0.0

    def take(self, count: int) -> None:
        """So many went: what was more than there was is made up for by waiting longer."""
        if self._rate:
            self._tokens -= count


class Window(Record, frozen=True):
    """Hours of each day, in local time: ``22:00-06:00`` goes over midnight. Minutes since midnight."""

    opens: int = 0
    closes: int = 0  # the same as ``opens``: always open

    @classmethod
    def parse(cls, text: str) -> Window:
        """Raises ValueError, saying how it is written; an empty text is always open."""
        if not text:
            return cls()
        found = _HOURS.fullmatch(text.strip())
        closes = int(found[3]) * 60 + int(found[4]) if found else 0
        if found is None or closes > 24 * 60:
            raise ValueError(f"{text!r} is no window of hours: write it like 22:00-06:00")
        return cls(int(found[1]) * 60 + int(found[2]), closes % (24 * 60))

    def secs_to_open(self, now: int) -> float:
        """Seconds until it is open next, by the wall clock ``now`` in microseconds; 0 while it is open."""
        if self.opens == self.closes:
            return 0.0
        moment = datetime.fromtimestamp(now / MICROSECONDS).astimezone()
        minute = moment.hour * 60 + moment.minute
        if self.opens < self.closes:
            is_open = self.opens <= minute < self.closes
        else:
            is_open = minute >= self.opens or minute < self.closes
        if is_open:
            return 0.0
        opening = moment.replace(hour=self.opens // 60, minute=self.opens % 60, second=0, microsecond=0)
        if opening <= moment:
            opening += timedelta(days=1)
        return (opening - moment).total_seconds()
