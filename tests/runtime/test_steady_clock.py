"""The wall clock against the monotonic one: jumps are told of, and one forward is not believed at once."""

from __future__ import annotations

from hcsyncd.clock import MICROSECONDS
from hcsyncd.events import ClockJumped, ClockSettled
from hcsyncd.runtime.steady_clock import SteadyClock
from tests.fakes.clock import FakeClock
from tests.fakes.events import RecordedEvents

DAY = 86_400.0


def made() -> tuple[FakeClock, SteadyClock, RecordedEvents]:
    clock, events = FakeClock(), RecordedEvents()
    return clock, SteadyClock(clock, 5.0, 600.0, events), events


def test_a_clock_that_goes_on_is_believed() -> None:
    clock, steady, events = made()
    for _ in range(10):
        clock.advance(3600)  # a loop that was busy for an hour is no jump
        assert steady.now() == clock.now()
    assert events.events == []


def test_a_jump_forward_is_told_of_once_and_not_believed_until_it_has_stood() -> None:
    clock, steady, events = made()
    before = clock.now()
    clock.jump(400 * DAY)
    assert steady.now() == before
    clock.advance(599)
    assert steady.now() == before + 599 * MICROSECONDS
    assert steady.jump_secs == 400 * DAY
    clock.advance(1)
    assert steady.now() == clock.now()
    assert steady.jump_secs == 0
    assert [event.seconds for event in events.of(ClockJumped)] == [400 * DAY]
    assert [(event.seconds, event.confirmed) for event in events.of(ClockSettled)] == [(400 * DAY, False)]


def test_a_person_may_confirm_a_jump() -> None:
    clock, steady, events = made()
    clock.jump(DAY)
    steady.look()
    steady.confirm()
    assert steady.now() == clock.now()
    assert steady.jump_secs == 0
    assert [event.confirmed for event in events.of(ClockSettled)] == [True]


def test_a_jump_forward_that_is_taken_back_leaves_nothing() -> None:
    clock, steady, _ = made()
    clock.jump(DAY)
    steady.look()
    clock.jump(-DAY)
    assert steady.now() == clock.now()
    assert steady.jump_secs == -DAY
    clock.advance(600)
    assert steady.now() == clock.now()


def test_a_jump_back_is_told_of_and_makes_nothing_older() -> None:
    clock, steady, events = made()
    clock.jump(-DAY)
    assert steady.now() == clock.now()
    assert [event.seconds for event in events.of(ClockJumped)] == [-DAY]


def test_a_step_within_the_bound_is_no_jump() -> None:
    clock, steady, events = made()
    clock.jump(4.9)
    clock.advance(1)
    assert steady.now() == clock.now()
    assert events.events == []
