"""Sends whose fate is not known, at a destination that can be asked: nothing goes twice, nothing is left, in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from hcsyncd.clock import SystemClock
from hcsyncd.config.model import ChannelOptions, Retry
from hcsyncd.errors import Transient, Unsure
from hcsyncd.events import DeliveryUnsure
from hcsyncd.flow.attempt import Policy, Terms
from hcsyncd.flow.deliver import Dispatcher
from hcsyncd.message import Delivery, DeliveryState, Envelope, Sent
from hcsyncd.store.store import Store
from tests.fakes.destination import ScriptedDestination
from tests.fakes.events import RecordedEvents
from tests.fakes.stored import arrival, delivery, handoff, stored
from tests.fakes.waiting import until

LOST = Unsure("answer-lost", "the connection was lost before the answer")


class AskableDestination(ScriptedDestination):
    """Has what it took, and says so; ``silent`` questions fail first. A send whose answer is lost was taken where
    ``takes_lost`` says so."""

    def __init__(self) -> None:
        super().__init__()
        self.takes_lost = True
        self.silent = 0
        self.asked: list[int] = []

    async def send(self, envelope: Envelope) -> Sent:
        try:
            return await super().send(envelope)
        except Unsure:
            if self.takes_lost:
                self.taken.append(envelope.message_id)
            raise

    async def ask(self, envelope: Envelope) -> Sent | None:
        self.asked.append(envelope.message_id)
        if self.silent:
            self.silent -= 1
            raise Transient("connect-refused", "nobody listens")
        return Sent(b"known", "found") if envelope.message_id in self.taken else None


class Bench:
    def __init__(self, store: Store, events: RecordedEvents, destination: AskableDestination) -> None:
        self.store = store
        self.destination = destination
        retry = Retry(first_secs=0.01, factor=1, jitter=0, attempts=4)
        self.dispatcher = Dispatcher(
            "erp",
            Terms(destination, ChannelOptions(after_crash="ask", retry=retry), lambda _: Policy(retry, OnDeadContinue)),
            store.outbox,
            events,
            SystemClock(),
            lambda _message, _state, _text: None,
            asyncio.get_running_loop().create_task,
        )

    async def offer(self, count: int) -> list[int]:
        ids = [stored(await self.store.inbox.put(arrival(number, identity=b""))) for number in range(count)]
        await self.store.outbox.hand_on([handoff(id_, delivery("erp", lane="")) for id_ in ids])
        for row in await self.store.history.deliveries(ids):
            envelope = Envelope(row.id, row.message_id, b"body", "text/plain", row.key, lane=row.lane)
            self.dispatcher.offer(
                Delivery(row.id, row.message_id, "r1", "erp", row.lane, row.state, 0, 0, 0, row.created_at, envelope)
            )
        return ids

    async def states(self, ids: list[int]) -> list[DeliveryState]:
        return [row.state for row in await self.store.history.deliveries(ids)]


OnDeadContinue = ChannelOptions().on_dead


@pytest.fixture
async def bench(store: Store, events: RecordedEvents) -> AsyncIterator[Bench]:
    made = Bench(store, events, AskableDestination())
    yield made
    made.destination.gate.set()
    await made.dispatcher.stop(1)


async def test_a_lost_answer_is_asked_about_and_what_is_there_is_not_sent_again(bench: Bench) -> None:
    bench.destination.will(2, LOST)
    ids = await bench.offer(3)
    await asyncio.wait_for(bench.dispatcher.dry(), 10)
    assert bench.destination.started == ids == bench.destination.taken
    assert bench.destination.asked == [2]
    assert set(await bench.states(ids)) == {DeliveryState.SENT}
    (row,) = await bench.store.history.deliveries(ids[1:2])
    assert "asked: it is there (found)" in row.text


async def test_what_is_not_there_is_sent_again_before_what_comes_after_it(bench: Bench) -> None:
    bench.destination.takes_lost = False
    bench.destination.will(2, LOST)
    ids = await bench.offer(3)
    await asyncio.wait_for(bench.dispatcher.dry(), 10)
    assert bench.destination.started == [1, 2, 2, 3]
    assert bench.destination.taken == ids
    assert len(set(bench.destination.keys[1:3])) == 1


async def test_while_it_cannot_be_told_the_lane_waits_and_asks_again(bench: Bench) -> None:
    bench.destination.silent = 2
    bench.destination.will(2, LOST)
    ids = await bench.offer(3)
    await asyncio.wait_for(bench.dispatcher.dry(), 10)
    assert bench.destination.asked == [2, 2, 2]
    assert bench.destination.started == ids == bench.destination.taken


async def test_what_is_never_told_waits_for_a_person(bench: Bench, events: RecordedEvents) -> None:
    bench.destination.silent = 100
    bench.destination.will(1, LOST)
    ids = await bench.offer(2)
    await asyncio.wait_for(bench.dispatcher.dry(), 10)
    assert await bench.states(ids) == [DeliveryState.UNSURE, DeliveryState.SENT]
    assert bench.destination.started == ids
    assert [event.cause for event in events.of(DeliveryUnsure)] == ["answer-lost"]


@pytest.mark.parametrize("was_taken", [True, False])
async def test_what_was_under_way_at_a_crash_is_asked_about_first(
    bench: Bench, store: Store, events: RecordedEvents, *, was_taken: bool
) -> None:
    bench.destination.gate.clear()
    ids = await bench.offer(2)
    await until(lambda: bench.destination.under_way == 1)
    assert await bench.states(ids) == [DeliveryState.SENDING, DeliveryState.READY]
    # A new dispatcher on the same store is what a start after a crash is.
    again = Bench(store, events, AskableDestination())
    if was_taken:
        again.destination.taken.append(1)
    assert await again.dispatcher.recover(at_start=True) == 2
    await asyncio.wait_for(again.dispatcher.dry(), 10)
    assert again.destination.asked == [1]
    assert again.destination.started == ([2] if was_taken else [1, 2])
    assert again.destination.taken == [1, 2]
    await again.dispatcher.stop(1)


async def test_a_send_that_a_stop_cuts_off_is_asked_about_at_the_next_start(bench: Bench, store: Store) -> None:
    bench.destination.gate.clear()
    ids = await bench.offer(1)
    await until(lambda: bench.destination.under_way == 1)
    await bench.dispatcher.stop(0.01)
    await store.outbox.claim([])  # a commit later
    assert await bench.states(ids) == [DeliveryState.SENDING]
