"""Rates and hours of work that is not urgent."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from hcsyncd.clock import MICROSECONDS
from hcsyncd.flow.pace import Throttle, Window


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A local time two hours ahead of UTC, without daylight saving."""
    before = os.environ.get("TZ")
    monkeypatch.setenv("TZ", "XST-2")
    time.tzset()
    yield
    monkeypatch.undo()
    assert os.environ.get("TZ") == before
    time.tzset()


def at(hour: int, minute: int = 0, second: int = 0) -> int:
    """A moment by local time, in microseconds."""
    moment = datetime(2026, 3, 4, hour, minute, second, tzinfo=UTC).timestamp() - 2 * 3600
    return int(moment * MICROSECONDS)


def test_without_a_rate_any_number_may_go() -> None:
    throttle = Throttle(0, 0.0)
    throttle.take(1000)
    assert throttle.available(0.0) is None
    assert throttle.secs_to_next() == 0.0


def test_a_rate_lets_so_many_go_a_second_on_average() -> None:
    throttle = Throttle(10, 0.0)
    gone = 0
    for tick in range(1, 1001):  # ten seconds
        may = throttle.available(tick / 100)
        assert may is not None
        throttle.take(may)
        gone += may
    assert 100 <= gone <= 101


def test_little_is_saved_up_while_nothing_goes() -> None:
    throttle = Throttle(10, 0.0)
    assert throttle.available(3600.0) == 2
    assert Throttle(0.5, 0.0).available(3600.0) == 1


def test_what_went_at_once_is_waited_for() -> None:
    throttle = Throttle(4, 0.0)
    assert throttle.available(0.0) == 1
    throttle.take(3)
    assert (throttle.available(0.0), throttle.secs_to_next()) == (0, 0.75)
    assert throttle.available(0.75) == 1


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize(
    ("text", "now", "secs"),
    [
        ("", at(3), 0),
        ("08:00-08:00", at(3), 0),
        ("08:00-17:30", at(8), 0),
        ("08:00-17:30", at(17, 29, 59), 0),
        ("08:00-17:30", at(17, 30), 14.5 * 3600),
        ("08:00-17:30", at(7, 59, 30), 30),
        ("22:00-06:00", at(23), 0),
        ("22:00-06:00", at(5, 59), 0),
        ("22:00-06:00", at(6), 16 * 3600),
        ("22:00 - 24:00", at(23, 59), 0),
        ("9:15-24:00", at(0), 9.25 * 3600),
    ],
)
def test_a_window_is_open_or_says_when_it_opens(text: str, now: int, secs: float) -> None:
    assert Window.parse(text).secs_to_open(now) == secs


@pytest.mark.parametrize("text", ["late", "22-06", "25:00-06:00", "22:60-06:00", "22:00-24:30", "22:00-06:00 "[::-1]])
def test_what_is_no_window_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="write it like 22:00-06:00"):
        Window.parse(text)
