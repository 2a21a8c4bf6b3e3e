"""When trying ends: after the time spent on trying, whatever the wall clock says, and never by our own fault."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from hcsyncd.config.model import ChannelOptions, Retry
from hcsyncd.errors import StoreError, Transient
from hcsyncd.events import DestinationFailed
from hcsyncd.flow.attempt import Policy, Terms
from hcsyncd.flow.deliver import Dispatcher
from hcsyncd.message import DeliveryState, MessageState
from hcsyncd.store.outbox import SqliteOutbox
from hcsyncd.store.ports import Outcome
from hcsyncd.store.store import Store
from tests.fakes.clock import FakeClock
from tests.fakes.destination import ScriptedDestination
from tests.fakes.events import RecordedEvents
from tests.fakes.stored import arrival, delivery, handoff, stored
from tests.fakes.waiting import until

DAY = 86_400.0
HOUR = 3600.0
DOWN = Transient("connect-refused", "no")
QUICK = Retry(first_secs=0.01, factor=1, jitter=0, give_up_secs=10 * HOUR)


class FullStore(SqliteOutbox):
    """An outbox on a disk that is full for some claims; everything else reaches the store."""

    def __init__(self, outbox: SqliteOutbox, refusals: int) -> None:
        self._outbox = outbox
        self.refusals = refusals

    def __getattribute__(self, name: str) -> Any:
        own = ("claim", "_outbox", "refusals")
        return object.__getattribute__(self, name) if name in own else getattr(self._outbox, name)

    def claim(self, delivery_ids: Sequence[int]) -> Future[None]:
        if not self.refusals:
            return self._outbox.claim(delivery_ids)
        self.refusals -= 1
        refused: Future[None] = asyncio.get_running_loop().create_future()
        refused.set_exception(StoreError("claiming failed: the disk is full"))
        return refused


Make = Callable[..., Dispatcher]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def destination() -> ScriptedDestination:
    return ScriptedDestination()


@pytest.fixture
async def make(
    store: Store, events: RecordedEvents, clock: FakeClock, destination: ScriptedDestination
) -> AsyncIterator[Make]:
    made: list[Dispatcher] = []

    def build(outbox: SqliteOutbox | None = None, retry: Retry = QUICK, **options: Any) -> Dispatcher:
        chosen = ChannelOptions(**options)
        policy = Policy(retry, chosen.on_dead)
        dispatcher = Dispatcher(
            "erp",
            Terms(destination, chosen, lambda _route: policy),
            outbox or store.outbox,
            events,
            clock,
            lambda _message, _state, _text: None,
            asyncio.get_running_loop().create_task,
        )
        made.append(dispatcher)
        return dispatcher

    yield build
    for dispatcher in made:
        await dispatcher.stop(1)


async def hand_on(store: Store) -> int:
    """A message with one delivery in the store; its id."""
    message_id = stored(await store.inbox.put(arrival()))
    await store.outbox.hand_on([handoff(message_id, delivery("erp"))])
    return message_id


async def state_of(store: Store, message_id: int) -> DeliveryState:
    return (await store.history.deliveries([message_id]))[0].state


@pytest.mark.parametrize("jump", [30 * DAY, -30 * DAY])
async def test_a_wall_clock_that_jumps_makes_no_dead_letter(
    make: Make, store: Store, clock: FakeClock, destination: ScriptedDestination, jump: float
) -> None:
    message_id = await hand_on(store)
    destination.will(message_id, DOWN, DOWN, DOWN, DOWN)
    destination.on_send = lambda envelope: clock.jump(jump) if envelope.attempt == 2 else None
    dispatcher = make()
    await dispatcher.recover()
    await asyncio.wait_for(dispatcher.dry(), 10)
    assert await state_of(store, message_id) is DeliveryState.SENT
    assert destination.started == [message_id] * 5


async def test_time_that_was_spent_on_trying_ends_it(
    make: Make, store: Store, clock: FakeClock, destination: ScriptedDestination
) -> None:
    message_id = await hand_on(store)
    destination.will(message_id, *[DOWN] * 20)
    destination.on_send = lambda _: clock.advance(3 * HOUR)
    dispatcher = make()
    await dispatcher.recover()
    await asyncio.wait_for(dispatcher.dry(), 10)
    assert await state_of(store, message_id) is DeliveryState.DEAD
    assert len(destination.started) == 4, "after 3, 6, 9 and 12 hours"


async def test_a_daemon_that_was_off_for_long_tries_again_before_it_gives_up(
    make: Make, store: Store, clock: FakeClock, destination: ScriptedDestination
) -> None:
    message_id = await hand_on(store)
    destination.will(message_id, *[DOWN] * 3)
    first = make(retry=QUICK.model_copy(update={"first_secs": HOUR, "cap_secs": HOUR}))
    await first.recover()
    await until(lambda: first.next_try_at)
    await first.stop(1)
    clock.advance(30 * DAY)
    second = make()
    await second.recover()
    await asyncio.wait_for(second.dry(), 10)
    assert await state_of(store, message_id) is DeliveryState.SENT
    assert destination.started == [message_id] * 4


async def test_what_an_earlier_run_spent_counts_from_the_second_try_on(
    make: Make, store: Store, clock: FakeClock, destination: ScriptedDestination
) -> None:
    message_id = await hand_on(store)
    (row,) = await store.history.deliveries([message_id])
    tried = Outcome(row.id, message_id, DeliveryState.WAITING, 1000, clock.now(), clock.now(), cause="x")
    assert await store.outbox.settle(tried) is MessageState.ROUTED
    clock.advance(30 * DAY)
    destination.will(message_id, DOWN, DOWN, DOWN)
    dispatcher = make()
    await dispatcher.recover()
    await asyncio.wait_for(dispatcher.dry(), 10)
    assert await state_of(store, message_id) is DeliveryState.DEAD
    assert len(destination.started) == 2


async def test_a_claim_that_our_own_disk_refuses_is_no_try(
    make: Make, store: Store, events: RecordedEvents, destination: ScriptedDestination
) -> None:
    message_id = await hand_on(store)
    dispatcher = make(FullStore(store.outbox, 1), QUICK.model_copy(update={"attempts": 1}), after_crash="hold")
    await dispatcher.recover()
    await asyncio.wait_for(dispatcher.dry(), 10)
    assert await state_of(store, message_id) is DeliveryState.SENT
    (row,) = await store.history.deliveries([message_id])
    attempts = await store.history.attempts([row.id])
    assert [attempt.state for attempt in attempts] == [DeliveryState.SENT], "it was tried once"
    assert events.of(DestinationFailed) == [], "the other side is not blamed"
