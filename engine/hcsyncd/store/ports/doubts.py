"""Deliveries that were sent and whose answer was lost: what is known of them by now."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Sequence
from typing import Protocol

from hcsyncd.message import Delivery, MessageState
from hcsyncd.store.ports.outbox import Outcome


class Doubts(Protocol):
    """Used when the other side was asked about an unsure delivery, or a person knows. Each call is one commit."""

    async def envelopes(self, delivery_ids: Sequence[int]) -> list[Delivery]:
        """Unsure deliveries as they were sent, by id; others are left out."""
        ...

    def sent(self, outcome: Outcome) -> Future[MessageState | None]:
        """The other side has it: the state its message is in then; None when the delivery is no longer unsure."""
        ...

    def not_sent(self, outcome: Outcome) -> Future[Delivery | None]:
        """The other side does not have it: back to ready, under the same key; None when it is no longer unsure."""
        ...
