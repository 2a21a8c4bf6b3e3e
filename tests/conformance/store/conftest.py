"""The fixtures of the store's conformance tests: each test runs once for each driver."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes.store_drivers import DRIVERS, Open, Ports


@pytest.fixture(params=sorted(DRIVERS))
async def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Open]:
    """Opens the same store again and again, each time after closing it."""
    current: list[Ports] = []

    async def again() -> Ports:
        while current:
            await current.pop().close()
        current.append(await DRIVERS[request.param](tmp_path / "store"))
        return current[0]

    yield again
    while current:
        await current.pop().close()


@pytest.fixture
async def store(reopen: Open) -> Ports:
    return await reopen()
