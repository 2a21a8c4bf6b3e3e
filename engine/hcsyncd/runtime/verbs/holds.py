"""Channels held and let go on."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from hcsyncd.runtime.holding import Holding, Road
from hcsyncd.runtime.verb import Access, Caller, Request, Verb, Verbs
from hcsyncd.store.ports import Hold, HoldKind


class HoldRequest(Request, frozen=True):
    """Channels to be held; none named means every one of which ``hold`` can be."""

    hold: HoldKind
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
    channels: tuple[str, ...] = ()


class ResumeRequest(Request, frozen=True):
    """Channels to go on; none named means every one that is held so."""

    hold: HoldKind
    reason: Annotated[str, msgspec.Meta(max_length=500)] = ""
    channels: tuple[str, ...] = ()


class HoldVerbs:
    """``hold.list``, ``hold.set``, ``hold.lift``."""

    def __init__(self, holding: Holding, road: Road) -> None:
        self._holding = holding
        self._road = road

    def verbs(self) -> Verbs:
        return {
            "hold.list": Verb(Request, self.list_holds),
            "hold.set": Verb(HoldRequest, self.set_hold, Access.CHANGES),
            "hold.lift": Verb(ResumeRequest, self.lift_hold, Access.CHANGES),
        }

    async def list_holds(self, _asked: Request, _caller: Caller) -> list[Hold]:
        return self._holding.all()

    async def set_hold(self, asked: HoldRequest, caller: Caller) -> list[Hold]:
        """The holds that are in force now, of those asked for."""
        return await self._holding.hold(self._road, asked.hold, asked.channels, caller.name, asked.reason)

    async def lift_hold(self, asked: ResumeRequest, caller: Caller) -> dict[str, Any]:
        """``{"resumed": {channel: why it does not go on at once, or ""}}``."""
        return {
            "resumed": await self._holding.resume(self._road, asked.hold, asked.channels, caller.name, asked.reason)
        }
