"""Unsure deliveries listed, asked about and settled."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec.structs import replace

from hcsyncd.message import DeliveryState
from hcsyncd.runtime.dead_groups import DeadGroups, Letter
from hcsyncd.runtime.repair import Id
from hcsyncd.runtime.unsure import Settled, Settlement, Verdict
from hcsyncd.runtime.verb import Access, Caller, Request, Verb, Verbs
from hcsyncd.runtime.verbs.messages import Selection
from hcsyncd.store.ports import Filter


class Word(Request, frozen=True):
    """A person's word on a message's unsure delivery."""

    id: Id
    sent: bool
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
    route: str = ""
    destination: str = ""


class UnsureVerbs:
    """``unsure.list``, ``unsure.ask``, ``unsure.settle``."""

    def __init__(self, groups: DeadGroups, settlement: Settlement) -> None:
        self._groups = groups
        self._settlement = settlement

    def verbs(self) -> Verbs:
        return {
            "unsure.list": Verb(Selection, self.list_unsure),
            "unsure.ask": Verb(Selection, self.ask_unsure, Access.CHANGES),
            "unsure.settle": Verb(Word, self.settle_unsure, Access.CHANGES),
        }

    async def list_unsure(self, asked: Selection, _caller: Caller) -> list[Letter]:
        return await self._groups.letters(_unsure(asked.filter()))

    async def ask_unsure(self, asked: Selection, caller: Caller) -> list[Settled]:
        return await self._settlement.ask(_unsure(asked.filter()), caller.name)

    async def settle_unsure(self, asked: Word, caller: Caller) -> Settled:
        wanted = _unsure(Filter(ids=(asked.id,), route=asked.route, destination=asked.destination))
        verdict = Verdict.SENT if asked.sent else Verdict.NOT_SENT
        return await self._settlement.settle(wanted, verdict, caller.name, asked.reason)


def _unsure(wanted: Filter) -> Filter:
    return replace(wanted, state=DeliveryState.UNSURE)
