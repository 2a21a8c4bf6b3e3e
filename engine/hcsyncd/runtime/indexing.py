"""Messages stored before their channel declared a business key are read for it, in the background and in small steps.

How far it has come is kept in the store with each step, so that it goes on after a restart where it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hcsyncd.clock import Clock
from hcsyncd.errors import StoreError
from hcsyncd.message import BusinessKeys
from hcsyncd.runtime.lookout import Lookout
from hcsyncd.store.ports import DeliveryRow, Filter, History, IndexedKeys, MessageRow, Reindexing, Search

STEP_MESSAGES = 100
STEP_BYTES = 2 << 20  # of bodies, in memory at once
PAUSE_SECS = 0.02  # between steps: live traffic goes first
STORE_RETRY_SECS = 5.0


class Indexer:
    """Reads stored messages for their keys, from the newest to the oldest."""

    def __init__(self, history: History, search: Search, lookout: Lookout, clock: Clock) -> None:
        self._history = history
        self._search = search
        self._lookout = lookout
        self._clock = clock
        self._news = asyncio.Event()

    async def begin(self) -> None:
        """Have every message that is stored now read; one that is under way begins anew."""
        await self._search.begin_reindexing(self._clock.now())
        self._news.set()

    async def run(self) -> None:
        """Go on with what an earlier run left, then with what is asked for, until cancelled."""
        while True:
            try:
                while (standing := await self._search.reindexing()) and not standing.ended_at:
                    await self._step(standing)
                    await asyncio.sleep(PAUSE_SECS)
            except StoreError:
                await asyncio.sleep(STORE_RETRY_SECS)  # the store has said so itself
                continue
            await self._news.wait()
            self._news.clear()

    async def _step(self, standing: Reindexing) -> None:
        """One page of messages, with its progress in the same commit."""
        wanted = Filter(last_id=standing.below_id - 1, limit=STEP_MESSAGES)
        page = await self._history.find(wanted) if standing.below_id > 1 else []
        rows = _up_to(page, STEP_BYTES)
        readers = self._lookout.key_readers()
        bodies = {message.id: message.body for message in await self._history.messages([row.id for row in rows])}
        deliveries: dict[int, list[DeliveryRow]] = {}
        for delivery in await self._history.deliveries([row.id for row in rows]):
            if delivery.made and delivery.destination in readers:
                deliveries.setdefault(delivery.message_id, []).append(delivery)
        found = []
        for row in rows:
            reader = readers.get(row.channel)
            # A copy is found by what its original says.
            own = reader.read(bodies[row.id]) if reader and row.id in bodies and row.replay_of is None else ()
            of_deliveries = [(one.id, await self._keys_of(one)) for one in deliveries.get(row.id, ())]
            if row.id in bodies:  # else retention has removed what could be read, and the keys are all that is left
                found.append(
                    IndexedKeys(row.id, tuple((place, keys) for place, keys in [(0, own), *of_deliveries] if keys))
                )
        ended = not rows
        await self._search.reindex(found, 1 if ended else rows[-1].id, ended=ended)

    async def _keys_of(self, delivery: DeliveryRow) -> BusinessKeys:
        reader = self._lookout.key_readers().get(delivery.destination)
        return reader.read(await self._history.sent_body(delivery.id)) if reader else ()


def _up_to(rows: Sequence[MessageRow], size: int) -> list[MessageRow]:
    """The first rows whose bodies are of that size together, one at least."""
    taken: list[MessageRow] = []
    total = 0
    for row in rows:
        total += row.bytes
        if taken and total > size:
            break
        taken.append(row)
    return taken
