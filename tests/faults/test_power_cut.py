"""Power cuts: what was written and not yet synced is gone, in part or whole, down to single sectors. Whatever the store
has promised by then is there afterwards, and the file is sound."""

from __future__ import annotations

import asyncio
import queue
import random
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import apsw
import pytest

from hcsyncd.clock import SystemClock
from hcsyncd.errors import StoreError
from hcsyncd.message import MessageState
from hcsyncd.store.ports import Filter
from hcsyncd.store.store import FILE, Store
from tests.fakes.clock import FakeClock
from tests.fakes.events import RecordedEvents
from tests.fakes.fault_table import Row
from tests.fakes.power import Files, PowerDisk
from tests.fakes.stored import arrival, delivery, handoff, outcome, stored

CALLERS = 24
SHARES = (0.0, 1.0, 0.5)  # of what was not synced: none, all, half of the sectors
BODIES_LOOKED_AT = 8  # the latest ones: what was promised long ago has been looked at by earlier cuts
SEED = 20260101


@dataclass(frozen=True, slots=True)
class Cut:
    """The files as a cut left them, with what had been promised by then."""

    when: str
    files: Files
    promised: tuple[tuple[str, int, int], ...]  # (what, number, message id)


class Blackouts:
    """Makes cuts while a store works, and looks at each of them in a thread of its own."""

    def __init__(self, folder: Path, one_in: int) -> None:
        self.promised: list[tuple[str, int, int]] = []
        self.made = 0
        self.torn = 0  # cuts that left less than was written
        self.findings: list[str] = []
        self._folder = folder
        self._one_in = one_in  # of the writes between two syncs, so many moments are tried; of the syncs, each
        self._dice = random.Random(SEED)
        self._cuts: queue.Queue[Cut | None] = queue.Queue(maxsize=4)
        self._disk: PowerDisk | None = None
        self._looking = threading.Thread(target=self._look, daemon=True)
        self._looking.start()

    def watch(self, disk: PowerDisk) -> None:
        self._disk = disk

    def on_moment(self, when: str) -> None:
        disk = self._disk
        if disk is None or (when == "write" and self._dice.randrange(self._one_in)):
            return
        promised = tuple(self.promised)
        for share in SHARES if when != "after sync" else SHARES[:1]:
            self._cuts.put(Cut(when, disk.after_cut(self._dice, share), promised))
            self.made += 1
            self.torn += share < 1

    def end(self) -> None:
        self._cuts.put(None)
        self._looking.join()

    def _look(self) -> None:
        while (cut := self._cuts.get()) is not None:
            folder = self._folder / "cut"
            folder.mkdir()
            for name, content in cut.files.items():
                (folder / name).write_bytes(content)
            try:
                self.findings += [f"{cut.when}: {finding}" for finding in asyncio.run(findings_of(folder, cut))]
            except (StoreError, apsw.Error) as error:
                self.findings.append(f"{cut.when}: {error}")
            shutil.rmtree(folder)


async def findings_of(folder: Path, cut: Cut) -> list[str]:
    """What is missing or damaged after a cut."""
    store = await Store.open(folder, RecordedEvents(), FakeClock())
    try:
        rows = {row.id: row for row in await store.history.find(Filter(limit=1_000_000))}
        deliveries = {row.message_id: row for row in await store.history.deliveries(sorted(rows))}
        found = []
        for what, number, message_id in cut.promised:
            if message_id not in rows or rows[message_id].keys.control_id != str(number):
                found.append(f"message {number} was promised and is not there")
            elif what != "stored" and message_id not in deliveries:
                found.append(f"message {number} was handed on and has no delivery")
            elif what == "settled" and rows[message_id].state is not MessageState.DONE:
                found.append(f"message {number} was settled and stands as {rows[message_id].state}")
        for _, number, message_id in cut.promised[-BODIES_LOOKED_AT:]:
            if message_id in rows and await store.history.body(message_id) != body_of(number):
                found.append(f"message {number} has another body")
        found += [
            f"message {message_id} is half handed on"
            for message_id, row in rows.items()
            if (row.state is MessageState.RECEIVED) != (message_id not in deliveries)
        ]
    finally:
        await store.close()
    connection = apsw.Connection(str(folder / FILE))
    sound = connection.execute("PRAGMA integrity_check").get
    connection.close()
    return found if sound == "ok" else [*found, f"integrity: {sound}"]


