"""Retention at work on a real store: the bounds, the pace, the file that gets smaller, the clock that is doubted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hcsyncd.config.keeping import Keep, Keeping, KeepingDefaults
from hcsyncd.config.model import Channel, ChannelOptions, DaemonOptions, Part, Site
from hcsyncd.events import AttemptsFolded, AuditCut, RetentionFailed, RetentionHeld, RetentionRan, SpaceReturned
from hcsyncd.message import DeliveryState, MessageState
from hcsyncd.options import Options
from hcsyncd.runtime.auditor import Auditor
from hcsyncd.runtime.keeping import Keeper
from hcsyncd.runtime.verb import Access, Caller, Request
from hcsyncd.store.ports import AuditFilter, Data
from hcsyncd.store.store import FILE, Store
from tests.fakes.clock import FakeClock
from tests.fakes.events import RecordedEvents
from tests.fakes.stored import arrival, delivery, handoff, outcome, replayed, stored
from tests.fakes.waiting import until

DAY_SECS = 86_400
SOME_PART = Part("mllp", Options())


def site(defaults: KeepingDefaults, **channels: Keeping) -> Site:
    known = {
        name: Channel(name, Path(name), SOME_PART, ChannelOptions(retention=own), source=SOME_PART)
        for name, own in channels.items()
    }
    return Site(Path(), DaemonOptions(retention=defaults), known, ())


class Kept:
    """A store with its keeper."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / FILE
        self.folder = folder
        self.clock = FakeClock()
        self.events = RecordedEvents()
        self.site = site(KeepingDefaults())
        self.numbers = 0

    async def open(self) -> None:
        self.store = await Store.open(self.folder, self.events, self.clock)
        self.auditor = Auditor(self.store.audit, self.folder, self.events)
        self.keeper = Keeper(
            self.store.retention,
            lambda: self.site,
            lambda: self.store.pending,
            self.auditor.cut,
            self.events,
            self.clock,
        )

    def bound(self, **bounds: Any) -> None:
        self.site = site(KeepingDefaults(**{"reserve_bytes": 0, **bounds}))

    async def received(self, **fields: Any) -> int:
        self.numbers += 1
        known = {"received_at": self.clock.now(), "fingerprint": b"", **fields}
        return stored(await self.store.inbox.put(arrival(self.numbers, **known)))

    async def done(self, body: bytes = b"arrived", sent: bytes = b"sent", **fields: Any) -> int:
        message_id = await self.received(body=body, **fields)
        ((delivery_id,),) = await self.store.outbox.hand_on([handoff(message_id, delivery(body=sent))])
        await self.store.outbox.settle(outcome(delivery_id, message_id, answer=b"thanks"))
        return message_id

    async def with_bodies(self, *ids: int) -> list[int]:
        rows = [await self.store.history.message(one) for one in ids]
        return [row.id for row in rows if row is not None and not row.body_removed_at]

    async def there(self, *ids: int) -> list[int]:
        return [one for one in ids if await self.store.history.message(one) is not None]


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    found = Kept(tmp_path)
    await found.open()
    yield found
    await found.store.close()


async def test_with_no_bound_nothing_goes(kept: Kept) -> None:
    ids = [await kept.done() for _ in range(3)]
    kept.clock.advance(400 * DAY_SECS)
    assert not kept.keeper.is_bounded
    run = await kept.keeper.keep()
    assert (run.gone, run.done) == ((), True)
    assert await kept.with_bodies(*ids) == ids
    assert kept.events.of(RetentionRan) == []


async def test_each_class_goes_at_its_own_age(kept: Kept) -> None:
    kept.bound(bodies=Keep(days=10), answers=Keep(days=20), metadata=Keep(days=30))
    old = await kept.done()
    kept.clock.advance(5 * DAY_SECS)
    young = await kept.done()
    gone: list[tuple[int, Data]] = []
    for day in range(5, 40):
        run = await kept.keeper.keep()
        gone += [(day, one.data) for one in run.gone if one.messages]
        kept.clock.advance(DAY_SECS)
    assert gone == [(11, Data.BODIES), (21, Data.ANSWERS), (31, Data.METADATA)], "the newest message stays"
    assert await kept.there(old, young) == [young]


