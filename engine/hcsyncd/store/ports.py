"""The store's ports, sliced by who uses them. Every call that returns an awaitable resolves after its commit.

Transactions (the letters of docs/architecture.md): T1 `Inbox.put`, T2 `Outbox.hand_on`, T3 `Outbox.claim`,
T4 `Outbox.settle`. Rows of many calls share one commit, made by one writer thread; calls take effect in the order
they were made, as far as anyone could tell the difference.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Mapping, Sequence
from typing import Protocol

from hcsyncd.message import NO_FACTS, Delivery, DeliveryState, Keys, Message, MessageState, ReplyState
from hcsyncd.record import Record

NO_BYTES = b""


class NewMessage(Record, frozen=True):
    """T1: an arrival to be stored. ``identity`` says who it is (a digest of channel, sender and control id; empty: no
    duplicate rule), ``fingerprint`` what it says (a digest of the body), ``arrival_key`` which arrival it is (empty:
    none)."""

    channel: str
    received_at: int
    keys: Keys
    body: bytes
    peer: str = ""
    facts: Mapping[str, str] = NO_FACTS
    state: MessageState = MessageState.RECEIVED  # or DEAD, with a cause
    cause: str = ""
    text: str = ""
    identity: bytes = NO_BYTES
    fingerprint: bytes = NO_BYTES
    arrival_key: bytes = NO_BYTES
    reply: bytes = NO_BYTES  # given at once; kept for a resend
    application_reply: bytes = NO_BYTES
    reply_state: ReplyState = ReplyState.NOT_OWED
    reply_open: bool = False  # a reply is still to be decided (`Inbox.decide_reply`): `processed`, `delivered`
    refuse_changed: bool = (
        False  # known identity, other fingerprint: store as a dead letter; its reply is decided after
    )
    parent: int | None = None
    trace: int | None = None  # None: its own id
    replay_of: int | None = None
    only_route: str = ""
    only_destination: str = ""


class Stored(Record, frozen=True):
    """The arrival is a new message. ``reused`` is the id of a message with the same identity and other content."""

    message_id: int
    reused: int | None = None
    refused: bool = False  # reused, and stored as a dead letter without a reply: decide one


class Known(Record, frozen=True):
    """The arrival is a duplicate of ``message_id``. With ``reply_open``, the original's reply is still to be decided,
    and its duplicate is answered when the original is."""

    message_id: int
    reply: bytes
    application_reply: bytes
    reply_state: ReplyState
    reply_open: bool = False


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
    state: DeliveryState = DeliveryState.READY  # or DEAD: the route failed, nothing was made
    cause: str = ""
    text: str = ""


class Handoff(Record, frozen=True):
    """T2: what became of one message."""

    message_id: int
    state: MessageState
    deliveries: tuple[NewDelivery, ...] = ()
    cause: str = ""
    text: str = ""


class Reply(Record, frozen=True):
    """A decided acknowledgement. A negative one (``positive`` False) frees the identity: a resend is no duplicate."""

    message_id: int
    reply: bytes
    application_reply: bytes = NO_BYTES
    positive: bool = True


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


class Inbox(Protocol):
    """Used by intake, the processor and the responder."""

    def put(self, new: NewMessage) -> Future[Stored | Known]:
        """T1. Fails with StoreError when the commit failed; nothing of the arrival is stored then."""
        ...

    def decide_reply(self, reply: Reply) -> Future[None]:
        """Keep the acknowledgement of a message that was stored with its reply owed and not made."""
        ...

    def mark_replied(self, message_id: int, state: ReplyState) -> None:
        """Record that the reply was written or lost. Rides in a later commit; a crash before leaves it owed."""
        ...

    async def undecided(self) -> list[int]:
        """Messages whose reply is still open, by id: asked for once, at the start."""
        ...

    async def received(self, channel: str, after_id: int, limit: int, max_bytes: int) -> list[Message]:
        """Messages of a channel that wait for routing, by id, above ``after_id``: at most ``limit``, ending with the
        one that brings the bodies to ``max_bytes``."""
        ...


class OpenLane(Record, frozen=True):
    """A lane's open deliveries, as the store has them: how many, and the highest id."""

    deliveries: int
    last_id: int


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

    async def blocked_lanes(self, destination: str) -> list[tuple[str, str]]:
        """(lane, route) of a destination's dead and unsure deliveries: asked for with the open lanes."""
        ...

    async def open_deliveries(
        self, destination: str, lane: str, after_id: int, limit: int, max_bytes: int
    ) -> list[Delivery]:
        """Open deliveries of a lane with their envelopes, by id, above ``after_id``: at most ``limit``, ending with the
        one that brings the bodies to ``max_bytes``."""
        ...


