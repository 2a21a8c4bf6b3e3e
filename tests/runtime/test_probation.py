"""The first minutes of a new configuration: what makes it fail, and what does not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from hcsyncd.config.reloading import ReloadOptions
from hcsyncd.events import (
    DeliveryDied,
    DeliverySent,
    DestinationFailed,
    Event,
    GenerationAccepted,
    MessageFiltered,
    MessageReplayed,
    MessageRouted,
    MessageUnrouted,
    RouteFailed,
)
from hcsyncd.observe.bus import EventBus
from hcsyncd.runtime.probation import LOOK_SECS, Probation, Verdict, Watch
from tests.fakes.events import RecordedEvents
from tests.fakes.waiting import until

OPTIONS = ReloadOptions(watch_secs=60, max_error_share=0.2, min_messages=10)


class Watched:
    """A bus with a probation, and what was decided."""

    def __init__(
        self, options: ReloadOptions = OPTIONS, queued: Callable[[str], int] = lambda _: 0, **before: float
    ) -> None:
        self.events = RecordedEvents()
        self.bus = EventBus(self.events)
        self.verdicts: list[Verdict] = []
        self.probation = Probation(self.bus, options, self.verdicts.append)
        self.probation.begin(Watch(2, before or {"adt_in": 0.0, "out": 0.0}, frozenset({"out"}), queued))

    def emit(self, count: int, make: Callable[[int], Event], start: int = 0) -> None:
        for number in range(start, start + count):
            self.bus.emit(make(number))


def routed(number: int) -> Event:
    return MessageRouted("adt_in", number, 1, 0.1)


def failed(number: int) -> Event:
    return RouteFailed("adt_in", number, "", "unmapped-code", "no")


def unrouted(number: int) -> Event:
    return MessageUnrouted("adt_in", number, "ADT^A01")


def died(number: int) -> Event:
    return DeliveryDied("out", "r", number, number, 1, "ack-AR", "no")


def sent(number: int) -> Event:
    return DeliverySent("out", "r", number, number, 1, 0.1, 0.1)


async def test_a_channel_that_fails_more_than_before_is_condemned_once() -> None:
    watched = Watched()
    watched.emit(8, routed)
    watched.emit(2, failed, 8)
    assert watched.verdicts == []  # 2 of 10 is the bound itself
    watched.emit(3, failed, 10)
    (verdict,) = watched.verdicts
    assert (verdict.generation, verdict.channel, verdict.is_destination) == (2, "adt_in", False)
    assert verdict.reason == "3 of 11 messages failed (27%, before 0%)"
    assert verdict.first_failed == 8
    assert watched.probation.secs_left == 0


async def test_what_failed_before_as_well_condemns_nothing() -> None:
    watched = Watched(adt_in=0.5)
    watched.emit(4, routed)
    watched.emit(9, failed, 4)
    assert watched.verdicts == []  # 9 of 13 is 69 %, and 50 % failed before
    watched.emit(1, failed, 13)
    assert len(watched.verdicts) == 1


async def test_few_messages_judge_nothing() -> None:
    watched = Watched()
    watched.emit(9, failed)
    assert watched.verdicts == []


async def test_a_message_that_fails_on_two_routes_is_one() -> None:
    watched = Watched()
    watched.emit(20, routed)
    for number in range(4):
        for route in ("a", "b"):
            watched.bus.emit(RouteFailed("adt_in", number, route, "x", "y"))
    assert watched.verdicts == []


@pytest.mark.parametrize("kind", [unrouted, died])
async def test_unrouted_messages_and_dead_deliveries_count(kind: Callable[[int], Event]) -> None:
    watched = Watched()
    watched.emit(8, sent if kind is died else lambda number: MessageFiltered("adt_in", number, "no"))
    watched.emit(3, kind, 100)
    (verdict,) = watched.verdicts
    assert verdict.is_destination is (kind is died)
    assert verdict.reason.startswith("3 of 11 ")


async def test_channels_that_are_new_are_not_judged() -> None:
    watched = Watched(other=0.0)
    watched.emit(30, failed)
    assert watched.verdicts == []


async def test_replays_say_nothing_of_a_configuration() -> None:
    watched = Watched()
    watched.emit(30, lambda number: MessageReplayed(number, 1000 + number))
    watched.emit(30, failed, 1000)
    watched.emit(30, died, 1000)
    assert watched.verdicts == []


async def test_a_destination_that_was_rebuilt_and_takes_nothing_is_condemned() -> None:
    waiting = {"out": 9}
    watched = Watched(queued=waiting.__getitem__)
    watched.bus.emit(DestinationFailed("out", "connect-refused", "no"))
    await asyncio.sleep(LOOK_SECS * 1.2)
    assert watched.verdicts == []
    waiting["out"] = 10
    await until(lambda: watched.verdicts, "a verdict")
    assert "takes nothing (connect-refused); 10 deliveries wait" in watched.verdicts[0].reason


async def test_one_that_stands_its_time_is_accepted_and_costs_nothing_any_more() -> None:
    watched = Watched(ReloadOptions(watch_secs=0.05))
    watched.emit(3, routed)
    accepted = await watched.events.first(GenerationAccepted)
    assert (accepted.generation, accepted.messages) == (2, 3)
    with pytest.raises(ValueError, match="not subscribed"):
        watched.bus.unsubscribe(watched.probation._count)
    watched.probation.end()


async def test_a_second_reload_begins_anew() -> None:
    watched = Watched()
    watched.emit(9, failed)
    watched.probation.begin(Watch(3, {"adt_in": 0.0}))
    watched.emit(9, failed)
    assert watched.verdicts == []
    watched.emit(1, failed, 9)
    assert watched.verdicts[0].generation == 3
    watched.probation.end()
