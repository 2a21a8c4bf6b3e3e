from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hcsyncd.message import MessageState, ReplyState
from hcsyncd.store.store import Store
from tests.fakes.clock import FakeClock
from tests.fakes.events import RecordedEvents
from tests.fakes.stored import arrival, handoff, stored
from tests.fakes.waiting import until


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(tmp_path, RecordedEvents(), FakeClock())
    yield opened
    await opened.close()


async def owed(store: Store, count: int) -> list[int]:
    puts = (store.inbox.put(arrival(number, reply_state=ReplyState.OWED)) for number in range(count))
    return [stored(answer) for answer in await asyncio.gather(*puts)]


async def replies(store: Store, ids: list[int]) -> list[ReplyState]:
    rows = [await store.history.message(message_id) for message_id in ids]
    return [row.reply_state for row in rows if row is not None]


async def test_marks_ride_with_the_hand_over_of_their_messages(store: Store) -> None:
    ids = await owed(store, 4)
    store.inbox.mark_replied(ids[0], ReplyState.SENT)
    store.inbox.mark_replied(ids[1], ReplyState.LOST)
    await store.outbox.hand_on([handoff(one, state=MessageState.UNROUTED) for one in ids])
    assert await replies(store, ids) == [ReplyState.SENT, ReplyState.LOST, ReplyState.OWED, ReplyState.OWED]


async def test_the_last_word_on_a_message_counts(store: Store) -> None:
    (message_id,) = await owed(store, 1)
    store.inbox.mark_replied(message_id, ReplyState.SENT)
    store.inbox.mark_replied(message_id, ReplyState.LOST)
    await store.outbox.hand_on([handoff(message_id, state=MessageState.FILTERED)])
    assert await replies(store, [message_id]) == [ReplyState.LOST]


async def test_a_mark_is_written_though_its_message_was_handed_on_before(store: Store) -> None:
    (message_id,) = await owed(store, 1)
    await store.outbox.hand_on([handoff(message_id, state=MessageState.UNROUTED)])
    store.inbox.mark_replied(message_id, ReplyState.SENT)
    assert await store.outbox.hand_on([handoff(message_id, state=MessageState.FILTERED)]) == [[]]
    row = await store.history.message(message_id)
    assert row is not None
    assert (row.state, row.reply_state) == (MessageState.UNROUTED, ReplyState.SENT)


async def test_a_mark_alone_is_not_left_lying(store: Store) -> None:
    ids = await owed(store, 2)
    for message_id in ids:
        store.inbox.mark_replied(message_id, ReplyState.SENT)
    assert store.pending == 2
    await until(lambda: not store.pending, "the marks go by themselves")
    assert await replies(store, ids) == [ReplyState.SENT, ReplyState.SENT]
