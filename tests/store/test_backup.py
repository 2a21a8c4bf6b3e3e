"""Copies of the store: whole, verified, of one moment, and never in the place of another file."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import apsw
import pytest

from hcsyncd.errors import StoreError
from hcsyncd.store.backup import Manifest, back_up, inspect, manifest_path, read_manifest
from hcsyncd.store.keyring import MasterKey
from hcsyncd.store.store import FILE, Store
from tests.fakes.clock import FakeClock
from tests.fakes.events import RecordedEvents
from tests.fakes.stored import arrival, delivery, handoff, outcome, stored
from tests.fakes.waiting import until

NOW = 1_764_000_000_000_000


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(tmp_path / "var", RecordedEvents(), FakeClock(), MasterKey(bytes(32)))
    await asyncio.gather(*(carry(opened, number) for number in range(50)))
    yield opened
    await opened.close()


async def carry(store: Store, number: int) -> None:
    message_id = stored(await store.inbox.put(arrival(number, body=bytes(2000))))
    ((delivery_id,),) = await store.outbox.hand_on([handoff(message_id, delivery(body=b"out %d" % number))])
    await store.outbox.settle(outcome(delivery_id, message_id))


async def test_a_copy_says_what_it_is(store: Store, tmp_path: Path) -> None:
    made = await store.copies.back_up(tmp_path / "copy.db", NOW)
    manifest = made.manifest
    assert (manifest.store, manifest.made_at, manifest.sealed_with) == (
        store.name,
        NOW,
        MasterKey(bytes(32)).fingerprint,
    )
    assert (manifest.counts.messages, manifest.counts.deliveries, manifest.counts.bodies) == (50, 50, 100)
    copy = Path(made.file)
    assert read_manifest(copy) == manifest
    assert inspect(copy, NOW) == manifest
    assert {stat.S_IMODE(path.stat().st_mode) for path in (copy, manifest_path(copy))} == {0o600}
    status = await store.copies.status()
    assert (status.backup_at, status.backup_file) == (NOW, str(copy))


async def test_a_copy_under_load_shows_one_moment(store: Store, tmp_path: Path) -> None:
    numbers = itertools.count(1000)
    ended = asyncio.Event()

    async def load() -> int:
        done = 0
        while not ended.is_set():
            await carry(store, next(numbers))
            done += 1
        return done

    loads = [asyncio.create_task(load()) for _ in range(4)]
    for turn in range(2):
        await store.copies.back_up(tmp_path / f"{turn}.db", NOW)
    made = await store.copies.back_up(tmp_path / "last.db", NOW)
    ended.set()
    assert sum(await asyncio.gather(*loads)) > 0
    counts = made.manifest.counts
    connection = apsw.Connection(f"{made.file}", flags=apsw.SQLITE_OPEN_READONLY)
    assert connection.execute("SELECT count(*) FROM message").get == counts.messages
    # No half of a commit: what is done has its delivery and its attempt.
    assert connection.execute("SELECT count(*) FROM message WHERE state = 'done'").get == counts.attempts
    connection.close()
    copy = await Store.open(_as_store(tmp_path, Path(made.file)), RecordedEvents(), FakeClock(), MasterKey(bytes(32)))
    assert await copy.history.body(counts.messages) == bytes(2000)
    await copy.close()


def _as_store(tmp_path: Path, copy: Path) -> Path:
    folder = tmp_path / "again"
    folder.mkdir()
    (folder / FILE).write_bytes(copy.read_bytes())
    return folder


async def test_nothing_is_written_over(store: Store, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    for taken in (target, manifest_path(target)):
        taken.write_text("mine")
        with pytest.raises(StoreError, match=f"{taken.name} is there already: a backup never overwrites"):
            await store.copies.back_up(target, NOW)
        assert taken.read_text() == "mine"
        taken.unlink()
        assert not target.exists()
        assert not manifest_path(target).exists()
    await store.copies.back_up(target, NOW)


async def test_a_folder_that_cannot_be_written_is_told(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot write the backup .*: No such file or directory"):
        await store.copies.back_up(tmp_path / "nowhere" / "copy.db", NOW)


async def test_a_cancelled_backup_leaves_nothing(store: Store, tmp_path: Path) -> None:
    await asyncio.gather(*(store.inbox.put(arrival(number, body=bytes(200_000))) for number in range(900, 960)))
    target = tmp_path / "copies" / "copy.db"
    target.parent.mkdir()
    task = asyncio.create_task(store.copies.back_up(target, NOW))
    await until(lambda: list(target.parent.iterdir()), "it has begun")
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert list(target.parent.iterdir()) == []
    await store.copies.back_up(target, NOW)


async def test_one_backup_at_a_time(store: Store, tmp_path: Path) -> None:
    first = asyncio.create_task(store.copies.back_up(tmp_path / "1.db", NOW))
    await asyncio.sleep(0)
    with pytest.raises(StoreError, match="a backup is being made already"):
        await store.copies.back_up(tmp_path / "2.db", NOW)
    await first


HARMS: tuple[Callable[[bytes], bytes], ...] = (
    lambda content: content[: len(content) // 2],
    lambda _: b"",
    lambda _: b"PID|1||" * 1000,
    lambda content: content[:50] + bytes(4096),
)


@pytest.mark.parametrize("harm", HARMS, ids=["cut", "empty", "something else", "no pages"])
async def test_what_is_no_whole_copy_is_told(store: Store, tmp_path: Path, harm: Callable[[bytes], bytes]) -> None:
    await store.copies.back_up(tmp_path / "copy.db", NOW)
    harmed = tmp_path / "harmed.db"
    harmed.write_bytes(harm((tmp_path / "copy.db").read_bytes()))
    with pytest.raises(StoreError, match=r"is damaged|is empty: the backup was cut short|is no hcsyncd store"):
        inspect(harmed)


def test_a_manifest_that_was_cut_is_told(tmp_path: Path) -> None:
    manifest_path(tmp_path / "copy.db").write_text('{"store": "a')
    with pytest.raises(StoreError, match=r"manifest .* cannot be read: the backup was cut short, or altered"):
        read_manifest(tmp_path / "copy.db")
    assert read_manifest(tmp_path / "other.db") is None


async def test_a_manifest_is_readable(store: Store, tmp_path: Path) -> None:
    made = await store.copies.back_up(tmp_path / "copy.db", NOW)
    written = json.loads(manifest_path(Path(made.file)).read_text())
    assert written["store"] == store.name
    assert set(written) == set(Manifest.__struct_fields__)


async def test_a_store_that_nobody_holds_is_copied_too(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "var", RecordedEvents(), FakeClock())
    await carry(store, 1)
    await store.close()
    manifest = back_up(tmp_path / "var" / FILE, tmp_path / "copy.db", NOW)
    assert (manifest.counts.messages, manifest.sealed_with) == (1, "")
