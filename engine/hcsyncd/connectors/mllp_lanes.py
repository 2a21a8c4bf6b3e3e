"""Which lane sends on which connection: a connection serves one lane at a time, so that a lane stays in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from hcsyncd.connectors.mllp_line import Line


@dataclass(eq=False, slots=True)
class Place:
    """Room for one connection. ``turn`` is held while it connects and writes: asyncio.Lock wakes in order of coming."""

    line: Line | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    lane: str = ""
    users: int = 0  # sends of the lane that are under way


class Lanes:
    """Hands out places in the order of the calls. A lane keeps its place while it has sends under way there."""

    def __init__(self, connections: int) -> None:
        self.places = [Place() for _ in range(connections)]
        self._waiting: deque[tuple[str, asyncio.Future[Place]]] = deque()
        self._waking = 0  # sends that have a place and did not run on yet: nobody may overtake them

    @asynccontextmanager
    async def place(self, lane: str) -> AsyncIterator[Place]:
        """The place for one send of a lane, once it is its turn."""
        place = await self._take(lane)
        try:
            yield place
        finally:
            place.users -= 1
            self._serve()

    async def _take(self, lane: str) -> Place:
        if not self._waiting and not self._waking:
            place = self._find(lane)
            if place is not None:
                return self._seat(place, lane)
        future: asyncio.Future[Place] = asyncio.get_running_loop().create_future()
        self._waiting.append((lane, future))
        self._serve()
        try:
            place = await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self._waking -= 1
                future.result().users -= 1
            self._serve()
            raise
        self._waking -= 1
        return place

    def _serve(self) -> None:
        waiting = self._waiting
        while waiting:
            lane, future = waiting[0]
            if not future.cancelled():
                place = self._find(lane)
                if place is None:
                    return
                self._waking += 1
                future.set_result(self._seat(place, lane))
            waiting.popleft()

    def _find(self, lane: str) -> Place | None:
        """The lane's own place, else a free one, and of these one that is connected."""
        free: Place | None = None
        for place in self.places:
            if place.users:
                if place.lane == lane:
                    return place
            elif free is None or (place.line is not None and free.line is None):
                free = place
        return free

    @staticmethod
    def _seat(place: Place, lane: str) -> Place:
        place.lane = lane
        place.users += 1
        return place
