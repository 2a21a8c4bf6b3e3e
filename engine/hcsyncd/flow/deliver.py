"""The way out: one dispatcher for each destination channel, one runner for each lane that has work.

Transactions: T3 `Outbox.claim` before a send where a second send would hurt (`after_crash: hold`), T4 `Outbox.settle`
after it. With `after_crash: resend` the next send of a lane does not wait for T4: a crash then repeats at most what was
not yet committed, in order and under the same idempotency keys.

Law: order within a lane is kept. A lane's runner sends one delivery after the other (``window`` of them at once) and
stays at one that failed until it is settled.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

from hcsyncd.clock import MICROSECONDS, Clock
from hcsyncd.errors import StoreError
from hcsyncd.events import Event
from hcsyncd.flow.attempt import Attempt, Terms, attempt
from hcsyncd.flow.health import Health
from hcsyncd.flow.judge import judge
from hcsyncd.flow.knock import KNOCK_SECS, UNREACHED, Knock
from hcsyncd.flow.lane import Lane, LaneFacts, Room, lane_facts
from hcsyncd.flow.pause import Pauses
from hcsyncd.flow.settle import STORE_RETRY_SECS, Settler
from hcsyncd.flow.take_up import TakeUp
from hcsyncd.message import Delivery, DeliveryState, MessageState, Sent
from hcsyncd.store.ports import Outbox, Outcome

BURST = 64  # sends of one lane before another lane gets its slot
MEMORY_BYTES = 32 * 1024 * 1024
CHANGING, HELD = "changing", "held"
SENDS_SHARE = 0.75  # of the drain time; the rest is for writing outcomes and closing


class Dispatcher:
    """Delivers to one destination. ``on_settled`` is told the state a settled delivery leaves its message in. ``spawn``
    starts the lanes' tasks in the company of the essential ones: one that dies of a defect must not die in silence."""

    def __init__(
        self,
        destination: str,
        terms: Terms,
        outbox: Outbox,
        emit: Callable[[Event], None],
        clock: Clock,
        on_settled: Callable[[int, MessageState, str], None],
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        self.destination = destination
        self._terms = terms
        self._outbox = outbox
        self._clock = clock
        self._on_settled = on_settled
        self._spawn = spawn
        self._open = 0
        self._dry = asyncio.Event()  # set while nothing is open
        self._dry.set()
        self._lanes: dict[str, Lane] = {}
        self._offered_id = 0  # the highest id that was offered: what is handed on is offered in the order of ids
        self._take_up = TakeUp(outbox)
        self._room = Room(MEMORY_BYTES)
        self._slots = asyncio.Semaphore(terms.options.concurrency)
        self._settler = Settler(outbox, self._settled)
        self._pauses = Pauses()  # while the terms change, or a person holds the destination
        self._going = self._pauses.going
        # Nobody sits out a long pause when the other side is back.
        self._health = Health(destination, emit, clock, self.wake_all)
        self._knock = Knock(self.wake_all)
        self._stopping = False

    # Work comes in

    async def recover(self, *, at_start: bool = False) -> int:
        """Take up what the store holds, when the destination comes into service; how many deliveries that is. What is
        offered meanwhile waits: it may be among them. ``at_start``: nothing of it is still to be offered."""
        try:
            found, blocked = await self._take_up.read(self.destination, is_patient=not at_start)
        finally:
            early = self._take_up.end()
        for key, stand in found.items():
            lane = self._lane(key)
            lane.missed = True
            lane.known_id = stand.last_id
            if at_start:
                self._offered_id = max(self._offered_id, stand.last_id)
            self._count(stand.deliveries)
        for block in blocked:
            if self._terms.policy(block.route).holds(block.state):
                lane = self._lane(block.lane)
                for delivery_id in block.delivery_ids:
                    lane.stand_behind(delivery_id)
        for lane in list(self._lanes.values()):
            self._start(lane)
        for delivery in early:
            self.offer(delivery)
        return self._open

    def offer(self, delivery: Delivery) -> None:
        """Take in a delivery that was just handed on. One that came into the world dead or parked only stops a lane
        that is to stand behind such."""
        if self._take_up.is_on:
            self._take_up.keep(delivery)
            return
        self._offered_id = max(self._offered_id, delivery.id)
        if not delivery.state.is_open:
            self.stand_behind(delivery.lane, delivery.route, delivery.state, delivery.id)
            return
        lane = self._lane(delivery.lane)
        if lane.offer(delivery):
            self._count(1)
        self._start(lane)

    def stand_behind(self, key: str, route: str, state: DeliveryState, delivery_id: int) -> None:
        """A delivery came to stand in ``state``: the rest of its lane waits behind it where the route says so."""
        if self._take_up.changed():
            return
        if self._terms.policy(route).holds(state):
            self._lane(key).stand_behind(delivery_id)

    def reopen(self, delivery: Delivery) -> None:
        """Take a delivery that is sent after all; it goes before whatever came after it."""
        if self._take_up.changed():
            return
        self._lane(delivery.lane).reopen(delivery)
        self._count(1)
        self.release(delivery.lane, delivery.id)

    def release(self, key: str, delivery_id: int) -> None:
        """A delivery that a lane may have stood behind is settled; a waiting lane tries at once."""
        if self._take_up.changed():
            return
        lane = self._lane(key)
        lane.settled(delivery_id)
        lane.wake.set()
        self._start(lane)

    # What it looks like from outside

    @property
    def error(self) -> str:
        """Why the last attempt failed, while attempts fail."""
        return self._health.error

    @property
    def open(self) -> int:
        """Deliveries that are still to be settled, here and in the store."""
        return self._open

    async def dry(self) -> None:
        """Wait until nothing is open."""
        await self._dry.wait()

    def _count(self, more: int) -> None:
        self._open += more
        if self._open:
            self._dry.clear()
        else:
            self._dry.set()

    @property
    def held_lanes(self) -> int:
        return sum(lane.held for lane in self._lanes.values())

    @property
    def next_try_at(self) -> int:
        """When the next waiting lane tries again; 0 when none waits."""
        return min((lane.next_try_at for lane in self._lanes.values() if lane.next_try_at), default=0)

    @property
    def oldest_at(self) -> int:
        """When the oldest delivery that waits in memory was made; 0 when none does."""
        return min((lane.head.created_at for lane in self._lanes.values() if lane.head), default=0)

    def lane_facts(self, key: str, delivery_id: int) -> LaneFacts:
        """How a lane stands for one of its deliveries."""
        return lane_facts(self._lanes.get(key), delivery_id, self._slots.locked() * self._terms.options.concurrency)

    # Change and end

    async def change_terms(self, terms: Terms) -> None:
        """Go on by other terms once the sends under way have ended."""
        self._pauses.add(CHANGING)
        before = self._terms.options.concurrency
        for _ in range(before):
            await self._slots.acquire()
        self._terms = terms
        slots = self._slots
        self._slots = asyncio.Semaphore(terms.options.concurrency)
        for _ in range(before):
            slots.release()
        self._go_on(CHANGING)

    def hold(self) -> None:
        """Start no more sends until `resume`; those under way end as they do."""
        self._pauses.add(HELD)

    def resume(self) -> None:
        """Send what has waited, each lane in its order."""
        self._go_on(HELD)

    def _go_on(self, why: str) -> None:
        if self._pauses.lift(why):
            self.wake_all()

    def wake_all(self) -> None:
        """Let every waiting lane try at once."""
        self._knock.end()
        for lane in list(self._lanes.values()):
            lane.wake.set()
            self._start(lane)

    async def stop(self, drain_secs: float | None) -> None:
        """Start no more sends; give those under way three quarters of ``drain_secs``, then cut them off. None: as long
        as they take. Safe to call twice."""
        self._stopping = True
        self._knock.end()
        self._going.set()
        for lane in self._lanes.values():
            lane.wake.set()
        runners = [lane.runner for lane in self._lanes.values() if lane.runner]
        if runners:
            _, late = await asyncio.wait(runners, timeout=None if drain_secs is None else drain_secs * SENDS_SHARE)
            for runner in late:
                runner.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._settler.stop()

    # Lanes

    def _lane(self, key: str) -> Lane:
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(key, self.destination, self._outbox, self._room)
        return lane

    def _start(self, lane: Lane) -> None:
        if lane.runner is None and not lane.held and not self._stopping:
            lane.runner = self._spawn(self._run(lane))

    async def _run(self, lane: Lane) -> None:
        """A lane's life: bursts of sends and rests in between, until nothing is left to do."""
        try:
            while await self._has_work(lane):
                slots = self._slots
                async with slots:
                    pause = await self._burst(lane) if slots is self._slots else 0.0
                if pause:
                    await self._rest(lane, pause)
        finally:
            lane.runner = None
            # A lane that read further in the store than was offered is remembered until that offer comes.
            if lane.is_idle and lane.last_id <= self._offered_id:
                self._lanes.pop(lane.key, None)

    async def _has_work(self, lane: Lane) -> bool:
        """Whether the lane may send; waits while the dispatcher is paused or the store is behind."""
        await self._going.wait()
        await self._settler.keeps_up.wait()
        while lane.missed and not lane.held and not len(lane) and not self._stopping:
            try:
                self._count(await lane.refill())
            except StoreError:
                await asyncio.sleep(STORE_RETRY_SECS)  # the store has said so itself
        return bool(len(lane)) and not lane.held and not self._stopping

    async def _burst(self, lane: Lane) -> float:
        """Send up to `BURST` deliveries in order. Seconds to rest after it: 0 unless one failed for now."""
        terms = self._terms
        under_way: deque[Awaitable[Attempt]] = deque()
        launched = 0
        try:
            while True:
                while launched < BURST and len(under_way) < terms.options.window and self._may_launch(lane):
                    delivery = lane.pop()
                    if delivery is None:
                        break
                    launched += 1
                    under_way.append(self._launch(terms, delivery))
                if not under_way:
                    return 0.0
                pause = await self._conclude(terms, lane, await under_way.popleft())
                if pause:
                    while under_way:
                        await self._conclude(terms, lane, await under_way.popleft())
                    return pause
        finally:
            for late in under_way:
                if isinstance(late, asyncio.Task):
                    late.cancel()

    def _may_launch(self, lane: Lane) -> bool:
        return not lane.held and not self._stopping and self._going.is_set() and self._settler.keeps_up.is_set()

    def _launch(self, terms: Terms, delivery: Delivery) -> Awaitable[Attempt]:
        trying = attempt(terms, delivery, self._outbox, self._clock, partial(self._cut_off, terms))
        # With a window of one the attempt is awaited at once, and needs no task of its own.
        return trying if terms.options.window == 1 else asyncio.get_running_loop().create_task(trying)

    def _cut_off(self, terms: Terms, tried: Attempt) -> None:
        """A stop did not wait for this send. The store writes what it is given before it closes: nothing is awaited."""
        state = DeliveryState.READY
        if terms.claims:
            state = DeliveryState.SENDING if terms.asks else DeliveryState.UNSURE
        self._outbox.settle(tried.outcome(state))
        if state is DeliveryState.UNSURE and not isinstance(tried.result, Sent):
            self._health.failed(tried, tried.result, state, 0.0)

    async def _rest(self, lane: Lane, pause: float) -> None:
        if self._stopping:
            return
        lane.wake.clear()
        lane.next_try_at = self._clock.now() + int(pause * MICROSECONDS)
        try:
            async with asyncio.timeout(pause):
                await lane.wake.wait()
        except TimeoutError:
            return
        finally:
            lane.next_try_at = 0

    # How it came out

    async def _conclude(self, terms: Terms, lane: Lane, tried: Attempt) -> float:
        """Record how an attempt came out; the seconds to rest when the delivery goes back to its lane, else 0."""
        if isinstance(tried.result, Sent):
            await self._succeed(terms, tried)
            return 0.0
        if not tried.made:
            lane.put_back([tried.delivery])
            return STORE_RETRY_SECS
        policy = terms.policy(tried.delivery.route)
        state, pause = judge(terms, policy, tried, self._clock.monotonic())
        self._health.failed(tried, tried.result, state, pause)
        if pause > KNOCK_SECS and tried.result.reason in UNREACHED:
            self._knock.begin(terms.sender)
        due_at = tried.ended_at + int(pause * MICROSECONDS) if pause else 0
        await self._settler.settle(tried.outcome(state, due_at))
        if state.is_open:
            lane.put_back([tried.again(state, due_at, policy.retry)])
        else:
            self.stand_behind(lane.key, tried.delivery.route, state, tried.delivery.id)
        return pause

    async def _succeed(self, terms: Terms, tried: Attempt) -> None:
        self._health.sent(tried)
        outcome = tried.outcome(DeliveryState.SENT)
        if terms.claims:
            await self._settler.settle(outcome)
        else:
            self._settler.settle_behind(outcome)

    def _settled(self, outcome: Outcome, message_state: MessageState) -> None:
        if not outcome.state.is_open:
            self._count(-1)
            self._on_settled(outcome.message_id, message_state, outcome.text if outcome.cause else "")
