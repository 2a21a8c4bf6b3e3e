"""What a person stopped: kept until a person lifts it, through restarts and reloads."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

from hcsyncd.record import Record


class HoldKind(StrEnum):
    """Which part of the road stands still."""

    RECEIVING = "receiving"  # a source is closed: its senders keep their messages
    ROUTING = "routing"  # a source's arrivals are stored and acknowledged, and wait for their routes
    DELIVERY = "delivery"  # nothing is sent to a destination: what is bound for it is queued


class Hold(Record, frozen=True):
    """One channel, stopped by a person."""

    kind: HoldKind
    channel: str
    by: str  # login name
    at: int  # microseconds
    reason: str


class Holds(Protocol):
    """Used by the holding of channels. Each call is one commit."""

    async def held(self) -> list[Hold]:
        """Every hold, by kind and channel."""
        ...

    def put(self, holds: Sequence[Hold]) -> Future[None]:
        """Keep these holds; one of the same kind and channel takes the place of an earlier one."""
        ...

    def lift(self, kind: HoldKind, channels: Sequence[str]) -> Future[None]:
        """Forget these holds; a channel that is not held is left alone."""
        ...
