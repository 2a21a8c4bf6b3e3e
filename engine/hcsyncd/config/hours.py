"""Hours of the week as people write them: ``Mon-Fri 07:00-19:00, Sat 08:00-12:00``; local time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
FORM = "Mon-Fri 07:00-19:00, Sat 08:00-12:00; without days, every day"
_SPAN = re.compile(
    r"(?:(?P<first>[a-z]{3})(?:\s*-\s*(?P<last>[a-z]{3}))?\s+)?"
    r"(?P<opens>\d{1,2}:\d{2})\s*-\s*(?P<closes>\d{1,2}:\d{2})"
)
_WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Span:
    """The same hours on some days of the week. ``closes`` may be on the day after."""

    days: frozenset[int]  # Monday is 0
    opens: timedelta  # since midnight
    closes: timedelta


@dataclass(frozen=True, slots=True)
class Hours:
    """When something is expected to happen."""

    spans: tuple[Span, ...]

    @classmethod
    def parse(cls, text: str) -> Hours:
        """Raises ValueError with the form that is understood."""
        return cls(tuple(_span(part) for part in text.split(",")))

    def opened_at(self, moment: datetime) -> datetime | None:
        """When the hours that hold at ``moment`` (local, without a zone) began; None when it is outside of them. Hours
        that follow each other without a gap are one; nothing is older than a week."""
        began = earliest = self._began(moment)
        while earliest is not None and moment - earliest < _WEEK:
            began = earliest
            earliest = self._began(began - timedelta(microseconds=1))
        return began

    def _began(self, moment: datetime) -> datetime | None:
        return min((start for start, end in self._around(moment) if start <= moment < end), default=None)

    def _around(self, moment: datetime) -> Iterator[tuple[datetime, datetime]]:
        today = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        for day in (today, today - timedelta(days=1)):
            for span in self.spans:
                if day.weekday() in span.days:
                    yield day + span.opens, day + span.closes


def _span(text: str) -> Span:
    match = _SPAN.fullmatch(text.strip().lower())
    if match is None:
        raise ValueError(f"{text.strip()!r} are no hours; write them like {FORM}")
    opens, closes = _time(match["opens"]), _time(match["closes"])
    if closes <= opens:
        closes += timedelta(days=1)
    return Span(_days(match["first"], match["last"]), opens, closes)


def _time(text: str) -> timedelta:
    hours, minutes = map(int, text.split(":"))
    if minutes > 59 or hours * 60 + minutes > 24 * 60:
        raise ValueError(f"{text} is no time of day")
    return timedelta(hours=hours, minutes=minutes)


def _days(first: str | None, last: str | None) -> frozenset[int]:
    if first is None:
        return frozenset(range(7))
    for name in (first, last or first):
        if name not in DAYS:
            raise ValueError(f"{name!r} is no day of the week; write {', '.join(day.capitalize() for day in DAYS)}")
    start, end = DAYS.index(first), DAYS.index(last or first)
    return frozenset((start + offset) % 7 for offset in range((end - start) % 7 + 1))
