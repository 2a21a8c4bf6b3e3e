"""The processor on a real store: order through overflow, nothing twice, nothing left."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest
from hypothesis import given, strategies as st

from hcsyncd.flow import process
from hcsyncd.flow.process import Backlog, Processor
from hcsyncd.message import Keys, Message, MessageState
from hcsyncd.store.ports import Handoff
from hcsyncd.store.store import Store
from tests.fakes.stored import arrival, stored
from tests.fakes.waiting import until


async def put(store: Store, count: int) -> list[Message]:
    """Store messages, and give them as intake does."""
    news = [arrival(number, identity=b"") for number in range(count)]
    ids = [stored(answer) for answer in await asyncio.gather(*(store.inbox.put(new) for new in news))]
    return [Message(id_, "adt", new.received_at, Keys(), new.body, id_) for id_, new in zip(ids, news, strict=True)]


async def take_all(backlog: Backlog, store: Store, count: int) -> list[int]:
    """Take and hand on batches until there are so many."""
    taken: list[int] = []
    while len(taken) < count:
        batch = await asyncio.wait_for(backlog.take(), 5)
        await store.outbox.hand_on([Handoff(message.id, MessageState.UNROUTED) for message in batch])
        backlog.handed_on(batch)
        taken += [message.id for message in batch]
    return taken


async def test_what_the_last_run_left_comes_first_and_fresh_ones_follow(store: Store) -> None:
    left = await put(store, 10)
    backlog = Backlog("adt", store.inbox)
    fresh = await put(store, 10)
    for message in fresh:
        backlog.offer(message)
    expected = [message.id for message in (*left, *fresh)]
    assert await take_all(backlog, store, 20) == expected
    await asyncio.wait_for(_dry(backlog), 5)


async def _dry(backlog: Backlog) -> None:
    """The backlog looks whether it is dry when somebody wants to take."""
    taking = asyncio.create_task(backlog.take())
    await backlog.dry()
    taking.cancel()


async def test_what_does_not_fit_into_memory_comes_from_the_store_in_order(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "BACKLOG_MESSAGES", 5)
    monkeypatch.setattr(process, "REFILL_MESSAGES", 7)
    monkeypatch.setattr(process, "BATCH_MESSAGES", 3)
    backlog = Backlog("adt", store.inbox)
    ids: list[int] = []
    taken: list[int] = []
    for size in (4, 30, 1, 12):
        messages = await put(store, size)
        ids += [message.id for message in messages]
        for message in messages:
            backlog.offer(message)
        taken += await take_all(backlog, store, size // 2)
    taken += await take_all(backlog, store, len(ids) - len(taken))
    assert taken == ids


async def test_messages_under_way_are_never_given_twice(store: Store) -> None:
    messages = await put(store, 5)
    backlog = Backlog("adt", store.inbox)
    first = await backlog.take()
    for message in messages:
        backlog.offer(message)
    later = await put(store, 1)
    backlog.offer(later[0])
    second = await backlog.take()
    assert [message.id for message in first] == [message.id for message in messages]
    assert [message.id for message in second] == [later[0].id]


async def test_batches_are_bounded_by_bytes_too(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "BATCH_BYTES", 50)
    backlog = Backlog("adt", store.inbox)
    await put(store, 10)
    assert len(await backlog.take()) < 5


class SlowInbox:
    """Sees what is stored when it is asked, and answers when it is told to."""

    def __init__(self) -> None:
        self.waiting: list[Message] = []
        self.answer = asyncio.Event()

    async def received(self, channel: str, after_id: int, limit: int, max_bytes: int) -> list[Message]:
        rows = [row for row in self.waiting if row.id > after_id][:limit]
        await self.answer.wait()
        return rows


async def offered_during_reads(steps: list[int]) -> None:
    """Each step stores and offers so many messages while the store is being read, then takes and hands on a batch."""
    inbox = SlowInbox()
    backlog = Backlog("adt", inbox)
    number = 0
    taken: list[int] = []

    async def take() -> None:
        batch = await backlog.take()
        taken.extend(message.id for message in batch)
        inbox.waiting = [message for message in inbox.waiting if message not in batch]
        backlog.handed_on(batch)

    for count in steps:
        taking = asyncio.create_task(take())
        await asyncio.sleep(0)
        for _ in range(count):
            number += 1
            inbox.waiting.append(Message(number, "adt", 0, Keys(), b"body", number))
            backlog.offer(inbox.waiting[-1])
        inbox.answer.set()
        if len(taken) < number:
            await taking
        else:
            taking.cancel()
        inbox.answer.clear()
    inbox.answer.set()
    while len(taken) < number:
        await asyncio.wait_for(take(), 5)
    assert taken == list(range(1, number + 1))


@given(st.lists(st.integers(0, 12), max_size=8))
def test_everything_is_taken_once_and_in_order_whatever_is_offered_during_reads(steps: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "BACKLOG_MESSAGES", 4)
        patch.setattr(process, "REFILL_MESSAGES", 3)
        patch.setattr(process, "BATCH_MESSAGES", 2)
        asyncio.run(offered_during_reads(steps))


class SlowOutbox:
    """Hands on when it is told to."""

    def __init__(self) -> None:
        self.asked: list[Sequence[Handoff]] = []
        self.answer: asyncio.Future[list[list[int]]] = asyncio.get_running_loop().create_future()

    def hand_on(self, handoffs: Sequence[Handoff]) -> asyncio.Future[list[list[int]]]:
        self.asked.append(handoffs)
        return self.answer


class Unrouting:
    """Finds no route for anything."""

    async def hand_offs(self, _plan: object, messages: list[Message]) -> list[Handoff]:
        return [Handoff(message.id, MessageState.UNROUTED) for message in messages]


async def test_a_processor_that_ends_puts_on_the_road_what_is_being_committed_and_no_more(store: Store) -> None:
    first, second = await put(store, 2)
    outbox, after = SlowOutbox(), list[int]()
    processor = Processor(
        "adt",
        lambda: cast("Any", None),
        cast("Any", Unrouting()),
        store.inbox,
        cast("Any", outbox),
        cast("Any", lambda message, _handoff, _ids: after.append(message.id)),
    )
    running = asyncio.create_task(processor.run())
    try:
        await until(lambda: outbox.asked)
        ending = asyncio.create_task(processor.end())
        await asyncio.sleep(0)
        assert not ending.done()
        outbox.answer.set_result([[], []])
        await asyncio.wait_for(ending, 5)
        assert after == [first.id, second.id]
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
