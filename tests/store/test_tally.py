"""Counts are exact; what is expensive to count is told again for a while."""

from __future__ import annotations

from pathlib import Path

import pytest

from hcsyncd.store.readers import Readers
from hcsyncd.store.store import FILE, Store
from hcsyncd.store.tally import Tally
from tests.fakes.clock import FakeClock
from tests.fakes.events import RecordedEvents
from tests.fakes.stored import arrival, delivery, handoff, stored


async def test_a_small_store_is_counted_anew_each_time(tmp_path: Path) -> None:
    store = await Store.open(tmp_path, RecordedEvents(), FakeClock())
    for number in range(1, 5):
        message_id = stored(await store.inbox.put(arrival(number)))
        assert (await store.history.counts())["messages"]["received"] == 1
        await store.outbox.hand_on([handoff(message_id, delivery())])
        counts = await store.history.counts()
        assert (counts["messages"]["routed"], counts["deliveries"]["ready"]) == (number, number)
        assert sorted(await store.history.channel_counts()) == [("adt", "routed", number), ("erp", "ready", number)]
    await store.close()


@pytest.mark.parametrize(("rest", "counted"), [(1e12, 0), (0.0, 1)])
async def test_what_took_long_to_count_is_told_again_for_a_while(tmp_path: Path, rest: float, counted: int) -> None:
    store = await Store.open(tmp_path, RecordedEvents(), FakeClock())
    readers = Readers(tmp_path / FILE, 100)
    tally = Tally(readers, least_secs=0.0, rest=rest)  # every count is one that took long
    assert sum((await tally.count()).messages.values()) == 0
    await store.inbox.put(arrival(1))
    assert sum((await tally.count()).messages.values()) == counted
    await readers.close()
    await store.close()
