"""Keys that change while the store is used: what is stored follows, wherever the process ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import apsw
import pytest

from hcsyncd.errors import StoreError
from hcsyncd.events import StoreSealed
from hcsyncd.message import DeliveryState
from hcsyncd.store import resealing
from hcsyncd.store.keyring import MasterKey
from hcsyncd.store.sealing import data_key_of
from hcsyncd.store.store import FILE, Store
from tests.fakes.clock import FakeClock
from tests.fakes.events import RecordedEvents
from tests.fakes.stored import arrival, delivery, handoff, outcome, stored
from tests.fakes.waiting import until

KEY, OTHER = MasterKey(bytes(range(32))), MasterKey(bytes(32))
MANY = 300  # messages, of which a step takes some


@asynccontextmanager
async def opened(folder: Path, key: MasterKey | None = KEY) -> AsyncIterator[tuple[Store, RecordedEvents]]:
    events = RecordedEvents()
    store = await Store.open(folder, events, FakeClock(), key)
    try:
        yield store, events
    finally:
        await store.close()


@asynccontextmanager
async def resealing_of(store: Store) -> AsyncIterator[None]:
    task = asyncio.create_task(store.resealing.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def fill(store: Store, first: int, count: int) -> None:
    """Messages, each with an open delivery in one of two lanes."""
    for number in range(first, first + count):
        new = arrival(number, body=b"QXMARKQX %d" % number, fingerprint=b"f %d" % number, facts={"f": "QXMARKQX"})
        message_id = stored(await store.inbox.put(new))
        made = delivery(body=b"made QXMARKQX %d" % number, lane=f"lane {number % 2}", headers={"name": "QXMARKQX"})
        ((delivery_id,),) = await store.outbox.hand_on([handoff(message_id, made)])
        await store.outbox.settle(
            outcome(delivery_id, message_id, DeliveryState.WAITING, answer=b"QXMARKQX not now %d" % number)
        )


async def until_sealed(events: RecordedEvents) -> StoreSealed:
    await until(lambda: any(isinstance(event, StoreSealed) for event in events.events), "sealed")
    (event,) = (event for event in events.events if isinstance(event, StoreSealed))
    return event


async def assert_whole(store: Store, count: int) -> None:
    """Everything can be read, and each lane gives its deliveries in order."""
    assert {lane: open_lane.deliveries for lane, open_lane in (await store.outbox.open_lanes("erp")).items()} == {
        "lane 0": count // 2,
        "lane 1": count // 2,
    }
    for lane in (0, 1):
        found = await store.outbox.open_deliveries("erp", f"lane {lane}", 0, 10_000, 1 << 30)
        assert [one.id for one in found] == sorted(one.id for one in found)
        assert [one.envelope.body for one in found] == [
            b"made QXMARKQX %d" % number for number in range(count) if number % 2 == lane
        ]
    bodies = [message.body for message in await store.history.messages(range(1, count + 1))]
    assert bodies == [b"QXMARKQX %d" % number for number in range(count)]
    assert (await store.history.attempts([1]))[0].answer == b"QXMARKQX not now 0"


def data_keys_in_use(folder: Path) -> set[int]:
    """The numbers of the data keys that values in the file are under; 0 for clear ones."""
    connection = apsw.Connection(str(folder / FILE), flags=apsw.SQLITE_OPEN_READONLY)
    found = {
        data_key_of(value)
        for table, column in (("body", "bytes"), ("delivery", "lane"), ("message", "facts"), ("attempt", "answer"))
        for (value,) in connection.execute(f"SELECT {column} FROM {table}")
        if isinstance(value, str | bytes)
    }
    connection.close()
    return found


async def test_a_clear_store_is_sealed_in_the_background(tmp_path: Path) -> None:
    async with opened(tmp_path, None) as (store, _):
        await fill(store, 0, MANY)
    assert data_keys_in_use(tmp_path) == {0}
    async with opened(tmp_path) as (store, events):
        await assert_whole(store, MANY)
        async with resealing_of(store):
            await fill(store, MANY, 20)
            assert (await until_sealed(events)) == StoreSealed(data_key=1, failed=0)
        await assert_whole(store, MANY + 20)
        assert data_keys_in_use(tmp_path) == {1}
        status = await store.resealing.status()
        assert (status.sealed, status.master, status.rows, status.data_keys) == (True, KEY.fingerprint, 0, 1)
        files = [tmp_path / FILE, tmp_path / f"{FILE}-wal"]
        assert [file.name for file in files if b"QXMARKQX" in file.read_bytes()] == [], "wiped from file and log"


async def test_a_rotation_seals_anew_and_drops_the_old_key(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, events):
        async with resealing_of(store):
            await until_sealed(events)
            await fill(store, 0, MANY)
            events.events.clear()
            assert await store.resealing.rotate() == 2
            await fill(store, MANY, 20)
            await until_sealed(events)
        assert data_keys_in_use(tmp_path) == {2}
        await assert_whole(store, MANY + 20)
    connection = apsw.Connection(str(tmp_path / FILE))
    assert connection.execute("SELECT number FROM data_key").fetchall() == [(0,), (2,)]
    connection.close()
    async with opened(tmp_path) as (store, _):
        await assert_whole(store, MANY + 20)


async def test_values_under_several_keys_are_found_together(tmp_path: Path) -> None:
    async with opened(tmp_path, None) as (store, _):
        await fill(store, 0, 20)
    async with opened(tmp_path) as (store, _):
        await fill(store, 20, 20)
        await store.resealing.rotate()
        await fill(store, 40, 20)
        await assert_whole(store, 60)
        page = await store.outbox.open_deliveries("erp", "lane 0", 0, 5, 1 << 30)
        assert [one.envelope.body for one in page] == [b"made QXMARKQX %d" % number for number in (0, 2, 4, 6, 8)]
    assert data_keys_in_use(tmp_path) == {0, 1, 2}
    async with opened(tmp_path) as (store, _):
        await assert_whole(store, 60)


async def test_it_goes_on_where_it_was_cut_short(tmp_path: Path) -> None:
    async with opened(tmp_path, None) as (store, _):
        await fill(store, 0, MANY)
    last = -1
    for _ in range(50):
        async with opened(tmp_path) as (store, _):
            status = await store.resealing.status()
            if not status.rows:
                break
            assert status.done > last or status.done == status.rows, "each run gets further"
            last = status.done
            await assert_whole(store, MANY)
            await store._writer.submit(resealing.RESEAL, None)
    assert last > 0
    assert data_keys_in_use(tmp_path) == {1}
    async with opened(tmp_path) as (store, _):
        await assert_whole(store, MANY)


async def test_a_new_master_key_takes_over_at_once(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, _):
        await fill(store, 0, 20)
        before = store.sealing.keyring.lasting("audit")
        await store.resealing.rotate(OTHER)
        assert (await store.resealing.status()).master == OTHER.fingerprint
        await assert_whole(store, 20)
    with pytest.raises(StoreError, match=f"sealed with key {OTHER.fingerprint}, and key {KEY.fingerprint} is given"):
        async with opened(tmp_path):
            pass
    async with opened(tmp_path, OTHER) as (store, _):
        await assert_whole(store, 20)
        assert store.sealing.keyring.lasting("audit") == before, "what outlives every rotation"


async def test_a_value_that_does_not_open_keeps_its_key(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, _):
        await fill(store, 0, 20)
    connection = apsw.Connection(str(tmp_path / FILE))
    connection.execute("UPDATE body SET bytes = (SELECT bytes FROM body WHERE id = 1) WHERE id = 5")
    connection.close()
    async with opened(tmp_path) as (store, events):
        await store.resealing.rotate()
        async with resealing_of(store):
            assert (await until_sealed(events)) == StoreSealed(data_key=2, failed=1)
        assert (await store.resealing.status()).data_keys == 2
        with pytest.raises(StoreError, match="body of row 5"):
            await store.history.messages([3])
    assert data_keys_in_use(tmp_path) == {1, 2}


async def test_a_clear_store_has_no_key_to_rotate(tmp_path: Path) -> None:
    async with opened(tmp_path, None) as (store, _):
        with pytest.raises(StoreError, match=r"the store has no key: give `encryption` of hcsyncd.yaml one"):
            await store.resealing.rotate()
        assert not (await store.resealing.status()).sealed


async def test_a_step_in_the_commit_of_a_rotation_marks_nothing_as_done(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, events):
        async with resealing_of(store):
            await until_sealed(events)
        await fill(store, 0, 20)
        events.events.clear()
        # Both of one turn of the loop, and so of one commit; the rotation first.
        rotation = asyncio.ensure_future(store.resealing.rotate())
        sealer = resealing.Resealing(store._writer, store._readers, store.sealing, store.name, events)
        sealer._wanted.set()
        background = asyncio.create_task(sealer.run())
        assert await rotation == 2
        await until_sealed(events)
        background.cancel()
        await asyncio.gather(background, return_exceptions=True)
        assert data_keys_in_use(tmp_path) == {2}
    async with opened(tmp_path) as (store, _):
        await assert_whole(store, 20)
