"""Retention at work: what is kept long enough goes, in small slices between the commits of live traffic, and the disk
space with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from hcsyncd.clock import MICROSECONDS, Clock
from hcsyncd.config.keeping import Keep, Keeping, KeepingDefaults, kept
from hcsyncd.config.model import Site
from hcsyncd.errors import StoreError
from hcsyncd.events import AttemptsFolded, AuditCut, Event, RetentionFailed, RetentionHeld, RetentionRan, SpaceReturned
from hcsyncd.message import MessageState
from hcsyncd.runtime.trusted_time import TrustedTime
from hcsyncd.runtime.volumes import Volumes
from hcsyncd.store.ports import SETTLED_STATES, Bound, Data, Family, Kept, Retention

DAY_MICROSECONDS = 86_400 * MICROSECONDS
SLICE_SECS = 0.004  # how long one slice may hold up the writer, and so whoever shares its commit
# After each read and each slice it rests so many times as long as that took, the wait for its turn included: while
# others wait for the writer, and while nobody does. The machine belongs to the messages.
BUSY_REST = 5.0
IDLE_REST = 0.5
SLICE_MESSAGES = 512
SLICE_BYTES = 4 << 20  # of bodies; a larger one goes alone
SLICE_DELIVERIES = 64
SLICE_SPACE = 4 << 20
SWEEP_SECS = 86_400.0  # what was passed over because it could not go yet is looked at again so often


class Slices:
    """How much to ask of the writer at once: learnt from how long it took before."""

    def __init__(self, most: int, least: int = 1) -> None:
        self._most, self._least = most, least
        self.size = max(least, most // 16)

    def learn(self, asked: int, seconds: float) -> None:
        fitting = int(asked * SLICE_SECS / max(seconds, 1e-6))
        self.size = max(self._least, min(fitting, self.size * 2, self._most))


@dataclass(frozen=True, slots=True)
class Gone:
    """What went, or would go, of one channel and class of data."""

    channel: str
    data: Data
    messages: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Run:
    """What a run came to. ``done`` False: its time was up, and another goes on. ``held``: the clock is doubted."""

    gone: tuple[Gone, ...] = ()
    attempts: int = 0
    returned_bytes: int = 0
    done: bool = True
    held: bool = False
    ended_at: int = 0


@dataclass(slots=True)
class _Tally:
    """A run under way."""

    gone: dict[tuple[str, Data], Kept] = field(default_factory=dict)
    attempts: int = 0
    returned: int = 0

    def add(self, bound: Bound, messages: int, size: int) -> None:
        before = self.gone.get((bound.channel, bound.data), Kept())
        self.gone[bound.channel, bound.data] = Kept(before.messages + messages, before.bytes + size)

    def rows(self) -> tuple[Gone, ...]:
        return tuple(
            Gone(channel, data, kept.messages, kept.bytes)
            for (channel, data), kept in self.gone.items()
            if kept.messages
        )


class Keeper:
    """Runs every few minutes, or when a person asks. ``site`` gives the live configuration, ``pending`` says how many
    writes wait for their commit, ``cut_audit`` takes the audit's entries away that are older than a moment."""

    def __init__(
        self,
        retention: Retention,
        site: Callable[[], Site],
        pending: Callable[[], int],
        cut_audit: Callable[[int], Awaitable[int]],
        emit: Callable[[Event], None],
        clock: Clock,
    ) -> None:
        self._retention = retention
        self._cut_audit = cut_audit
        self._site = site
        self._pending = pending
        self._emit = emit
        self._clock = clock
        self.volumes = Volumes(retention)
        self.trust = TrustedTime(retention, clock)
        self.last = Run()
        self._running = asyncio.Lock()
        self._passed: dict[tuple[str, Data, MessageState], int] = {}  # walked up to: nothing due lies before
        self._folded = 0
        self._swept_at = clock.monotonic()
        self._deadline: float | None = None
        self._rested_at = 0.0
        self._slices = {data: Slices(SLICE_MESSAGES) for data in Data}
        self._fold_slices = Slices(SLICE_DELIVERIES)
        self._space_slices = Slices(SLICE_SPACE, 64 << 10)
        self._told_held = False

    @property
    def defaults(self) -> KeepingDefaults:
        return self._site().daemon.retention

    @property
    def sources(self) -> list[str]:
        """The source channels as configured."""
        return [name for name, channel in self._site().channels.items() if channel.source]

    def bounds_of(self, channel: str) -> Mapping[str, Keep]:
        """What holds for a channel; one that is no longer configured has the defaults."""
        known = self._site().channels.get(channel)
        return kept(known.options.retention if known else Keeping(), self.defaults)

    @property
    def is_bounded(self) -> bool:
        """Whether anything is ever to go; else nothing is read either."""
        everywhere = [kept(channel.options.retention, self.defaults) for channel in self._site().channels.values()]
        everywhere.append(kept(Keeping(), self.defaults))
        others = self.defaults.attempts > 0 or self.defaults.audit_days is not None
        return others or any(keep.is_bounded for bounds in everywhere for keep in bounds.values())

    async def run(self) -> None:
        """Keep to the bounds, until cancelled."""
        while True:
            await asyncio.sleep(self.defaults.every_secs)
            if not self.is_bounded:
                continue
            try:
                await self.keep()
            except StoreError as error:
                self._emit(RetentionFailed(str(error)))
            except Exception as error:  # a defect here must not stop the messages; its text might hold data
                self._emit(RetentionFailed(f"{type(error).__name__} in retention"))

    async def keep(self, *, limit_secs: float | None = None, sweep: bool = False, sure: bool = False) -> Run:
        """One run. ``limit_secs`` ends it early, ``sweep`` looks at everything again, ``sure`` believes the clock. What
        went before a failure, a StoreError, is told by events."""
        async with self._running:
            self._begin(limit_secs)
            if sure:
                await self.trust.believe()
            elif not await self.trust.look():
                self._tell_held()
                self.last = Run(held=True, ended_at=self._clock.now())
                return self.last
            self._told_held = False
            tally = _Tally()
            try:
                if sweep or self._clock.monotonic() - self._swept_at > SWEEP_SECS:
                    self._forget()
                    await self._keep_audit()
                await self._keep(tally)
            finally:
                self._tell(tally)
            now, done = self._clock.now(), self._has_time()
            self.last = Run(tally.rows(), tally.attempts, tally.returned, done, ended_at=now)
            return self.last

    async def plan(self, limit_secs: float) -> Run:
        """What a run would remove now; ``done`` False: at least that, as its time was up."""
        async with self._running:
            self._begin(limit_secs)
            tally = _Tally()
            async for bound in self._bounds():
                replayed: set[int] = set()  # those families are met in more than one state
                for state in SETTLED_STATES:
                    await self._measure(bound, state, tally, replayed)
            return Run(tally.rows(), done=self._has_time(), ended_at=self._clock.now())

    async def count(self, limit_secs: float) -> bool:
        """Count what every channel keeps, as far as the time goes; whether all of it is counted."""
        async with self._running:
            self._begin(limit_secs)
            return await self.volumes.count(self._go_on)

    # A run

    def _begin(self, limit_secs: float | None) -> None:
        self._rested_at = self._clock.monotonic()
        self._deadline = None if limit_secs is None else self._rested_at + limit_secs

    async def _keep_audit(self) -> None:
        """Once a day: each cut is an entry of its own."""
        if self.defaults.audit_days is None:
            return
        before = self._clock.now() - round(self.defaults.audit_days * DAY_MICROSECONDS)
        if entries := await self._cut_audit(before):
            self._emit(AuditCut(entries))

    async def _keep(self, tally: _Tally) -> None:
        async for bound in self._bounds():
            for state in SETTLED_STATES:
                await self._remove(bound, state, tally)
        if self.defaults.attempts:
            await self._fold(self.defaults.attempts, tally)
        await self._give_back(tally)
        if tally.gone or tally.returned:
            await self._retention.empty_log()

    async def _bounds(self) -> AsyncIterator[Bound]:
        """What is due, class by class: rows go after the bodies that they tell of."""
        channels = await self._retention.channels()
        for data in Data:
            for channel in channels:
                keep = self.bounds_of(channel)[data]
                if not keep.is_bounded:
                    continue
                below = 0
                if keep.max_count is not None or keep.max_bytes is not None:
                    if not await self.volumes.count(self._go_on):
                        continue  # out of time: nothing may go by a count that is not whole
                    below = await self.volumes.below(channel, data, keep)
                before = self._clock.now() - round(keep.days * DAY_MICROSECONDS) if keep.days is not None else 0
                yield Bound(channel, data, before, below)

    async def _remove(self, bound: Bound, state: MessageState, tally: _Tally) -> None:
        """Walk the messages of one state, and remove what is due."""
        place = (bound.channel, bound.data, state)
        slices = self._slices[bound.data]
        while await self._go_on():
            walked = await self._retention.walk(bound, state, self._passed.get(place, 0))
            for roots in _portions(walked.families, slices):
                if not self._has_time():
                    return
                removed = await self._retention.remove(bound, roots)
                tally.add(bound, removed.messages, removed.bytes)
                self.volumes.forget(roots)
                slices.learn(len(roots), removed.seconds)
                await self._rest()
            self._passed[place] = walked.after_id
            if walked.ended:
                return

    async def _measure(self, bound: Bound, state: MessageState, tally: _Tally, replayed: set[int]) -> None:
        after_id = 0
        while await self._go_on():
            walked = await self._retention.walk(bound, state, after_id)
            roots = [family.root for family in walked.families if family.root not in replayed]
            replayed.update(family.root for family in walked.families if family.messages > 1)
            found = await self._retention.measure(bound, roots)
            tally.add(bound, found.messages, found.bytes)
            if walked.ended:
                return
            after_id = walked.after_id

    async def _fold(self, attempts: int, tally: _Tally) -> None:
        while await self._go_on():
            delivery_ids, last_id = await self._retention.long_deliveries(self._folded, attempts)
            while delivery_ids:
                part, delivery_ids = delivery_ids[: self._fold_slices.size], delivery_ids[self._fold_slices.size :]
                folded = await self._retention.fold_attempts(part, attempts)
                tally.attempts += folded.messages
                self._fold_slices.learn(len(part), folded.seconds)
                await self._rest()
            if not last_id:
                return
            self._folded = last_id

    async def _give_back(self, tally: _Tally) -> None:
        """Give the disk what the file has to spare."""
        reserve = self.defaults.reserve_bytes
        while self._has_time() and (spare := (await self._retention.space()).free_bytes - reserve) > 0:
            asked = min(self._space_slices.size, spare)
            given = await self._retention.give_back(asked)
            if not given.bytes:
                return  # a file made before it could give anything back
            tally.returned += given.bytes
            self._space_slices.learn(asked, given.seconds)
            await self._rest()

    # Beside the live traffic

    async def _rest(self) -> None:
        worked = max(0.0, self._clock.monotonic() - self._rested_at)
        await asyncio.sleep(worked * (BUSY_REST if self._pending() else IDLE_REST))
        self._rested_at = self._clock.monotonic()

    async def _go_on(self) -> bool:
        """Between two reads; False: the time is up."""
        await self._rest()
        return self._has_time()

    def _has_time(self) -> bool:
        return self._deadline is None or self._clock.monotonic() < self._deadline

    def _forget(self) -> None:
        self._passed.clear()
        self._folded = 0
        self.volumes.forget()
        self._swept_at = self._clock.monotonic()

    # What is told

    def _tell_held(self) -> None:
        if not self._told_held:
            self._told_held = True
            self._emit(RetentionHeld(self.trust.ahead_secs, self.trust.wait_secs))

    def _tell(self, tally: _Tally) -> None:
        for gone in tally.rows():
            self._emit(RetentionRan(gone.channel, gone.data, gone.messages, gone.bytes))
        if tally.attempts:
            self._emit(AttemptsFolded(tally.attempts))
        if tally.returned:
            self._emit(SpaceReturned(tally.returned))


def _portions(families: Sequence[Family], slices: Slices) -> Iterator[list[int]]:
    """The roots of the families, as many at a time as a slice takes; its size may change between two of them."""
    roots: list[int] = []
    size = 0
    for family in families:
        if roots and (len(roots) >= slices.size or size + family.bytes > SLICE_BYTES):
            yield roots
            roots, size = [], 0
        roots.append(family.root)
        size += family.bytes
    if roots:
        yield roots
