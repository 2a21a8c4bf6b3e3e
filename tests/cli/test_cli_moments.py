"""Times as people write and read them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest

from hcsyncd.cli.moments import age, parse_moment, span

NOW = datetime(2026, 11, 22, 14, 30, 5, 123456, tzinfo=timezone(timedelta(hours=1)))


def micros(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1_000_000)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("now", "2026-11-22T14:30:05.123456+01:00"),
        ("2h", "2026-11-22T12:30:05.123456+01:00"),
        ("30min", "2026-11-22T14:00:05.123456+01:00"),
        ("1.5 h ago", "2026-11-22T13:00:05.123456+01:00"),
        ("90s", "2026-11-22T14:28:35.123456+01:00"),
        ("1w", "2026-11-15T14:30:05.123456+01:00"),
        ("today", "2026-11-22T00:00:00+01:00"),
        ("Yesterday", "2026-11-21T00:00:00+01:00"),
        ("2026-11-22T10:00+02:00", "2026-11-22T10:00:00+02:00"),
        ("2026-11-22 10:00:01Z", "2026-11-22T10:00:01+00:00"),
    ],
)
def test_moments(text: str, moment: str) -> None:
    assert parse_moment(text, NOW) == micros(moment)


@pytest.mark.parametrize(("text", "meant"), [("2026-11-20", "2026-11-20T00:00:00"), ("9:05", "2026-11-22T09:05:00")])
def test_a_moment_without_a_zone_is_local(text: str, meant: str) -> None:
    local = datetime.fromisoformat(meant).astimezone()
    assert parse_moment(text, NOW) == round(local.timestamp() * 1_000_000)


@pytest.mark.parametrize("text", ["", "soon", "2 fortnights", "25:00", "2026-13-01", "-2h", "2h30", "٣h"])
def test_nonsense_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(repr(text))} is no time; write it like 2h"):
        parse_moment(text, NOW)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.0004, "0.4 ms"),
        (0.25, "250 ms"),
        (1.25, "1.2 s"),
        (59.4, "59 s"),
        (61, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (7800, "2 h 10 min"),
        (86_400, "1 d"),
        (2 * 86_400 + 3 * 3600 + 59, "2 d 3 h"),
    ],
)
def test_spans(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_ages() -> None:
    now = round(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1_000_000)
    assert age(0, now) == ""
    assert age(now - 180_000_000, now) == "3 min ago"
    assert age(now + 30_000_000, now) == "in 30 s"
    assert age(now - 500_000, now) == "now"
