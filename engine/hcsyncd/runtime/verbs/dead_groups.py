"""Dead letters grouped, shown by an example, and given to somebody."""

from __future__ import annotations

from typing import Annotated

import msgspec

from hcsyncd.runtime.dead_groups import Care, DeadGroups, Example, Group, Letter
from hcsyncd.runtime.repair import Ids
from hcsyncd.runtime.verb import Access, Caller, Request, Verb, Verbs
from hcsyncd.runtime.verbs.messages import Selection
from hcsyncd.store.ports import Filter

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class DeadAssignment(Request, frozen=True):
    """Who is to take care of messages' dead letters, and until when; 0: as the site says."""

    ids: Ids
    owner: Text
    route: str = ""
    destination: str = ""
    due_at: Annotated[int, msgspec.Meta(ge=0)] = 0
    note: Annotated[str, msgspec.Meta(max_length=500)] = ""


class DeadGroupVerbs:
    """``dead.groups``, ``dead.letters``, ``dead.example``, ``dead.assign``."""

    def __init__(self, groups: DeadGroups) -> None:
        self._groups = groups

    def verbs(self) -> Verbs:
        return {
            "dead.groups": Verb(Selection, self.list_groups),
            "dead.letters": Verb(Selection, self.list_letters),
            "dead.example": Verb(Selection, self.show_example),
            "dead.assign": Verb(DeadAssignment, self.assign_letters, Access.CHANGES),
        }

    async def list_groups(self, asked: Selection, _caller: Caller) -> list[Group]:
        return await self._groups.groups(asked.filter())

    async def list_letters(self, asked: Selection, _caller: Caller) -> list[Letter]:
        return await self._groups.letters(asked.filter())

    async def show_example(self, asked: Selection, _caller: Caller) -> Example:
        return await self._groups.example(asked.filter())

    async def assign_letters(self, asked: DeadAssignment, caller: Caller) -> dict[str, int]:
        """``{"assigned": n}``: how many dead letters."""
        wanted = Filter(ids=asked.ids, route=asked.route, destination=asked.destination)
        care = Care(asked.owner, asked.due_at, asked.note, caller.name)
        return {"assigned": await self._groups.assign(wanted, care)}
