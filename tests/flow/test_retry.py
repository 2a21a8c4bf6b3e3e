"""Back-off: exponential, jittered, capped; and when it is over."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from hcsyncd.clock import MICROSECONDS
from hcsyncd.config.model import Retry
from hcsyncd.flow.retry import is_exhausted, pause_secs, tried_before_secs

MIDDLE = 0.5  # a chance that moves nothing


@pytest.mark.parametrize(("attempt", "secs"), [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (5000, 60)])
def test_pauses_grow_to_the_cap(attempt: int, secs: float) -> None:
    assert pause_secs(Retry(first_secs=1, factor=2, cap_secs=60), attempt, None, MIDDLE) == secs


@given(st.integers(1, 100_000), st.floats(0, 1), st.none() | st.floats(0, 1e9))
def test_no_pause_is_negative_or_over_the_cap(attempt: int, chance: float, retry_after: float | None) -> None:
    policy = Retry(first_secs=0.5, factor=3, cap_secs=20, jitter=1)
    assert 0 <= pause_secs(policy, attempt, retry_after, chance) <= 20


def test_jitter_moves_a_pause_both_ways() -> None:
    policy = Retry(first_secs=10, jitter=0.2)
    assert (pause_secs(policy, 1, None, 0), pause_secs(policy, 1, None, 1)) == (8, 12)


def test_the_other_sides_wish_is_honoured_when_it_is_longer() -> None:
    policy = Retry(first_secs=1, cap_secs=60, jitter=0)
    assert pause_secs(policy, 1, 30, MIDDLE) == 30
    assert pause_secs(policy, 5, 3, MIDDLE) == 16
    assert pause_secs(policy, 1, 3600, MIDDLE) == 60


def test_giving_up_by_count_and_by_time() -> None:
    counted = Retry(attempts=3, give_up_secs=1e9)
    assert [is_exhausted(counted, attempt, 0) for attempt in (1, 2, 3, 4)] == [False, False, True, True]
    timed = Retry(attempts=0, give_up_secs=10)
    assert not is_exhausted(timed, 99, 9)
    assert is_exhausted(timed, 1, 10)


def test_what_an_earlier_run_spent_on_trying_is_no_more_than_its_attempts_can_have_taken() -> None:
    policy = Retry(cap_secs=60)
    assert tried_before_secs(policy, 10, 5 * MICROSECONDS, 305 * MICROSECONDS) == 300
    assert tried_before_secs(policy, 10, 0, 864_000 * MICROSECONDS) == 600, "a daemon that was off did not try"
    assert tried_before_secs(policy, 10, 305 * MICROSECONDS, 5 * MICROSECONDS) == 0, "a clock that was set back"
