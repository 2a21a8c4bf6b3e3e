"""A lane whose tail is in the store: whatever is offered meanwhile, everything comes once, in order."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, strategies as st

from hcsyncd.flow import lane as lane_module
from hcsyncd.flow.lane import Lane, Room
from hcsyncd.message import Delivery, DeliveryState, Envelope

LIMIT = 4


def delivery(number: int) -> Delivery:
    envelope = Envelope(number, number, b"body", "text/plain", f"key-{number}")
    return Delivery(number, number, "r", "erp", "", DeliveryState.READY, 0, 0, 0, 0, envelope)


class SlowShelf:
    """Sees what is committed when it is asked, and answers when it is told to."""

    def __init__(self) -> None:
        self.committed: list[Delivery] = []
        self.answer = asyncio.Event()

    async def open_deliveries(
        self, destination: str, lane: str, after_id: int, limit: int, max_bytes: int
    ) -> list[Delivery]:
        rows = [row for row in self.committed if row.id > after_id][:limit]
        await self.answer.wait()
        return rows


async def run(steps: list[int]) -> list[int]:
    """Each step commits and offers so many deliveries while a refill is being read, then takes all there is."""
    shelf = SlowShelf()
    lane = Lane("", "erp", shelf, Room(1_000_000))
    lane.missed = True
    number = 0
    taken: list[int] = []
    for count in (*steps, 0, 0):
        refill = asyncio.create_task(lane.refill())
        await asyncio.sleep(0)
        for _ in range(count):
            number += 1
            shelf.committed.append(delivery(number))
            lane.offer(shelf.committed[-1])
        shelf.answer.set()
        await refill
        shelf.answer.clear()
        while found := lane.pop():
            taken.append(found.id)
    shelf.answer.set()
    while lane.missed:
        await lane.refill()
        while found := lane.pop():
            taken.append(found.id)
    assert taken == list(range(1, number + 1))
    return taken


@given(st.lists(st.integers(0, 3 * LIMIT), max_size=8))
def test_everything_comes_once_and_in_order(steps: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lane_module, "LANE_DELIVERIES", LIMIT)
        asyncio.run(run(steps))


async def test_a_delivery_that_is_put_back_goes_before_those_behind_it() -> None:
    lane = Lane("", "erp", SlowShelf(), Room(1_000_000))
    for number in (1, 2, 3):
        lane.offer(delivery(number))
    first = lane.pop()
    assert first
    lane.put_back([first])
    lane.put_back([first])
    assert [found.id for found in iter(lane.pop, None)] == [1, 2, 3]


async def test_a_reopened_delivery_that_the_store_will_give_is_not_taken_twice() -> None:
    lane = Lane("", "erp", SlowShelf(), Room(1_000_000))
    lane.missed = True
    lane.reopen(delivery(7))
    assert len(lane) == 0


async def test_a_full_room_leaves_all_but_a_lanes_first_to_the_store() -> None:
    room = Room(4)
    lane, other = (Lane(key, "erp", SlowShelf(), room) for key in "ab")
    for number in (1, 2):
        lane.offer(delivery(number))
    other.offer(delivery(3))
    assert (len(lane), lane.missed, len(other), other.missed) == (1, True, 1, False)
    lane.pop()
    other.pop()
    assert room.taken == 0
