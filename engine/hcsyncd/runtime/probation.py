"""The first minutes of a new configuration: each channel's errors against what it had before.

Nothing is counted while no configuration is on probation, so that messages pay nothing for it: what was before is read
from the store when a reload begins.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hcsyncd.config.reloading import ReloadOptions
from hcsyncd.events import (
    DeliveryDied,
    DeliveryParked,
    DeliverySent,
    DestinationFailed,
    DestinationRecovered,
    Event,
    GenerationAccepted,
    MessageFiltered,
    MessageReplayed,
    MessageRouted,
    MessageUnrouted,
    RouteFailed,
)
from hcsyncd.observe.bus import EventBus
from hcsyncd.store.ports import ConfigurationHistory

LOOK_SECS = 1.0  # how often a destination that is down is looked at: it has no events while it waits
FAILED_STATES = frozenset({"dead", "unrouted", "unsure", "parked"})


@dataclass(slots=True)
class Tally:
    """One channel under the new configuration. ``before`` is the share that failed under the one before."""

    before: float = 0.0
    seen: int = 0
    failed: int = 0
    first_failed: int = 0  # id of the first message that failed
    last_failed: int = 0  # a message that fails on several routes is one
    down: str = ""  # a destination: why every attempt fails

    def fail(self, message_id: int) -> None:
        if message_id != self.last_failed:
            self.last_failed = message_id
            self.first_failed = min(self.first_failed or message_id, message_id)
            self.failed += 1


@dataclass(frozen=True, slots=True)
class Watch:
    """What is watched."""

    generation: int
    before: Mapping[str, float]  # the share of failures by channel; channels that are new are not judged
    rebuilt: frozenset[str] = frozenset()  # destinations that were up and were built anew
    queued: Callable[[str], int] = lambda _destination: 0  # open deliveries


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a generation is to be given up."""

    generation: int
    channel: str
    is_destination: bool
    reason: str
    first_failed: int  # message id, 0 when none is known


async def shares_before(history: ConfigurationHistory) -> dict[str, float]:
    """The share of each channel's latest messages or deliveries that failed."""
    seen: dict[str, int] = {}
    failed: dict[str, int] = {}
    for channel, state, count in await history.recent_states():
        seen[channel] = seen.get(channel, 0) + count
        failed[channel] = failed.get(channel, 0) + count * (state in FAILED_STATES)
    return {channel: failed[channel] / count for channel, count in seen.items()}


