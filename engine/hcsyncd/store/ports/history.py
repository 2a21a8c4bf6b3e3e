"""What the operator's commands read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from hcsyncd.message import NO_FACTS, DeliveryState, Keys, Message, MessageState, ReplyState
from hcsyncd.record import Record


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
    keys: tuple[tuple[str, str], ...] = ()  # (name, value) of business keys: all of them; a copy has its original's
    text: str = ""  # stands in what arrived or in what was made of it, whatever the case of its letters
    trace: int = 0  # any message of the trace
    first_id: int = 0  # messages from this one on; 0: from the oldest
    last_id: int = 0  # messages up to this one; 0: to the newest
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
    body_removed_at: int = 0  # when retention took the bytes that came and those that were sent; 0: it did not
    answers_removed_at: int = 0


class Reach(Record, frozen=True):
    """How far one search goes where no index leads it."""

    messages: int
    bytes: int  # of bodies, where a text is looked for


EVERYTHING = Reach(2**62, 2**62)


class Looked(Record, frozen=True, gc=True):
    """What a search found, and how far it looked: down to message ``looked_to`` with the newest first, else up to it; 0
    when nothing is left to look at."""

    rows: list[MessageRow]
    looked_to: int = 0
    messages: int = 0  # looked at
    bytes: int = 0  # of bodies


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
    generation: int = 0  # of the configuration that made it; 0: not known


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

    async def find(self, wanted: Filter) -> list[MessageRow]:
        """Everything that a filter wants, however far it has to look."""
        ...

    async def look(self, wanted: Filter, reach: Reach) -> Looked:
        """As `find`, but no farther than ``reach``; to go on, ask again with ``after_id`` where it ended."""
        ...

    async def message(self, message_id: int) -> MessageRow | None: ...

    async def messages(self, message_ids: Sequence[int]) -> list[Message]:
        """Messages with their bodies, by id, as the road carries them; unknown ids are left out. The caller bounds how
        much it asks for at once."""
        ...

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
