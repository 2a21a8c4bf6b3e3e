"""The dispatcher on a real store: order in a lane through every kind of failure, lanes apart, restarts, stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from hcsyncd.clock import SystemClock
from hcsyncd.config.model import ChannelOptions, Retry
from hcsyncd.errors import Refused, Transient, Unsure
from hcsyncd.events import DeliveryDelayed, DeliveryDied, DeliveryUnsure, DestinationFailed, DestinationRecovered
from hcsyncd.flow import lane as lane_module
from hcsyncd.flow.attempt import Policy, Terms
from hcsyncd.flow.deliver import Dispatcher
from hcsyncd.message import Delivery, DeliveryState, Envelope, MessageState
from hcsyncd.store.ports import Handoff
from hcsyncd.store.store import Store
from tests.fakes.destination import ScriptedDestination
from tests.fakes.events import RecordedEvents
from tests.fakes.stored import arrival, delivery, handoff, stored
from tests.fakes.waiting import until

QUICK = Retry(first_secs=0.01, factor=1, jitter=0, attempts=4)


class Bench:
    """A dispatcher, its destination, and messages to hand on to it."""

    def __init__(self, store: Store, events: RecordedEvents, **options: Any) -> None:
        self.store = store
        self.destination = ScriptedDestination()
        self.settled: list[tuple[int, MessageState]] = []
        chosen = ChannelOptions(**({"retry": QUICK} | options))
        policy = Policy(chosen.retry, chosen.on_dead)
        self.dispatcher = Dispatcher(
            "erp",
            Terms(self.destination, chosen, lambda _route: policy),
            store.outbox,
            events,
            SystemClock(),
            lambda message, state, _text: self.settled.append((message, state)),
            asyncio.get_running_loop().create_task,
        )

    async def hand_on(self, *lanes: str) -> list[int]:
        """Store a message for each lane and hand it on, without telling the dispatcher. Their ids."""
        puts = [self.store.inbox.put(arrival(number, identity=b"")) for number in range(len(lanes))]
        ids = [stored(await put) for put in puts]
        pairs = zip(ids, lanes, strict=True)
        await self.store.outbox.hand_on([handoff(id_, delivery("erp", lane=lane)) for id_, lane in pairs])
        return ids

    async def offer(self, *lanes: str) -> list[int]:
        """The same, and tell the dispatcher as the processor does."""
        ids = await self.hand_on(*lanes)
        for row in await self.store.history.deliveries(ids):
            envelope = Envelope(row.id, row.message_id, b"body", "text/plain", row.key, lane=row.lane)
            self.dispatcher.offer(
                Delivery(row.id, row.message_id, "r1", "erp", row.lane, row.state, 0, 0, 0, row.created_at, envelope)
            )
        return ids

    async def states(self, ids: list[int]) -> list[DeliveryState]:
        return [row.state for row in await self.store.history.deliveries(ids)]

    async def until_dry(self) -> None:
        await asyncio.wait_for(self.dispatcher.dry(), 10)


Make = Callable[..., Bench]


@pytest.fixture
async def make(store: Store, events: RecordedEvents) -> AsyncIterator[Make]:
    made: list[Bench] = []

    def build(**options: Any) -> Bench:
        made.append(Bench(store, events, **options))
        return made[-1]

    yield build
    for bench in made:
        bench.destination.gate.set()
        await bench.dispatcher.stop(1)


async def test_a_lane_is_sent_in_order_and_its_outcomes_are_kept(make: Make) -> None:
    bench = make()
    ids = await bench.offer(*[""] * 20)
    await bench.until_dry()
    assert bench.destination.taken == ids
    assert bench.destination.most_under_way == 1
    assert set(await bench.states(ids)) == {DeliveryState.SENT}
    assert bench.settled == [(id_, MessageState.DONE) for id_ in ids]
    attempts = await bench.store.history.attempts([row.id for row in await bench.store.history.deliveries(ids)])
    assert [(attempt.text, attempt.answer) for attempt in attempts] == [("AA", b"taken")] * 20


async def test_what_is_behind_a_failure_waits_for_it(make: Make, events: RecordedEvents) -> None:
    bench = make()
    bench.destination.will(2, Transient("connect-refused", "no"), Transient("connect-refused", "no"))
    ids = await bench.offer("", "", "", "")
    assert ids[1] == 2
    await bench.until_dry()
    assert bench.destination.taken == ids
    assert bench.destination.started == [1, 2, 2, 2, 3, 4]
    assert [event.attempt for event in events.of(DeliveryDelayed)] == [1, 2]
    assert len(events.of(DestinationFailed)) == 1
    assert len(events.of(DestinationRecovered)) == 1


async def test_a_refusal_is_a_dead_letter_at_once_and_the_lane_goes_on(make: Make, events: RecordedEvents) -> None:
    bench = make()
    bench.destination.will(2, Refused("http-422", "no such ward", answer=b"{}"))
    ids = await bench.offer("", "", "")
    await bench.until_dry()
    assert bench.destination.taken == [1, 3]
    assert await bench.states(ids) == [DeliveryState.SENT, DeliveryState.DEAD, DeliveryState.SENT]
    assert [(event.cause, event.attempt) for event in events.of(DeliveryDied)] == [("http-422", 1)]
    assert (2, MessageState.DEAD) in bench.settled


async def test_giving_up_makes_a_dead_letter(make: Make) -> None:
    bench = make()
    bench.destination.will(1, *[Transient("http-503", "busy")] * 4)
    ids = await bench.offer("")
    await bench.until_dry()
    assert await bench.states(ids) == [DeliveryState.DEAD]
    assert bench.destination.started == [1, 1, 1, 1]


async def test_a_lane_that_is_to_hold_stands_behind_a_dead_letter_until_it_is_settled(make: Make) -> None:
    bench = make(on_dead="hold")
    bench.destination.will(1, Refused("ack-AR", "no"))
    ids = await bench.offer("", "")
    await until(lambda: bench.dispatcher.held_lanes == 1)
    assert bench.destination.started == [1]
    reopened = await bench.store.repairs.reopen([row.id for row in await bench.store.history.deliveries(ids[:1])])
    bench.dispatcher.reopen(reopened[0])
    await bench.until_dry()
    assert bench.destination.taken == ids


async def test_a_held_lane_is_still_held_after_a_restart(make: Make) -> None:
    bench = make(on_dead="hold")
    bench.destination.will(1, Refused("ack-AR", "no"))
    ids = await bench.offer("", "")
    await until(lambda: bench.dispatcher.held_lanes == 1)
    await bench.dispatcher.stop(1)
    (dead,) = await bench.store.history.deliveries(ids[:1])
    again = make(on_dead="hold")
    assert await again.dispatcher.recover() == 1
    await until(lambda: again.dispatcher.held_lanes == 1)
    again.dispatcher.release("", dead.id)
    await again.until_dry()
    assert again.destination.taken == [2]


async def test_a_route_that_failed_holds_its_lane_at_its_place(make: Make) -> None:
    bench = make(on_dead="hold")
    ids = await bench.hand_on("", "")
    dead = Delivery(10**6, ids[0], "r1", "erp", "", DeliveryState.DEAD, 0, 0, 0, 0, Envelope(0, 0, b"", "", "k"))
    bench.dispatcher.offer(dead)
    await until(lambda: bench.dispatcher.held_lanes == 1)
    assert bench.destination.started == []
    assert bench.dispatcher.open == 0


async def test_an_unsure_delivery_waits_for_a_person_and_is_never_sent_twice(
    make: Make, events: RecordedEvents
) -> None:
    bench = make()
    bench.destination.will(1, Unsure("ack-lost", "connection lost before the answer"))
    ids = await bench.offer("", "")
    await bench.until_dry()
    assert await bench.states(ids) == [DeliveryState.UNSURE, DeliveryState.SENT]
    assert bench.destination.started == [1, 2]
    assert [event.cause for event in events.of(DeliveryUnsure)] == ["ack-lost"]
    assert (1, MessageState.ROUTED) in bench.settled


async def test_lanes_do_not_wait_for_each_other(make: Make) -> None:
    bench = make(retry=Retry(first_secs=60), concurrency=2)
    bench.destination.will(1, Transient("http-503", "busy"))
    await bench.offer("a", "b", "a", "b", "c")
    await until(lambda: bench.destination.taken == [2, 4, 5], str(bench.destination.taken))
    assert bench.destination.started.count(1) == 1
    assert bench.destination.most_under_way == 2


async def test_no_more_lanes_send_at_once_than_concurrency_says(make: Make) -> None:
    bench = make(concurrency=3)
    bench.destination.gate.clear()
    await bench.offer(*"abcdefgh")
    await until(lambda: bench.destination.under_way == 3)
    bench.destination.gate.set()
    await bench.until_dry()
    assert bench.destination.most_under_way == 3


async def test_a_window_lets_several_of_one_lane_be_under_way(make: Make) -> None:
    bench = make(window=4)
    bench.destination.gate.clear()
    ids = await bench.offer(*[""] * 10)
    await until(lambda: bench.destination.under_way == 4)
    bench.destination.gate.set()
    await bench.until_dry()
    assert bench.destination.started == ids
    assert bench.destination.most_under_way == 4


async def test_when_the_other_side_is_back_no_lane_sits_out_its_pause(make: Make) -> None:
    bench = make(retry=Retry(first_secs=3600, cap_secs=3600))
    down = Transient("connect-refused", "no")
    bench.destination.will(1, down)
    bench.destination.will(2, down)
    await bench.offer("a", "b")
    await until(lambda: bench.dispatcher.next_try_at)
    await bench.offer("c")
    await bench.until_dry()
    assert sorted(bench.destination.taken) == [1, 2, 3]


async def test_a_restart_resumes_every_lane_in_order(make: Make) -> None:
    bench = make()
    ids = await bench.hand_on(*"abababab")
    assert await bench.dispatcher.recover() == 8
    await bench.until_dry()
    taken = bench.destination.taken
    assert sorted(taken) == ids
    assert [id_ for id_ in taken if id_ in ids[::2]] == ids[::2]
    assert [id_ for id_ in taken if id_ in ids[1::2]] == ids[1::2]


async def test_more_than_memory_holds_comes_from_the_store_in_order(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_module, "LANE_DELIVERIES", 5)
    bench = make()
    bench.destination.gate.clear()
    first = await bench.offer(*[""] * 23)
    await until(lambda: bench.destination.under_way == 1)
    second = await bench.offer(*[""] * 7)
    bench.destination.gate.set()
    await bench.until_dry()
    assert bench.destination.taken == [*first, *second]


async def test_a_claimed_send_that_a_crash_cut_is_unsure_after_it(make: Make) -> None:
    bench = make(after_crash="hold")
    ids = await bench.hand_on("", "")
    claimed = (await bench.store.history.deliveries(ids))[0]
    await bench.store.outbox.claim([claimed.id])
    await bench.dispatcher.recover()
    await bench.until_dry()
    assert bench.destination.taken == [2]
    assert await bench.states(ids) == [DeliveryState.UNSURE, DeliveryState.SENT]


async def test_where_a_second_send_hurts_each_send_is_on_disk_before_it_is_made(make: Make) -> None:
    bench = make(after_crash="hold")
    seen: list[DeliveryState] = []
    bench.destination.gate.clear()
    ids = await bench.offer("")
    await until(lambda: bench.destination.under_way == 1)
    seen += await bench.states(ids)
    bench.destination.gate.set()
    await bench.until_dry()
    assert seen == [DeliveryState.SENDING]


async def test_a_stop_lets_sends_end_and_starts_no_more(make: Make) -> None:
    bench = make()
    bench.destination.gate.clear()
    ids = await bench.offer("", "")
    await until(lambda: bench.destination.under_way == 1)
    stopping = asyncio.create_task(bench.dispatcher.stop(30))
    await asyncio.sleep(0)
    bench.destination.gate.set()
    await stopping
    assert bench.destination.taken == ids[:1]
    await until(lambda: bench.settled)
    assert await bench.states(ids) == [DeliveryState.SENT, DeliveryState.READY]


@pytest.mark.parametrize(("after_crash", "left"), [("resend", DeliveryState.READY), ("hold", DeliveryState.UNSURE)])
async def test_a_send_that_outlasts_the_stop_is_cut_off_and_noted(
    make: Make, events: RecordedEvents, after_crash: str, left: DeliveryState
) -> None:
    bench = make(after_crash=after_crash)
    bench.destination.gate.clear()
    ids = await bench.offer("")
    await until(lambda: bench.destination.under_way == 1)
    await bench.dispatcher.stop(0.02)
    await bench.store.outbox.hand_on([Handoff(10**9, MessageState.DONE)])  # a commit behind the note
    assert await bench.states(ids) == [left]
    rows = await bench.store.history.deliveries(ids)
    assert [attempt.cause for attempt in await bench.store.history.attempts([rows[0].id])] == ["cut-off"]
    assert len(events.of(DeliveryUnsure)) == (left is DeliveryState.UNSURE)


async def test_a_defect_of_a_connector_is_tried_again_and_not_swallowed(make: Make, events: RecordedEvents) -> None:
    bench = make()
    bench.destination.will(1, ZeroDivisionError("oops"))
    await bench.offer("")
    await bench.until_dry()
    assert [event.cause for event in events.of(DeliveryDelayed)] == ["connector-failed"]
    assert bench.destination.taken == [1]


async def test_new_terms_hold_from_the_next_send_on(make: Make) -> None:
    bench = make()
    bench.destination.gate.clear()
    ids = await bench.offer("", "", "")
    await until(lambda: bench.destination.under_way == 1)
    other = ScriptedDestination()
    policy = Policy(QUICK, ChannelOptions().on_dead)
    terms = Terms(other, ChannelOptions(retry=QUICK, concurrency=2), lambda _route: policy)
    changing = asyncio.create_task(bench.dispatcher.change_terms(terms))
    await asyncio.sleep(0)
    bench.destination.gate.set()
    await changing
    await bench.until_dry()
    assert bench.destination.taken == ids[:1]
    assert other.taken == ids[1:]


async def test_keys_stay_the_same_over_attempts(make: Make) -> None:
    bench = make()
    bench.destination.will(1, Transient("http-503", "busy"), Transient("http-503", "busy"))
    await bench.offer("")
    await bench.until_dry()
    assert len(set(bench.destination.keys)) == 1
    assert len(bench.destination.keys) == 3


async def test_what_is_offered_while_the_store_is_read_comes_once_and_in_order(make: Make) -> None:
    bench = make()
    left = await bench.hand_on(*"aab")
    recovering = asyncio.create_task(bench.dispatcher.recover())
    await asyncio.sleep(0)
    fresh = await bench.offer(*"abc")
    await recovering
    await bench.until_dry()
    taken = bench.destination.taken
    assert sorted(taken) == [*left, *fresh]
    assert [id_ for id_ in taken if id_ in (left[0], left[1], fresh[0])] == [left[0], left[1], fresh[0]]
    assert [id_ for id_ in taken if id_ in (left[2], fresh[1])] == [left[2], fresh[1]]
    assert bench.dispatcher.open == 0


async def test_what_is_opened_again_while_the_store_is_read_comes_once_and_at_its_place(make: Make) -> None:
    bench = make()
    bench.destination.will(1, Refused("refused", "no"))
    ids = await bench.offer("")
    await bench.until_dry()
    ids += await bench.hand_on("")
    (dead,) = await bench.store.history.deliveries(ids[:1])
    (opened,) = await bench.store.repairs.reopen([dead.id])
    again = make()
    recovering = asyncio.create_task(again.dispatcher.recover())
    await asyncio.sleep(0)
    again.dispatcher.reopen(opened)
    assert await recovering == 2
    await again.until_dry()
    assert again.destination.started == ids
    assert again.dispatcher.open == 0


async def test_a_stop_does_not_wait_for_the_pause_of_a_send_that_fails_meanwhile(make: Make) -> None:
    bench = make(retry=Retry(first_secs=3600, cap_secs=3600))
    bench.destination.will(1, Transient("connect-refused", "no"))
    bench.destination.gate.clear()
    await bench.offer("")
    await until(lambda: bench.destination.under_way == 1)
    stopping = asyncio.create_task(bench.dispatcher.stop(None))
    await asyncio.sleep(0)
    bench.destination.gate.set()
    await asyncio.wait_for(stopping, 10)