class Probation:
    """Watches one generation at a time. ``give_up`` is called once, when it fails."""

    def __init__(self, bus: EventBus, options: ReloadOptions, give_up: Callable[[Verdict], None]) -> None:
        self._bus = bus
        self._options = options
        self._give_up = give_up
        self._watch: Watch | None = None
        self._sources: dict[str, Tally] = {}
        self._destinations: dict[str, Tally] = {}
        self._replays: set[int] = set()
        self._timers: list[asyncio.TimerHandle] = []
        self._ends_at = 0.0
        self._counters: Mapping[type[Event], Callable[..., None]] = {
            MessageRouted: self._on_routed,
            MessageFiltered: self._on_routed,
            MessageUnrouted: self._on_unrouted,
            RouteFailed: self._on_route_failed,
            MessageReplayed: self._on_replayed,
            DeliverySent: self._on_sent,
            DeliveryDied: self._on_failed,
            DeliveryParked: self._on_failed,
            DestinationFailed: self._on_destination_failed,
            DestinationRecovered: self._on_destination_recovered,
        }

    @property
    def is_wanted(self) -> bool:
        return self._options.watch_secs > 0

    @property
    def secs_left(self) -> float:
        """How long the generation is still watched; 0 when none is."""
        return max(self._ends_at - asyncio.get_running_loop().time(), 0.0) if self._watch else 0.0

    def begin(self, watch: Watch) -> None:
        """Watch a generation that has just come to life; one that was watched before it is watched no more."""
        self.end()
        self._watch = watch
        self._sources, self._destinations, self._replays = {}, {}, set()
        loop = asyncio.get_running_loop()
        self._ends_at = loop.time() + self._options.watch_secs
        self._timers = [loop.call_later(self._options.watch_secs, self._accept), loop.call_later(LOOK_SECS, self._look)]
        self._bus.subscribe(self._count, self._counters.__contains__)

    def end(self) -> None:
        """Watch no more. Safe to call at any time."""
        for timer in self._timers:
            timer.cancel()
        self._timers = []
        if self._watch is not None:
            self._bus.unsubscribe(self._count)
            self._watch = None

    def _accept(self) -> None:
        assert self._watch is not None
        generation, seen = self._watch.generation, sum(tally.seen for tally in self._sources.values())
        self.end()
        self._bus.emit(GenerationAccepted(generation, seen))

    def _count(self, event: Event) -> None:
        self._counters[type(event)](event)

    def _tally(self, name: str, of: dict[str, Tally]) -> Tally:
        tally = of.get(name)
        if tally is None:
            assert self._watch is not None
            tally = of[name] = Tally(self._watch.before.get(name, 0.0))
        return tally

    # One method an event

    def _on_routed(self, event: MessageRouted | MessageFiltered) -> None:
        self._source(event.channel, event.message_id)

    def _on_unrouted(self, event: MessageUnrouted) -> None:
        self._source(event.channel, event.message_id, failed=True)

    def _on_route_failed(self, event: RouteFailed) -> None:
        # With a route, the message was told of as routed just before.
        self._source(event.channel, event.message_id, seen=not event.route, failed=True)

    def _on_replayed(self, event: MessageReplayed) -> None:
        self._replays.add(event.copy_id)  # dead letters that are tried again say nothing of the configuration

    def _source(self, channel: str, message_id: int, *, seen: bool = True, failed: bool = False) -> None:
        if message_id in self._replays:
            return
        tally = self._tally(channel, self._sources)
        tally.seen += seen
        if failed:
            tally.fail(message_id)
            self._judge(channel, tally, is_destination=False)

    def _on_sent(self, event: DeliverySent) -> None:
        tally = self._tally(event.destination, self._destinations)
        tally.seen += 1
        tally.down = ""

    def _on_failed(self, event: DeliveryDied | DeliveryParked) -> None:
        if event.message_id not in self._replays:
            tally = self._tally(event.destination, self._destinations)
            tally.seen += 1
            tally.fail(event.message_id)
            self._judge(event.destination, tally, is_destination=True)

    def _on_destination_failed(self, event: DestinationFailed) -> None:
        self._tally(event.destination, self._destinations).down = event.cause

    def _on_destination_recovered(self, event: DestinationRecovered) -> None:
        self._tally(event.destination, self._destinations).down = ""

    # The judgement

    def _judge(self, channel: str, tally: Tally, *, is_destination: bool) -> None:
        options, watch = self._options, self._watch
        if watch is None or channel not in watch.before or tally.seen < options.min_messages:
            return
        share = tally.failed / tally.seen
        if share > tally.before + options.max_error_share:
            what = "deliveries" if is_destination else "messages"
            reason = f"{tally.failed} of {tally.seen} {what} failed ({share:.0%}, before {tally.before:.0%})"
            self._condemn(channel, is_destination=is_destination, reason=reason, first_failed=tally.first_failed)

    def _look(self) -> None:
        """Whether a destination that was built anew takes nothing while its queue grows."""
        watch = self._watch
        assert watch is not None
        self._timers[1] = asyncio.get_running_loop().call_later(LOOK_SECS, self._look)
        for name in sorted(watch.rebuilt):
            tally = self._destinations.get(name)
            waiting = watch.queued(name)
            if tally is not None and tally.down and not tally.seen and waiting >= self._options.min_messages:
                reason = f"it was built anew and takes nothing ({tally.down}); {waiting} deliveries wait"
                self._condemn(name, is_destination=True, reason=reason, first_failed=0)
                return

    def _condemn(self, channel: str, *, is_destination: bool, reason: str, first_failed: int) -> None:
        assert self._watch is not None
        verdict = Verdict(self._watch.generation, channel, is_destination, reason, first_failed)
        self.end()
        self._give_up(verdict)
