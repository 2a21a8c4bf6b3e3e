"""Parked deliveries go on once their code has an entry: in the order of their messages, page by page, each message in
one commit. What a crash cuts short is still parked, and is found at the next start."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import groupby

from hcsyncd.clock import MICROSECONDS, Clock
from hcsyncd.errors import ControlError, StoreError
from hcsyncd.events import DeliveryDied, DeliveryParked, DeliveryUnparked, Event, TaskClosed
from hcsyncd.flow.park import remake
from hcsyncd.flow.transform import Transformer
from hcsyncd.message import DeliveryState
from hcsyncd.plugins.pool import WorkerPool
from hcsyncd.runtime.node import Node
from hcsyncd.store.ports import DeliveryRow, Filter, Remade, TaskRow, Unparked
from hcsyncd.store.store import Store

PAGE = 64  # messages
PAGE_BYTES = 8 << 20  # of their bodies; a single larger one goes alone
MAX_TASKS = 1_000_000  # that are looked at: all of them, as the youngest may be the one that got its entry
STORE_RETRY_SECS = 1.0


Decide = Callable[[Sequence[DeliveryRow]], Awaitable[list[Remade]]]


class Unparking:
    """Looks whenever something was parked or a configuration went live. ``changing`` is the lock of reloads: no page
    falls between two generations."""

    def __init__(
        self,
        store: Store,
        node: Node,
        pool: WorkerPool,
        emit: Callable[[Event], None],
        clock: Clock,
        changing: asyncio.Lock,
    ) -> None:
        self._tasks = store.tasks
        self._history = store.history
        self._node = node
        self._transformer = Transformer(pool)
        self._emit = emit
        self._clock = clock
        self._changing = changing

    async def run(self) -> None:
        """Until cancelled."""
        self._node.parked.set()  # what the last run left
        while True:
            await self._node.parked.wait()
            self._node.parked.clear()
            try:
                for task in await self._tasks.tasks(limit=MAX_TASKS):
                    if task.code in self._node.generation.site.tables.get(task.table, ()):
                        await self.retry(task)
            except StoreError:
                await asyncio.sleep(STORE_RETRY_SECS)  # the store has said so itself
                self._node.parked.set()

    async def retry(self, task: TaskRow) -> int:
        """Make everything under a task anew, whether the code has an entry now or not; how many deliveries that was."""
        return await self._each_page(task, self._remake)

    async def discard(self, task: TaskRow, by: str, reason: str) -> int:
        """Close everything under a task, as a person decided; how many deliveries that was."""

        async def closing(rows: Sequence[DeliveryRow]) -> list[Remade]:
            return [Remade(row.id, reason=reason) for row in rows]

        await self._tasks.settle_task(task.id, by, reason)
        return await self._each_page(task, closing)

    async def task(self, task_id: int) -> TaskRow:
        """Raises ControlError when there is no such task, or it is closed."""
        task = await self._tasks.task(task_id)
        if task is None:
            raise ControlError(f"there is no task {task_id}; hcsyncd tasks lists them")
        if task.closed_at:
            raise ControlError(f"task {task_id} is closed: nothing waits for it")
        return task

    async def _each_page(self, task: TaskRow, decide: Decide) -> int:
        after, count = 0, 0
        while True:
            async with self._changing:
                rows = await self._page(task.id, after)
                if not rows:
                    break
                await self._put_through(task.id, rows, await decide(rows))
            after = rows[-1].message_id
            count += len(rows)
        closed = await self._tasks.task(task.id)
        if closed and closed.closed_at and count:
            seconds = (closed.closed_at - closed.opened_at) / MICROSECONDS
            self._emit(TaskClosed(task.id, task.table, seconds))
        return count

    async def _page(self, task_id: int, after: int) -> list[DeliveryRow]:
        """The next parked deliveries, no more messages than fit into memory."""
        parked = await self._tasks.parked(task_id, after, PAGE)
        message_ids = list(dict.fromkeys(row.message_id for row in parked))
        if not message_ids:
            return []
        found = await self._history.find(Filter(ids=tuple(message_ids), limit=PAGE, newest_first=False))
        sizes = {row.id: row.bytes for row in found}
        total, taken = 0, 0
        for message_id in message_ids:
            total += sizes.get(message_id, 0)
            if taken and total > PAGE_BYTES:
                break
            taken += 1
        wanted = {row.delivery_id for row in parked}
        rows = await self._history.deliveries(message_ids[:taken])
        return sorted((row for row in rows if row.id in wanted), key=lambda row: (row.message_id, row.id))

    async def _remake(self, rows: Sequence[DeliveryRow]) -> list[Remade]:
        messages = {row.id: row for row in await self._history.messages(list({row.message_id for row in rows}))}
        return await remake(self._transformer, self._node.plan, messages, rows)

    async def _put_through(self, task_id: int, rows: Sequence[DeliveryRow], remade: Sequence[Remade]) -> None:
        pairs = zip(rows, remade, strict=True)
        written = []
        for message_id, group in groupby(pairs, key=lambda pair: pair[0].message_id):
            together = list(group)
            future = self._tasks.unpark(task_id, message_id, [one for _, one in together])
            # As a callback, so that dispatchers hear of it in the order of commitment, as they do of fresh ones.
            future.add_done_callback(partial(self._announce, together))
            written.append(future)
        await asyncio.gather(*written)

    def _announce(self, together: list[tuple[DeliveryRow, Remade]], done: asyncio.Future[Unparked]) -> None:
        if done.cancelled() or done.exception():
            return  # whoever waits for it is told
        came = done.result()
        ready = {delivery.id: delivery for delivery in came.ready}
        for (old, one), ids in zip(together, came.rows, strict=True):
            out = self._node.out_of(old.destination)
            if ids and out:
                out.dispatcher.release(old.lane, old.id)
                for delivery_id, made in zip(ids, one.deliveries, strict=False):
                    if delivery_id == old.id and delivery_id in ready:
                        out.dispatcher.reopen(ready[delivery_id])
                    elif delivery_id in ready:
                        out.dispatcher.offer(ready[delivery_id])
                    else:
                        out.dispatcher.stand_behind(made.lane, made.route, made.state, delivery_id)
            if ids:
                self._tell(old, one)
        self._node.settled(together[0][0].message_id, came.message_state, "")

    def _tell(self, old: DeliveryRow, one: Remade) -> None:
        first = one.deliveries[0] if one.deliveries else None
        outcome = first.state if first else DeliveryState.CLOSED
        self._emit(DeliveryUnparked(old.destination, old.route, old.id, old.message_id, outcome))
        if first and first.unmapped:
            self._emit(DeliveryParked(old.destination, old.route, old.message_id, first.unmapped.table))
        elif first and first.state is DeliveryState.DEAD:
            names = (old.destination, old.route, old.id, old.message_id)
            self._emit(DeliveryDied(*names, 0, first.cause, first.text))
