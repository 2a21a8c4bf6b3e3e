from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import apsw
import pytest

from hcsyncd.errors import StoreError
from hcsyncd.store.store import FILE, Recovered, Store
from tests.fakes.clock import FakeClock
from tests.fakes.events import RecordedEvents
from tests.fakes.stored import arrival, delivery, handoff, stored


def names_in(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


async def opened(folder: Path) -> Store:
    return await Store.open(folder, RecordedEvents(), FakeClock())


async def test_a_store_makes_its_folder_for_its_user_alone(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    store = await opened(folder)
    await store.close()
    assert stat.S_IMODE((await asyncio.to_thread(folder.stat)).st_mode) == 0o700


async def test_a_closed_store_is_one_whole_file(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await store.inbox.put(arrival(1))
    await store.close()
    assert names_in(tmp_path) == ["store.db", "store.lock"]
    connection = apsw.Connection(str(tmp_path / FILE), flags=apsw.SQLITE_OPEN_READONLY)
    assert connection.execute("SELECT count(*) FROM message").get == 1
    connection.close()


async def test_commits_are_synced_to_the_disk(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    settings = [store._writer._connection.pragma(name) for name in ("journal_mode", "synchronous")]
    assert settings == ["wal", 2], "2 is FULL: SQLite's own documentation of PRAGMA synchronous"
    await store.close()


async def test_a_store_keeps_its_name(tmp_path: Path) -> None:
    names = set()
    for folder in ("one", "one", "two"):
        store = await opened(tmp_path / folder)
        names.add(store.name)
        await store.close()
    assert len(names) == 2
    assert all(len(name) == 12 for name in names)


async def test_what_was_left_is_counted(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    assert store.recovered == Recovered(0, 0, 0)
    ids = [stored(await store.inbox.put(arrival(number))) for number in range(3)]
    handed = await store.outbox.hand_on([handoff(ids[0], delivery("a"), delivery("b"))])
    await store.outbox.claim(handed[0][:1])
    await store.close()
    store = await opened(tmp_path)
    assert store.recovered == Recovered(messages=2, deliveries=2, sending=1)
    await store.close()


async def test_pending_counts_what_is_not_committed(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    puts = [store.inbox.put(arrival(number)) for number in range(5)]
    assert store.pending == 5
    await asyncio.gather(*puts)
    assert store.pending == 0
    await store.close()


async def test_a_folder_has_one_owner(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    with pytest.raises(StoreError, match=f"in use by process {os.getpid()}: stop that daemon first"):
        await opened(tmp_path)
    await store.inbox.put(arrival(1))
    await store.close()
    again = await opened(tmp_path)
    assert again.recovered.messages == 1
    await again.close()


async def test_a_lock_left_by_a_killed_process_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "store.lock").write_text("99999\n")
    store = await opened(tmp_path)
    assert (tmp_path / "store.lock").read_text() == f"{os.getpid()}\n"
    await store.close()


async def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot make the store folder .*: name a folder that can be made"):
        await opened(tmp_path / "file" / "store")


async def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store.lock").mkdir()  # the one refusal that also holds for root
    with pytest.raises(
        StoreError, match=r"cannot write in the store folder .*: give the daemon's user write permission"
    ):
        await opened(tmp_path)


async def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"PID|1||" * 1000)
    with pytest.raises(StoreError, match=r"store\.db failed: the file is no hcsyncd store"):
        await opened(tmp_path)
    assert (tmp_path / FILE).read_bytes() == b"PID|1||" * 1000
    (tmp_path / FILE).unlink()
    store = await opened(tmp_path)  # the refusal let go of the folder
    await store.close()


async def test_a_damaged_file_is_refused_after_a_crash(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await asyncio.gather(*(store.inbox.put(arrival(number, body=bytes(3000))) for number in range(200)))
    await store.close()
    file = tmp_path / FILE
    whole = file.read_bytes()
    middle = len(whole) // 2 // 8192 * 8192
    file.write_bytes(whole[:middle] + os.urandom(8192 * 4) + whole[middle + 8192 * 4 :])
    (tmp_path / "store.db-wal").write_bytes(b"")  # what a killed process leaves behind
    with pytest.raises(
        StoreError, match=r"store\.db is damaged .*: keep a copy of its folder, and bring back a backup"
    ):
        await opened(tmp_path)


async def test_a_store_from_a_newer_version_is_refused(tmp_path: Path) -> None:
    await (await opened(tmp_path)).close()
    connection = apsw.Connection(str(tmp_path / FILE))
    connection.execute("INSERT INTO migration VALUES (99, 'from_the_future', 0)")
    connection.close()
    with pytest.raises(StoreError, match=r"made by a newer hcsyncd .*: run that version"):
        await opened(tmp_path)


async def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    connection = apsw.Connection(str(tmp_path / FILE))
    connection.execute("CREATE TABLE theirs (a)")
    connection.close()
    with pytest.raises(StoreError, match="another program's database"):
        await opened(tmp_path)


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await store.close()
    await store.close()
    with pytest.raises(StoreError, match="storing an arrival came after the store was closed"):
        await store.inbox.put(arrival(1))
    with pytest.raises(StoreError, match="the store is closed"):
        await store.history.message(1)


async def test_bodies_stay_out_of_errors(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    secret = "PID|1||4711^^^HOSPITAL"
    wrong = arrival(1, body=secret.encode(), fingerprint=b"f", parent=object())
    with pytest.raises(StoreError) as caught:
        await store.inbox.put(wrong)
    assert secret not in str(caught.value)
    assert secret not in repr(caught.value.__cause__)
    assert secret not in repr(wrong)
    await store.close()
