"""Tasks and assignments on the store file."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import apsw

from hcsyncd.clock import MICROSECONDS
from hcsyncd.message import DeliveryState
from hcsyncd.store.outbox import make_rows, note_made, stand
from hcsyncd.store.parking import park
from hcsyncd.store.ports import Arrears, Assignment, ParkedRow, Remade, TaskRow, Unmapped, Unparked
from hcsyncd.store.queries import QUERIES
from hcsyncd.store.readers import Readers
from hcsyncd.store.rows import delivery_from
from hcsyncd.store.transaction import Transaction, select
from hcsyncd.store.writer import Work, Writer


@dataclass(frozen=True, slots=True)
class _Unpark:
    task_id: int
    message_id: int
    remade: tuple[Remade, ...]


class SqliteTasks:
    """The tasks port on the store file."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def tasks(self, *, closed: bool = False, limit: int = 1000) -> list[TaskRow]:
        rows = await self._readers.rows("closed_tasks" if closed else "open_tasks", (limit,))
        return [TaskRow(*row) for row in rows]

    async def task(self, task_id: int) -> TaskRow | None:
        rows = await self._readers.rows("task", (task_id,))
        return TaskRow(*rows[0]) if rows else None

    async def parked(self, task_id: int, after_message_id: int, limit: int) -> list[ParkedRow]:
        wanted = {"task": task_id, "after": after_message_id, "limit": limit}
        return [ParkedRow(*row) for row in await self._readers.rows("parked_of_task", wanted)]

    def unpark(self, task_id: int, message_id: int, remade: Sequence[Remade]) -> Future[Unparked]:
        size = sum(len(made.body or b"") for one in remade for made in one.deliveries)
        return self._writer.submit(UNPARK, _Unpark(task_id, message_id, tuple(remade)), size)

    def assign_task(self, task_id: int, owner: str, due_at: int, note: str, by: str) -> Future[bool]:
        return self._writer.submit(ASSIGN_TASK, (owner, due_at, note, by, task_id))

    def settle_task(self, task_id: int, by: str, reason: str) -> Future[None]:
        return self._writer.submit(SETTLE_TASK, (by, reason, task_id))

    def assign(self, assignments: Sequence[Assignment]) -> Future[None]:
        return self._writer.submit(ASSIGN, tuple(assignments))

    async def assignments(self, message_ids: Sequence[int]) -> list[Assignment]:
        rows = await self._readers.read(lambda connection: select(connection, "assignments_of", message_ids))
        return [Assignment(*row) for row in rows]

    async def overdue(self, now: int, dead_due_secs: float, task_due_secs: float) -> Arrears:
        dead_values = {"now": now, "due": int(dead_due_secs * MICROSECONDS)}
        task_values = {"now": now, "due": int(task_due_secs * MICROSECONDS)}

        def look(connection: apsw.Connection) -> tuple[list[Any], Any]:
            dead: list[Any] = []
            for name in ("dead_deliveries_by_channel", "dead_messages_by_channel"):
                dead += connection.execute(QUERIES[name].text, dead_values).fetchall()
            return dead, connection.execute(QUERIES["count_tasks"].text, task_values).fetchone()

        rows, (tasks, tasks_overdue) = await self._readers.read(look)
        dead: dict[str, int] = {}
        overdue: dict[str, int] = {}
        for channel, count, late in rows:
            dead[channel] = dead.get(channel, 0) + count
            overdue[channel] = overdue.get(channel, 0) + late
        return Arrears(dead, overdue, tasks, tasks_overdue)


def _unpark(transaction: Transaction, group: list[_Unpark]) -> list[Unparked]:
    return [_unpark_message(transaction, asked) for asked in group]


def _unpark_message(transaction: Transaction, asked: _Unpark) -> Unparked:
    still = {row[0] for row in transaction.select("still_parked", [one.delivery_id for one in asked.remade])}
    own: Any = transaction.connection.execute(QUERIES["own_body"].text, (asked.message_id,)).fetchone()
    bodies: list[tuple[Any, ...]] = []
    deliveries: list[tuple[Any, ...]] = []
    keys: list[tuple[Any, ...]] = []
    parked: list[tuple[int, int, Unmapped]] = []
    rows: list[tuple[int, ...]] = []
    for one in asked.remade:
        if one.delivery_id not in still:
            rows.append(())
            continue
        transaction.update("take_parked", [one.delivery_id])
        if not one.deliveries:
            transaction.update("close_parked", [one.delivery_id], transaction.now, one.reason)
            rows.append((one.delivery_id,))
            continue
        transaction.update("take_parked_deliveries", [one.delivery_id])
        ids = make_rows(
            transaction, asked.message_id, one.deliveries, own, (bodies, deliveries), first_id=one.delivery_id
        )
        note_made(asked.message_id, one.deliveries, ids, (keys, parked))
        rows.append(tuple(ids))
    transaction.insert("insert_bodies", bodies)
    transaction.insert("insert_deliveries", deliveries)
    transaction.insert("insert_business_keys", keys)
    park(transaction, parked)
    transaction.connection.execute(QUERIES["close_empty_task"].text, (transaction.now, asked.task_id))
    state = stand(transaction, {asked.message_id})[asked.message_id]
    made = [made for one in asked.remade if one.delivery_id in still for made in one.deliveries]
    given = [delivery_id for ids in rows for delivery_id in ids]
    closed = {one.delivery_id for one in asked.remade if not one.deliveries}
    fresh = [delivery_id for delivery_id in given if delivery_id not in closed]
    ready = [delivery_id for delivery_id, new in zip(fresh, made, strict=True) if new.state is DeliveryState.READY]
    found = transaction.select("deliveries_with_bodies", sorted(ready))
    return Unparked(tuple(rows), tuple(delivery_from(row) for row in found), state)


def _assign_task(transaction: Transaction, group: list[tuple[Any, ...]]) -> list[bool]:
    return [_changes(transaction, "assign_task", values) for values in group]


def _settle_task(transaction: Transaction, group: list[tuple[Any, ...]]) -> list[None]:
    for values in group:
        _changes(transaction, "settle_task", values)
    return [None] * len(group)


def _assign(transaction: Transaction, group: list[tuple[Assignment, ...]]) -> list[None]:
    for assignments in group:
        for one in assignments:
            values = (one.message_id, one.delivery_id, one.owner, one.due_at, one.note, one.by, one.at)
            _changes(transaction, "assign_dead_letter", values)
    return [None] * len(group)


def _changes(transaction: Transaction, query: str, values: tuple[Any, ...]) -> bool:
    transaction.connection.execute(QUERIES[query].text, values)
    return bool(transaction.connection.changes())


UNPARK = Work("making parked deliveries anew", _unpark)
ASSIGN_TASK = Work("assigning a task", _assign_task)
SETTLE_TASK = Work("keeping who settled a task", _settle_task)
ASSIGN = Work("assigning dead letters", _assign)
