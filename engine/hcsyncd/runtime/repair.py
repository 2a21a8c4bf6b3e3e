"""The way out of the dead letters without sending: what a person decided is checked as a whole, then done."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated

import msgspec

from hcsyncd.errors import ControlError
from hcsyncd.events import DeliveryClosed, Event
from hcsyncd.runtime.live import Live
from hcsyncd.runtime.verb import Request
from hcsyncd.store.ports import DeadRow, DeliveryRow, Filter, History, Repairs

MAX_IDS = 10_000  # in one call; the command line goes on in pages
MAX_WAYS = 1000  # no message has more deliveries
Id = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]  # as large as SQLite counts
Ids = Annotated[tuple[Id, ...], msgspec.Meta(min_length=1, max_length=MAX_IDS)]


class Discard(Request, frozen=True):
    """Dead letters to be settled for good, by the ids of their messages."""

    ids: Ids
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
    route: str = ""
    destination: str = ""


class Repairer:
    """Checks a decision against the store and the running routes, and has it done. Refusals are ControlErrors that come
    before anything is changed."""

    def __init__(self, history: History, repairs: Repairs, live: Live, emit: Callable[[Event], None]) -> None:
        self._history = history
        self._repairs = repairs
        self._live = live
        self._emit = emit

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
            self._live.release(delivery.destination, delivery.lane, delivery.id)


def _refuse_missing(text: str, ids: Iterable[int], found: Iterable[int]) -> None:
    missing = sorted(set(ids) - set(found))
    if missing:
        more = f" and {len(missing) - 10} others" if len(missing) > 10 else ""
        raise ControlError(f"{text} {', '.join(map(str, missing[:10]))}{more}")
