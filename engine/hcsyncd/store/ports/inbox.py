"""T1: what intake, the processor and the responder ask of the store."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Mapping
from typing import Protocol

from hcsyncd.message import NO_FACTS, BusinessKeys, Keys, Message, MessageState, ReplyState
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
    business_keys: BusinessKeys = ()


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


class Reply(Record, frozen=True):
    """A decided acknowledgement. A negative one (``positive`` False) frees the identity: a resend is no duplicate."""

    message_id: int
    reply: bytes
    application_reply: bytes = NO_BYTES
    positive: bool = True


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
