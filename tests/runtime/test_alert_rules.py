"""What is worth an alert: each rule at its bound, and near it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from hcsyncd.clock import MICROSECONDS
from hcsyncd.config.alerts import AlertOptions, ChannelAlertOptions, bounds_for
from hcsyncd.runtime.alert_rules import Certificate, ChannelReading, Condition, Readings, judge, span

NOW = int(datetime.fromisoformat("2026-11-23T12:00").astimezone().timestamp()) * MICROSECONDS  # a Monday, local time
DAY = 86_400 * MICROSECONDS
OPTIONS = AlertOptions()


def secs_ago(secs: float) -> int:
    return NOW - int(secs * MICROSECONDS)


def channel(role: str = "destination", alerts: dict[str, Any] | None = None, **fields: Any) -> ChannelReading:
    bounds = bounds_for(ChannelAlertOptions(**(alerts or {})), OPTIONS)
    return ChannelReading(name="relay_out", role=role, owner="laboratory", bounds=bounds, **fields)


def judged(*channels: ChannelReading, **fields: Any) -> list[Condition]:
    return judge(Readings(NOW, "interface team", tuple(channels), **fields), OPTIONS)


def kinds(*channels: ChannelReading, **fields: Any) -> list[tuple[str, bool]]:
    """The kinds of the conditions that hold, and whether each only keeps an alert open."""
    return [(condition.kind.value, condition.keeps) for condition in judged(*channels, **fields)]


def test_nothing_holds_where_all_is_well() -> None:
    assert judged(channel(), channel("source", heard_at=1)) == []


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"queued": 3, "oldest_at": secs_ago(901)}, [("queue-age", False)]),
        ({"queued": 3, "oldest_at": secs_ago(800)}, [("queue-age", True)]),
        ({"queued": 3, "oldest_at": secs_ago(700)}, []),
        ({"queued": 10_001}, [("queue-depth", False)]),
        ({"queued": 9_000}, [("queue-depth", True)]),
        ({"queued": 7_000}, []),
        ({"error": "connection refused"}, [("destination-down", False)]),
        ({"dead": 1}, [("dead-letters", False)]),
        ({"unsure": 1}, [("unsure", False)]),
        ({"parked": 2}, [("parked", False)]),
        ({"overdue": 1}, [("overdue", False)]),
        ({"carried": 20, "failed": 5}, [("error-rate", False)]),
        ({"carried": 20, "failed": 3}, [("error-rate", True)]),
        ({"carried": 20, "failed": 2}, []),
        ({"carried": 19, "failed": 19}, [("error-rate", True)]),
        ({"alerts": {"dead_letters": 0, "unsure": 0, "parked": 0}, "dead": 9, "unsure": 9, "parked": 9}, []),
        ({"alerts": {"queue_age_secs": 0, "queue_depth": 0}, "queued": 10**6, "oldest_at": 1}, []),
    ],
)
def test_each_bound_of_a_destination(fields: dict[str, Any], expected: list[tuple[str, bool]]) -> None:
    assert kinds(channel(**fields)) == expected


def test_a_destination_that_is_away_has_no_error_rate_of_its_own() -> None:
    assert ("error-rate", False) not in kinds(channel(carried=50, failed=50, error="connection refused"))


def test_a_destination_may_be_down_for_as_long_as_it_says() -> None:
    (condition,) = judged(channel(error="connection refused", alerts={"down_secs": 20}))
    assert (condition.for_secs, condition.subject, condition.owner) == (20, "relay_out", "laboratory")
    assert judged(channel(error="connection refused", alerts={"down_secs": 0})) == []


@pytest.mark.parametrize(
    ("hours", "secs", "expected"),
    [
        ("", 899, []),
        ("", 900, [("silent-feed", False)]),
        ("07:00-19:00", 901, [("silent-feed", False)]),
        ("11:50-19:00", 90_000, []),
        ("11:40-19:00", 90_000, [("silent-feed", False)]),
        ("14:00-19:00", 90_000, [("silent-feed", True)]),
        ("Tue-Sun 07:00-19:00", 90_000, [("silent-feed", True)]),
    ],
)
def test_silence_is_counted_within_the_hours(hours: str, secs: float, expected: list[tuple[str, bool]]) -> None:
    alerts = {"silent_after_secs": 900, "hours": hours}
    assert kinds(channel("source", alerts, heard_at=secs_ago(secs))) == expected


def test_a_feed_is_silent_only_where_somebody_said_how_long() -> None:
    assert judged(channel("source", heard_at=secs_ago(10**6))) == []


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"store_error": "the disk is full"}, [("store-failing", False)]),
        ({"free_bytes": 1024**3 - 1}, [("disk", False)]),
        ({"free_bytes": 1024**3}, [("disk", True)]),
        ({"free_bytes": 2 * 1024**3}, []),
        ({"workers_lost": 5}, [("worker-lost", False)]),
        ({"workers_lost": 4}, []),
        ({"clock_jump_secs": 7200.0}, [("clock-jump", False)]),
        ({"clock_jump_secs": -7200.0}, [("clock-jump", False)]),
        ({"tasks_overdue": 1}, [("overdue", False)]),
        ({"failing_sinks": {"webhook": "the other side answered 500"}}, [("notices", False)]),
    ],
)
def test_each_bound_of_the_machine(fields: dict[str, Any], expected: list[tuple[str, bool]]) -> None:
    assert kinds(**fields) == expected


@pytest.mark.parametrize(("days", "says"), [(29, "expires in 29 days"), (-1, "has expired"), (31, "")])
def test_certificates_are_told_of_before_they_expire(days: int, says: str) -> None:
    found = judged(certificates=(Certificate("adt_in", "laboratory", "tls/listener.pem", NOW + days * DAY),))
    assert [condition.text for condition in found] == ([f"tls/listener.pem {says}"] if says else [])
    assert all(condition.subject == "adt_in: tls/listener.pem" for condition in found)


@pytest.mark.parametrize(
    ("secs", "text"),
    [(5, "5 s"), (90, "1.5 min"), (900, "15 min"), (7200, "2 h"), (100_000, "28 h"), (864_000, "10 days")],
)
def test_spans_are_read_at_a_glance(secs: float, text: str) -> None:
    assert span(secs) == text
