"""What waits for people: counted now and then, as counting costs more than a scrape may."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

from hcsyncd.clock import Clock
from hcsyncd.config.model import DaemonOptions, Site
from hcsyncd.errors import StoreError
from hcsyncd.store.ports import Arrears, Tasks

LOOK_SECS = 20.0


class ArrearsWatch:
    """Keeps the latest count in ``arrears``."""

    def __init__(self, tasks: Tasks, options: DaemonOptions, clock: Clock) -> None:
        self.arrears = Arrears()
        self._tasks = tasks
        self._options = options
        self._clock = clock

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            with contextlib.suppress(StoreError):  # the store has said so itself; the last count stands
                await self.look()
            await asyncio.sleep(LOOK_SECS)

    async def look(self) -> Arrears:
        """Count now."""
        options = self._options
        self.arrears = await self._tasks.overdue(
            self._clock.now(), options.dead_letters.due_secs, options.tasks.due_secs
        )
        return self.arrears

    def readings(self) -> dict[str, Mapping[tuple[str, ...], float]]:
        """The gauges, by metric name and label values."""
        now = self.arrears
        return {
            "hcsyncd_dead_letters": {(channel,): float(count) for channel, count in now.dead.items()},
            "hcsyncd_dead_letters_overdue": {(channel,): float(count) for channel, count in now.overdue.items()},
            "hcsyncd_tasks_open": {(): float(now.tasks)},
            "hcsyncd_tasks_overdue": {(): float(now.tasks_overdue)},
        }


def owner_of(site: Site, channel: str) -> str:
    """Who takes care of the dead letters of a channel, where no person said so."""
    known = site.channels.get(channel)
    return (known.options.owner if known else "") or site.daemon.dead_letters.owner
