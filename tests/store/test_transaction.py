"""Groups of any size are whole, and what is known without looking is so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hcsyncd.errors import StoreError
from hcsyncd.message import MessageState
from hcsyncd.store import transaction as transactions
from hcsyncd.store.ports import Filter
from hcsyncd.store.store import Store
from tests.fakes.clock import FakeClock
from tests.fakes.events import RecordedEvents
from tests.fakes.stored import arrival, delivery, handoff, outcome, stored


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(tmp_path, RecordedEvents(), FakeClock())
    yield opened
    await opened.close()


@pytest.mark.parametrize("count", [1, 5, 13, 63, 64, 65, 130])
async def test_a_group_of_any_size_is_stored_handed_on_and_settled_whole(store: Store, count: int) -> None:
    arrivals = [arrival(number, arrival_key=f"key {number}".encode()) for number in range(count)]
    ids = [stored(answer) for answer in await asyncio.gather(*map(store.inbox.put, arrivals))]
    handed = await store.outbox.hand_on([handoff(one, delivery(body=f"to {one}".encode())) for one in ids])
    settled = await asyncio.gather(
        *(store.outbox.settle(outcome(made, one)) for one, (made,) in zip(ids, handed, strict=True))
    )
    assert settled == [MessageState.DONE] * count
    rows = await store.history.find(Filter(limit=count + 1, newest_first=False))
    assert [(row.id, row.keys.control_id, row.state) for row in rows] == [
        (one, str(number), MessageState.DONE) for number, one in enumerate(ids)
    ]
    sent = [await store.history.sent_body(made) for (made,) in handed]
    assert sent == [f"to {one}".encode() for one in ids]
    assert len(await store.history.attempts([made for (made,) in handed])) == count


async def test_more_messages_wait_than_are_known_without_looking(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "RECEIVED_KNOWN", 4)
    puts = (store.inbox.put(arrival(number)) for number in range(10))
    ids = [stored(answer) for answer in await asyncio.gather(*puts)]
    assert len(store._writer._transaction.received) <= 4
    handed = await store.outbox.hand_on([handoff(one, delivery()) for one in ids])
    assert [len(made) for made in handed] == [1] * 10
    assert await store.outbox.hand_on([handoff(one, delivery()) for one in ids]) == [[]] * 10


async def test_after_a_roll_back_a_message_is_still_handed_on(store: Store) -> None:
    first, second = [stored(await store.inbox.put(arrival(number))) for number in (1, 2)]
    failing = store.outbox.settle(outcome(99, 99))
    handed = await store.outbox.hand_on([handoff(first, delivery())])
    with pytest.raises(StoreError, match="is not in the store"):
        await failing
    assert len(handed[0]) == 1, "its first try was rolled back with the other's failure"
    assert [len(made) for made in await store.outbox.hand_on([handoff(second, delivery())])] == [1]
