"""Alerts as state: raised once, reminded of, cleared once; and what the store knows that they are judged by."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Mapping, Sequence
from typing import Protocol

from hcsyncd.record import Record


class Alert(Record, frozen=True):
    """A condition that holds, or held. Open until ``cleared_at``; there is at most one open alert for a kind and
    subject."""

    kind: str
    subject: str  # a channel, a file, a sink; "" for the daemon as a whole
    owner: str
    text: str  # what holds, with its numbers: for a person
    raised_at: int
    id: int = 0  # 0: the store does not have it yet
    reminded_at: int = 0  # of the last reminder
    reminders: int = 0
    acknowledged_at: int = 0  # somebody looks after it: no reminders any more
    acknowledged_by: str = ""
    note: str = ""
    cleared_at: int = 0

    @property
    def is_open(self) -> bool:
        return not self.cleared_at


class Trouble(Record, frozen=True):
    """What stands still until a person acts. Counts by channel."""

    dead: Mapping[str, int]  # deliveries by destination, messages that came no further by source
    unsure: Mapping[str, int]
    parked: Mapping[str, int]


class Alerts(Protocol):
    """Used by the alerting and by the commands on alerts."""

    def put(self, alert: Alert) -> Future[int]:
        """Keep an alert as it is now, a new one when it has no id; the id. Fails with StoreError."""
        ...

    async def open(self) -> list[Alert]:
        """The open ones, the oldest first."""
        ...

    async def history(self, *, before_id: int = 0, kind: str = "", subject: str = "", limit: int = 100) -> list[Alert]:
        """Open and cleared ones, the newest first, below ``before_id`` where that is given."""
        ...

    async def trouble(self) -> Trouble: ...

    async def last_received(self, channels: Sequence[str]) -> dict[str, int]:
        """When the newest message of each source channel came; channels without one are left out."""
        ...
