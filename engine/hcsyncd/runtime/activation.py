"""Which configuration is live, and how another takes its place: at the start, by a reload, and back again when messages
fail under the new one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from msgspec import structs

from hcsyncd.clock import MICROSECONDS, Clock, isoformat
from hcsyncd.config.cases import load_cases
from hcsyncd.config.model import Site
from hcsyncd.config.reloading import ReloadOptions
from hcsyncd.config.site_files import names_on_disk
from hcsyncd.errors import ConfigError, ControlError, HcsyncdError, StoreError
from hcsyncd.events import (
    GenerationActivated,
    GenerationHeld,
    GenerationRefused,
    GenerationReverted,
    GenerationStuck,
)
from hcsyncd.observe.bus import EventBus
from hcsyncd.runtime import systemd
from hcsyncd.runtime.change import Change
from hcsyncd.runtime.configurations import Configurations, is_within
from hcsyncd.runtime.live import Order, Reloaded
from hcsyncd.runtime.node import Node
from hcsyncd.runtime.preview import LAYOUT_ALONE, Preview, changed_items, preview
from hcsyncd.runtime.probation import Probation, Verdict, Watch, shares_before
from hcsyncd.runtime.reload import Reload
from hcsyncd.runtime.site import Checked, Generation, build_generation, check_site
from hcsyncd.store.ports import ConfigurationOutcome, ConfigurationRow, Filter, History, NewConfiguration

ITSELF = "hcsyncd"  # who gave a configuration up
AT_START = Order("start", "")
MAX_DEAD = 10_000  # that are counted when a configuration was given up


class Activation:
    """Keeps every configuration that goes live in the history before anything is made by it."""

    def __init__(
        self,
        folder: Path,
        configurations: Configurations,
        history: History,
        bus: EventBus,
        clock: Clock,
        options: ReloadOptions,
        changing: asyncio.Lock,
    ) -> None:
        """``changing`` is held while anything of the node is changed."""
        self.activated_at = clock.now()
        self.given_up = ""  # why the files on disk are not what runs; "" while nothing says so
        self.folder = folder
        self._configurations = configurations
        self._kept = configurations.history
        self._history = history
        self._bus = bus
        self._clock = clock
        self._probation = Probation(bus, options, self._give_up_soon)
        self._changing = changing
        self._giving_up: asyncio.Task[None] | None = None
        self._at_work: asyncio.Task[Any] | None = None  # changes something now
        self._stopping = False
        self._node: Node
        self._stood: _Stand  # before the reload that is watched

    @property
    def generation(self) -> Generation:
        """The one that is live."""
        return self._node.generation

    @property
    def watched_until(self) -> int:
        """Until when the errors of a new configuration are watched, 0 when they are not."""
        left = self._probation.secs_left
        return self._clock.now() + int(left * MICROSECONDS) if left else 0

    async def begin(self, site: Site) -> Generation:
        """The generation to start with. Its number is the last one's when the files are the same. Files that were given
        up are not started again by themselves: the last good ones are, until somebody reloads."""
        last = await self._kept.last()
        given_up = await self._given_up(site.digest)
        if last is not None and last.digest != site.digest and given_up is not None:
            kept = await self._again(last.number)
            if kept is not None:
                self.given_up = held_words(given_up.number, given_up.why)
                self._bus.emit(GenerationHeld(last.number, given_up.number, given_up.why))
                site = kept
        if last is not None and last.digest == site.digest:
            number = last.number
        else:
            number = await self._keep(site, AT_START, await self._file_changes(last, site))
        await self._kept.settle(number, ConfigurationOutcome.LIVE)
        return build_generation(number, site)

    def attach(self, node: Node) -> None:
        """The node that the first generation was built for; tells that it is live."""
        self._node = node
        self._tell(AT_START, ())

    async def stop(self, limit_secs: float) -> None:
        """Change nothing any more. What is being changed has so long to end and is cut off then: a source must not come
        to life behind the back of a daemon that stops."""
        self._stopping = True
        self._probation.end()
        if self._at_work is not None:
            _, late = await asyncio.wait([self._at_work], timeout=limit_secs)
            for task in late:
                task.cancel()
                await asyncio.wait([task], timeout=limit_secs)

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Changes come one after the other."""
        async with self._changing:
            self._at_work = asyncio.current_task()
            try:
                yield
            finally:
                self._at_work = None

    async def reload(self, order: Order, digest: str = "") -> Reloaded:
        """Take the site as its files are now; with ``digest``, of a plan that was shown, only if they are still the
        same. Raises ConfigError with all findings, or ControlError; what was running goes on then."""
        async with self._turn():
            if self._stopping:
                raise ControlError("the daemon is being stopped: it takes the files as they are when it starts again")
            systemd.reloading()
            try:
                return await self._reload(order, digest)
            finally:
                systemd.ready(f"generation {self._node.generation.number}")

    async def sites(self) -> tuple[Site, Site]:
        """What runs, and what is on disk. Raises ConfigError with all findings when that cannot be used."""
        checked = await asyncio.to_thread(check_site, self.folder)
        return self._node.generation.site, _whole(checked, "there is nothing to compare")

    async def plan(self) -> Preview:
        """What a reload would change. Raises ConfigError with all findings when the site cannot be used."""
        checked = await asyncio.to_thread(check_site, self.folder)
        change = Change(self._node.generation.site, _whole(checked, "there is nothing to plan"))
        queued = await self._kept.queued()
        return preview(self._node.generation.number, change, queued, self._node.connections, checked.findings)

    async def save(self, order: Order) -> int:
        """Keep the files on disk, whether or not they make a site; their number, 0 when they are what runs."""
        checked = await asyncio.to_thread(check_site, self.folder)
        try:
            files = await asyncio.to_thread(files_on_disk, self.folder, checked.site)
        except OSError as error:
            raise ControlError(f"the site's files cannot be read: {error}") from error
        if files == await self._kept.files(self._node.generation.number):
            return 0
        digest = checked.site.digest if checked.site else ""
        return await self._kept.add(
            NewConfiguration(digest, order.author, order.reason, files, ConfigurationOutcome.SAVED)
        )

    async def _reload(self, order: Order, digest: str) -> Reloaded:
        checked = await asyncio.to_thread(check_site, self.folder)
        try:
            changes = await self._take(checked, order, digest)
        except HcsyncdError as error:
            self._bus.emit(GenerationRefused(len(checked.errors), str(error)))
            raise
        return Reloaded(self._node.generation.number, changes, checked.findings)

    async def _take(self, checked: Checked, order: Order, digest: str) -> tuple[str, ...]:
        site = _whole(checked, "what runs goes on")
        if digest and not site.digest.startswith(digest):
            raise ControlError(
                "the files have changed since that plan was shown; what runs goes on: look at `hcsyncd plan` again"
            )
        if site.digest == self._node.generation.site.digest:
            self.given_up = ""
            return ()
        stand = await self._stand() if self._probation.is_wanted else None
        changes = await self._switch(site, order)
        self.given_up = ""
        if stand is not None:
            self._put_on_probation(stand)
        return changes

    async def _switch(self, site: Site, order: Order) -> tuple[str, ...]:
        """Make a site the live generation; its number is kept first, and forgotten when it does not come to life."""
        change = Change(self._node.generation.site, site)
        number = await self._keep(site, order, tuple(item.words() for item in changed_items(change)))
        try:
            changes = await Reload(self._node, site, number).run() or (LAYOUT_ALONE,)
        except BaseException:
            with contextlib.suppress(StoreError):  # the store has said so itself; the next start tidies up
                await asyncio.shield(self._kept.drop(number))
            raise
        with contextlib.suppress(StoreError):  # as above: it is live whatever could be written down
            await self._kept.settle(number, ConfigurationOutcome.LIVE)
        self._tell(order, changes)
        return changes

    def _tell(self, order: Order, changes: tuple[str, ...]) -> None:
        self.activated_at = self._clock.now()
        generation = self._node.generation
        channels, routes = len(generation.site.channels), len(generation.site.routes)
        words = "; ".join(changes)
        self._bus.emit(GenerationActivated(generation.number, channels, routes, words, order.author, order.reason))

    async def _keep(self, site: Site, order: Order, changes: tuple[str, ...]) -> int:
        files = await asyncio.to_thread(files_of, site)
        return await self._kept.add(
            NewConfiguration(site.digest, order.author, order.reason, files, changes=tuple(changes))
        )

    # At the start

    async def _given_up(self, digest: str) -> ConfigurationRow | None:
        """The configuration of this digest, when the last that was heard of it is that it was given up."""
        rows = [row for row in await self._kept.rows() if row.digest == digest]
        return rows[0] if rows and rows[0].outcome is ConfigurationOutcome.REVERTED else None

    async def _again(self, number: int) -> Site | None:
        """An older generation's site, to run from the site's own folder; None when it can no longer be used."""
        try:
            async with self._configurations.site_of(number) as site:
                return replace(site, folder=self.folder)
        except ControlError:
            return None

    async def _file_changes(self, last: ConfigurationRow | None, site: Site) -> tuple[str, ...]:
        if last is None:
            return ()
        return file_changes(await self._kept.files(last.number), await asyncio.to_thread(files_of, site))

    # Giving up

    async def _stand(self) -> _Stand:
        node = self._node
        up = frozenset(name for name, out in node.ways_out.items() if not out.dispatcher.error)
        return _Stand(node.generation, await shares_before(self._kept), up)

    def _put_on_probation(self, stand: _Stand) -> None:
        self._stood = stand
        node = self._node
        change = Change(stand.generation.site, node.generation.site)
        known = change.old.channels.keys() & change.new.channels.keys()
        rebuilt = {channel.name for channel in change.rebuilt_destinations} & stand.up & node.ways_out.keys()
        self._probation.begin(
            Watch(
                node.generation.number,
                {name: stand.shares.get(name, 0.0) for name in known},
                frozenset(rebuilt),
                self._queued,
            )
        )

    def _queued(self, destination: str) -> int:
        out = self._node.ways_out.get(destination)
        return out.dispatcher.open if out else 0

    def _give_up_soon(self, verdict: Verdict) -> None:
        self._giving_up = asyncio.get_running_loop().create_task(self._give_up(verdict), name="give up a generation")

    async def _give_up(self, verdict: Verdict) -> None:
        async with self._turn():
            if self._stopping or self._node.generation.number != verdict.generation:
                return  # a person was faster
            began_at, before = self.activated_at, self._stood.generation
            reason = f"channel {verdict.channel}: {verdict.reason}"
            order = Order(ITSELF, f"generation {verdict.generation} was given up: {reason}")
            try:
                await self._switch(before.site, order)
            except HcsyncdError as error:
                self._bus.emit(GenerationStuck(verdict.generation, reason, str(error)))
                return
            self.given_up = held_words(verdict.generation, reason)
            dead, command = await self._dead_by(verdict, began_at)
            left = f"; {dead} messages are dead letters by it: {command}" if command else ""
            with contextlib.suppress(StoreError):  # the store has said so itself
                await self._kept.settle(verdict.generation, ConfigurationOutcome.REVERTED, reason + left)
            self._bus.emit(
                GenerationReverted(verdict.generation, before.number, verdict.channel, reason, dead, command)
            )

    async def _dead_by(self, verdict: Verdict, began_at: int) -> tuple[int, str]:
        """How many messages became dead letters, and the command that puts them on the road again; (0, "") when nobody
        can tell."""
        try:
            return await self._count_dead(verdict, began_at)
        except StoreError:
            return 0, ""

    async def _count_dead(self, verdict: Verdict, began_at: int) -> tuple[int, str]:
        first = await self._history.message(verdict.first_failed) if verdict.first_failed else None
        since = min(began_at, first.received_at if first else began_at) // MICROSECONDS * MICROSECONDS
        wanted = Filter(since=since, limit=MAX_DEAD)
        option = "destination" if verdict.is_destination else "channel"
        dead = await self._history.dead(structs.replace(wanted, **{option: verdict.channel}))
        count = len({letter.message.id for letter in dead})
        command = f"hcsyncd dead replay --{option} {verdict.channel} --since {isoformat(since)}"
        return count, command if count else ""


