"""kill -9 while a store is sealed anew, backed up and restored: the store is whole, and a copy is whole or none."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hcsyncd.errors import StoreError
from hcsyncd.store.backup import inspect, manifest_path
from hcsyncd.store.copies import verify_file
from hcsyncd.store.keyring import MasterKey
from hcsyncd.store.ports import Filter
from hcsyncd.store.restore import restore
from hcsyncd.store.store import FILE, Store
from tests.fakes.clock import START, FakeClock
from tests.fakes.events import RecordedEvents
from tests.fakes.store_process import start
from tests.fakes.stored import arrival, delivery, handoff, outcome, stored

KEY = MasterKey(bytes(range(32)))
KILLS = 5
MESSAGES = 150


async def opened(folder: Path) -> Store:
    return await Store.open(folder, RecordedEvents(), FakeClock(), KEY)


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    store = await opened(tmp_path / "var")

    async def carry(number: int) -> None:
        message_id = stored(await store.inbox.put(arrival(number, body=b"%d " % number * 1500)))
        made = delivery(body=b"out %d" % number, lane=f"lane {number}")
        ((delivery_id,),) = await store.outbox.hand_on([handoff(message_id, made)])
        await store.outbox.settle(outcome(delivery_id, message_id, answer=b"taken %d" % number))

    await asyncio.gather(*(carry(number) for number in range(MESSAGES)))
    await store.close()
    return tmp_path / "var"


def killed_at_random(folder: Path, what: str, *files: str) -> bool:
    """Kill the process a random while after it began; whether it had done by then."""
    with start("store_copies", folder, what, KEY.secret.hex(), *files) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begins\n"
        time.sleep(random.uniform(0, 0.12))
        process.kill()
        return process.stdout.readline().strip() in ("backed up", "restored")


async def assert_whole(folder: Path) -> None:
    store = await opened(folder)
    found = verify_file(folder / FILE, store.sealing, every_value=True)
    assert found.problems == ()
    assert found.balance.delivered == MESSAGES
    rows = await store.history.find(Filter(limit=MESSAGES))
    bodies = [message.body for message in await store.history.messages([row.id for row in rows])]
    assert sorted(bodies) == sorted(b"%d " % number * 1500 for number in range(MESSAGES))
    await store.close()


async def test_sealing_anew_survives_any_kill(folder: Path) -> None:
    for _ in range(KILLS):
        killed_at_random(folder, "seal")
        await assert_whole(folder)


async def test_a_backup_is_whole_or_none_whenever_it_is_killed(folder: Path, tmp_path: Path) -> None:
    done = 0
    for turn in range(KILLS):
        copy = tmp_path / f"{turn}.db"
        finished = killed_at_random(folder, "backup", str(copy))
        try:
            manifest = inspect(copy)
        except StoreError:
            assert not finished, "what was promised is there"
            with pytest.raises(StoreError):
                restore(copy, tmp_path / f"new {turn}", START, KEY)
            continue
        done += 1
        assert manifest.counts.messages == MESSAGES
        assert manifest_path(copy).stat().st_size > 0, "the manifest comes first"
        restore(copy, tmp_path / f"new {turn}", START, KEY)
        await assert_whole(tmp_path / f"new {turn}")
    await assert_whole(folder)
    print(f"{KILLS} kills: {done} copies whole, {KILLS - done} none")


async def test_a_restore_is_whole_or_none_whenever_it_is_killed(folder: Path, tmp_path: Path) -> None:
    store = await opened(folder)
    copy = tmp_path / "copy.db"
    await store.copies.back_up(copy, START)
    for number in range(1000, 1010):
        await store.inbox.put(arrival(number))
    await store.close()
    outcomes = []
    for turn in range(KILLS):
        site = tmp_path / f"site {turn}"
        shutil.copytree(folder, site)
        finished = killed_at_random(site, "restore", str(copy))
        store = await opened(site)
        count = len(await store.history.find(Filter(limit=10_000)))
        await store.close()
        outcomes.append(count)
        assert count == MESSAGES if finished else count in (MESSAGES, MESSAGES + 10)
        found = verify_file(site / FILE, store.sealing, every_value=True)
        assert found.problems == ()
        restore(copy, site, START, KEY, replace=True)
        await assert_whole(site)
    print(f"{KILLS} kills: {outcomes.count(MESSAGES)} restored, {outcomes.count(MESSAGES + 10)} as they were")


def test_a_full_disk_leaves_no_copy_and_no_half_restore(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "copies"
    target.mkdir()
    for what, file in (("backup", target / "copy.db"), ("restore", _copy_of(folder, tmp_path))):
        ended = subprocess.run(
            [sys.executable, "-m", "tests.fakes.store_copies", str(folder), what, KEY.secret.hex(), str(file)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            preexec_fn=_no_large_files,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert ended.returncode == 1
        assert "hcsyncd.errors.StoreError:" in ended.stderr
        assert "failed: " in ended.stderr or "cannot write" in ended.stderr, ended.stderr
        assert list(target.iterdir()) == []
        assert {path.name for path in folder.iterdir()} - {f"{FILE}-wal", f"{FILE}-shm"} == {FILE, "store.lock"}


def _copy_of(folder: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "whole.db"
    shutil.copyfile(folder / FILE, copy)
    return copy


def _no_large_files() -> None:
    """Files of this process may not grow above 256 KiB: stands for a full disk, and needs no rights to make one."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (256 * 1024, resource.RLIM_INFINITY))
