"""From one generation to the next while everything runs: build beside, start, swap, retire; any failure flips back."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from hcsyncd.config.model import Channel, Site
from hcsyncd.connectors.connector import Destination
from hcsyncd.flow.intake import Rules
from hcsyncd.runtime.change import Change, destinations, sources
from hcsyncd.runtime.channel import WayIn, terms_of
from hcsyncd.runtime.node import Node
from hcsyncd.runtime.site import build_generation
from hcsyncd.runtime.supervisor import SourceRunner

RETIRE_SECS = 30.0  # how long a reload waits for a removed source's messages to be handed on


class Reload:
    """One reload of a node. `run` either raises, and everything is as it was, or the new generation is live."""

    def __init__(self, node: Node, site: Site, number: int) -> None:
        """``number`` is the new generation's; it is above that of any before."""
        self._node = node
        self._old = node.generation
        self._new = build_generation(number, site)
        self._change = Change(node.generation.site, site)
        self._destinations: dict[str, Destination] = {}  # added and rebuilt, opened
        self._runners: dict[str, SourceRunner] = {}  # rebuilt, started
        self._added: list[WayIn] = []  # started

    async def run(self) -> tuple[str, ...]:
        """Raises PluginError, ConfigError or SourceError when the new generation cannot live. The changes in words."""
        async with AsyncExitStack() as undo:
            await self._node.load(self._new)
            undo.push_async_callback(self._node.forget, self._new)
            await self._open_destinations(undo)
            await self._start_sources(undo)
            undo.pop_all()
        await self._retire_sources()
        self._swap_sources()
        await self._swap_destinations()
        await self._node.settle(self._old)
        return self._change.words()

    async def _open_destinations(self, undo: AsyncExitStack) -> None:
        for channel in (*self._change.added_destinations, *self._change.rebuilt_destinations):
            destination = await self._node.open_destination(channel, self._new)
            self._destinations[channel.name] = destination
            undo.push_async_callback(destination.close)

    async def _start_sources(self, undo: AsyncExitStack) -> None:
        """Start what is new. A rebuilt source is stopped first, because both may want the same address; should its
        successor not start, it comes back."""
        for channel in self._change.rebuilt_sources:
            way = self._node.ways_in[channel.name]
            await way.runner.stop()
            undo.push_async_callback(self._bring_back, way)
            runner = self._node.runner(channel, self._new.formats[channel.name], way.intake)
            undo.push_async_callback(runner.stop)
            await runner.start()
            self._runners[channel.name] = runner
        for channel in self._change.added_sources:
            way = self._node.add_way_in(channel, self._new)
            undo.push_async_callback(self._take_away, way)
            await way.runner.start()
            self._added.append(way)

    async def _bring_back(self, way: WayIn) -> None:
        way.runner = self._node.runner(way.channel, self._old.formats[way.channel.name], way.intake)
        way.runner.keep()

    async def _take_away(self, way: WayIn) -> None:
        await way.end(RETIRE_SECS)
        del self._node.ways_in[way.channel.name]

    async def _retire_sources(self) -> None:
        """Close what is gone, and let its last messages be handed on by the routes they came in under."""
        for name in self._change.removed_sources:
            way = self._node.ways_in[name]
            await way.runner.stop()
            await way.run_dry(RETIRE_SECS)
            await way.end(RETIRE_SECS)
            del self._node.ways_in[name]  # not before: a stop that cuts this off must find it

    def _swap_sources(self) -> None:
        self._node.adopt(self._new)
        for name, channel in sources(self._new.site).items():
            way = self._node.ways_in[name]
            way.channel = channel
            way.intake.adopt(Rules(channel, self._new.formats[name], self._new.routes))
            if name in self._runners:
                way.runner = self._runners[name]
                way.runner.keep()
        for way in self._added:
            self._node.begin(way)

    async def _swap_destinations(self) -> None:
        for name in self._change.removed_destinations:
            self._node.retire(self._node.ways_out.pop(name))
        await asyncio.gather(*(self._swap(channel) for channel in destinations(self._new.site).values()))

    async def _swap(self, channel: Channel) -> None:
        destination = self._destinations.get(channel.name)
        out = self._node.ways_out.get(channel.name)
        if out is None:
            assert destination is not None
            await self._node.end_retired(channel.name)
            await self._node.add_way_out(channel, self._new, destination).dispatcher.recover()
            return
        before = out.destination
        out.channel, out.destination = channel, destination or before
        await out.dispatcher.change_terms(terms_of(self._new, channel, out.destination))
        if out.destination is not before:
            await before.close()
