"""Points in time and spans as people write and read them. Moments are microseconds since the epoch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import click

from hcsyncd.clock import MICROSECONDS

_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(s|sec|m|min|h|d|w)(?:\s+ago)?", re.ASCII)
_SECONDS = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DATES = "2026-11-22, 2026-11-22T14:30 or with a zone, 2026-11-22T14:30+01:00"
_FORMS = f"2h, 30min, 3d (ago), 14:30, today, yesterday, {_DATES}"
_FORMS_AHEAD = f"2h, 30min, 3d (from now), 14:30, {_DATES}"


def parse_moment(text: str, now: datetime) -> int:
    """A moment from a span before ``now`` or a date and time; local time unless a zone is given. Raises ValueError."""
    text = written = text.strip()
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    days = {"now": now, "today": today, "yesterday": today - timedelta(days=1)}
    if text.lower() in days:
        return _moment(days[text.lower()])
    if span := _SPAN.fullmatch(text.lower()):
        return _moment(now - timedelta(seconds=float(span[1]) * _SECONDS[span[2]]))
    if re.fullmatch(r"[0-9]{1,2}:[0-9]{2}(:[0-9]{2})?", text):
        text = f"{now:%Y-%m-%d}T{text.zfill(5 if text.count(':') == 1 else 8)}"
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{written!r} is no time; write it like {_FORMS}") from error
    return _moment(moment if moment.tzinfo else moment.astimezone())


def _moment(moment: datetime) -> int:
    return round(moment.timestamp() * MICROSECONDS)


class Moment(click.ParamType[int]):
    """A command line's point in time."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return parse_moment(value, datetime.now().astimezone())
        except (ValueError, OverflowError, OSError) as error:
            self.fail(str(error), param, ctx)


class Due(click.ParamType[int]):
    """A point in time to come, for a command line: a span counts from now on."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        now = datetime.now().astimezone()
        try:
            if span := _SPAN.fullmatch(value.strip().lower()):
                return _moment(now + timedelta(seconds=float(span[1]) * _SECONDS[span[2]]))
            due = parse_moment(value, now)
        except (ValueError, OverflowError, OSError):
            self.fail(f"{value!r} is no time; write it like {_FORMS_AHEAD}", param, ctx)
        if due <= _moment(now):
            self.fail(f"{value!r} is over: give a time to come, or a span as 4h", param, ctx)
        return due


def local(moment: int, *, milliseconds: bool = False) -> str:
    """Local time with its zone: 2026-11-22 14:03:07 CET; "" for 0, which means never."""
    if not moment:
        return ""
    when = datetime.fromtimestamp(moment / MICROSECONDS).astimezone()
    text = f"{when:%Y-%m-%d %H:%M:%S}" + (f".{moment // 1000 % 1000:03d}" if milliseconds else "")
    return f"{text} {when.tzname()}"


def span(seconds: float) -> str:
    """A length of time at a glance: 12 ms, 3.4 s, 5 min, 2 h 10 min, 4 d 3 h."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms" if seconds >= 0.01 or seconds <= 0 else f"{seconds * 1000:.1f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    for unit, name, smaller, smaller_name in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min")):
        if seconds >= unit:
            whole, rest = divmod(int(seconds), unit)
            return f"{whole} {name} {rest // smaller} {smaller_name}" if rest >= smaller else f"{whole} {name}"
    return f"{int(seconds) // 60} min"


def age(moment: int, now: int) -> str:
    """How long ago: 3 min ago; "" for 0. A moment ahead of us reads as in 3 min."""
    if not moment:
        return ""
    seconds = (now - moment) / MICROSECONDS
    if abs(seconds) < 1:
        return "now"
    return f"{span(seconds)} ago" if seconds > 0 else f"in {span(-seconds)}"


def due(row: Mapping[str, Any], now: int) -> str:
    """When something is due, marked where that is over; ``row`` has ``due_at`` and ``overdue``."""
    return f"OVERDUE {age(row['due_at'], now)}" if row["overdue"] else age(row["due_at"], now)
