"""Whether sends may start: not while there is a reason against it, of which there may be several at once."""

from __future__ import annotations

import asyncio


class Pauses:
    """The reasons that stand. ``going`` is set while there is none."""

    def __init__(self) -> None:
        self.going = asyncio.Event()
        self.going.set()
        self._reasons: set[str] = set()

    def add(self, reason: str) -> None:
        self._reasons.add(reason)
        self.going.clear()

    def lift(self, reason: str) -> bool:
        """Take one away; whether sends may start now."""
        self._reasons.discard(reason)
        if not self._reasons:
            self.going.set()
        return not self._reasons
