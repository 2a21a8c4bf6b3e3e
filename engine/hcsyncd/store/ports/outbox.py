"""T2 to T4: what the processor and the dispatchers ask of the store."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Mapping, Sequence
from typing import Protocol

from hcsyncd.message import NO_FACTS, BusinessKeys, Delivery, DeliveryState, MessageState
from hcsyncd.record import Record
from hcsyncd.store.ports.inbox import NO_BYTES


class Unmapped(Record, frozen=True):
    """A code that a lookup table has no entry for: what a parked delivery waits for."""

    table: str
    code: str


class NewDelivery(Record, frozen=True):
    """T2: one delivery to be made. ``body`` None means the message's own bytes; equal objects are stored once."""

    route: str
    destination: str
    lane: str
    content_type: str
    key: str  # idempotency key
    body: bytes | None = None
    type: str = ""
    control_id: str = ""
    headers: Mapping[str, str] = NO_FACTS
    created_at: int = 0  # 0: the time of the commit
    state: DeliveryState = DeliveryState.READY  # or DEAD: the route failed; or PARKED; nothing was made then
    cause: str = ""
    text: str = ""
    generation: int = 0  # of the configuration that made it; 0: not known
    unmapped: Unmapped | None = None  # of a parked one
    business_keys: BusinessKeys = ()


class Handoff(Record, frozen=True):
    """T2: what became of one message."""

    message_id: int
    state: MessageState
    deliveries: tuple[NewDelivery, ...] = ()
    cause: str = ""
    text: str = ""


class Outcome(Record, frozen=True):
    """T4: how one attempt ended, and where the delivery stands now."""

    delivery_id: int
    message_id: int
    state: DeliveryState
    attempt: int  # attempts made in this round, this one included
    started_at: int
    ended_at: int
    due_at: int = 0
    cause: str = ""
    text: str = ""
    answer: bytes = NO_BYTES


class OpenLane(Record, frozen=True):
    """A lane's open deliveries, as the store has them: how many, and the highest id."""

    deliveries: int
    last_id: int


class Blocked(Record, frozen=True):
    """Deliveries of a lane that wait for a person, and that the lane may have to stand behind."""

    lane: str
    route: str
    state: DeliveryState
    delivery_ids: tuple[int, ...]


class Outbox(Protocol):
    """Used by the processor and the dispatchers."""

    def hand_on(self, handoffs: Sequence[Handoff]) -> Future[list[list[int]]]:
        """T2. All of them in one commit: message states, deliveries, bodies. The ids of each one's deliveries; none for
        a message that no longer waits for routing: it was handed on before, and nothing is made for it again."""
        ...

    def claim(self, delivery_ids: Sequence[int]) -> Future[None]:
        """T3. Note on disk that a send is about to be tried."""
        ...

    def settle(self, outcome: Outcome) -> Future[MessageState]:
        """T4. Record an attempt and where the delivery stands; the state its message is in after that."""
        ...

    async def open_lanes(self, destination: str) -> dict[str, OpenLane]:
        """The lanes of a destination that hold open deliveries: asked for when a destination comes into service."""
        ...

    async def blocked_lanes(self, destination: str) -> list[Blocked]:
        """A destination's dead, unsure and parked deliveries: asked for with the open lanes."""
        ...

    async def open_deliveries(
        self, destination: str, lane: str, after_id: int, limit: int, max_bytes: int
    ) -> list[Delivery]:
        """Open deliveries of a lane with their envelopes, by id, above ``after_id``: at most ``limit``, ending with the
        one that brings the bodies to ``max_bytes``."""
        ...
