"""From stored to handed on, in order: one processor for each source channel.

Transaction T2 is `Outbox.hand_on`: message states, deliveries and bodies of a whole batch in one commit. A crash before
it leaves the messages received; they are taken from the store again and give the same.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from hcsyncd.clock import MICROSECONDS, Clock
from hcsyncd.errors import StoreError
from hcsyncd.events import DeliveryParked, Event, MessageFiltered, MessageRouted, MessageUnrouted, RouteFailed
from hcsyncd.flow.respond import Responder
from hcsyncd.flow.transform import Plan, Transformer
from hcsyncd.message import DeliveryState, Message, MessageState
from hcsyncd.store.ports import Handoff, Inbox, NewDelivery, Outbox

BACKLOG_MESSAGES = 4096
BACKLOG_BYTES = 16 * 1024 * 1024
REFILL_MESSAGES = 1024
BATCH_MESSAGES = 128
BATCH_BYTES = 4 * 1024 * 1024
BATCHES_AHEAD = 2  # transformed while the one before is being committed
STORE_RETRY_SECS = 1.0


class Shelf(Protocol):
    """The part of `store.ports.Inbox` that a backlog reads on in."""

    async def received(self, channel: str, after_id: int, limit: int, max_bytes: int) -> list[Message]: ...


class Backlog:
    """The messages of one channel that wait for routing: the store's truth, with its head kept in memory.

    While it fits, messages come in as they are stored. When it does not, the rest stays in the store (``missed``) and
    is read from there once memory is empty. Messages taken and not yet handed on (``under_way``) are never given twice.
    """

    def __init__(self, channel: str, inbox: Shelf) -> None:
        self._channel = channel
        self._inbox = inbox
        self._queue: deque[Message] = deque()
        self._bytes = 0
        self._under_way: set[int] = set()
        self._last_taken = 0
        self._missed = True  # what the last run of the daemon left
        self._news = asyncio.Event()
        self._news.set()
        self._dry = asyncio.Event()  # set while everything that was received is handed on

    def offer(self, message: Message) -> None:
        """Take in a message that was just stored; in the order of commitment."""
        if self._missed or message.id in self._under_way:
            return
        if len(self._queue) >= BACKLOG_MESSAGES or self._bytes >= BACKLOG_BYTES:
            self._missed = True
        else:
            self._queue.append(message)
            self._bytes += len(message.body)
        self._dry.clear()
        self._news.set()

    async def take(self) -> list[Message]:
        """The next batch in order; waits until there is one."""
        while not self._queue:
            await self._news.wait()
            if self._missed and not self._queue:
                await self._refill()
            if not self._queue and not self._missed:
                self._news.clear()
            self._look_whether_dry()
        taken: list[Message] = []
        size = 0
        while self._queue and len(taken) < BATCH_MESSAGES and size < BATCH_BYTES:
            message = self._queue.popleft()
            size += len(message.body)
            taken.append(message)
        self._bytes -= size
        self._last_taken = max(self._last_taken, taken[-1].id)
        self._under_way.update(message.id for message in taken)
        self._dry.clear()
        return taken

    def handed_on(self, messages: Sequence[Message]) -> None:
        """These are handed on: the store no longer lists them."""
        self._under_way.difference_update(message.id for message in messages)
        self._look_whether_dry()

    def is_under_way(self, message_id: int) -> bool:
        """Whether the message was taken, and is being transformed and committed."""
        return message_id in self._under_way

    async def dry(self) -> None:
        """Wait until everything that was received is handed on."""
        await self._dry.wait()

    async def _refill(self) -> None:
        self._missed = False  # from here on offers are kept again; those that the read sees too are taken out below
        try:
            rows = await self._inbox.received(self._channel, self._last_taken, REFILL_MESSAGES, BACKLOG_BYTES)
        except BaseException:
            self._missed = True
            raise
        fresh = [message for message in rows if message.id not in self._under_way]
        if len(rows) < REFILL_MESSAGES and sum(len(message.body) for message in rows) < BACKLOG_BYTES:
            seen = {message.id for message in fresh}
            fresh += [message for message in self._queue if message.id not in seen]
        else:
            self._missed = True
        self._keep(fresh)

    def _keep(self, messages: list[Message]) -> None:
        self._queue = deque(messages)
        self._bytes = sum(len(message.body) for message in messages)

    def _look_whether_dry(self) -> None:
        if self._queue or self._under_way or self._missed:
            self._dry.clear()
        else:
            self._dry.set()


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages and what is to become of them, in the same order."""

    messages: list[Message]
    handoffs: list[Handoff]


