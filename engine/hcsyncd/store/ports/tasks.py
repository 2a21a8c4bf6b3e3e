"""What waits for a person: codes without a mapping with the deliveries parked for them, and who takes care of what."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Mapping, Sequence
from typing import Protocol

from hcsyncd.message import Delivery, MessageState
from hcsyncd.record import Record
from hcsyncd.store.ports.outbox import NewDelivery


class TaskRow(Record, frozen=True):
    """A code that a lookup table has no entry for. Owner and due time are those that a person gave: "" and 0 where the
    site's defaults hold."""

    id: int
    table: str
    code: str
    opened_at: int
    owner: str
    due_at: int
    note: str
    assigned_by: str
    closed_at: int  # 0: open
    settled_by: str
    reason: str
    parked: int  # deliveries that wait


class ParkedRow(Record, frozen=True):
    """A delivery that waits under a task."""

    delivery_id: int
    message_id: int


class Remade(Record, frozen=True):
    """What a parked delivery becomes: the first of ``deliveries`` takes its row, with its id; further ones are added.
    None: it is closed, with ``reason``."""

    delivery_id: int
    deliveries: tuple[NewDelivery, ...] = ()
    reason: str = ""


class Unparked(Record, frozen=True):
    """What came of one message's parked deliveries: the ids of the rows of each, in the order asked, none for one that
    was no longer parked; those that are to be sent now; and where the message stands."""

    rows: tuple[tuple[int, ...], ...]
    ready: tuple[Delivery, ...]
    message_state: MessageState


class Assignment(Record, frozen=True):
    """Who takes care of a dead letter. ``delivery_id`` 0: the message itself is the dead letter."""

    message_id: int
    delivery_id: int
    owner: str
    due_at: int  # 0: the site's default
    note: str
    by: str
    at: int


class Arrears(Record, frozen=True):
    """How much waits for people: dead letters by channel (the destination's, the source's for what died at its
    arrival), and tasks."""

    dead: Mapping[str, int] = {}
    overdue: Mapping[str, int] = {}
    tasks: int = 0
    tasks_overdue: int = 0


class Tasks(Protocol):
    """Used by the unparking, the tasks' and the dead letters' commands, and whoever watches what is overdue."""

    async def tasks(self, *, closed: bool = False, limit: int = 1000) -> list[TaskRow]:
        """The open tasks, the oldest first; or those that were closed, the latest first."""
        ...

    async def task(self, task_id: int) -> TaskRow | None: ...

    async def parked(self, task_id: int, after_message_id: int, limit: int) -> list[ParkedRow]:
        """The deliveries under a task, in the order of their messages, above ``after_message_id``: those of at most
        ``limit`` messages, each message's together."""
        ...

    def unpark(self, task_id: int, message_id: int, remade: Sequence[Remade]) -> Future[Unparked]:
        """One commit for all of a message's deliveries. A task that nothing is left under is closed."""
        ...

    def assign_task(self, task_id: int, owner: str, due_at: int, note: str, by: str) -> Future[bool]:
        """Whether there is such an open task."""
        ...

    def settle_task(self, task_id: int, by: str, reason: str) -> Future[None]:
        """Keep who ended the wait, and why."""
        ...

    def assign(self, assignments: Sequence[Assignment]) -> Future[None]:
        """Keep who takes care of dead letters; the last word on each counts."""
        ...

    async def assignments(self, message_ids: Sequence[int]) -> list[Assignment]: ...

    async def overdue(self, now: int, dead_due_secs: float, task_due_secs: float) -> Arrears:
        """What waits, and what should have been settled by ``now``: where no person gave a due time, so many seconds
        after it began to wait."""
        ...
