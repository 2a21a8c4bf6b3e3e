"""Order within a lane where the wire gives none: one send of a lane at a time, in the order of the calls."""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary


class LaneTurns:
    """Hands out each lane's turn: ``async with turns.of(lane):``. A lane that nobody uses takes no memory."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def of(self, lane: str) -> asyncio.Lock:
        """The lane's turn. asyncio.Lock wakes waiters in the order in which they came."""
        lock = self._locks.get(lane)
        if lock is None:
            lock = self._locks[lane] = asyncio.Lock()
        return lock
