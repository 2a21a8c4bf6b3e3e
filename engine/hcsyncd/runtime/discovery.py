"""Finding, explaining and watching, as the daemon offers them: one object to wire."""

from __future__ import annotations

from typing import Protocol

from hcsyncd.clock import Clock
from hcsyncd.runtime.indexing import Indexer
from hcsyncd.runtime.lookout import Lookout
from hcsyncd.runtime.verb import Verbs
from hcsyncd.runtime.verbs.messages import MessageVerbs
from hcsyncd.runtime.verbs.search import SearchVerbs
from hcsyncd.runtime.verbs.tap import TapVerbs
from hcsyncd.store.ports import History, Search


class Shelves(Protocol):
    """The part of the store that is read."""

    @property
    def history(self) -> History: ...

    @property
    def search(self) -> Search: ...


class Discovery:
    """Answers whoever looks for messages."""

    def __init__(self, store: Shelves, lookout: Lookout, clock: Clock) -> None:
        self._store = store
        self._lookout = lookout
        self._clock = clock
        self._indexer = Indexer(store.history, store.search, lookout, clock)

    async def run(self) -> None:
        """Read stored messages for their keys when that is asked for, until cancelled."""
        await self._indexer.run()

    def verbs(self) -> Verbs:
        history, search = self._store.history, self._store.search
        return {
            **MessageVerbs(history, search, self._lookout).verbs(),
            **SearchVerbs(history, search, self._lookout, self._indexer).verbs(),
            **TapVerbs(history, search, self._lookout, self._clock).verbs(),
        }
