"""Replay, and the ways out of the dead letters: what a person decided is checked as a whole, then done in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Annotated, NamedTuple

import msgspec

from hcsyncd.errors import ControlError, FormatError
from hcsyncd.events import DeliveryClosed, Event, MessageReplayed
from hcsyncd.message import Keys
from hcsyncd.runtime.live import Live
from hcsyncd.runtime.verb import Request
from hcsyncd.store.ports import DeadRow, DeliveryRow, Filter, History, MessageRow, Repairs

MAX_IDS = 10_000  # in one call; the command line goes on in pages
MAX_WAYS = 1000  # no message has more deliveries
Id = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]  # as large as SQLite counts
Ids = Annotated[tuple[Id, ...], msgspec.Meta(min_length=1, max_length=MAX_IDS)]


class Replay(Request, frozen=True):
    """Messages to be sent again, in the order given, narrowed to a route or a destination. ``body`` repairs one."""

    ids: Ids
    route: str = ""
    destination: str = ""
    body: bytes | None = None


class Discard(Request, frozen=True):
    """Dead letters to be settled for good, by the ids of their messages."""

    ids: Ids
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
    route: str = ""
    destination: str = ""


class Way(NamedTuple):
    """What a replay is narrowed to; an empty part does not narrow."""

    route: str
    destination: str


Copies = list[tuple[int, int]]  # (original, copy)


class Repairer:
    """Checks a decision against the store and the running routes, and has it done. Refusals are ControlErrors that come
    before anything is changed."""

    def __init__(self, history: History, repairs: Repairs, live: Live, emit: Callable[[Event], None]) -> None:
        self._history = history
        self._repairs = repairs
        self._live = live
        self._emit = emit

    async def replay(self, wanted: Replay) -> Copies:
        """Send messages again, as new ones with the same intent."""
        way = Way(wanted.route, wanted.destination)
        found = {row.id: row for row in await self._history.find(Filter(ids=wanted.ids, limit=len(wanted.ids)))}
        _refuse_missing("there is no message", wanted.ids, found)
        return await self._again([(found[message_id], way) for message_id in dict.fromkeys(wanted.ids)], wanted.body)

    async def revive(self, wanted: Replay) -> tuple[list[int], Copies]:
        """Put dead letters on the road again. A delivery that was made goes out as it is, under its own key. What
        failed before there was anything to send, and all that gets a repaired body, goes its route as a new message."""
        dead = await self._dead(wanted.ids, wanted.route, wanted.destination)
        made: list[int] = []
        anew: list[tuple[MessageRow, Way]] = []
        for message, letters in groupby(dead, key=lambda letter: letter.message):
            deliveries = [letter.delivery for letter in letters]
            if None in deliveries:
                anew.append((message, Way(wanted.route, wanted.destination)))
                continue
            known = [delivery for delivery in deliveries if delivery is not None]
            remake = [delivery for delivery in known if wanted.body is not None or not delivery.made]
            made += [delivery.id for delivery in known if delivery not in remake]
            anew += [(message, way) for way in self._ways(remake)]
        copies = await self._again(anew, wanted.body) if anew else []
        reopened = await self._repairs.reopen(made) if made else []
        self._live.requeue(reopened)
        return [delivery.id for delivery in reopened], copies

    async def discard(self, wanted: Discard) -> int:
        """Settle dead letters for good; how many. Nothing of them is deleted."""
        dead = await self._dead(wanted.ids, wanted.route, wanted.destination)
        messages = [letter.message.id for letter in dead if letter.delivery is None]
        deliveries = [letter.delivery for letter in dead if letter.delivery is not None]
        closed = await self._repairs.close(messages, [delivery.id for delivery in deliveries], wanted.reason)
        self._settled(deliveries, "discarded")
        return closed

    async def _dead(self, ids: tuple[int, ...], route: str, destination: str) -> list[DeadRow]:
        """All dead letters of the messages, in the order of arrival; each message has one."""
        dead = await self._troubled(ids, route, destination)
        narrowed = " on that way" if route or destination else ""
        _refuse_missing(f"no dead letter{narrowed} of message", ids, {letter.message.id for letter in dead})
        return dead

    async def _troubled(self, ids: tuple[int, ...], route: str, destination: str) -> list[DeadRow]:
        limit = len(ids) * MAX_WAYS
        wanted = Filter(ids=ids, route=route, destination=destination, limit=limit, newest_first=False)
        return sorted(await self._history.dead(wanted), key=lambda letter: letter.message.id)

    def _settled(self, deliveries: Iterable[DeliveryRow], reason: str) -> None:
        """Deliveries were closed in the store: say so, and let the lanes go on that stood behind them."""
        for delivery in deliveries:
            self._emit(DeliveryClosed(delivery.destination, delivery.id, delivery.message_id, reason))
            self._live.release(delivery.destination, delivery.lane)

    def _ways(self, deliveries: Sequence[DeliveryRow]) -> list[Way]:
        """The fewest ways that cover the deliveries: a route with all its destinations among them is one."""
        routes = self._live.routes()
        ways: list[Way] = []
        for route in dict.fromkeys(delivery.route for delivery in deliveries):
            destinations = [delivery.destination for delivery in deliveries if delivery.route == route]
            whole = set(destinations) >= set(routes.get(route, destinations)) and len(destinations) > 1
            ways += [Way(route, "")] if whole else [Way(route, destination) for destination in destinations]
        return ways

    async def _again(self, wanted: Sequence[tuple[MessageRow, Way]], body: bytes | None) -> Copies:
        messages = {message.id: message for message, _ in wanted}
        keys = self._check(list(messages.values()), {way for _, way in wanted}, body)
        copies: Copies = []
        for way, run in groupby(wanted, key=lambda item: item[1]):
            originals = tuple(message.id for message, _ in run)
            replaced = await self._troubled(originals, *way)
            made = await self._repairs.replay(originals, way.route, way.destination, body, keys)
            copies += zip(originals, made, strict=True)
            self._settled([letter.delivery for letter in replaced if letter.delivery is not None], "replayed")
        for original, copy in copies:
            self._emit(MessageReplayed(message_id=original, copy_id=copy))
        for channel in {message.channel for message in messages.values()}:
            self._live.wake(channel)
        return copies

    def _check(self, messages: Sequence[MessageRow], ways: Iterable[Way], body: bytes | None) -> Keys | None:
        """Refuse what cannot be sent again; the keys of a repaired body."""
        routes = self._live.routes()
        for route, destination in ways:
            _refuse_unknown("route", route, routes)
            reached = routes[route] if route else [name for names in routes.values() for name in names]
            _refuse_unknown("destination", destination, reached)
        for channel in {message.channel for message in messages}:
            if self._live.format_of(channel) is None:
                raise ControlError(f"there is no channel {channel} any more; nothing would take its messages on")
        if body is None:
            return None
        if len(messages) != 1:
            raise ControlError(f"a repaired body stands in for one message, not for {len(messages)}")
        return self._peek(messages[0].channel, body)

    def _peek(self, channel: str, body: bytes) -> Keys:
        form = self._live.format_of(channel)
        assert form is not None  # checked just before
        try:
            return form.peek(body).keys
        except FormatError as error:
            raise ControlError(f"the repaired body cannot be read as {form.name}: {error}") from error


def _refuse_missing(text: str, ids: Iterable[int], found: Iterable[int]) -> None:
    missing = sorted(set(ids) - set(found))
    if missing:
        more = f" and {len(missing) - 10} others" if len(missing) > 10 else ""
        raise ControlError(f"{text} {', '.join(map(str, missing[:10]))}{more}")


def _refuse_unknown(what: str, name: str, known: Iterable[str]) -> None:
    if name and name not in known:
        raise ControlError(f"there is no {what} {name}; known: {', '.join(sorted(set(known))) or 'none'}")