async def test_of_so_many_the_newest_stay(kept: Kept) -> None:
    kept.bound(bodies=Keep(max_count=3))
    ids = [await kept.done() for _ in range(10)]
    await kept.keeper.keep()
    assert await kept.with_bodies(*ids) == ids[-3:]
    ids.append(await kept.done())
    await kept.keeper.keep()
    assert await kept.with_bodies(*ids) == ids[-3:]


async def test_of_so_many_bytes_the_newest_stay(kept: Kept) -> None:
    kept.bound(bodies=Keep(max_bytes=1000))
    ids = [await kept.done(body=b"x" * 200, sent=b"y" * 100) for _ in range(10)]
    await kept.keeper.keep()
    assert await kept.with_bodies(*ids) == ids[-3:], "three times 300 bytes"


async def test_the_bounds_work_each_by_itself(kept: Kept) -> None:
    kept.bound(bodies=Keep(days=10, max_count=2))
    ids = [await kept.done() for _ in range(4)]
    await kept.keeper.keep()
    assert await kept.with_bodies(*ids) == ids[-2:]
    kept.clock.advance(11 * DAY_SECS)
    ids.append(await kept.done())
    await kept.keeper.keep()
    assert await kept.with_bodies(*ids) == ids[-1:]


async def test_a_channel_has_its_own_bounds(kept: Kept) -> None:
    kept.site = site(
        KeepingDefaults(bodies=Keep(days=1)),
        lab=Keeping(bodies=Keep()),
        adt=Keeping(),
        rad=Keeping(bodies=Keep(max_count=1)),
    )
    ids = {name: [await kept.done(channel=name) for _ in range(3)] for name in ("lab", "adt", "rad", "gone")}
    kept.clock.advance(2 * DAY_SECS)
    last = await kept.done(channel="lab")
    await kept.keeper.keep()
    assert await kept.with_bodies(*ids["lab"], last) == [*ids["lab"], last], "an empty class: for ever"
    assert await kept.with_bodies(*ids["adt"], *ids["gone"]) == [], "configured or not: the defaults"
    assert await kept.with_bodies(*ids["rad"]) == ids["rad"][-1:]


async def test_what_settled_late_goes_with_the_next_sweep(kept: Kept) -> None:
    kept.bound(bodies=Keep(days=1))
    late = await kept.received()
    ids = [await kept.done() for _ in range(3)]
    kept.clock.advance(2 * DAY_SECS)
    last = await kept.done()
    await kept.keeper.keep()
    assert await kept.with_bodies(late, *ids, last) == [late, last]
    await kept.store.outbox.hand_on([handoff(late, state=MessageState.FILTERED)])
    kept.clock.advance(2 * DAY_SECS)
    await kept.keeper.keep()
    assert await kept.with_bodies(late) == []


async def test_the_newest_message_goes_when_it_is_the_newest_no_more(kept: Kept) -> None:
    kept.bound(bodies=Keep(days=1))
    first = await kept.done()
    await kept.keeper.keep()
    kept.clock.advance(2 * DAY_SECS)
    await kept.keeper.keep()
    assert await kept.with_bodies(first) == [first]
    await kept.done()
    await kept.keeper.keep()
    assert await kept.with_bodies(first) == []


async def test_a_run_asked_for_looks_at_everything_again(kept: Kept) -> None:
    kept.bound(bodies=Keep(max_count=1))
    late = await kept.received()
    await kept.done()
    last = await kept.done()
    await kept.keeper.keep()
    ((delivery_id,),) = await kept.store.outbox.hand_on([handoff(late, delivery())])
    await kept.store.outbox.settle(outcome(delivery_id, late))
    await kept.done()
    await kept.keeper.keep(sweep=True)
    assert await kept.with_bodies(late, last) == []


