"""Dead letters and replay: the ways back onto the road."""

from __future__ import annotations

from typing import Any

from hcsyncd.runtime.repair import Discard, Repairer, Replay
from hcsyncd.runtime.verb import Access, Caller, Verb, Verbs
from hcsyncd.runtime.verbs.messages import Selection
from hcsyncd.store.ports import DeadRow, History


class DeadVerbs:
    """``dead.list``, ``dead.replay``, ``dead.discard``, ``messages.replay``."""

    def __init__(self, history: History, repairer: Repairer) -> None:
        self._history = history
        self._repairer = repairer

    def verbs(self) -> Verbs:
        return {
            "messages.replay": Verb(Replay, self.replay_messages, Access.CHANGES),
            "dead.list": Verb(Selection, self.list_dead),
            "dead.replay": Verb(Replay, self.replay_dead, Access.CHANGES),
            "dead.discard": Verb(Discard, self.discard_dead, Access.CHANGES),
        }

    async def replay_messages(self, asked: Replay, _caller: Caller) -> dict[str, Any]:
        """``{"copies": [[original, copy], ...]}``, in the order of the ids given."""
        return {"copies": await self._repairer.replay(asked)}

    async def list_dead(self, asked: Selection, _caller: Caller) -> list[DeadRow]:
        return await self._history.dead(asked.filter())

    async def replay_dead(self, asked: Replay, _caller: Caller) -> dict[str, Any]:
        """``{"reopened": [delivery, ...], "copies": [[original, copy], ...]}``."""
        reopened, copies = await self._repairer.revive(asked)
        return {"reopened": reopened, "copies": copies}

    async def discard_dead(self, asked: Discard, _caller: Caller) -> dict[str, int]:
        """``{"discarded": n}``; nothing of them is deleted."""
        return {"discarded": await self._repairer.discard(asked)}
