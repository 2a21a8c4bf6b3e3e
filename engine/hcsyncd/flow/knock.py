"""A destination that cannot be reached is knocked at while its deliveries sit out a long pause, so that they go on as
soon as it is there again and not when the pause is over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

KNOCK_SECS = 5.0

# Causes by which nothing has left: whether that is over, a probe can tell. What the other side itself answers, or does
# not answer, only a delivery can.
UNREACHED = frozenset(
    {
        "connect-failed",
        "connect-refused",
        "connect-timeout",
        "dns-failed",
        "folder-missing",
        "host-unknown",
        "tls-failed",
    }
)


class Door(Protocol):
    """The part of a `connectors.connector.Destination` that is knocked at."""

    async def probe(self) -> str: ...


class Knock:
    """One destination's. ``on_there`` is called once when a probe went through."""

    def __init__(self, on_there: Callable[[], None], pause_secs: float = KNOCK_SECS) -> None:
        self._on_there = on_there
        self._pause_secs = pause_secs
        self._task: asyncio.Task[None] | None = None

    def begin(self, door: Door) -> None:
        """Knock every few seconds until somebody opens; once begun, another call changes nothing."""
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(door))

    def end(self) -> None:
        """Knock no more."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _run(self, door: Door) -> None:
        while True:
            await asyncio.sleep(self._pause_secs)
            try:
                await door.probe()
            except Exception:  # noqa: S112 - not there yet; what is wrong, the next attempt tells
                continue
            self._on_there()
            return