@dataclass(frozen=True, slots=True)
class _Stand:
    """How things stood before a reload."""

    generation: Generation
    shares: Mapping[str, float]  # of failures, by channel
    up: frozenset[str]  # destinations


def _whole(checked: Checked, consequence: str) -> Site:
    """The site, where it has no errors; ConfigError with all findings where it has."""
    if checked.site is None:
        errors = len(checked.errors)
        raise ConfigError(f"the site has {errors} error{'s' * (errors > 1)}; {consequence}", checked.findings)
    return checked.site


def files_of(site: Site) -> dict[str, bytes]:
    """All that a generation consists of, the cases beside its channels included; by name. Blocks."""
    cases = load_cases(site).files
    return {**{name: content for name, content in cases.items() if is_within(name)}, **site.files}


def files_on_disk(folder: Path, site: Site | None) -> dict[str, bytes]:
    """What a site's folder holds of a generation; ``site`` where it can be loaded, as only then it is known which files
    its cases name. Blocks. Raises OSError."""
    known = files_of(site) if site else {}
    return {**known, **{name: (folder / name).read_bytes() for name in names_on_disk(folder)}}


def file_changes(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> tuple[str, ...]:
    """What became of each file, in words."""
    words = []
    for name in sorted(old.keys() | new.keys()):
        if name not in old:
            words.append(f"{name}: added")
        elif name not in new:
            words.append(f"{name}: removed")
        elif old[name] != new[name]:
            words.append(f"{name}: changed")
    return tuple(words)


def held_words(number: int, reason: str) -> str:
    """What `status` says while the files on disk are those of a configuration that was given up."""
    return (
        f"the files on disk are not what runs: generation {number} was given up ({reason});"
        " `hcsyncd plan` shows what differs, `hcsyncd rollback` puts back the files that run"
    )
