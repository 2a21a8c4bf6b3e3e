"""The stored traffic through what runs and through what is on disk."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Annotated, Any

import msgspec

from hcsyncd.config.model import Site
from hcsyncd.runtime.rehearsal import Rehearsal
from hcsyncd.runtime.shadow import Shadow, ShadowPage
from hcsyncd.runtime.verb import Access, Caller, Request, Verb, Verbs
from hcsyncd.store.ports import Filter

MAX_PAGE = 500  # messages

Sites = Callable[[], Awaitable[tuple[Site, Site]]]  # what runs, and what is on disk; ConfigError when that has errors
Rehearse = Callable[[Site], AbstractAsyncContextManager[Rehearsal]]


class Look(Request, frozen=True):
    """The next arrivals of a comparison, in their order; ``values`` shows what the differing fields say."""

    number: int
    channel: str = ""
    since: int | None = None
    until: int | None = None
    after_id: int = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_PAGE)] = 100
    values: bool = False


class Ended(Request, frozen=True):
    """A comparison that is wanted no more."""

    number: int


def _looking(asked: Look) -> Access:
    return Access.SEES if asked.values else Access.LOOKS


class ShadowVerbs:
    """``shadow.begin``, ``shadow.page``, ``shadow.end``."""

    def __init__(self, shadow: Shadow, sites: Sites, rehearse: Rehearse) -> None:
        self._shadow = shadow
        self._sites = sites
        self._rehearse = rehearse

    def verbs(self) -> Verbs:
        return {
            "shadow.begin": Verb(Request, self.begin),
            "shadow.page": Verb(Look, self.page, _looking),
            "shadow.end": Verb(Ended, self.end),
        }

    async def begin(self, _asked: Request, _caller: Caller) -> dict[str, Any]:
        """``{"number": n}`` to go on with; 0 when what is on disk is what runs."""
        self._shadow.refuse_too_many()
        running, on_disk = await self._sites()
        if running.digest == on_disk.digest:
            return {"number": 0}
        async with AsyncExitStack() as closing:
            before = await closing.enter_async_context(self._rehearse(running))
            after = await closing.enter_async_context(self._rehearse(on_disk))
            return {"number": self._shadow.begin(before, after, closing.pop_all())}

    async def page(self, asked: Look, _caller: Caller) -> ShadowPage:
        wanted = Filter(
            channel=asked.channel,
            since=asked.since,
            until=asked.until,
            after_id=asked.after_id,
            limit=asked.limit,
            newest_first=False,
        )
        return await self._shadow.page(asked.number, wanted, values=asked.values)

    async def end(self, asked: Ended, _caller: Caller) -> dict[str, int]:
        await self._shadow.end(asked.number)
        return {"number": asked.number}