async def test_what_is_planned_is_what_then_goes(kept: Kept) -> None:
    kept.bound(bodies=Keep(days=1), answers=Keep(max_count=1), metadata=Keep(days=5))
    original = await kept.done()
    copy, delivery_id = await replayed(kept.store.replays, original)
    await kept.store.outbox.settle(outcome(delivery_id, copy))
    for _ in range(5):
        await kept.done()
    kept.clock.advance(2 * DAY_SECS)
    await kept.done()
    planned = await kept.keeper.plan(5)
    assert planned.done
    assert await kept.with_bodies(original) == [original]
    assert {(one.data, one.messages) for one in planned.gone} == {(Data.BODIES, 7), (Data.ANSWERS, 7)}
    run = await kept.keeper.keep()
    assert run.gone == planned.gone


async def test_a_run_ends_when_its_time_is_up_and_the_next_goes_on(kept: Kept) -> None:
    kept.bound(bodies=Keep(days=1))
    await asyncio.gather(*(kept.done() for _ in range(400)))
    kept.clock.advance(2 * DAY_SECS)
    await kept.done()
    runs = [await kept.keeper.keep(limit_secs=0.0)]
    assert (runs[0].done, runs[0].gone) == (False, ())
    while not runs[-1].done:
        runs.append(await kept.keeper.keep(limit_secs=5.0))
    assert sum(one.messages for run in runs for one in run.gone) == 400


async def test_it_tells_what_it_took(kept: Kept) -> None:
    kept.bound(bodies=Keep(days=1))
    await kept.done(body=b"x" * 70, sent=b"y" * 30)
    await kept.done(channel="lab", body=b"x" * 7, sent=b"y" * 3)
    kept.clock.advance(2 * DAY_SECS)
    await kept.done()
    await kept.keeper.keep()
    assert kept.events.of(RetentionRan) == [
        RetentionRan("adt", "bodies", 1, 100),
        RetentionRan("lab", "bodies", 1, 10),
    ]
    await kept.keeper.keep()
    assert len(kept.events.of(RetentionRan)) == 2


async def test_the_file_gets_smaller_while_writes_go_on(kept: Kept) -> None:
    kept.bound(bodies=Keep(days=1), every_secs=0.01)
    await asyncio.gather(*(kept.done(body=b"x" * 20_000) for _ in range(400)))
    kept.clock.advance(2 * DAY_SECS)
    await kept.done()
    full = kept.file.stat().st_size
    assert full > 400 * 20_000
    running = asyncio.create_task(kept.keeper.run())
    sizes: list[int] = []

    async def write() -> None:
        while not sizes or min(sizes) > full / 4:
            await kept.done()
            sizes.append(kept.file.stat().st_size)

    async with asyncio.timeout(20):
        await write()
    running.cancel()
    assert kept.events.of(SpaceReturned)
    assert kept.events.of(RetentionFailed) == []
    assert [row.state for row in await kept.store.history.deliveries([kept.numbers])] == [DeliveryState.SENT]
    wal = kept.file.with_name(f"{FILE}-wal").stat().st_size
    assert wal < 64 << 20
    assert (await kept.store.retention.space()).bytes < full / 4


async def test_the_reserve_stays_in_the_file(kept: Kept) -> None:
    reserve = 2_000_000
    kept.bound(bodies=Keep(days=1), reserve_bytes=reserve)
    await asyncio.gather(*(kept.done(body=b"x" * 20_000) for _ in range(200)))
    kept.clock.advance(2 * DAY_SECS)
    await kept.done()
    run = await kept.keeper.keep()
    free = (await kept.store.retention.space()).free_bytes
    assert run.returned_bytes > 1_500_000
    assert reserve * 0.95 < free <= reserve


