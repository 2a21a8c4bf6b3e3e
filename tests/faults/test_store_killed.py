"""A store whose process is killed under load keeps every promise it made."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from hcsyncd.message import MessageState
from hcsyncd.store.ports import Filter
from hcsyncd.store.store import Store
from tests.fakes.clock import FakeClock
from tests.fakes.events import RecordedEvents
from tests.fakes.store_process import start
from tests.fakes.stored import arrival, known

ROUNDS = 3
PROMISES = 300  # in each round, before the kill


def kill_under_load(folder: Path, first: int) -> Iterator[tuple[str, int, int]]:
    """(what, number, id) of everything that the process was promised before it was killed."""
    with start("store_load", folder, str(first)) as process:
        assert process.stdout is not None
        for count, line in enumerate(process.stdout):
            if count == PROMISES:
                process.kill()
            if line.endswith("]\n"):  # the last line may be half written
                what, number, row_id = json.loads(line)
                yield what, number, row_id


async def test_no_promise_is_lost_and_nothing_is_done_twice(tmp_path: Path) -> None:
    promised: dict[tuple[str, int], int] = {}
    for turn in range(ROUNDS):
        for what, number, row_id in kill_under_load(tmp_path, turn * 1_000_000):
            promised[what, number] = row_id
    assert len(promised) >= ROUNDS * PROMISES

    store = await Store.open(tmp_path, RecordedEvents(), FakeClock())
    numbers = {number for what, number in promised if what == "stored"}
    rows = {row.id: row for row in await store.history.find(Filter(limit=1_000_000))}
    for number in numbers:
        message_id = promised["stored", number]
        assert rows[message_id].keys.control_id == str(number)
        assert await store.history.body(message_id) == arrival(number).body
        assert known(await store.inbox.put(arrival(number))).message_id == message_id, "a resend is known"

    deliveries = {row.message_id: row for row in await store.history.deliveries(sorted(rows))}
    assert len(await store.history.deliveries(sorted(rows))) == len(deliveries), "nothing is handed on twice"
    for (what, number), row_id in promised.items():
        message_id = promised["stored", number]
        if what == "handed on":
            assert deliveries[message_id].id == row_id
        if what == "settled":
            assert (deliveries[message_id].state, rows[message_id].state) == ("sent", MessageState.DONE)
            assert len(await store.history.attempts([deliveries[message_id].id])) == 1
    for message_id, row in rows.items():  # no half of a commit: a delivery and its message's state go together
        assert (row.state is MessageState.RECEIVED) == (message_id not in deliveries)

    waiting = [delivery for delivery in deliveries.values() if delivery.state == "ready"]
    resumed = await store.outbox.open_deliveries("erp", "erp", 0, 1_000_000, 1 << 30)
    assert [delivery.id for delivery in resumed] == sorted(delivery.id for delivery in waiting)
    assert store.recovered.deliveries == len(waiting)
    await store.close()
