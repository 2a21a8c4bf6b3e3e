"""A replay on the road: its plan put there step by step, in order, at its own pace, never more than a little at once.

Each step is one commit of the store (`Replays.step`), so that after a crash a replay goes on exactly where it was. What
a step made is given to the dispatchers as what was just handed on is: at once, in the order of ids.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from hcsyncd.clock import MICROSECONDS, Clock
from hcsyncd.errors import StoreError
from hcsyncd.events import DeliveryClosed, Event, MessageReplayed, ReplayFinished
from hcsyncd.flow.pace import Throttle, Window
from hcsyncd.message import Delivery, DeliveryState
from hcsyncd.record import Record
from hcsyncd.store.ports import (
    Applied,
    Closed,
    DeliveryRow,
    History,
    ItemState,
    ReplayRow,
    Replays,
    ReplayState,
    Step,
    Tally,
)

STEP_MESSAGES = 16
LOOK_SECS = 0.05  # between looks at what is under way, while more is to be sent
SLOW_LOOK_SECS = 1.0  # the longest pause between looks, when all is sent
WINDOW_LOOK_SECS = 30.0  # the wall clock may be set
STORE_RETRY_SECS = 1.0


class Road(Protocol):
    """The live part of the road that a replay needs."""

    def reachable(self) -> frozenset[str]:
        """The destinations that are in service."""
        ...

    def offer(self, deliveries: Iterable[Delivery]) -> None:
        """Send deliveries that were just made: by id, at once after their commit."""
        ...

    def requeue(self, deliveries: Iterable[Delivery]) -> None:
        """Send deliveries that were opened again."""
        ...

    def release(self, destination: str, lane: str, delivery_id: int) -> None:
        """A dead letter was settled: a lane that stood behind it goes on."""
        ...


class Terms(Record, frozen=True):
    """How one replay may go. ``under_way`` is for each destination."""

    rate: float = 0.0  # deliveries a second; 0: no limit
    window: Window = Window()
    again: bool = False
    under_way: int = 64


@dataclass(slots=True)
class _UnderWay:
    """Deliveries to one destination that are not settled: those made anew, and those that go as they were made."""

    anew: set[int] = field(default_factory=set)
    as_made: set[int] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.anew) + len(self.as_made)


class ReplayRunner:
    """Applies one replay to its end, or until it is held or cancelled. ``waits_for`` says why it does nothing now."""

    def __init__(
        self,
        replay: ReplayRow,
        terms: Terms,
        stores: tuple[Replays, History],
        road: Road,
        emit: Callable[[Event], None],
        clock: Clock,
    ) -> None:
        self.waits_for = ""
        self._replay = replay
        self._terms = terms
        self._replays, self._history = stores
        self._road = road
        self._emit = emit
        self._clock = clock
        self._throttle = Throttle(terms.rate, clock.monotonic())
        self._under_way: dict[str, _UnderWay] = {}
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Look at once whether the replay was held or cancelled."""
        self._woken.set()

    async def run(self) -> ReplayState:
        """The state in which it ended: done, held or cancelled."""
        await self._take_up()
        look_secs = LOOK_SECS
        while True:
            if await self._is_closed():
                state = await self._state()
                if state is not ReplayState.RUNNING:
                    return state
                continue
            try:
                applied = await self._step()
                # Nothing is awaited between the commit and this: what was committed later must not be offered earlier.
                self._put_on_the_road(applied)
                await self._release(applied.closed)
                if applied.state is not ReplayState.RUNNING:
                    return applied.state
                if not applied.has_more and not any(map(len, self._under_way.values())):
                    return await self._finish()
                if applied.judged and applied.has_more:
                    look_secs = LOOK_SECS
                    await self._look(0.0)
                else:
                    look_secs = LOOK_SECS if applied.has_more else min(look_secs * 1.5, SLOW_LOOK_SECS)
                    self.waits_for = self._why_it_waits(has_more=applied.has_more)
                    await self._look(max(look_secs, self._throttle.secs_to_next() if applied.has_more else 0.0))
            except StoreError:
                await self._pause(STORE_RETRY_SECS)  # the store has said so itself

    async def _take_up(self) -> None:
        """What of the replay is still to be sent, and what an earlier run put on the road."""
        for destination in await self._replays.destinations(self._replay.id):
            self._under_way[destination] = _UnderWay()
        for delivery_id, destination, as_made in await self._replays.under_way(self._replay.id):
            self._note(delivery_id, destination, as_made=as_made)

    def _note(self, delivery_id: int, destination: str, *, as_made: bool) -> None:
        found = self._under_way.setdefault(destination, _UnderWay())
        (found.as_made if as_made else found.anew).add(delivery_id)

    async def _is_closed(self) -> bool:
        """Whether its window is closed; waits a while then."""
        secs = self._terms.window.secs_to_open(self._clock.now())
        if secs:
            self.waits_for = "its window of hours"
            await self._pause(min(secs, WINDOW_LOOK_SECS))
        return bool(secs)

    async def _state(self) -> ReplayState:
        row = await self._replays.row(self._replay.id)
        return row.state if row else ReplayState.CANCELLED

    async def _step(self) -> Applied:
        available = self._throttle.available(self._clock.monotonic())
        messages = STEP_MESSAGES if available is None else min(available, STEP_MESSAGES)
        room = {name: self._terms.under_way - len(found) for name, found in self._under_way.items()} if messages else {}
        in_line = frozenset(name for name, found in self._under_way.items() if found.anew)
        step = Step(self._replay.id, room, self._road.reachable(), in_line, messages, self._terms.again)
        return await self._replays.step(step)

    def _put_on_the_road(self, applied: Applied) -> None:
        self._road.offer(applied.made)
        self._road.requeue(applied.reopened)
        for delivery in applied.made:
            self._note(delivery.id, delivery.destination, as_made=False)
        for delivery in applied.reopened:
            self._note(delivery.id, delivery.destination, as_made=True)
        self._throttle.take(len(applied.made) + len(applied.reopened))
        for original, copy in applied.copies:
            self._emit(MessageReplayed(message_id=original, copy_id=copy))
        if applied.judged:
            self.waits_for = ""

    async def _release(self, closed: Iterable[Closed]) -> None:
        """Dead letters were settled in the store: say so, and let the lanes go on that stood behind them."""
        by_id = {one.delivery_id: one for one in closed}
        if not by_id:
            return
        for row in await self._deliveries(sorted({one.message_id for one in by_id.values()})):
            if row.id in by_id:
                self._emit(DeliveryClosed(row.destination, row.id, row.message_id, "replayed"))
                self._road.release(row.destination, row.lane, row.id)

    async def _deliveries(self, message_ids: list[int]) -> list[DeliveryRow]:
        """Read until it holds: nobody else would let those lanes go on before the next start."""
        while True:
            try:
                return await self._history.deliveries(message_ids)
            except StoreError:
                await asyncio.sleep(STORE_RETRY_SECS)  # the store has said so itself

    async def _look(self, secs: float) -> None:
        """After a pause, see what is settled."""
        full = any(len(found) >= self._terms.under_way for found in self._under_way.values())
        if secs or full:
            await self._pause(secs or LOOK_SECS)
        ids = [one for found in self._under_way.values() for one in (*found.anew, *found.as_made)]
        still_open = await self._replays.still_open(ids) if ids else set()
        for found in self._under_way.values():
            found.anew &= still_open
            found.as_made &= still_open

    async def _pause(self, secs: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(secs):
                await self._woken.wait()
        self._woken.clear()

    def _why_it_waits(self, *, has_more: bool) -> str:
        under_way = {name: len(found) for name, found in sorted(self._under_way.items()) if len(found)}
        if not under_way:
            return "its rate"
        text = ", ".join(f"{count} to {name}" for name, count in under_way.items())
        return f"deliveries under way: {text}" + ("; the rest follows when they are settled" if has_more else "")

    async def _finish(self) -> ReplayState:
        turn = await self._replays.finish(self._replay.id)
        if turn.made:
            seconds = (turn.replay.ended_at - turn.replay.applied_at) / MICROSECONDS
            self._emit(finished(self._replay.id, await self._replays.tallies(self._replay.id), seconds))
        return turn.replay.state


def finished(replay_id: int, tallies: Iterable[Tally], seconds: float) -> ReplayFinished:
    """The end of a replay in numbers."""
    sent = dead = suppressed = blocked = 0
    for tally in tallies:
        match tally.state:
            case ItemState.SUPPRESSED:
                suppressed += tally.count
            case ItemState.BLOCKED:
                blocked += tally.count
            case _ if tally.delivery_state is DeliveryState.SENT:
                sent += tally.count
            case _ if tally.delivery_state in (DeliveryState.DEAD, DeliveryState.UNSURE):
                dead += tally.count
            case _:
                pass
    return ReplayFinished(replay_id, sent, dead, suppressed, blocked, seconds)
