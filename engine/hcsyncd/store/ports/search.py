"""Finding: by what a person pastes, by place in a queue, and as rows come in."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Sequence
from typing import Protocol

from hcsyncd.message import BusinessKeys, DeliveryState
from hcsyncd.record import Record
from hcsyncd.store.ports.history import DeliveryRow


class Keyed(Record, frozen=True):
    """A business key of a message. Its value is patient data."""

    message_id: int
    delivery_id: int  # 0: said by what arrived; else by what was made for that delivery
    name: str
    value: str


class Standing(Record, frozen=True):
    """Where an open delivery stands in its lane."""

    delivery_id: int
    ahead: int  # open deliveries of the lane that come before it; no more than were counted
    blocked_by: int = 0  # the first dead, unsure or parked one of the lane that comes before it; 0: none
    blocked_state: DeliveryState | None = None
    task: int = 0  # that a parked one waits for; 0: none


class Newest(Record, frozen=True):
    """The highest ids there are; 0: none."""

    message: int = 0
    delivery: int = 0
    attempt: int = 0


class Tried(Record, frozen=True):
    """An attempt as it was recorded."""

    id: int
    delivery_id: int
    ended_at: int
    state: DeliveryState  # that the delivery was in after it
    cause: str


class IndexedKeys(Record, frozen=True):
    """What one message says of itself, and what was made of it."""

    message_id: int
    keys: tuple[tuple[int, BusinessKeys], ...]  # by delivery; 0: what arrived


class Reindexing(Record, frozen=True):
    """How far messages stored before have been read for their keys."""

    asked_at: int
    first_id: int  # the newest message when it was asked for
    below_id: int  # messages from here on up are done
    found: int  # keys written
    ended_at: int = 0  # 0: under way


class Search(Protocol):
    """Used by the commands that find, explain and watch. Reads never load a body."""

    async def keys(self, message_ids: Sequence[int]) -> list[Keyed]: ...

    async def keyed(self, value: str, limit: int) -> list[tuple[str, int]]:
        """(name, message) of the business keys with that value, the newest messages first."""
        ...

    async def with_fact(self, word: str, messages: int, limit: int) -> list[int]:
        """Messages, the newest first, one of whose wire facts is the word or a path that ends in it; among the newest
        ``messages`` alone."""
        ...

    async def deliveries(self, delivery_ids: Sequence[int]) -> list[DeliveryRow]:
        """By id; unknown ones are left out."""
        ...

    async def open_deliveries(self, limit: int) -> list[DeliveryRow]:
        """Deliveries that are neither sent nor closed, the oldest first."""
        ...

    async def queued(self, delivery_ids: Sequence[int], most: int) -> list[Standing]:
        """Where deliveries stand; no more than ``most`` are counted before each."""
        ...

    async def waiting_before(self, message_id: int, most: int) -> int:
        """Messages of the same channel that wait for routing before this one, counted up to ``most``."""
        ...

    async def newest(self) -> Newest: ...

    async def made_after(self, delivery_id: int, limit: int) -> list[DeliveryRow]:
        """Deliveries above an id, in the order they were made."""
        ...

    async def tried_after(self, attempt_id: int, limit: int) -> list[Tried]:
        """Attempts above an id, in the order they were recorded."""
        ...

    async def reindexing(self) -> Reindexing | None:
        """The last reading for keys; None when there was none."""
        ...

    def begin_reindexing(self, asked_at: int) -> Future[Reindexing]:
        """Note that all messages there are now are to be read; an earlier reading is forgotten."""
        ...

    def reindex(self, found: Sequence[IndexedKeys], below_id: int, *, ended: bool) -> Future[None]:
        """Put keys in place of those that the messages had, and note how far this is; all in one commit."""
        ...