class Processor:
    """Runs one source channel's messages through the live plan."""

    def __init__(
        self,
        channel: str,
        plan: Callable[[], Plan],
        transformer: Transformer,
        inbox: Inbox,
        outbox: Outbox,
        after: AfterHandOn,
    ) -> None:
        self.backlog = Backlog(channel, inbox)
        self._plan = plan
        self._transformer = transformer
        self._outbox = outbox
        self._after = after
        self._ready: asyncio.Queue[Batch] = asyncio.Queue(BATCHES_AHEAD)
        self._ending = False
        self._at_rest = asyncio.Event()  # cleared while a batch is being committed
        self._at_rest.set()
        self._going = asyncio.Event()  # cleared while a person holds the routing
        self._going.set()

    @property
    def held(self) -> bool:
        return not self._going.is_set()

    def hold(self) -> None:
        """Route nothing until `resume`; what is being transformed is handed on."""
        self._going.clear()

    def resume(self) -> None:
        """Route what has waited, in its order."""
        self._going.set()

    async def end(self) -> None:
        """Commit no further batch. What is being committed is on its way to the dispatchers then: cancelled before, it
        would stay in the store unseen, and what comes later in its lanes would overtake it."""
        self._ending = True
        await self._at_rest.wait()

    async def run(self) -> None:
        """Transform and commit side by side, each in order, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._transform())
            group.create_task(self._commit())

    async def _transform(self) -> None:
        while True:
            try:
                messages = await self.backlog.take()
            except StoreError:
                await asyncio.sleep(STORE_RETRY_SECS)  # the store has said so itself
                continue
            await self._going.wait()
            handoffs = await self._transformer.hand_offs(self._plan(), messages)
            await self._ready.put(Batch(messages, handoffs))

    async def _commit(self) -> None:
        while True:
            batch = await self._ready.get()
            if self._ending:
                return
            self._at_rest.clear()
            try:
                ids = await self._hand_on(batch.handoffs)
                for message, handoff, delivery_ids in zip(batch.messages, batch.handoffs, ids, strict=True):
                    self._after(message, handoff, delivery_ids)
                self.backlog.handed_on(batch.messages)
            finally:
                self._at_rest.set()

    async def _hand_on(self, handoffs: list[Handoff]) -> list[list[int]]:
        """T2, tried until it holds: a later batch must not overtake this one."""
        while True:
            try:
                return await self._outbox.hand_on(handoffs)
            except StoreError:
                await asyncio.sleep(STORE_RETRY_SECS)


class AfterHandOn:
    """What follows the commit of T2: events, the sender's acknowledgement, and the dispatchers' work."""

    def __init__(
        self,
        emit: Callable[[Event], None],
        clock: Clock,
        responder: Responder,
        dispatch: Callable[[Message, NewDelivery, int], None],
        on_parked: Callable[[], None],
    ) -> None:
        self._on_parked = on_parked
        self._emit = emit
        self._clock = clock
        self._responder = responder
        self._dispatch = dispatch

    def __call__(self, message: Message, handoff: Handoff, delivery_ids: list[int]) -> None:
        failed = self._tell(message, handoff)
        state = handoff.state
        if handoff.deliveries and all(one.state is DeliveryState.DEAD for one in handoff.deliveries):
            state = MessageState.DEAD
        self._responder.processed(message.id, state, failed)
        # No ids: the message had been handed on before, and its deliveries are known.
        for delivery, delivery_id in zip(handoff.deliveries if delivery_ids else (), delivery_ids, strict=True):
            self._dispatch(message, delivery, delivery_id)

    def _tell(self, message: Message, handoff: Handoff) -> str:
        """Emit what happened; the reason for the sender when a route failed, else ""."""
        match handoff.state:
            case MessageState.UNROUTED:
                self._emit(MessageUnrouted(message.channel, message.id, message.keys.type))
            case MessageState.FILTERED:
                self._emit(MessageFiltered(message.channel, message.id, handoff.text))
            case MessageState.DEAD:
                self._emit(RouteFailed(message.channel, message.id, "", handoff.cause, handoff.text))
                return handoff.text
            case _:
                return self._tell_routed(message, handoff)
        return ""

    def _tell_routed(self, message: Message, handoff: Handoff) -> str:
        seconds = (self._clock.now() - message.received_at) / MICROSECONDS
        alive = sum(one.state is not DeliveryState.DEAD for one in handoff.deliveries)
        self._emit(MessageRouted(message.channel, message.id, alive, seconds))
        failures = {one.route: one for one in handoff.deliveries if one.state is DeliveryState.DEAD}
        for route, one in failures.items():
            self._emit(RouteFailed(message.channel, message.id, route, one.cause, one.text))
        self._tell_parked(message, handoff)
        return "; ".join(one.text for one in failures.values())

    def _tell_parked(self, message: Message, handoff: Handoff) -> None:
        """What waits for a mapping is no failure to tell the sender of: nothing of it is the sender's to mend."""
        for one in handoff.deliveries:
            if one.unmapped:
                self._emit(DeliveryParked(one.destination, one.route, message.id, one.unmapped.table))
                self._on_parked()
