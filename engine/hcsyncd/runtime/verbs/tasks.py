"""Codes without a mapping, and what waits for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec

from hcsyncd.clock import MICROSECONDS, Clock
from hcsyncd.config.model import Site
from hcsyncd.errors import ControlError
from hcsyncd.events import Event, TaskAssigned
from hcsyncd.record import Record
from hcsyncd.runtime.live import Order
from hcsyncd.runtime.repair import Id
from hcsyncd.runtime.unparking import Unparking
from hcsyncd.runtime.verb import Access, Caller, Request, Verb, Verbs
from hcsyncd.runtime.verbs.configuration import Changer
from hcsyncd.store.ports import DeliveryRow, Filter, History, MessageRow, TaskRow, Tasks

SHOWN = 100  # of the messages that wait under a task
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class TaskList(Request, frozen=True):
    """Open tasks, or those that were closed."""

    closed: bool = False


class OneTask(Request, frozen=True):
    """One task."""

    id: Id


class TaskAssignment(Request, frozen=True):
    """Who is to enter a mapping, and until when; 0: as the site says."""

    id: Id
    owner: Text
    due_at: Annotated[int, msgspec.Meta(ge=0)] = 0
    note: Annotated[str, msgspec.Meta(max_length=500)] = ""


class TaskDiscard(Request, frozen=True):
    """What waits under a task is never to be sent."""

    id: Id
    reason: Text


class Mapping(Request, frozen=True):
    """A code that now stands in the table's file."""

    table: Text
    code: Text
    reason: Text


class TaskView(Record, frozen=True):
    """A task with the owner and the due time that hold for it."""

    task: TaskRow
    owner: str
    due_at: int
    overdue: bool


class ParkedView(Record, frozen=True):
    """A message that waits, with its parked delivery."""

    message: MessageRow
    delivery: DeliveryRow


class TaskVerbs:
    """``tasks.list``, ``tasks.show``, ``tasks.assign``, ``tasks.retry``, ``tasks.discard``, ``mapping.enter``."""

    def __init__(
        self,
        stores: tuple[Tasks, History],
        unparking: Unparking,
        changer: Changer,
        site: Callable[[], Site],
        emit: Callable[[Event], None],
        clock: Clock,
    ) -> None:
        self._tasks, self._history = stores
        self._unparking = unparking
        self._changer = changer
        self._site = site
        self._emit = emit
        self._clock = clock

    def verbs(self) -> Verbs:
        return {
            "tasks.list": Verb(TaskList, self.list_tasks),
            "tasks.show": Verb(OneTask, self.show_task),
            "tasks.assign": Verb(TaskAssignment, self.assign_task, Access.CHANGES),
            "tasks.retry": Verb(OneTask, self.retry_task, Access.CHANGES),
            "tasks.discard": Verb(TaskDiscard, self.discard_task, Access.CHANGES),
            "mapping.enter": Verb(Mapping, self.enter_mapping, Access.CHANGES),
        }

    async def list_tasks(self, asked: TaskList, _caller: Caller) -> list[TaskView]:
        return [self._view(task) for task in await self._tasks.tasks(closed=asked.closed)]

    async def show_task(self, asked: OneTask, _caller: Caller) -> dict[str, Any]:
        """The task, and the first of the deliveries that wait under it."""
        task = await self._tasks.task(asked.id)
        if task is None:
            raise ControlError(f"there is no task {asked.id}; hcsyncd tasks lists them")
        parked = await self._tasks.parked(task.id, 0, SHOWN)
        ids = tuple({row.message_id for row in parked})
        wanted = {row.delivery_id for row in parked}
        messages = {row.id: row for row in await self._history.find(Filter(ids=ids, limit=SHOWN))} if ids else {}
        views = [
            ParkedView(messages[row.message_id], row)
            for row in await self._history.deliveries(sorted(ids))
            if row.id in wanted
        ]
        return {"task": self._view(task), "parked": views}

    async def assign_task(self, asked: TaskAssignment, caller: Caller) -> TaskView:
        task = await self._unparking.task(asked.id)
        await self._tasks.assign_task(task.id, asked.owner, asked.due_at, asked.note, caller.name)
        self._emit(TaskAssigned(task.id, asked.owner, caller.name))
        return self._view(await self._unparking.task(asked.id))

    async def retry_task(self, asked: OneTask, _caller: Caller) -> dict[str, int]:
        """``{"tried": n, "parked": n}``: made anew by the live configuration, and what waits still."""
        tried = await self._unparking.retry(await self._unparking.task(asked.id))
        left = await self._tasks.task(asked.id)
        return {"tried": tried, "parked": left.parked if left else 0}

    async def discard_task(self, asked: TaskDiscard, caller: Caller) -> dict[str, int]:
        """``{"discarded": n}``; nothing of them is deleted."""
        task = await self._unparking.task(asked.id)
        return {"discarded": await self._unparking.discard(task, caller.name, asked.reason)}

    async def enter_mapping(self, asked: Mapping, caller: Caller) -> dict[str, Any]:
        """Put the site as it is now to work, with the code in it: ``{"reloaded": Reloaded, "task": id, "parked": n}``,
        0 where nothing waited for the code. What waits then goes by itself."""
        waiting = [task for task in await self._tasks.tasks() if (task.table, task.code) == (asked.table, asked.code)]
        reloaded = await self._changer.reload(Order(caller.name, asked.reason))
        if asked.code not in self._site().tables.get(asked.table, ()):
            raise ControlError(f"mapping table {asked.table} has no such code in the site that the daemon runs on")
        for task in waiting:
            await self._tasks.settle_task(task.id, caller.name, asked.reason)
        first = waiting[0] if waiting else None
        return {"reloaded": reloaded, "task": first.id if first else 0, "parked": first.parked if first else 0}

    def _view(self, task: TaskRow) -> TaskView:
        options = self._site().daemon.tasks
        due_at = task.due_at or task.opened_at + int(options.due_secs * MICROSECONDS)
        overdue = not task.closed_at and due_at < self._clock.now()
        return TaskView(task, task.owner or options.owner, due_at, overdue)
