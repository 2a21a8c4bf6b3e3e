"""Waiting for something to become true, with a deadline that only a defect reaches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(true: Callable[[], object], what: str = "", secs: float = 10.0) -> None:
    """Return as soon as ``true()`` is; AssertionError with ``what`` when it is not in time."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + secs
    while not true():
        if loop.time() > deadline:
            raise AssertionError(f"still not true after {secs} s: {what or true}")
        await asyncio.sleep(0.002)
