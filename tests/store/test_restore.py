"""A backup in the place of the store: all of it or nothing, and no id is given twice."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import apsw
import pytest

from hcsyncd.errors import StoreError
from hcsyncd.message import DeliveryState
from hcsyncd.store.backup import manifest_path
from hcsyncd.store.keyring import MasterKey
from hcsyncd.store.ports import Filter
from hcsyncd.store.restore import INCOMING, LEAST_LEAP, RESTORED, finish, restore
from hcsyncd.store.store import FILE, Store
from tests.fakes.clock import START, FakeClock
from tests.fakes.events import RecordedEvents
from tests.fakes.stored import arrival, delivery, handoff, known, outcome, stored

KEY = MasterKey(bytes(range(32)))
HOUR = 3_600_000_000


async def opened(folder: Path, key: MasterKey | None = None) -> Store:
    return await Store.open(folder, RecordedEvents(), FakeClock(), key)


async def a_backup(tmp_path: Path, key: MasterKey | None = None) -> tuple[Path, str]:
    """A store of three messages, one delivered, and its copy; the store then gets two more."""
    store = await opened(tmp_path / "var", key)
    for number in (1, 2, 3):
        message_id = stored(await store.inbox.put(arrival(number, arrival_key=b"file %d" % number)))
        ((delivery_id,),) = await store.outbox.hand_on([handoff(message_id, delivery(body=b"out"))])
        if number == 1:
            await store.outbox.settle(outcome(delivery_id, message_id))
    copy = tmp_path / "copy.db"
    await store.copies.back_up(copy, START)
    for number in (4, 5):
        await store.inbox.put(arrival(number))
    await store.close()
    return copy, store.name


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def test_a_restored_store_knows_what_it_knew(tmp_path: Path) -> None:
    copy, name = await a_backup(tmp_path)
    folder = tmp_path / "new" / "var"
    restored = restore(copy, folder, START + HOUR, None)
    assert (restored.aside, restored.manifest.counts.messages) == ("", 3)
    assert names_in(folder) == {FILE, "store.lock"}
    store = await opened(folder)
    assert store.name == name, "idempotency keys begin with it"
    assert [row.id for row in await store.history.find(Filter(newest_first=False))] == [1, 2, 3]
    assert known(await store.inbox.put(arrival(2))).message_id == 2, "a resend is a duplicate still"
    resent = arrival(9, identity=b"", arrival_key=b"file 3")
    assert known(await store.inbox.put(resent)).message_id == 3, "and so is a file that comes again"
    assert [row.key for row in await store.history.deliveries([2])] == ["key-erp"], "sent again under the same key"
    assert store.recovered.deliveries == 2
    await store.close()


async def test_ids_that_were_given_since_are_not_given_again(tmp_path: Path) -> None:
    copy, _ = await a_backup(tmp_path)
    restored = restore(copy, tmp_path / "new", START + HOUR, None)
    store = await opened(tmp_path / "new")
    message_id = stored(await store.inbox.put(arrival(4)))
    ((delivery_id,),) = await store.outbox.hand_on([handoff(message_id, delivery(body=b"out"))])
    assert message_id == delivery_id == restored.ids_from + 1
    assert restored.ids_from >= 3600 * 10_000, "more than can have been given in the hour since the backup"
    await store.close()
    again = restore(copy, tmp_path / "new", START, None, replace=True)
    assert again.ids_from >= restored.ids_from + LEAST_LEAP - 1, "above those of the store that was replaced"
    store = await opened(tmp_path / "new")
    assert stored(await store.inbox.put(arrival(4))) > message_id
    await store.close()
    store = await opened(tmp_path / "new")
    assert stored(await store.inbox.put(arrival(5))) == again.ids_from + 2, "also after the next start"
    await store.close()


async def test_a_store_that_is_there_is_kept(tmp_path: Path) -> None:
    copy, _ = await a_backup(tmp_path)
    folder = tmp_path / "var"
    whole = (folder / FILE).read_bytes()
    (folder / "audit.anchor").write_text("the old one's")
    with pytest.raises(StoreError, match=r"there is a store in .*: --replace moves it aside, and keeps it"):
        restore(copy, folder, START + HOUR, None)
    assert (folder / FILE).read_bytes() == whole
    restored = restore(copy, folder, START + HOUR, None, replace=True)
    assert restored.aside
    assert (folder / f"{restored.aside}-{FILE}").read_bytes() == whole
    assert (folder / f"{restored.aside}-audit.anchor").read_text() == "the old one's"
    store = await opened(folder)
    assert len(await store.history.find(Filter())) == 3
    await store.close()


async def test_a_log_that_a_crash_left_goes_with_its_store(tmp_path: Path) -> None:
    copy, _ = await a_backup(tmp_path)
    folder = tmp_path / "var"
    store = await opened(folder)
    await store.inbox.put(arrival(6))
    crashed = tmp_path / "crashed"  # as a killed process leaves it
    shutil.copytree(folder, crashed)
    await store.close()
    assert (crashed / f"{FILE}-wal").stat().st_size > 0
    restored = restore(copy, crashed, START + HOUR, None, replace=True)
    assert (crashed / f"{restored.aside}-{FILE}-wal").stat().st_size > 0
    store = await opened(crashed)
    assert len(await store.history.find(Filter())) == 3, "the old log was not played into the backup"
    await store.close()
    old = apsw.Connection(str(crashed / f"{restored.aside}-{FILE}"))
    assert old.execute("SELECT count(*) FROM message").get == 6, "the old store is whole, its log beside it"
    old.close()


async def test_a_store_in_use_is_not_replaced(tmp_path: Path) -> None:
    copy, _ = await a_backup(tmp_path)
    store = await opened(tmp_path / "var")
    with pytest.raises(StoreError, match=f"in use by process {os.getpid()}: stop that daemon first"):
        restore(copy, tmp_path / "var", START, None, replace=True)
    await store.inbox.put(arrival(7))
    await store.close()


async def test_a_damaged_backup_changes_nothing(tmp_path: Path) -> None:
    copy, _ = await a_backup(tmp_path)
    folder = tmp_path / "var"
    whole, content = (folder / FILE).read_bytes(), copy.read_bytes()
    for harmed in (content[: len(content) // 2], b"", content[:-8] + b"harmed!!", content + bytes(4096)):
        copy.write_bytes(harmed)
        with pytest.raises(StoreError, match=r"damaged|cut short|is not what its manifest says|no hcsyncd store"):
            restore(copy, folder, START + HOUR, None, replace=True)
        assert (folder / FILE).read_bytes() == whole
        assert names_in(folder) == {FILE, "store.lock"}
    with pytest.raises(StoreError, match="there is no backup"):
        restore(tmp_path / "nothing.db", folder, START, None, replace=True)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
async def test_one_flipped_bit_is_found(tmp_path: Path, share: float) -> None:
    copy, _ = await a_backup(tmp_path)
    content = bytearray(copy.read_bytes())
    content[int(len(content) * share)] ^= 0x10
    copy.write_bytes(content)
    with pytest.raises(StoreError, match=r"damaged|is not what its manifest says"):
        restore(copy, tmp_path / "new", START + HOUR, None)
    assert names_in(tmp_path / "new") == {"store.lock"}


async def test_a_backup_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    copy, _ = await a_backup(tmp_path)
    connection = apsw.Connection(str(copy))
    connection.execute("INSERT INTO migration VALUES (99, 'from_the_future', 0)")
    connection.close()
    manifest_path(copy).unlink()
    with pytest.raises(StoreError, match=r"made by a newer hcsyncd .*: restore it with that version"):
        restore(copy, tmp_path / "new", START, None)


async def test_a_sealed_backup_needs_its_own_key(tmp_path: Path) -> None:
    copy, _ = await a_backup(tmp_path, KEY)
    for key in (None, MasterKey(bytes(32))):
        with pytest.raises(StoreError, match=f"the store is sealed with key {KEY.fingerprint}"):
            restore(copy, tmp_path / "new", START, key)
        assert names_in(tmp_path / "new") == {"store.lock"}
    restore(copy, tmp_path / "new", START, KEY)
    store = await opened(tmp_path / "new", KEY)
    assert await store.history.body(1) == arrival(1).body
    await store.close()


async def test_a_copy_without_a_manifest_is_taken_by_its_own_word(tmp_path: Path) -> None:
    copy, name = await a_backup(tmp_path)
    manifest_path(copy).unlink()
    assert restore(copy, tmp_path / "new", START, None).manifest.store == name


async def test_a_restore_that_was_cut_short_before_it_was_decided_never_was(tmp_path: Path) -> None:
    copy, _ = await a_backup(tmp_path)
    folder = tmp_path / "var"
    (folder / INCOMING).write_bytes(copy.read_bytes()[:5000])
    store = await opened(folder)
    assert len(await store.history.find(Filter())) == 5
    await store.close()
    restore(copy, folder, START, None, replace=True)
    assert not (folder / INCOMING).exists()


@pytest.mark.parametrize("moved", [(), (FILE,), (FILE, f"{FILE}-wal")], ids=["nothing", "the store", "and its log"])
async def test_a_restore_that_was_cut_short_after_it_was_decided_is_carried_out(
    tmp_path: Path, moved: tuple[str, ...]
) -> None:
    copy, _ = await a_backup(tmp_path)
    folder = tmp_path / "var"
    (folder / f"{FILE}-wal").write_bytes(b"the old log")
    restored = copy.rename(folder / RESTORED)
    for name in moved:
        (folder / name).rename(folder / f"replaced-before-{name}")
    if moved == (FILE, f"{FILE}-wal"):
        assert finish(folder) == "", "nothing was left to move"
    store = await opened(folder)  # whoever comes first
    assert len(await store.history.find(Filter())) == 3
    await store.close()
    assert not restored.exists()
    kept = [path for path in folder.iterdir() if path.name.startswith("replaced-") and path.name.endswith(FILE)]
    assert len(kept) == 1, "the old store is kept"


async def test_deliveries_that_were_under_way_stay_so(tmp_path: Path) -> None:
    copy, _ = await a_backup(tmp_path)
    restore(copy, tmp_path / "new", START, None)
    store = await opened(tmp_path / "new")
    found = await store.outbox.open_deliveries("erp", "erp", 0, 10, 1 << 20)
    assert [(one.message_id, one.state) for one in found] == [(2, DeliveryState.READY), (3, DeliveryState.READY)]
    await store.close()
