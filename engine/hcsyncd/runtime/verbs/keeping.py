"""Retention: what is kept, what would go, and a run at once."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from hcsyncd.runtime.keeping import Keeper, Run
from hcsyncd.runtime.verb import Access, Caller, Request, Verb, Verbs
from hcsyncd.store.ports import Data, Retention

Secs = Annotated[float, msgspec.Meta(gt=0, le=20)]  # less than a caller waits for an answer


class Look(Request, frozen=True):
    """``limit_secs``: for so long, and then what was found until then."""

    limit_secs: Secs = 5.0


class RunNow(Request, frozen=True):
    """``sweep`` looks again at everything that could not go before: for the first of the calls that make up a run.
    ``sure`` says that the clock is right, where it is doubted."""

    limit_secs: Secs = 5.0
    sweep: bool = True
    sure: bool = False


class KeepingVerbs:
    """``retention.status``, ``retention.plan``, ``retention.run``."""

    def __init__(self, keeper: Keeper, retention: Retention) -> None:
        self._keeper = keeper
        self._retention = retention

    def verbs(self) -> Verbs:
        return {
            "retention.status": Verb(Look, self.status),
            "retention.plan": Verb(Look, self.plan),
            "retention.run": Verb(RunNow, self.run, Access.CHANGES),
        }

    async def status(self, asked: Look, _caller: Caller) -> dict[str, Any]:
        """What is kept by channel and class of data with its bounds, the file, the last run. ``counted`` False: there
        is more than that, and the next call goes on counting."""
        keeper = self._keeper
        if keeper.is_bounded:
            await keeper.trust.look()
        counted = await keeper.count(asked.limit_secs)
        channels = sorted({channel for channel, _ in keeper.volumes.found} | set(keeper.sources))
        return {
            "kept": [self._kept(channel, data) for channel in channels for data in Data],
            "counted": counted,
            "space": await self._retention.space(),
            "reserve_bytes": keeper.defaults.reserve_bytes,
            "every_secs": keeper.defaults.every_secs,
            "bounded": keeper.is_bounded,
            "clock_wait_secs": keeper.trust.wait_secs,
            "last": keeper.last,
        }

    def _kept(self, channel: str, data: Data) -> dict[str, Any]:
        kept, bounds = self._keeper.volumes.total(channel, data), self._keeper.bounds_of(channel)[data]
        return {
            "channel": channel,
            "data": data,
            "messages": kept.messages,
            "bytes": kept.bytes,
            "days": bounds.days,
            "max_count": bounds.max_count,
            "max_bytes": bounds.max_bytes,
        }

    async def plan(self, asked: Look, _caller: Caller) -> Run:
        return await self._keeper.plan(asked.limit_secs)

    async def run(self, asked: RunNow, _caller: Caller) -> Run:
        """``done`` False: call again, without ``sweep``."""
        return await self._keeper.keep(limit_secs=asked.limit_secs, sweep=asked.sweep, sure=asked.sure)
