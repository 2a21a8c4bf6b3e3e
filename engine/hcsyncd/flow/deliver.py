"""The way out: one dispatcher for each destination channel, one runner for each lane that has work.

Transactions: T3 `Outbox.claim` before a send where a second send would hurt (`after_crash: hold`), T4 `Outbox.settle`
after it. With `after_crash: resend` the next send of a lane does not wait for T4: a crash then repeats at most what was
not yet committed, in order and under the same idempotency keys.

Law: order within a lane is kept. A lane's runner sends one delivery after the other (``window`` of them at once) and
stays at one that failed until it is settled.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

from hcsyncd.clock import MICROSECONDS, Clock
from hcsyncd.config.model import OnDead
from hcsyncd.errors import StoreError, Transient, Unsure
from hcsyncd.events import Event
from hcsyncd.flow.attempt import Attempt, Policy, Terms, attempt
from hcsyncd.flow.health import Health
from hcsyncd.flow.lane import Lane, Room
from hcsyncd.flow.retry import is_exhausted, pause_secs
from hcsyncd.flow.settle import STORE_RETRY_SECS, Settler
from hcsyncd.message import Delivery, DeliveryState, MessageState, Sent
from hcsyncd.store.ports import Outbox, Outcome

BURST = 64  # sends of one lane before another lane gets its slot
MEMORY_BYTES = 32 * 1024 * 1024
LEAST_PAUSE_SECS = 0.001
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
        self._early: list[Delivery] | None = None  # offered while the store is read for the first time
        self._room = Room(MEMORY_BYTES)
        self._slots = asyncio.Semaphore(terms.options.concurrency)
        self._settler = Settler(outbox, self._settled)
        self._going = asyncio.Event()  # cleared while the terms change
        self._going.set()
        # Nobody sits out a long pause when the other side is back.
        self._health = Health(destination, emit, clock, self.wake_all)
        self._stopping = False

    # Work comes in

    async def recover(self, *, at_start: bool = False) -> int:
        """Take up what the store holds, when the destination comes into service; how many deliveries that is. What is
        offered meanwhile waits: it may be among them. ``at_start``: nothing of it is still to be offered."""
        self._early = []
        try:
            found = await self._outbox.open_lanes(self.destination)
            blocked = await self._outbox.blocked_lanes(self.destination)
        finally:
            early, self._early = self._early, None
        for key, stand in found.items():
            lane = self._lane(key)
            lane.missed = True
            lane.known_id = stand.last_id
            if at_start:
                self._offered_id = max(self._offered_id, stand.last_id)
            self._count(stand.deliveries)
        for key, route in blocked:
            if self._terms.policy(route).on_dead is OnDead.HOLD:
                self._lane(key).held = True
        for lane in list(self._lanes.values()):
            self._start(lane)
        for delivery in early:
            self.offer(delivery)
        return self._open

    def offer(self, delivery: Delivery) -> None:
        """Take in a delivery that was just handed on. One that came into the world dead only stops a lane that is to
        stand behind dead letters."""
        if self._early is not None:
            self._early.append(delivery)
            return
        self._offered_id = max(self._offered_id, delivery.id)
        is_dead = delivery.state is DeliveryState.DEAD
        if is_dead and self._terms.policy(delivery.route).on_dead is OnDead.CONTINUE:
            return
        lane = self._lane(delivery.lane)
        if is_dead and lane.missed:
            lane.held = True  # its place in the order cannot be kept in memory: better too early than too late
        elif lane.offer(delivery) and not is_dead:
            self._count(1)
        self._start(lane)

    def reopen(self, delivery: Delivery) -> None:
        """Take a dead letter that a person sends again; it goes before whatever came after it."""
        self._lane(delivery.lane).reopen(delivery)
        self._count(1)
        self.release(delivery.lane)

    def release(self, key: str) -> None:
        """A person settled the dead letter that a lane stood behind, or wants a waiting lane to try at once."""
        lane = self._lane(key)
        lane.held = False
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
        heads = (lane.head for lane in self._lanes.values())
        return min((head.created_at for head in heads if head), default=0)

    # Change and end

    async def change_terms(self, terms: Terms) -> None:
        """Go on by other terms once the sends under way have ended."""
        self._going.clear()
        before = self._terms.options.concurrency
        for _ in range(before):
            await self._slots.acquire()
        self._terms = terms
        slots = self._slots
        self._slots = asyncio.Semaphore(terms.options.concurrency)
        for _ in range(before):
            slots.release()
        self._going.set()
        self.wake_all()

    def wake_all(self) -> None:
        """Let every waiting lane try at once."""
        for lane in list(self._lanes.values()):
            lane.wake.set()
            self._start(lane)

    async def stop(self, drain_secs: float) -> None:
        """Start no more sends; give those under way three quarters of ``drain_secs``, then cut them off."""
        self._stopping = True
        self._going.set()
        for lane in self._lanes.values():
            lane.wake.set()
        runners = [lane.runner for lane in self._lanes.values() if lane.runner]
        if runners:
            _, late = await asyncio.wait(runners, timeout=drain_secs * SENDS_SHARE)
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
        head = lane.head
        if (
            head and head.state is DeliveryState.DEAD
        ):  # its route failed: it was never to be sent, only to be stood behind
            lane.pop()
            lane.held = True
        return not lane.held and not self._stopping and self._going.is_set() and self._settler.keeps_up.is_set()

    def _launch(self, terms: Terms, delivery: Delivery) -> Awaitable[Attempt]:
        trying = attempt(terms, delivery, self._outbox, self._clock, partial(self._cut_off, terms))
        # With a window of one the attempt is awaited at once, and needs no task of its own.
        return trying if terms.options.window == 1 else asyncio.get_running_loop().create_task(trying)

    def _cut_off(self, terms: Terms, tried: Attempt) -> None:
        """A stop did not wait for this send. The store writes what it is given before it closes: nothing is awaited."""
        state = DeliveryState.UNSURE if terms.claims else DeliveryState.READY
        self._outbox.settle(tried.outcome(state))
        if state is DeliveryState.UNSURE and not isinstance(tried.result, Sent):
            self._health.failed(tried, tried.result, state, 0.0)

    async def _rest(self, lane: Lane, pause: float) -> None:
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
        policy = terms.policy(tried.delivery.route)
        state, pause = self._judge(policy, tried)
        self._health.failed(tried, tried.result, state, pause)
        due_at = tried.ended_at + int(pause * MICROSECONDS) if pause else 0
        await self._settler.settle(tried.outcome(state, due_at))
        if state is DeliveryState.WAITING:
            lane.put_back([tried.again(due_at)])
        elif policy.on_dead is OnDead.HOLD:
            lane.held = True
        return pause

    def _judge(self, policy: Policy, tried: Attempt) -> tuple[DeliveryState, float]:
        """Where a failed attempt leaves its delivery, and the seconds until the next one."""
        match tried.result:
            case Unsure():
                return DeliveryState.UNSURE, 0.0
            case Transient() as error if not is_exhausted(
                policy.retry, tried.number, tried.first_tried_at, tried.ended_at
            ):
                chance = random.random()  # noqa: S311 - jitter needs no secrecy
                pause = pause_secs(policy.retry, tried.number, error.retry_after, chance)
                return DeliveryState.WAITING, max(pause, LEAST_PAUSE_SECS)
            case _:
                return DeliveryState.DEAD, 0.0

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
