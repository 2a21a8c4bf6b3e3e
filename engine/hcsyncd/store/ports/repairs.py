"""Replay, and the ways out of being a dead letter."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Sequence
from typing import Protocol

from hcsyncd.message import Delivery, Keys


class Repairs(Protocol):
    """Used by replay and the dead letters' commands. Each call is one commit."""

    def replay(
        self, message_ids: Sequence[int], route: str, destination: str, body: bytes | None, keys: Keys | None = None
    ) -> Future[list[int]]:
        """New messages, state received, each caused by the one it repeats; ``body`` replaces the bytes of a single one,
        and ``keys`` are what the new bytes say. A dead original is closed, and so are its dead or unsure deliveries
        that the replay stands in for: all, or those of ``route`` and ``destination`` where they are given. The ids of
        the copies, in the order given."""
        ...

    def reopen(self, delivery_ids: Sequence[int]) -> Future[list[Delivery]]:
        """Dead or unsure deliveries that hold a body go back to ready, with the same key; others are left out."""
        ...

    def close(self, message_ids: Sequence[int], delivery_ids: Sequence[int], reason: str) -> Future[int]:
        """Settle dead letters for good, as a person decided; how many were dead or unsure."""
        ...
