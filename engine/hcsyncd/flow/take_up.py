"""What the store holds for a destination that comes into service, read while work goes on coming in."""

from __future__ import annotations

import asyncio

from hcsyncd.errors import StoreError
from hcsyncd.flow.settle import STORE_RETRY_SECS
from hcsyncd.message import Delivery
from hcsyncd.store.ports import Blocked, OpenLane, Outbox


class TakeUp:
    """One read at a time. What is offered meanwhile is kept, as it may be in what is read or come behind it; what is
    opened or settled meanwhile makes the read stale, and it is made again."""

    __slots__ = ("_early", "_outbox", "_stale", "is_on")

    def __init__(self, outbox: Outbox) -> None:
        self.is_on = False
        self._outbox = outbox
        self._early: list[Delivery] = []
        self._stale = False

    def keep(self, delivery: Delivery) -> None:
        """Offered meanwhile."""
        self._early.append(delivery)

    def changed(self) -> bool:
        """Something was opened or settled in the store; whether a read is on, which sees it."""
        self._stale = True
        return self.is_on

    async def read(self, destination: str, *, is_patient: bool) -> tuple[dict[str, OpenLane], list[Blocked]]:
        """The lanes as they stand. With ``is_patient`` a store that fails is asked until it answers: a reload that is
        through is not flipped back any more."""
        self.is_on = True
        while True:
            self._stale = False
            try:
                found = await self._outbox.open_lanes(destination)
                blocked = await self._outbox.blocked_lanes(destination)
            except StoreError:
                if not is_patient:
                    raise
                await asyncio.sleep(STORE_RETRY_SECS)  # the store has said so itself
                continue
            if not self._stale:
                return found, blocked

    def end(self) -> list[Delivery]:
        """From here on nothing is kept; what was."""
        self.is_on = False
        early, self._early = self._early, []
        return early
