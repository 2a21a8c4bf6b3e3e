"""What retention reads and removes."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Protocol

from hcsyncd.message import MessageState
from hcsyncd.record import Record

SETTLED_STATES = (MessageState.DONE, MessageState.FILTERED, MessageState.UNROUTED, MessageState.CLOSED)
"""Of messages that nobody, person or engine, has to act on."""


class Data(StrEnum):
    """What is kept apart, in the order in which it goes."""

    BODIES = "bodies"  # the bytes that arrived and those that were sent
    ANSWERS = "answers"  # the replies given to senders, and what the other side said to each attempt
    METADATA = "metadata"  # the rows: messages, deliveries, attempts, and what they are found by


class Bound(Record, frozen=True):
    """What of one channel and class is due. A message is when either bound says so; a message and its replays are when
    the youngest of them is."""

    channel: str
    data: Data
    before: int = 0  # received before, in microseconds; 0: its age makes nothing due
    below: int = 0  # ids under this; 0: neither count nor size makes anything due


class Family(Record, frozen=True):
    """A message that arrived, with its replays: they share bodies and go together."""

    root: int
    messages: int
    bytes: int  # of the arrived bodies alone


class Walked(Record, frozen=True):
    """One step along a channel's settled messages of one state, up to ``after_id``. With ``ended``, nothing that is due
    lies ahead."""

    families: tuple[Family, ...]
    after_id: int
    ended: bool


class Removed(Record, frozen=True):
    """What one removal took away, and how long it held the writer up."""

    messages: int = 0
    bytes: int = 0  # metadata: as estimated (`Sizes`)
    seconds: float = 0.0


class Kept(Record, frozen=True):
    """How many of a channel's messages still have a class of data, and its bytes."""

    messages: int = 0
    bytes: int = 0


Volume = Mapping[tuple[str, Data], Kept]
"""What is kept, by channel and class."""


class Space(Record, frozen=True):
    """The store file: all of its bytes, and those of them that hold nothing."""

    bytes: int
    free_bytes: int


class ClockSeen(Record, frozen=True):
    """The wall time that retention last went by, and since when it doubts the clock (0: it does not)."""

    seen_at: int
    doubted_at: int


class Retention(Protocol):
    """Used by the keeper. Reads go beside the writer and are short: none holds up the write-ahead log for long. What is
    removed is judged again in the commit that removes it: never what is open, waits for a person, is part of a replay
    that is planned or under way, or holds the highest id of its kind, as ids continue from that."""

    async def channels(self) -> list[str]:
        """The channels that have messages which could go, configured or not."""
        ...

    async def walk(self, bound: Bound, state: MessageState, after_id: int) -> Walked:
        """The next families that may go, of the messages in one of the SETTLED_STATES above an id."""
        ...

    def remove(self, bound: Bound, roots: Sequence[int]) -> Future[Removed]:
        """Remove a class of data of these families, as far as they still may go, in one commit."""
        ...

    async def measure(self, bound: Bound, roots: Sequence[int]) -> Kept:
        """What `remove` would take away now."""
        ...

    async def newest(self) -> int:
        """The highest id of a message; 0 in an empty store."""
        ...

    async def volume(self, after_id: int, upto_id: int) -> Volume:
        """What is kept of the messages in a range of ids: above ``after_id``, up to ``upto_id``."""
        ...

    async def sizes(self, channel: str, data: Data, after_id: int, upto_id: int) -> list[tuple[int, int]]:
        """(id, bytes) of each of a channel's messages in a range of ids that still has a class of data, the newest
        first."""
        ...

    async def long_deliveries(self, after_id: int, attempts: int) -> tuple[list[int], int]:
        """Deliveries above an id that keep more than so many attempts, and how far it looked; 0: at the end."""
        ...

    def fold_attempts(self, delivery_ids: Sequence[int], attempts: int) -> Future[Removed]:
        """Keep so many attempts of each delivery, the first and the last ones; ``messages`` of the answer counts the
        attempts that went."""
        ...

    async def space(self) -> Space: ...

    def give_back(self, max_bytes: int) -> Future[Removed]:
        """Cut free space off the file's end, about so much. ``bytes`` of the answer is what came of it, 0 when the file
        cannot give any back."""
        ...

    def empty_log(self) -> Future[None]:
        """Have the write-ahead log moved into the store file, as soon as no read holds on to it: the file is then as
        small as it became, and nothing that was removed is in the log any more."""
        ...

    async def clock_seen(self) -> ClockSeen:
        """What was last noted; in a store that has no note, the time of its newest message, 0 without any."""
        ...

    def note_clock(self, seen: ClockSeen) -> Future[None]: ...
