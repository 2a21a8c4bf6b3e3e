"""Dead letters, listed and settled. How they are sent again: see replays."""

from __future__ import annotations

from hcsyncd.runtime.repair import Discard, Repairer
from hcsyncd.runtime.verb import Access, Caller, Verb, Verbs
from hcsyncd.runtime.verbs.messages import Selection
from hcsyncd.store.ports import DeadRow, History


class DeadVerbs:
    """``dead.list``, ``dead.discard``."""

    def __init__(self, history: History, repairer: Repairer) -> None:
        self._history = history
        self._repairer = repairer

    def verbs(self) -> Verbs:
        return {
            "dead.list": Verb(Selection, self.list_dead),
            "dead.discard": Verb(Discard, self.discard_dead, Access.CHANGES),
        }

    async def list_dead(self, asked: Selection, _caller: Caller) -> list[DeadRow]:
        return await self._history.dead(asked.filter())

    async def discard_dead(self, asked: Discard, _caller: Caller) -> dict[str, int]:
        """``{"discarded": n}``; nothing of them is deleted."""
        return {"discarded": await self._repairer.discard(asked)}
