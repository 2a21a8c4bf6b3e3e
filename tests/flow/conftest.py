"""A real store in a temporary folder for each test of the flow."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hcsyncd.clock import SystemClock
from hcsyncd.store.store import Store
from tests.fakes.events import RecordedEvents


@pytest.fixture
def events() -> RecordedEvents:
    return RecordedEvents()


@pytest.fixture
async def store(tmp_path: Path, events: RecordedEvents) -> AsyncIterator[Store]:
    opened = await Store.open(tmp_path / "store", events, SystemClock())
    yield opened
    await opened.close()
