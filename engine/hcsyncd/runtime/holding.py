"""Channels that a person holds: kept in the store, in force from the first moment of a run, untouched by reloads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from hcsyncd.clock import Clock
from hcsyncd.errors import ControlError, SourceError
from hcsyncd.events import ChannelHeld, ChannelResumed, Event
from hcsyncd.store.ports import Hold, HoldKind, Holds


class Road(Protocol):
    """What is held. Implemented by `runtime.node.Node`; each call takes effect at once, and twice is as once."""

    def holdable(self, kind: HoldKind) -> Sequence[str]:
        """The channels of the live site of which that part can be held."""
        ...

    async def hold(self, kind: HoldKind, channel: str) -> None: ...

    async def resume(self, kind: HoldKind, channel: str) -> None:
        """Raises SourceError when a source cannot start now; it is tried again."""
        ...


class Holding:
    """Who holds which channel. ``changing`` is the lock of reloads: a hold never falls between two generations."""

    def __init__(self, holds: Holds, emit: Callable[[Event], None], clock: Clock, changing: asyncio.Lock) -> None:
        self._holds = holds
        self._emit = emit
        self._clock = clock
        self._changing = changing
        self._held: dict[tuple[HoldKind, str], Hold] = {}

    async def load(self) -> None:
        """Know what earlier runs left held."""
        for hold in await self._holds.held():
            self._held[hold.kind, hold.channel] = hold
            self._emit(ChannelHeld(hold.channel, hold.kind, hold.by, hold.reason))

    def is_held(self, kind: HoldKind, channel: str) -> bool:
        return (kind, channel) in self._held

    def of(self, channel: str) -> tuple[Hold, ...]:
        """The holds of a channel."""
        return tuple(hold for kind in HoldKind if (hold := self._held.get((kind, channel))))

    def all(self) -> list[Hold]:
        return sorted(self._held.values(), key=lambda hold: (hold.kind, hold.channel))

    async def hold(self, road: Road, kind: HoldKind, channels: Sequence[str], by: str, reason: str) -> list[Hold]:
        """Hold channels, all that can be where none is named. Raises ControlError for one that cannot, with those that
        can; nothing is held then."""
        async with self._changing:
            known = road.holdable(kind)
            _refuse_unknown(kind, channels, known)
            wanted = [Hold(kind, channel, by, self._clock.now(), reason) for channel in channels or known]
            await self._holds.put(wanted)
            for hold in wanted:
                self._held[kind, hold.channel] = hold
                self._emit(ChannelHeld(hold.channel, kind, by, reason))
            await asyncio.gather(*(road.hold(kind, hold.channel) for hold in wanted))
            return wanted

    async def resume(self, road: Road, kind: HoldKind, channels: Sequence[str], by: str, reason: str) -> dict[str, str]:
        """Let channels go on, all that are held where none is named: each with why it could not at once, or "".
        Raises ControlError for one that is not held."""
        async with self._changing:
            held = [channel for of_kind, channel in self._held if of_kind is kind]
            _refuse_unknown(kind, channels, held, "held")
            wanted = list(channels or held)
            await self._holds.lift(kind, wanted)
            said: dict[str, str] = {}
            for channel in wanted:
                self._held.pop((kind, channel), None)
                self._emit(ChannelResumed(channel, kind, by, reason))
                try:
                    await road.resume(kind, channel)
                except SourceError as error:
                    said[channel] = str(error)
                else:
                    said[channel] = ""
            return said


def _refuse_unknown(kind: HoldKind, wanted: Iterable[str], known: Sequence[str], how: str = "") -> None:
    for channel in wanted:
        if channel not in known:
            what = "destination" if kind is HoldKind.DELIVERY else "source"
            listed = ", ".join(sorted(known)) or "none"
            if how:
                raise ControlError(f"{kind} of {channel} is not held; held: {listed}")
            raise ControlError(f"there is no {what} {channel}; known: {listed}")
