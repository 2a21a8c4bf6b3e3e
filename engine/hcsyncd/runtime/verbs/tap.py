"""Messages as they pass a point: a source, a route, a destination. Read from the store's rising ids when somebody
polls; while nobody taps, nothing is done.

A tap is begun once, and then polled by its token: whether its values are shown is decided, and audited, when it begins.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec.structs import replace

from hcsyncd.clock import Clock
from hcsyncd.config.finding import suggestion
from hcsyncd.errors import ControlError
from hcsyncd.record import Record
from hcsyncd.runtime.lookout import Lookout
from hcsyncd.runtime.reading import Read, form_of_content, read_body
from hcsyncd.runtime.verb import Access, Caller, Request, Verb, Verbs
from hcsyncd.runtime.verbs.messages import Selection
from hcsyncd.store.ports import DeliveryRow, Filter, History, MessageRow, Newest, Search

PASSED = 100  # told by one poll
BODY_BYTES = 256 << 10  # of a body that is shown
POLL_BYTES = 8 << 20  # of bodies read by one poll
IDLE_SECS = 120.0  # without a poll, after which a tap is forgotten
TAPS = 32  # at once


class TapRequest(Selection, frozen=True):
    """Where to tap; no point means every source and destination. The rest narrows, as it does a list."""

    points: tuple[str, ...] = ()
    unmasked: bool = False


class Poll(Request, frozen=True):
    """Which tap."""

    tap: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class Passed(Record, frozen=True):
    """A message at a point."""

    point: str
    what: str  # arrived, made, or the state that a try left its delivery in
    at: int
    message: MessageRow
    delivery: DeliveryRow | None
    cause: str
    read: Read


@dataclass(slots=True)
class _Tap:
    sources: frozenset[str]
    routes: frozenset[str]
    destinations: frozenset[str]
    wanted: Filter
    unmasked: bool
    cursor: Newest
    user_id: int
    polled_at: float = 0.0


class _Event(Record, frozen=True):
    """Something that passed, before its body is read."""

    point: str
    what: str
    at: int
    message_id: int
    delivery: DeliveryRow | None = None
    cause: str = ""


class TapVerbs:
    """``tap.start``, ``tap.next``, ``tap.stop``."""

    def __init__(self, history: History, search: Search, lookout: Lookout, clock: Clock) -> None:
        self._history = history
        self._search = search
        self._lookout = lookout
        self._clock = clock
        self._taps: dict[str, _Tap] = {}

    def verbs(self) -> Verbs:
        return {
            "tap.start": Verb(TapRequest, self.start, _starting),
            "tap.next": Verb(Poll, self.next),
            "tap.stop": Verb(Poll, self.stop),
        }

    async def start(self, asked: TapRequest, caller: Caller) -> dict[str, Any]:
        """``{"tap": token, "points": [...]}``. Raises ControlError for a point that is not known."""
        self._forget_idle()
        if len(self._taps) >= TAPS:
            raise ControlError(f"{TAPS} taps are open already: end one of them first")
        sources, routes, destinations = self._points(asked.points)
        wanted = replace(asked.filter(), ids=(), after_id=0, newest_first=False)
        tap = _Tap(sources, routes, destinations, wanted, asked.unmasked, await self._search.newest(), caller.user_id)
        tap.polled_at = self._clock.monotonic()
        token = secrets.token_hex(16)
        self._taps[token] = tap
        return {"tap": token, "points": sorted(sources | routes | destinations)}

    async def next(self, asked: Poll, caller: Caller) -> dict[str, Any]:
        """``{"passed": [Passed, ...]}``: what passed since the last poll, in order; no more than `PASSED`."""
        tap = self._tap(asked.tap, caller)
        tap.polled_at = self._clock.monotonic()
        events = [*await self._arrived(tap), *await self._made(tap), *await self._tried(tap)]
        return {"passed": await self._with_bodies(tap, sorted(events, key=lambda event: event.at))}

    async def stop(self, asked: Poll, caller: Caller) -> dict[str, Any]:
        self._tap(asked.tap, caller)
        del self._taps[asked.tap]
        return {}

    def _tap(self, token: str, caller: Caller) -> _Tap:
        tap = self._taps.get(token)
        if tap is None or tap.user_id != caller.user_id:
            raise ControlError("there is no such tap: it was not polled for a while, or the daemon began anew")
        return tap

    def _forget_idle(self) -> None:
        now = self._clock.monotonic()
        self._taps = {token: tap for token, tap in self._taps.items() if now - tap.polled_at < IDLE_SECS}

    def _points(self, names: Sequence[str]) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
        channels = self._lookout.channels()
        known: Mapping[str, frozenset[str]] = {
            "source": frozenset(channel.name for channel in channels if channel.role == "source"),
            "route": frozenset(self._lookout.route_names()),
            "destination": frozenset(channel.name for channel in channels if channel.role == "destination"),
        }
        if not names:
            return known["source"], frozenset(), known["destination"]
        everything = frozenset().union(*known.values())
        for name in names:
            if name not in everything:
                raise ControlError(f"there is no channel or route {name}: {suggestion(name, everything)}")
        chosen = frozenset(names)
        return known["source"] & chosen, known["route"] & chosen, known["destination"] & chosen

    async def _arrived(self, tap: _Tap) -> list[_Event]:
        if not tap.sources:
            return []
        newest = (await self._search.newest()).message
        if newest <= tap.cursor.message:
            return []
        wanted = replace(tap.wanted, first_id=tap.cursor.message + 1, last_id=newest, limit=PASSED)
        rows = await self._history.find(wanted)
        tap.cursor = replace(tap.cursor, message=rows[-1].id if len(rows) == PASSED else newest)
        return [_Event(row.channel, "arrived", row.received_at, row.id) for row in rows if row.channel in tap.sources]

    async def _made(self, tap: _Tap) -> list[_Event]:
        if not tap.routes:
            return []
        rows = await self._search.made_after(tap.cursor.delivery, PASSED)
        if rows:
            tap.cursor = replace(tap.cursor, delivery=rows[-1].id)
        return [
            _Event(row.route, "made", row.created_at, row.message_id, row) for row in rows if row.route in tap.routes
        ]

    async def _tried(self, tap: _Tap) -> list[_Event]:
        if not tap.destinations:
            return []
        tries = await self._search.tried_after(tap.cursor.attempt, PASSED)
        if tries:
            tap.cursor = replace(tap.cursor, attempt=tries[-1].id)
        deliveries = {row.id: row for row in await self._search.deliveries([one.delivery_id for one in tries])}
        return [
            _Event(row.destination, one.state.value, one.ended_at, row.message_id, row, one.cause)
            for one in tries
            if (row := deliveries.get(one.delivery_id)) and row.destination in tap.destinations
        ]

    async def _with_bodies(self, tap: _Tap, events: Sequence[_Event]) -> list[Passed]:
        """The events of wanted messages, each with its body cut into fields."""
        ids = tuple(dict.fromkeys(event.message_id for event in events))
        if not ids:
            return []
        wanted = replace(tap.wanted, ids=ids, limit=len(ids), first_id=0, last_id=0)
        messages = {row.id: row for row in await self._history.find(wanted)}
        passed = []
        room = POLL_BYTES
        for event in events:
            message = messages.get(event.message_id)
            if message is None:
                continue
            size = event.delivery.bytes if event.delivery else message.bytes
            read = Read("", problem=f"{size} bytes: too large to be shown here")
            if size <= BODY_BYTES and size <= room:
                room -= size
                read = await self._read(message, event.delivery, values=tap.unmasked)
            passed.append(Passed(event.point, event.what, event.at, message, event.delivery, event.cause, read))
        return passed

    async def _read(self, message: MessageRow, delivery: DeliveryRow | None, *, values: bool) -> Read:
        form = self._lookout.form_of(message.channel)
        if message.body_removed_at or (delivery and not delivery.made):
            return Read("", problem="there is no body")
        if delivery is None:
            return read_body(form, await self._history.body(message.id), values=values)
        its_form = form_of_content(delivery.content_type, self._lookout.form_of(delivery.destination), form)
        return read_body(its_form, await self._history.sent_body(delivery.id), values=values)


def _starting(asked: TapRequest) -> Access:
    return Access.SEES if asked.unmasked or asked.keys or asked.text else Access.LOOKS
