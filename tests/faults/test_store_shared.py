"""Two processes and one store folder: the second is told to stay away, and the store goes free when the first dies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hcsyncd.errors import StoreError
from hcsyncd.store.store import Store
from tests.fakes.clock import FakeClock
from tests.fakes.events import RecordedEvents
from tests.fakes.store_process import start


@contextmanager
def owner(folder: Path) -> Iterator[int]:
    """The process id of a process that has the folder's store, and is killed at the end."""
    with start("store_load", folder, "0") as process:
        assert process.stdout is not None
        assert process.stdout.readline(), "it has the store"
        yield process.pid
        process.kill()


async def test_a_second_process_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    with owner(tmp_path) as process_id, pytest.raises(StoreError, match=f"in use by process {process_id}: stop that"):
        await Store.open(tmp_path, RecordedEvents(), FakeClock())
    store = await Store.open(tmp_path, RecordedEvents(), FakeClock())
    assert await store.history.message(1) is not None
    await store.close()
