"""What travels: arrivals, receipts, messages, deliveries and envelopes, with the states they pass through.

Times are whole microseconds since the Unix epoch (UTC), named ``*_at``. Identifiers are the store's row numbers and
rise in the order of commitment, so that "in order" means "by id" everywhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING

from hcsyncd.record import Record

NAME_HEADER = "name"  # in Envelope.headers: what a transform wants the thing to be called (`Out.name`); never sent


class _NoFacts(dict[str, str]):
    """An empty mapping that stays empty; hashable, as a dataclass wants its defaults to be."""

    if not TYPE_CHECKING:  # typeshed declares that no subclass of dict may be hashed

        def __hash__(self) -> int:
            return 0

    def __setitem__(self, key: str, value: str) -> None:
        raise TypeError("this mapping is shared; make one of your own")


NO_FACTS: Mapping[str, str] = _NoFacts()


class MessageState(StrEnum):
    """Where a stored arrival stands on its way through the routes."""

    RECEIVED = "received"  # on disk, not yet routed
    ROUTED = "routed"  # handed on, some delivery still open
    DONE = "done"  # every delivery sent; some may have been settled by a person instead
    FILTERED = "filtered"  # routes matched, and each of them dropped it on purpose
    UNROUTED = "unrouted"  # no route wanted it
    DEAD = "dead"  # it, or one of its deliveries, needs a person
    CLOSED = "closed"  # a person settled it: discarded, or replaced by a repaired copy


class ReplyState(StrEnum):
    """Where the acknowledgement that a message's sender may wait for stands."""

    OWED = "owed"
    SENT = "sent"
    LOST = "lost"  # the sender was gone when it was to be written
    NOT_OWED = "not_owed"


class DeliveryState(StrEnum):
    """Where one message's way to one destination stands."""

    READY = "ready"
    SENDING = "sending"  # claimed on disk before the send, where a second send would hurt
    WAITING = "waiting"  # failed for now, tried again at due_at
    SENT = "sent"
    UNSURE = "unsure"  # sent, and the answer lost: must be asked about before a second send
    PARKED = "parked"  # held by a person or a missing mapping
    DEAD = "dead"
    CLOSED = "closed"  # discarded or replayed in another form by a person

    @property
    def is_open(self) -> bool:
        """Whether the engine still has to act on the delivery without a person."""
        return self in OPEN_DELIVERY_STATES


OPEN_DELIVERY_STATES = frozenset({DeliveryState.READY, DeliveryState.SENDING, DeliveryState.WAITING})


BusinessKeys = tuple[tuple[str, str], ...]
"""(name, value): what a body says at the paths that its channel declares to be found by. Values are patient data."""


class Keys(Record, frozen=True):
    """What a format reads from a body at a glance, without parsing it. Empty string: the body does not say."""

    type: str = ""  # HL7: MSH-9.1^MSH-9.2
    control_id: str = ""  # HL7: MSH-10
    sender: str = ""  # HL7: MSH-3|MSH-4, first components
    receiver: str = ""  # HL7: MSH-5|MSH-6, first components


class Arrival(Record, frozen=True):
    """What a source hands in. ``key`` is the sender's own identity for this arrival (an Idempotency-Key header, a
    file's ledger identity): an arrival whose key was taken before is a duplicate whatever its content."""

    channel: str
    body: bytes
    peer: str
    received_at: int
    key: str = ""
    facts: Mapping[str, str] = NO_FACTS  # of the wire: file name, TLS client name; routable as wire.<name>


class ReceiptOutcome(StrEnum):
    """What became of an arrival."""

    ACCEPTED = "accepted"  # on stable storage
    DUPLICATE = "duplicate"  # known: the original's reply is given again
    REJECTED = "rejected"  # on stable storage as a dead letter, and the sender is told no
    REFUSED = "refused"  # not stored: the sender must keep it and come again


class Receipt(Record, frozen=True, gc=True):
    """What intake answers to a source, after the commit. ``reply`` goes back on the wire at once, b"" when none is
    owed; ``later`` is the application acknowledgement of the enhanced mode (HL7 v2.5.1 §2.9.3), where one is still to
    come."""

    outcome: ReceiptOutcome
    message_id: int  # 0 when refused
    reply: bytes = b""
    cause: str = ""  # stable error code, "" when accepted
    retry_after: float | None = None  # seconds, when refused for now
    later: asyncio.Future[bytes] | None = None


class Message(Record, frozen=True):
    """A stored arrival, as the road carries it. ``trace`` is shared by everything with the same first cause."""

    id: int
    channel: str
    received_at: int
    keys: Keys
    body: bytes
    trace: int
    parent: int | None = None  # the message that caused this one
    replay_of: int | None = None  # the message that this one sends again
    only_route: str = ""  # a replay narrowed to one route
    only_destination: str = ""  # a replay narrowed to one destination
    peer: str = ""
    facts: Mapping[str, str] = NO_FACTS

    @property
    def intent(self) -> int:
        """The id that idempotency keys are made from: a replay means the same intent as the message it repeats."""
        return self.replay_of or self.id


class Envelope(Record, frozen=True):
    """What leaves: everything a destination may use, nothing it may look up."""

    delivery_id: int
    message_id: int
    body: bytes
    content_type: str
    idempotency_key: str  # the same for every attempt and replay of one intent
    type: str = ""  # Keys.type of what leaves, where the format has one
    control_id: str = ""
    headers: Mapping[str, str] = NO_FACTS
    attempt: int = 1  # counted from 1
    lane: str = ""
    created_at: int = 0
    route: str = ""


class Sent(Record, frozen=True):
    """A destination's word that the other side took the envelope. ``answer`` is kept beside the delivery."""

    answer: bytes = b""
    detail: str = ""  # one line for a person: "AA", "201 Created", a file name


class Delivery(Record, frozen=True):
    """One message's way to one destination, as the dispatcher holds it."""

    id: int
    message_id: int
    route: str
    destination: str
    lane: str
    state: DeliveryState
    attempt: int  # attempts made so far in this round
    due_at: int  # not before; 0 means at once
    first_tried_at: int  # 0 until the first attempt
    created_at: int
    envelope: Envelope
    # On this run's monotonic clock: what giving up is counted from, whatever the wall clock does. 0: not tried in it.
    tried_from: float = 0.0
