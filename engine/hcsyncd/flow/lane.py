"""One lane: deliveries of one destination that must stay in order, the head in memory and the rest in the store."""

from __future__ import annotations

import asyncio
import bisect
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from hcsyncd.message import Delivery
from hcsyncd.record import Record

LANE_DELIVERIES = 256
LANE_BYTES = 4 * 1024 * 1024


@dataclass(slots=True)
class Room:
    """Bytes of bodies that one destination's lanes hold in memory together, and how many they may."""

    limit: int
    taken: int = 0

    @property
    def is_full(self) -> bool:
        return self.taken >= self.limit


class Shelf(Protocol):
    """The part of `store.ports.Outbox` that a lane reads on in."""

    async def open_deliveries(
        self, destination: str, lane: str, after_id: int, limit: int, max_bytes: int
    ) -> list[Delivery]: ...


class LaneFacts(Record, frozen=True):
    """How a lane stands at this moment, for one of its deliveries."""

    behind: int = 0  # a delivery, waiting for a person or a mapping, that it stands behind; 0: none
    next_try_at: int = 0  # of the lane, while it waits; 0: does not wait
    slots_taken: int = 0  # as many lanes as the destination may have sending at once are sending; 0: there is room


class Lane:
    """Deliveries come in by `offer` in the order of their ids and go out by `pop` in the same order.

    What does not fit is left in the store (``missed``) and read by `refill` once memory is empty: so a lane that stands
    still costs a bounded piece of memory, and no other lane its place. ``last_id`` is the highest id that was ever in
    memory: whatever is above it is still in the store alone.
    """

    __slots__ = (
        "_bytes",
        "_destination",
        "_outbox",
        "_queue",
        "_room",
        "_stands_behind",
        "key",
        "known_id",
        "last_id",
        "missed",
        "next_try_at",
        "runner",
        "wake",
    )

    def __init__(self, key: str, destination: str, outbox: Shelf, room: Room) -> None:
        self.key = key
        self.last_id = 0
        self.known_id = 0  # the highest id that was heard of, here or in the store
        self.missed = False
        self.next_try_at = 0  # wall time of the next try while it waits; 0: does not wait
        self.wake = asyncio.Event()  # cuts a wait short
        self.runner: asyncio.Task[None] | None = None
        self._destination = destination
        self._outbox = outbox
        self._room = room
        self._queue: deque[Delivery] = deque()
        self._stands_behind: list[int] = []  # rising
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def head(self) -> Delivery | None:
        """The delivery that is next, where memory holds it."""
        return self._queue[0] if self._queue else None

    @property
    def is_idle(self) -> bool:
        """Whether the lane may be forgotten: nothing waits in it, here or in the store."""
        return not (self._queue or self.missed or self._stands_behind)

    @property
    def held(self) -> bool:
        """Whether what is next stands behind a delivery that waits for a person or a mapping."""
        if not self._stands_behind:
            return False
        return self._queue[0].id > self._stands_behind[0] if self._queue else not self.missed

    def behind(self, delivery_id: int) -> int:
        """The delivery, waiting for a person or a mapping, that this one stands behind; 0: none."""
        return self._stands_behind[0] if self._stands_behind and self._stands_behind[0] < delivery_id else 0

    def stand_behind(self, delivery_id: int) -> None:
        """Let nothing go that comes after this delivery, until it is settled."""
        place = bisect.bisect_left(self._stands_behind, delivery_id)
        if place == len(self._stands_behind) or self._stands_behind[place] != delivery_id:
            self._stands_behind.insert(place, delivery_id)

    def settled(self, delivery_id: int) -> None:
        """The delivery is no longer in the way."""
        place = bisect.bisect_left(self._stands_behind, delivery_id)
        if place < len(self._stands_behind) and self._stands_behind[place] == delivery_id:
            del self._stands_behind[place]

    def offer(self, delivery: Delivery) -> bool:
        """Take in a delivery that was just handed on; whether it was news."""
        if delivery.id <= self.known_id:
            return False
        self.known_id = delivery.id
        if self.missed:
            return True
        if self._queue and (len(self._queue) >= LANE_DELIVERIES or self._bytes >= LANE_BYTES or self._room.is_full):
            self.missed = True
        else:
            self._append(delivery)
        return True

    def pop(self) -> Delivery | None:
        """The next delivery, if memory holds one."""
        if not self._queue:
            return None
        delivery = self._queue.popleft()
        self._account(-len(delivery.envelope.body))
        return delivery

    def reopen(self, delivery: Delivery) -> None:
        """Take in a delivery that is sent after all; it goes before whatever came after it."""
        self.settled(delivery.id)
        self.known_id = max(self.known_id, delivery.id)
        if self.missed and delivery.id > self.last_id:
            return  # the store will give it in its turn
        self.last_id = max(self.last_id, delivery.id)  # a later read of the store must not give it once more
        self.put_back([delivery])

    def put_back(self, deliveries: Iterable[Delivery]) -> None:
        """Return deliveries that failed for now to their places, by id."""
        for delivery in deliveries:
            place = bisect.bisect_left(self._queue, delivery.id, key=lambda waiting: waiting.id)
            if place == len(self._queue) or self._queue[place].id != delivery.id:
                self._queue.insert(place, delivery)
                self._account(len(delivery.envelope.body))

    async def refill(self) -> int:
        """Read on in the store, when memory is empty and something was left there; how much of it was news."""
        if self._queue or not self.missed:
            return 0
        self.missed = False
        known = self.last_id
        try:
            rows = await self._outbox.open_deliveries(self._destination, self.key, known, LANE_DELIVERIES, LANE_BYTES)
        except BaseException:
            self.missed = True
            raise
        if len(rows) >= LANE_DELIVERIES or sum(len(row.envelope.body) for row in rows) >= LANE_BYTES:
            self.missed = True
        # What was offered during the read is in the rows or above them. Where something is left out, either here or by
        # an offer, what lies above it must stay in the store too.
        offered = [] if self.missed else list(self._queue)
        self._account(-self._bytes)
        self._queue.clear()
        self.last_id = known
        news = sum(row.id > self.known_id for row in rows)
        for delivery in (*rows, *offered):
            if delivery.id > self.last_id:
                self._append(delivery)
        return news

    def _append(self, delivery: Delivery) -> None:
        self._queue.append(delivery)
        self.last_id = delivery.id
        self.known_id = max(self.known_id, delivery.id)
        self._account(len(delivery.envelope.body))

    def _account(self, size: int) -> None:
        self._bytes += size
        self._room.taken += size


def lane_facts(lane: Lane | None, delivery_id: int, slots_taken: int) -> LaneFacts:
    """How a lane stands for one of its deliveries; None: the dispatcher has forgotten it, as nothing waits in it."""
    if lane is None:
        return LaneFacts(slots_taken=slots_taken)
    return LaneFacts(lane.behind(delivery_id), lane.next_try_at, slots_taken)