def body_of(number: int) -> bytes:
    """From one page to several; written over the log more than once in a run."""
    return b"%d " % number + b"x" * (number * 2_477 % 24_000)


async def work(store: Store, blackouts: Blackouts, messages: int) -> None:
    numbers = iter(range(messages))

    async def carry() -> None:
        for number in numbers:
            message_id = stored(await store.inbox.put(arrival(number, body=body_of(number))))
            blackouts.promised.append(("stored", number, message_id))
            ((delivery_id,),) = await store.outbox.hand_on([handoff(message_id, delivery(body=b"out %d" % number))])
            blackouts.promised.append(("handed on", number, message_id))
            if number % 2:
                await store.outbox.settle(outcome(delivery_id, message_id))
                blackouts.promised.append(("settled", number, message_id))

    await asyncio.gather(*(carry() for _ in range(CALLERS)))


@pytest.mark.timeout(900)
async def test_a_power_cut_at_any_moment_keeps_every_promise(
    tmp_path: Path, tell: Callable[[Row], None], deep: bool
) -> None:
    messages, one_in = (700, 20) if deep else (320, 300)
    blackouts = Blackouts(tmp_path, one_in)
    disk = PowerDisk(tmp_path / "store", blackouts.on_moment)
    blackouts.watch(disk)
    began = time.monotonic()
    try:
        store = await Store.open(tmp_path / "store", RecordedEvents(), SystemClock())
        await work(store, blackouts, messages)
        await store.close()
    finally:
        await asyncio.to_thread(blackouts.end)
        disk.unregister()
    secs = time.monotonic() - began
    print(f"\n{blackouts.made} cuts around {disk.syncs.total()} syncs, {blackouts.made / secs:.0f} a second")
    assert blackouts.findings == []
    assert blackouts.torn > 100
    assert disk.syncs[FILE] >= 4, "no cut was in the middle of a checkpoint"
    kept = {number for _, number, _ in blackouts.promised}
    tell(
        Row(
            place=3,
            fault="power cut",
            made=f"files as after a cut at any write or sync, unsynced sectors of {512} bytes dropped in any subset",
            word="none: the store opens and is sound; `daemon_started` says what it recovered",
            recovery="at the next start",
            tries=blackouts.made,
            sent=messages,
            acknowledged=len(kept),
            stored=len(kept),
            delivered=sum(what == "settled" for what, _, _ in blackouts.promised),
            open=sum(what == "handed on" for what, _, _ in blackouts.promised)
            - sum(what == "settled" for what, _, _ in blackouts.promised),
        )
    )


async def test_a_disk_that_loses_what_was_synced_is_found_out(tmp_path: Path) -> None:
    """The test above can fail: a disk that lies about its syncs loses promises, and that is seen."""
    blackouts = Blackouts(tmp_path, one_in=1)
    disk = PowerDisk(tmp_path / "store", lambda _: None)
    try:
        store = await Store.open(tmp_path / "store", RecordedEvents(), SystemClock())
        safe = disk.after_cut(random.Random(SEED), 0.0)
        await work(store, blackouts, 20)
        cut = Cut("lied", safe, tuple(blackouts.promised))
        await store.close()
        folder = tmp_path / "cut"
        folder.mkdir()
        for name, content in cut.files.items():
            (folder / name).write_bytes(content)
        assert len(await findings_of(folder, cut)) == len(cut.promised)
    finally:
        await asyncio.to_thread(blackouts.end)
        disk.unregister()
