"""Hours of the week, as people write them."""

from __future__ import annotations

from datetime import datetime

import pytest

from hcsyncd.config.hours import Hours

WEEK = "Mon-Fri 07:00-19:00, Sat 8:00-12:00"


def at(text: str) -> datetime:
    """2026-11-23 is a Monday."""
    return datetime.strptime(f"2026-11-{text}", "%Y-%m-%d %H:%M")  # noqa: DTZ007 - local time is what hours are in


@pytest.mark.parametrize(
    ("hours", "moment", "opened"),
    [
        (WEEK, "23 06:59", None),
        (WEEK, "23 07:00", "23 07:00"),
        (WEEK, "23 18:59", "23 07:00"),
        (WEEK, "23 19:00", None),
        (WEEK, "28 11:00", "28 08:00"),
        (WEEK, "29 11:00", None),
        ("22:00-06:00", "24 03:00", "23 22:00"),
        ("22:00-06:00", "24 23:00", "24 22:00"),
        ("Fri 22:00-06:00", "28 05:59", "27 22:00"),
        ("Fri 22:00-06:00", "28 22:30", None),
        ("Sat-Mon 00:00-24:00", "23 12:00", "21 00:00"),
        ("Mon 07:00-12:00, Mon 12:00-19:00", "23 15:00", "23 07:00"),
    ],
)
def test_when_the_hours_that_hold_began(hours: str, moment: str, opened: str | None) -> None:
    assert Hours.parse(hours).opened_at(at(moment)) == (at(opened) if opened else None)


def test_hours_without_an_end_go_back_a_week_and_no_further() -> None:
    opened = Hours.parse("00:00-24:00").opened_at(at("23 12:00"))
    assert opened == at("17 00:00")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("9 to 5", "'9 to 5' are no hours"),
        ("Mon-Fri", "'Mon-Fri' are no hours"),
        ("Mo 07:00-19:00", "are no hours"),
        ("Mon-Fry 07:00-19:00", "'fry' is no day of the week"),
        ("07:00-24:30", "24:30 is no time of day"),
        ("07:60-08:00", "07:60 is no time of day"),
        ("07:00-08:00,", "'' are no hours"),
    ],
)
def test_what_are_no_hours_is_said(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Hours.parse(text)
