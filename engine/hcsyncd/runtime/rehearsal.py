"""Stored messages through a configuration, for what it would make of them: nothing is stored and nothing is sent."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from hcsyncd.config.model import Site
from hcsyncd.flow.transform import Plan, Transformer
from hcsyncd.formats.format import Format
from hcsyncd.message import Message
from hcsyncd.plugins.pool import WorkerPool
from hcsyncd.runtime.change import sources
from hcsyncd.runtime.site import build_generation, transform_sources
from hcsyncd.store.ports import Handoff

# Workers know generations by number; these meet none of those that are or were live.
_numbers = itertools.count(-1, -1)


class Rehearsal:
    """One site, its transforms loaded in the workers, which run them while no live message waits."""

    def __init__(self, pool: WorkerPool, plan: Plan) -> None:
        self._transformer = Transformer(pool, background=True)
        self._plan = plan

    async def hand_offs(self, messages: Sequence[Message]) -> list[Handoff]:
        """What the site would hand on, message by message. A message of a channel that the site does not have must not
        be among them (`knows`)."""
        return await self._transformer.hand_offs(self._plan, messages)

    @property
    def generation(self) -> int:
        """The number by which the workers know the site: that of the configuration, where it is the live one."""
        return self._plan.generation

    def format_of(self, channel: str) -> Format | None:
        return self._plan.formats.get(channel)

    def routes(self) -> Mapping[str, Sequence[str]]:
        """The routes in service, each with its destinations."""
        return self._plan.routes.ways()

    def knows(self, channel: str) -> bool:
        """Whether the site has this source channel."""
        known = self._plan.channels.get(channel)
        return known is not None and known.source is not None


@asynccontextmanager
async def rehearse(pool: WorkerPool, site: Site, instance: str) -> AsyncIterator[Rehearsal]:
    """A rehearsal of a site beside what is live; ``instance`` is the store's name, which idempotency keys begin with.
    Raises PluginError when the site's transforms do not load."""
    generation = build_generation(next(_numbers), site)
    formats = {
        name: (channel.format.kind, channel.format.options.model_dump(mode="json"))
        for name, channel in sources(site).items()
    }
    await pool.load(generation.number, transform_sources(site), site.tables, formats)
    try:
        yield Rehearsal(pool, Plan(generation.number, instance, generation.routes, site.channels, generation.formats))
    finally:
        await pool.forget(generation.number)
