"""One daemon's road: every channel of the live generation, wired from listener to destination."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from hcsyncd.clock import Clock
from hcsyncd.config.model import Acknowledge, Channel
from hcsyncd.connectors.connector import Asks, Destination
from hcsyncd.errors import SourceError
from hcsyncd.events import Event
from hcsyncd.flow.deliver import Dispatcher
from hcsyncd.flow.intake import ChannelIntake, IntakeShared, Rules
from hcsyncd.flow.keys import key_readers
from hcsyncd.flow.process import AfterHandOn, Processor
from hcsyncd.flow.respond import Responder
from hcsyncd.flow.transform import Plan, Transformer
from hcsyncd.formats.format import Format
from hcsyncd.message import Delivery, Envelope, Message, MessageState
from hcsyncd.plugins.pool import WorkerPool
from hcsyncd.runtime.change import destinations, sources
from hcsyncd.runtime.channel import Ground, WayIn, WayOut, can_ask, terms_of
from hcsyncd.runtime.holding import Holding
from hcsyncd.runtime.rehearsal import Rehearsal
from hcsyncd.runtime.site import Generation, transform_sources
from hcsyncd.runtime.supervisor import SourceRunner
from hcsyncd.store.ports import HoldKind, NewDelivery
from hcsyncd.store.store import Store

INTAKE_SHARE = 0.25  # of the drain time, for what sources have in hand; the sends have the rest


@dataclass(frozen=True, slots=True)
class Works:
    """What the daemon lends its road."""

    store: Store
    pool: WorkerPool
    shared: IntakeShared
    ground: Ground
    group: asyncio.TaskGroup  # essential tasks: one that dies ends the daemon
    holding: Holding


class Node:
    """Built for a first generation, started, reloaded, stopped. Between two awaits it is always whole."""

    def __init__(self, works: Works, generation: Generation) -> None:
        self.generation = generation
        self.ways_in: dict[str, WayIn] = {}
        self.ways_out: dict[str, WayOut] = {}
        self._retiring: dict[asyncio.Task[None], WayOut] = {}
        self._outgoing: Generation | None = None  # was live before, and may still have batches under way
        self.holding = works.holding
        self._works = works
        self._transformer = Transformer(works.pool)
        self._plan = self._plan_of(generation)
        self._responder = Responder(works.store.inbox, works.shared.clock, works.shared.control_ids)
        self.parked = asyncio.Event()  # set: what is parked, or what it waits for, has changed
        self._after = AfterHandOn(
            works.shared.emit, works.shared.clock, self._responder, self._dispatch, self.parked.set
        )

    @property
    def _emit(self) -> Callable[[Event], None]:
        return self._works.shared.emit

    @property
    def _clock(self) -> Clock:
        return self._works.shared.clock

    # Life

    async def start(self) -> None:
        """Take up what the last run left, then open the sources. A source that cannot start is tried again and shows as
        down; anything else that is wrong is raised."""
        await self.load(self.generation)
        for channel in destinations(self.generation.site).values():
            self.add_way_out(channel, self.generation, await self.open_destination(channel, self.generation))
        for out in self.ways_out.values():
            await out.dispatcher.recover(at_start=True)
        await self._expect_replies()
        for channel in sources(self.generation.site).values():
            self.add_way_in(channel, self.generation)
        for way in self.ways_in.values():
            with contextlib.suppress(SourceError):  # `keep` says so and goes on trying
                await way.runner.start()
            self.begin(way)

    async def stop(self, drain_secs: float) -> None:
        """Close intake, receipt what is in hand, then let sends end; all within ``drain_secs``."""
        ends_at = self._clock.monotonic() + drain_secs
        await asyncio.gather(*(way.end(drain_secs * INTAKE_SHARE) for way in self.ways_in.values()))
        for task in self._retiring:
            task.cancel()
        outs = [*self.ways_out.values(), *self._retiring.values()]
        left = max(ends_at - self._clock.monotonic(), 0.0)
        await asyncio.gather(*(out.dispatcher.stop(left) for out in outs))
        await asyncio.gather(*(out.destination.close() for out in outs))

    # Parts of a generation, put in place

    async def load(self, generation: Generation) -> None:
        """Load a generation's transforms in the workers. Raises PluginError."""
        site = generation.site
        formats = {
            name: (channel.format.kind, channel.format.options.model_dump(mode="json"))
            for name, channel in sources(site).items()
        }
        await self._works.pool.load(generation.number, transform_sources(site), site.tables, formats)

    async def forget(self, generation: Generation) -> None:
        await self._works.pool.forget(generation.number)

    async def open_destination(self, channel: Channel, generation: Generation) -> Destination:
        return await self._works.ground.destination(channel, generation.formats[channel.name])

    def add_way_out(self, channel: Channel, generation: Generation, destination: Destination) -> WayOut:
        dispatcher = Dispatcher(
            channel.name,
            terms_of(generation, channel, destination),
            self._works.store.outbox,
            self._emit,
            self._clock,
            self._responder.settled,
            self._works.group.create_task,
        )
        if self.holding.is_held(HoldKind.DELIVERY, channel.name):
            dispatcher.hold()
        out = self.ways_out[channel.name] = WayOut(channel, destination, dispatcher)
        return out

    def add_way_in(self, channel: Channel, generation: Generation) -> WayIn:
        store = self._works.store
        processor = Processor(
            channel.name, lambda: self._plan, self._transformer, store.inbox, store.outbox, self._after
        )
        if self.holding.is_held(HoldKind.ROUTING, channel.name):
            processor.hold()
        rules = Rules(channel, generation.formats[channel.name], generation.routes)
        intake = ChannelIntake(rules, store.inbox, self._responder, self._works.shared, processor.backlog.offer)
        way = self.ways_in[channel.name] = WayIn(channel, intake, processor, self.runner(channel, rules.form, intake))
        return way

    def begin(self, way: WayIn) -> None:
        """Let a source that was started accept, and its messages be processed."""
        way.processing = self._works.group.create_task(way.processor.run(), name=f"process {way.channel.name}")
        way.runner.keep()

    def retire(self, out: WayOut) -> None:
        """Let a destination that is gone from the site send what is queued for it, then close it."""
        task = self._works.group.create_task(out.run_dry(), name=f"retire {out.channel.name}")
        self._retiring[task] = out
        task.add_done_callback(self._retiring.pop)

    def runner(self, channel: Channel, form: Format, intake: ChannelIntake) -> SourceRunner:
        ground = self._works.ground
        held = self.holding.is_held(HoldKind.RECEIVING, channel.name)
        return SourceRunner(channel.name, lambda: ground.source(channel, form), intake, self._emit, held=held)

    def adopt(self, generation: Generation) -> None:
        """Route by this generation from the next batch on."""
        self.generation = generation
        self._plan = self._plan_of(generation)
        self.parked.set()

    @property
    def plan(self) -> Plan:
        """What messages are routed by now."""
        return self._plan

    def _plan_of(self, generation: Generation) -> Plan:
        return Plan(
            generation.number,
            self._works.store.name,
            generation.routes,
            generation.site.channels,
            generation.formats,
            self._clock.now,
            key_readers(destinations(generation.site), generation.formats),
        )

    async def end_retired(self, name: str) -> None:
        """A destination that was to be closed when it had run dry is wanted again: its sends end, and what it has not
        sent is its successor's, from the store. Never two at once."""
        for task, out in list(self._retiring.items()):
            if out.channel.name == name:
                task.cancel()
                await asyncio.wait([task])
                await out.end()

    async def settle(self, previous: Generation) -> None:
        """A new generation is live. Batches of the one before may still be under way: it is forgotten with the next."""
        if self._outgoing is not None:
            await self.forget(self._outgoing)
        self._outgoing = previous

    # What operators do

    def reachable(self) -> frozenset[str]:
        """See `flow.replay.Road`."""
        return frozenset(self.ways_out)

    def offer(self, deliveries: Iterable[Delivery]) -> None:
        """Send deliveries that a replay just made. Without a dispatcher one stays in the store until its channel is
        back."""
        for delivery in deliveries:
            if out := self.out_of(delivery.destination):
                out.dispatcher.offer(delivery)

    def rehearsal(self) -> Rehearsal:
        """What is live now, for what it would make of stored messages."""
        return Rehearsal(self._works.pool, self._plan)

    def requeue(self, deliveries: Iterable[Delivery]) -> None:
        """Send deliveries that were opened again."""
        for delivery in deliveries:
            if out := self.out_of(delivery.destination):
                out.dispatcher.reopen(delivery)

    def release(self, destination: str, lane: str, delivery_id: int) -> None:
        """A delivery was settled by a person: a lane that stood behind it goes on."""
        if out := self.out_of(destination):
            out.dispatcher.release(lane, delivery_id)

    def asked_at(self, destination: str) -> Asks | None:
        """The destination, where it can be asked what it has."""
        out = self.ways_out.get(destination)
        if out is None or not can_ask(out.channel):
            return None
        return out.destination if isinstance(out.destination, Asks) else None

    def settled(self, message_id: int, state: MessageState, text: str) -> None:
        """A message came to stand so by another way than an attempt: its sender may wait to hear of it."""
        self._responder.settled(message_id, state, text)

    def holdable(self, kind: HoldKind) -> list[str]:
        """See `runtime.holding.Road`."""
        is_out = kind is HoldKind.DELIVERY
        channels = self.generation.site.channels.items()
        return [name for name, channel in channels if (channel.destination if is_out else channel.source)]

    async def hold(self, kind: HoldKind, channel: str) -> None:
        """See `runtime.holding.Road`. A channel that is out of service is held when it comes back."""
        out = self.out_of(channel)
        if out and kind is HoldKind.DELIVERY:
            out.dispatcher.hold()
        way = self.ways_in.get(channel)
        if way and kind is HoldKind.ROUTING:
            way.processor.hold()
        elif way and kind is HoldKind.RECEIVING:
            await way.runner.hold()

    async def resume(self, kind: HoldKind, channel: str) -> None:
        """See `runtime.holding.Road`."""
        out = self.out_of(channel)
        if out and kind is HoldKind.DELIVERY:
            out.dispatcher.resume()
        way = self.ways_in.get(channel)
        if way and kind is HoldKind.ROUTING:
            way.processor.resume()
        elif way and kind is HoldKind.RECEIVING:
            await way.runner.resume()

    def out_of(self, channel: str) -> WayOut | None:
        """The destination of that name, in service or to be closed when it has run dry."""
        out = self.ways_out.get(channel)
        if out is None and self._retiring:
            return next((out for out in self._retiring.values() if out.channel.name == channel), None)
        return out

    def connections(self, channel: str) -> int:
        """How many peers a source has now; 0 for one that has no connections, or is not there."""
        way = self.ways_in.get(channel)
        return getattr(way.runner.source, "connections", 0) if way else 0

    # The seams between stages

    def _dispatch(self, message: Message, new: NewDelivery, delivery_id: int) -> None:
        """Give a fresh delivery to its dispatcher. Without one it stays in the store until its channel is back."""
        out = self.out_of(new.destination)
        if out is None:
            return
        envelope = Envelope(
            delivery_id=delivery_id,
            message_id=message.id,
            body=message.body if new.body is None else new.body,
            content_type=new.content_type,
            idempotency_key=new.key,
            type=new.type,
            control_id=new.control_id,
            headers=new.headers,
            lane=new.lane,
            route=new.route,
            created_at=new.created_at,
        )
        out.dispatcher.offer(
            Delivery(
                delivery_id,
                message.id,
                new.route,
                new.destination,
                new.lane,
                new.state,
                0,
                0,
                0,
                new.created_at,
                envelope,
            )
        )

    async def _expect_replies(self) -> None:
        """Take up the acknowledgements that were still to be decided when the last run ended, so that a sender's resend
        gets the one that is decided now."""
        history = self._works.store.history
        for message_id in await self._works.store.inbox.undecided():
            row = await history.message(message_id)
            channel = self.generation.site.channels.get(row.channel) if row else None
            if row is None or channel is None:
                continue
            peek = self.generation.formats[channel.name].peek(await history.body(message_id))
            first, _ = await history.replies(message_id)
            mode = channel.options.acknowledge
            self._responder.expect(
                message_id, peek, Acknowledge.PROCESSED if mode is Acknowledge.STORED else mode, first
            )
            if row.state not in (MessageState.RECEIVED, MessageState.ROUTED):
                self._responder.settled(message_id, row.state, row.text)
