"""Replays: planned, looked at, applied, held, resumed, cancelled."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from hcsyncd.errors import ControlError
from hcsyncd.runtime.repair import Id
from hcsyncd.runtime.replay_plan import ReplayAsk
from hcsyncd.runtime.replaying import Replaying, decode_ask
from hcsyncd.runtime.verb import Access, Caller, Request, Verb, Verbs
from hcsyncd.store.ports import ItemRow, Link, ReplayRow, Replays

PAGE = 1000
HIDDEN = "***"
PAGING = frozenset({"after_id", "limit", "newest_first"})


class ListRequest(Request, frozen=True):
    """The newest first, below number ``before`` where it is given."""

    before: Annotated[int, msgspec.Meta(ge=0)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=PAGE)] = 50


class OneReplay(Request, frozen=True):
    """A replay; or a message, for ``replays.of``."""

    id: Id


class ItemsRequest(Request, frozen=True):
    """Items behind ``after_id``, in their order."""

    id: Id
    after_id: Annotated[int, msgspec.Meta(ge=0)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=PAGE)] = PAGE


class ApplyRequest(Request, frozen=True):
    """``digest``: the plan that was looked at, and no other."""

    id: Id
    digest: str = ""


class ChangeRequest(Request, frozen=True):
    id: Id
    reason: Annotated[str, msgspec.Meta(max_length=500)] = ""


class ReplayVerbs:
    """``replays.plan``, ``.list``, ``.show``, ``.items``, ``.of``, ``.apply``, ``.hold``, ``.resume``, ``.cancel``."""

    def __init__(self, replays: Replays, replaying: Replaying) -> None:
        self._replays = replays
        self._replaying = replaying

    def verbs(self) -> Verbs:
        return {
            "replays.plan": Verb(ReplayAsk, self.plan, Access.CHANGES),
            "replays.list": Verb(ListRequest, self.list_replays),
            "replays.show": Verb(OneReplay, self.show),
            "replays.items": Verb(ItemsRequest, self.items),
            "replays.of": Verb(OneReplay, self.of_message),
            "replays.apply": Verb(ApplyRequest, self.apply, Access.CHANGES),
            "replays.hold": Verb(ChangeRequest, self.hold, Access.CHANGES),
            "replays.resume": Verb(ChangeRequest, self.resume, Access.CHANGES),
            "replays.cancel": Verb(ChangeRequest, self.cancel, Access.CHANGES),
        }

    async def plan(self, asked: ReplayAsk, caller: Caller) -> dict[str, int]:
        """``{"id": n}``: it is planned in the background, and does nothing until it is applied."""
        return {"id": await self._replaying.plan(asked, caller.name)}

    async def list_replays(self, asked: ListRequest, _caller: Caller) -> list[dict[str, Any]]:
        return [self._shown(row) for row in await self._replays.rows(asked.before, asked.limit)]

    async def show(self, asked: OneReplay, _caller: Caller) -> dict[str, Any]:
        """``{"replay": {...}, "tallies": [...]}``: what it is, and how many of its items have which outcome."""
        row = await self._replays.row(asked.id)
        if row is None:
            raise ControlError(f"there is no replay {asked.id}")
        return {"replay": self._shown(row), "tallies": await self._replays.tallies(asked.id)}

    async def items(self, asked: ItemsRequest, _caller: Caller) -> list[ItemRow]:
        return await self._replays.items(asked.id, asked.after_id, asked.limit)

    async def of_message(self, asked: OneReplay, _caller: Caller) -> list[Link]:
        """The replays that have a message, as the original or as the copy."""
        return await self._replays.links(asked.id)

    async def apply(self, asked: ApplyRequest, caller: Caller) -> dict[str, Any]:
        return self._shown(await self._replaying.apply(asked.id, asked.digest, caller.name))

    async def hold(self, asked: ChangeRequest, caller: Caller) -> dict[str, Any]:
        return self._shown(await self._replaying.hold(asked.id, asked.reason, caller.name))

    async def resume(self, asked: ChangeRequest, _caller: Caller) -> dict[str, Any]:
        return self._shown(await self._replaying.resume(asked.id))

    async def cancel(self, asked: ChangeRequest, caller: Caller) -> dict[str, Any]:
        return self._shown(await self._replaying.cancel(asked.id, asked.reason, caller.name))

    def _shown(self, row: ReplayRow) -> dict[str, Any]:
        """A replay for a person. What messages were found by may be a patient's: it is not shown."""
        ask = msgspec.to_builtins(decode_ask(row.asked))
        ask.pop("body", None)
        wanted = {name: value for name, value in ask.pop("wanted").items() if value and name not in PAGING}
        for name in ("keys", "text"):
            if name in wanted:
                wanted[name] = HIDDEN
        asked = {name: value for name, value in {**ask, "wanted": wanted}.items() if value not in ("", 0, False)}
        return {**msgspec.to_builtins(row), "asked": asked, "waits_for": self._replaying.waits_for(row.id)}
