"""The ways out of being a dead letter."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Sequence
from typing import Protocol

from hcsyncd.message import Delivery


class Repairs(Protocol):
    """Used by the dead letters' commands. Each call is one commit."""

    def reopen(self, delivery_ids: Sequence[int]) -> Future[list[Delivery]]:
        """Dead or unsure deliveries that hold a body go back to ready, with the same key; others are left out."""
        ...

    def close(self, message_ids: Sequence[int], delivery_ids: Sequence[int], reason: str) -> Future[int]:
        """Settle dead letters for good, as a person decided; how many were dead or unsure."""
        ...