class Filter(Record, frozen=True):
    """Which messages or dead letters a person means. Empty fields do not narrow; patterns use ``*`` and ``?``."""

    ids: tuple[int, ...] = ()
    channel: str = ""
    route: str = ""
    destination: str = ""
    type: str = ""  # pattern
    control_id: str = ""  # pattern
    state: str = ""
    cause: str = ""
    since: int | None = None  # microseconds, inclusive
    until: int | None = None  # microseconds, exclusive
    after_id: int = 0  # a message: the list goes on behind it, in its own order
    limit: int = 100
    newest_first: bool = True


class MessageRow(Record, frozen=True):
    """A message as it is listed: no body."""

    id: int
    channel: str
    received_at: int
    keys: Keys
    state: MessageState
    reply_state: ReplyState
    cause: str
    text: str
    bytes: int
    peer: str
    trace: int
    parent: int | None
    replay_of: int | None
    facts: Mapping[str, str] = NO_FACTS


class DeliveryRow(Record, frozen=True):
    """A delivery as it is listed: no body."""

    id: int
    message_id: int
    route: str
    destination: str
    lane: str
    state: DeliveryState
    attempt: int
    due_at: int
    created_at: int
    settled_at: int  # 0 while open
    key: str
    type: str
    content_type: str
    bytes: int
    made: bool  # False: the route failed before there was anything to send
    cause: str
    text: str


class AttemptRow(Record, frozen=True):
    """One try of a delivery and what the other side said."""

    delivery_id: int
    number: int
    started_at: int
    ended_at: int
    state: DeliveryState  # the state the delivery was in after it
    cause: str
    text: str
    answer: bytes


class DeadRow(Record, frozen=True):
    """A dead letter: a message that could not be taken in or routed (``delivery`` None), or a delivery."""

    message: MessageRow
    delivery: DeliveryRow | None


class History(Protocol):
    """Used by the operator's commands. Reads never load bodies unless they are asked for."""

    async def find(self, wanted: Filter) -> list[MessageRow]: ...

    async def message(self, message_id: int) -> MessageRow | None: ...

    async def body(self, message_id: int) -> bytes: ...

    async def replies(self, message_id: int) -> tuple[bytes, bytes]:
        """The reply given at once and the application acknowledgement, as kept."""
        ...

    async def deliveries(self, message_ids: Sequence[int]) -> list[DeliveryRow]: ...

    async def sent_body(self, delivery_id: int) -> bytes: ...

    async def attempts(self, delivery_ids: Sequence[int]) -> list[AttemptRow]: ...

    async def trace(self, message_id: int) -> list[MessageRow]:
        """Every message with the same first cause, by id."""
        ...

    async def dead(self, wanted: Filter) -> list[DeadRow]: ...

    async def counts(self) -> Mapping[str, Mapping[str, int]]:
        """``{"messages": {state: n}, "deliveries": {state: n}, "replays": {state: n}}``; replayed copies are counted
        apart from arrivals, so that arrivals equal the sum of ``messages``."""
        ...

    async def channel_counts(self) -> list[tuple[str, str, int]]:
        """(channel, state, count) of messages by source channel, then of deliveries by destination channel."""
        ...


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
