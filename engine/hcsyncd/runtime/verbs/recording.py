"""Cases made from stored messages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from hcsyncd.config.model import Site
from hcsyncd.errors import ControlError
from hcsyncd.runtime.recording import Recorded, record, site_key
from hcsyncd.runtime.rehearsal import Rehearsal
from hcsyncd.runtime.repair import Id
from hcsyncd.runtime.site import Generation
from hcsyncd.runtime.verb import Access, Caller, Request, Verb, Verbs
from hcsyncd.store.ports import History

Rehearse = Callable[[Site], AbstractAsyncContextManager[Rehearsal]]


class RecordOne(Request, frozen=True):
    """One message; ``channel`` when the case is to stand beside another channel than it came by."""

    id: Id
    channel: str = ""


class RecordingVerbs:
    """``cases.record``."""

    def __init__(self, history: History, running: Callable[[], Generation], rehearse: Rehearse, data: Path) -> None:
        """``data`` holds the key that fakes are made with."""
        self._history = history
        self._running = running
        self._rehearse = rehearse
        self._data = data

    def verbs(self) -> Verbs:
        return {"cases.record": Verb(RecordOne, self.record, Access.SEES)}

    async def record(self, asked: RecordOne, _caller: Caller) -> Recorded:
        """A case without its patient; nothing is written."""
        found = await self._history.messages([asked.id])
        if not found:
            raise ControlError(f"there is no message {asked.id}, or its body was removed")
        key = await asyncio.to_thread(site_key, self._data)
        generation = self._running()
        async with self._rehearse(generation.site) as rehearsal:
            return await record(rehearsal, generation, asked.channel or found[0].channel, found[0].body, key)