async def test_attempts_in_the_middle_go(kept: Kept) -> None:
    kept.bound(attempts=5)
    message_id = await kept.received()
    ((delivery_id,),) = await kept.store.outbox.hand_on([handoff(message_id, delivery())])
    for attempt in range(1, 31):
        await kept.store.outbox.settle(outcome(delivery_id, message_id, DeliveryState.WAITING, attempt))
    run = await kept.keeper.keep()
    assert run.attempts == 25
    assert kept.events.of(AttemptsFolded) == [AttemptsFolded(25)]
    assert [row.number for row in await kept.store.history.attempts([delivery_id])] == [1, 2, 3, 29, 30]


async def test_old_audit_entries_are_cut_once_a_day_and_the_log_says_so(kept: Kept) -> None:
    kept.bound(audit_days=10)
    assert kept.keeper.is_bounded
    for _ in range(3):
        await kept.auditor.note(Caller(1), "messages.show", Access.SEES, Request())
    await kept.keeper.keep()
    for _ in range(12):
        kept.clock.advance(DAY_SECS + 1)
        await kept.keeper.keep()
        await kept.keeper.keep()
    assert kept.events.of(AuditCut) == [AuditCut(3)]
    entries = await kept.store.audit.find(AuditFilter())
    assert {entry.verb for entry in entries} == {"audit.cut"}
    assert (await kept.store.audit.verify()).findings == ()


async def test_after_a_long_gap_the_clock_is_doubted_for_a_day(kept: Kept) -> None:
    kept.bound(bodies=Keep(days=1))
    old = await kept.done()
    await kept.done()
    await kept.keeper.keep()
    await kept.store.close()
    kept.clock.advance(300 * DAY_SECS)
    await kept.open()
    assert (await kept.keeper.keep()).held
    assert (await kept.keeper.keep()).held
    assert len(kept.events.of(RetentionHeld)) == 1
    assert kept.keeper.trust.wait_secs == DAY_SECS
    kept.clock.advance(DAY_SECS / 2)
    await kept.store.close()
    await kept.open()
    assert (await kept.keeper.keep()).held, "a restart does not end the doubt"
    assert await kept.with_bodies(old) == [old]
    kept.clock.advance(DAY_SECS / 2)
    assert not (await kept.keeper.keep()).held
    assert await kept.with_bodies(old) == []


async def test_a_clock_that_is_set_right_again_is_believed(kept: Kept) -> None:
    kept.bound(bodies=Keep(days=1))
    old = await kept.done()
    await kept.done()
    await kept.keeper.keep()
    await kept.store.close()
    kept.clock.jump(300 * DAY_SECS)
    await kept.open()
    assert (await kept.keeper.keep()).held
    kept.clock.jump(-300 * DAY_SECS)
    assert not (await kept.keeper.keep()).held
    assert await kept.with_bodies(old) == [old]


async def test_a_person_can_say_that_the_clock_is_right(kept: Kept) -> None:
    kept.bound(bodies=Keep(days=1))
    old = await kept.done()
    await kept.done()
    await kept.store.close()
    kept.clock.advance(300 * DAY_SECS)
    await kept.open()
    assert (await kept.keeper.keep()).held, "no run before: the newest message tells when the store was last used"
    assert not (await kept.keeper.keep(sure=True)).held
    assert await kept.with_bodies(old) == []
    assert not (await kept.keeper.keep()).held


async def test_a_failure_is_told_and_the_next_run_goes_on(kept: Kept) -> None:
    kept.bound(bodies=Keep(days=1), every_secs=0.01)
    await kept.store.close()
    running = asyncio.create_task(kept.keeper.run())
    await until(lambda: len(kept.events.of(RetentionFailed)) >= 2)
    assert "closed" in kept.events.of(RetentionFailed)[0].error
    assert not running.done()
    running.cancel()
    await kept.open()
