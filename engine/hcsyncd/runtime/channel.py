"""The live parts of one channel: a source with its intake and processor, or a destination with its dispatcher."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hcsyncd.clock import Clock
from hcsyncd.config.model import Channel, Site
from hcsyncd.connectors.connector import Connector, Destination, Role, Seat, Source
from hcsyncd.connectors.registry import find
from hcsyncd.errors import ConfigError
from hcsyncd.events import Event
from hcsyncd.flow.attempt import Policy, Terms
from hcsyncd.flow.deliver import Dispatcher
from hcsyncd.flow.intake import ChannelIntake
from hcsyncd.flow.process import Processor
from hcsyncd.formats.format import Format
from hcsyncd.runtime.site import Generation
from hcsyncd.runtime.supervisor import SourceRunner


@dataclass(slots=True)
class WayIn:
    """A source channel, alive."""

    channel: Channel
    intake: ChannelIntake
    processor: Processor
    runner: SourceRunner
    processing: asyncio.Task[None] | None = None

    async def end(self, limit_secs: float) -> None:
        """Close the source, then stop processing; what is not handed on stays received in the store."""
        await self.runner.stop(limit_secs)
        if self.processing is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limit_secs):
                    await self.processor.end()
            self.processing.cancel()
            await asyncio.gather(self.processing, return_exceptions=True)

    async def run_dry(self, limit_secs: float) -> None:
        """Wait until everything that was received is handed on; gives up after ``limit_secs``, and at once where a
        person holds the routing."""
        if self.processor.held:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_secs):
                await self.processor.backlog.dry()


@dataclass(slots=True)
class WayOut:
    """A destination channel, alive."""

    channel: Channel
    destination: Destination
    dispatcher: Dispatcher

    async def run_dry(self) -> None:
        """Wait until nothing is queued any more, and close the destination."""
        while self.dispatcher.open:
            await self.dispatcher.dry()
        await self.end()

    async def end(self) -> None:
        """Start no more sends, let those under way end, and close the destination."""
        try:
            await self.dispatcher.stop(None)
        finally:
            await self.dispatcher.stop(0.0)  # where this is cut off, so are they
            await self.destination.close()


@dataclass(frozen=True, slots=True)
class Ground:
    """What connectors stand on."""

    site: Path
    state: Path  # each channel has a folder of its own below it
    emit: Callable[[Event], None]
    clock: Clock

    def seat(self, channel: str, form: Format) -> Seat:
        state = self.state / channel
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Seat(channel, form, self.emit, self.clock, self.site, state)

    def source(self, channel: Channel, form: Format) -> Source:
        """Build the source of a channel; it is started by its runner."""
        part = channel.source
        assert part is not None
        built: Source = _connector(part.kind, Role.SOURCE).build(part.options, self.seat(channel.name, form))
        return built

    async def destination(self, channel: Channel, form: Format) -> Destination:
        """Build and open the destination of a channel. Raises ConfigError for what is wrong on our side."""
        part = channel.destination
        assert part is not None
        built: Destination = _connector(part.kind, Role.DESTINATION).build(part.options, self.seat(channel.name, form))
        try:
            await built.open()
        except OSError as error:
            raise ConfigError(f"channel {channel.name}: {error}") from error
        return built


def _connector(kind: str, role: Role) -> Connector:
    connector: Connector | None = find(kind, role)
    assert connector is not None  # the site was checked
    return connector


def can_ask(channel: Channel) -> bool:
    """Whether the other side of a destination can be asked what it has."""
    return channel.destination is not None and bool(getattr(channel.destination.options, "can_ask", False))


def terms_of(generation: Generation, channel: Channel, destination: Destination) -> Terms:
    """What a destination's dispatcher is to work by."""
    return Terms(destination, channel.options, _policies(generation.site, channel))


def _policies(site: Site, channel: Channel) -> Callable[[str], Policy]:
    own = Policy(channel.options.retry, channel.options.on_dead, channel.options.on_parked)
    policies = {
        route.name: Policy(
            route.options.retry or own.retry,
            route.options.on_dead or own.on_dead,
            route.options.on_parked or own.on_parked,
        )
        for route in site.routes
    }
    return lambda route: policies.get(route, own)
