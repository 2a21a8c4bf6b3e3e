"""The composition root: opens, wires, signals, drains. The one place that knows everything."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack

import uvloop

from hcsyncd import __version__
from hcsyncd.clock import SystemClock
from hcsyncd.config.model import Site
from hcsyncd.events import DaemonStarted, DaemonStopped, DaemonStopping
from hcsyncd.flow.intake import ControlIds, Gate, IntakeShared
from hcsyncd.formats.format import Format
from hcsyncd.message import Delivery
from hcsyncd.observe.bus import EventBus
from hcsyncd.observe.http import OperatorListener
from hcsyncd.observe.logs import EventLog
from hcsyncd.observe.metrics import Metrics, Readings
from hcsyncd.plugins.pool import WorkerPool
from hcsyncd.runtime import systemd
from hcsyncd.runtime.attention import Attention
from hcsyncd.runtime.changing import Changing
from hcsyncd.runtime.channel import Ground
from hcsyncd.runtime.control import ControlServer, socket_path
from hcsyncd.runtime.discovery import Discovery
from hcsyncd.runtime.disk import DiskGuard
from hcsyncd.runtime.holding import Holding
from hcsyncd.runtime.keeping import Keeper
from hcsyncd.runtime.live import ChannelStatus, DaemonStatus, Order
from hcsyncd.runtime.lookout import NodeLookout
from hcsyncd.runtime.node import Node, Works
from hcsyncd.runtime.repair import Repairer
from hcsyncd.runtime.replaying import Making, Replaying
from hcsyncd.runtime.survey import channel_statuses, readings, reasons_not_ready, resident_bytes
from hcsyncd.runtime.verb import Verbs
from hcsyncd.runtime.verbs.dead import DeadVerbs
from hcsyncd.runtime.verbs.keeping import KeepingVerbs
from hcsyncd.runtime.verbs.replays import ReplayVerbs
from hcsyncd.runtime.verbs.state import StateVerbs
from hcsyncd.runtime.verbs.store import StoreVerbs
from hcsyncd.runtime.watch import Surroundings
from hcsyncd.runtime.watching import Watching
from hcsyncd.store.keyring import MasterKey
from hcsyncd.store.ports import Alert
from hcsyncd.store.store import Store

SWITCH_INTERVAL_SECS = 0.0005  # the store's writer thread must not wait 5 ms for the interpreter between statements
SECOND_SIGNAL_EXIT = 130
CHANGE_SHARE = 0.25  # of the drain time, for a reload that is under way
LOOPS: Mapping[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "uvloop": uvloop.new_event_loop,
    "asyncio": asyncio.new_event_loop,
}


def run(site: Site) -> None:
    """Run the daemon on a checked site until it is told to stop. Raises HcsyncdError when it cannot start."""
    sys.setswitchinterval(SWITCH_INTERVAL_SECS)
    with asyncio.Runner(loop_factory=LOOPS[site.daemon.event_loop]) as runner:
        runner.run(Daemon(site).serve())


class Daemon:
    """One process, one site, one store. Also the port that operators' commands work through (`runtime.live.Live`)."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._clock = SystemClock()
        self._started_at = self._clock.now()
        self._bus = EventBus()
        self._log = EventLog(site.daemon.log.level, site.daemon.log.format)
        self._metrics = Metrics()
        self._gate = Gate()
        self._guard = DiskGuard(site.data, site.daemon.min_free_bytes, self._gate, self._bus.emit)
        workers = site.daemon.workers
        self._pool = WorkerPool(workers.count, workers.time_limit_secs, workers.memory_limit_bytes, self._bus.emit)
        self._http = OperatorListener(
            site.daemon.http.host, site.daemon.http.port, self._metrics, self._readings, self._not_ready
        )
        self._stop = asyncio.Event()
        self._stop_reason = ""
        self._reloading = asyncio.Lock()
        self._signals = 0
        self._drained: tuple[int, float] | None = None  # what was left open, and when the drain began
        self._store: Store
        self._holding: Holding
        self._attention: Attention
        self._changing: Changing
        self._node: Node

    async def serve(self) -> None:
        """Open everything in order, run, and close everything in the opposite order."""
        self._bus.subscribe(self._metrics.count)
        self._bus.subscribe(self._log.log_event, self._log.wants)
        self._log.adopt(logging.getLogger())
        async with AsyncExitStack() as closing:
            closing.callback(self._tell_stopped)  # the last word: behind the audit's, and the store's own
            key = MasterKey.of(self._site.daemon.encryption.secret)
            self._store = await Store.open(self._site.data, self._bus.emit, self._clock, key)
            closing.push_async_callback(self._store.close)
            self._watching = Watching(self._site, self._store, self._bus, self._metrics, self._clock)
            closing.push_async_callback(self._watching.stop)
            self._guard.look()
            await self._pool.start()
            closing.push_async_callback(self._pool.stop)
            if self._site.daemon.http.enabled:
                await self._http.start()
                closing.push_async_callback(self._http.stop)
            try:
                async with asyncio.TaskGroup() as group:
                    await self._live(group, closing)
            except ExceptionGroup as failures:
                raise failures.exceptions[0] from failures

    async def _live(self, group: asyncio.TaskGroup, closing: AsyncExitStack) -> None:
        """From ready to stopped, in the company of the essential tasks: one that dies ends the daemon."""
        self._listen_to_signals()
        self._holding = Holding(self._store.holds, self._bus.emit, self._clock, self._reloading)
        await self._holding.load()
        self._changing = Changing(self._site, self._store, self._pool, self._bus, self._clock, self._reloading)
        self._node = Node(self._works(group), await self._changing.activation.begin(self._site))
        self._keeper = Keeper(
            self._store.retention,
            lambda: self._node.generation.site,
            lambda: self._store.pending,
            self._watching.auditor.cut,
            self._bus.emit,
            self._watching.clock,
        )
        side_tasks = [group.create_task(task) for task in (self._guard.run(), self._keep_alive(), self._keeper.run())]
        self._attention = Attention(self._store, self._node, self._pool, self._bus.emit, self._clock, self._reloading)
        try:
            await self._node.start()
            side_tasks += [group.create_task(task) for task in self._attention.tasks()]
            side_tasks.append(group.create_task(self._store.resealing.run()))
            self._discovery = Discovery(self._store, NodeLookout(self._node), self._clock)
            side_tasks.append(group.create_task(self._discovery.run()))
            self._replaying = self._replays()
            replaying = group.create_task(self._replaying.run())
            await self._watching.start(__version__, self._surroundings())
            auditor = self._watching.auditor
            control = ControlServer(socket_path(self._site.data), self._verbs(), self._bus.emit, auditor=auditor)
            await control.start()
            closing.push_async_callback(control.stop)
            gc.collect()
            gc.freeze()  # what lives as long as the daemon is not looked at again by the collector
            self._tell_ready()
            await self._stop.wait()
            self._bus.emit(DaemonStopping(self._stop_reason))
            systemd.stopping()
            replaying.cancel()
        finally:
            began = self._clock.monotonic()
            self._watching.rest()
            drain_secs = self._site.daemon.drain_secs
            await self._changing.activation.stop(drain_secs * CHANGE_SHARE)
            await self._node.stop(drain_secs - (self._clock.monotonic() - began))
            for task in side_tasks:
                task.cancel()
            self._drained = sum(out.dispatcher.open for out in self._node.ways_out.values()), began

    def _tell_stopped(self) -> None:
        if self._drained is not None:
            open_deliveries, began = self._drained
            self._bus.emit(DaemonStopped(open_deliveries, self._clock.monotonic() - began))

    def _works(self, group: asyncio.TaskGroup) -> Works:
        shared = IntakeShared(self._gate, ControlIds(self._started_at), self._bus.emit, self._clock)
        ground = Ground(self._site.folder, self._site.data / "channels", self._bus.emit, self._clock)
        return Works(self._store, self._pool, shared, ground, group, self._holding)

    def _replays(self) -> Replaying:
        store = self._store
        making = Making(self._node, self._pool, self._changing.configurations, store.name)
        options = self._site.daemon.replays
        return Replaying((store.replays, store.history), making, self._node, options, self._bus.emit, self._clock)

    def _verbs(self) -> Verbs:
        history = self._store.history
        repairer = Repairer(history, self._store.repairs, self, self._bus.emit)
        return {
            **StateVerbs(history, self).verbs(),
            **StoreVerbs(self._store, self._bus.emit, self._clock).verbs(),
            **self._changing.verbs(),
            **self._discovery.verbs(),
            **DeadVerbs(history, repairer).verbs(),
            **ReplayVerbs(self._store.replays, self._replaying).verbs(),
            **self._attention.verbs(self._changing.activation),
            **self._watching.verbs(),
            **KeepingVerbs(self._keeper, self._store.retention).verbs(),
        }

    def _surroundings(self) -> Surroundings:
        arrears = self._attention.arrears
        return Surroundings(
            lambda: self._node.generation.site, self.channels, lambda: self._guard.free_bytes, lambda: arrears.arrears
        )

    def _tell_ready(self) -> None:
        recovered = self._store.recovered
        self._bus.emit(DaemonStarted(__version__, str(self._site.folder), recovered.messages, recovered.deliveries))
        self._changing.activation.attach(self._node)
        systemd.ready(f"{len(self._node.ways_in)} sources, {len(self._node.ways_out)} destinations")

    # Signals

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop_signal, number)
        loop.add_signal_handler(signal.SIGHUP, self._on_hangup, loop)

    def _on_stop_signal(self, number: signal.Signals) -> None:
        self._signals += 1
        if self._signals > 1:
            os._exit(SECOND_SIGNAL_EXIT)  # the store is safe at any instant; whoever asks twice means at once
        self.stop(number.name)

    def _on_hangup(self, loop: asyncio.AbstractEventLoop) -> None:
        task = loop.create_task(self._changing.activation.reload(Order("signal", "SIGHUP")))
        # A refusal has been told by its event; nobody waits for this task.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())

    def stop(self, reason: str) -> None:
        """Begin to stop: `serve` returns when everything is drained."""
        self._stop_reason = self._stop_reason or reason
        self._stop.set()

    async def _keep_alive(self) -> None:
        """Tell the service manager that the loop turns, as often as it wants to hear it."""
        pause = systemd.watchdog_secs()
        while pause:
            systemd.notify("WATCHDOG=1")
            await asyncio.sleep(pause)

    # runtime.live.Live

    def status(self) -> DaemonStatus:
        return DaemonStatus(
            version=__version__,
            pid=os.getpid(),
            site=str(self._site.folder),
            generation=self._node.generation.number,
            started_at=self._started_at,
            activated_at=self._changing.activation.activated_at,
            given_up=self._changing.activation.given_up,
            watched_until=self._changing.activation.watched_until,
            not_ready=tuple(self._not_ready()),
            pending_writes=self._store.pending,
            workers=self._pool.ready,
            memory_bytes=resident_bytes(),
            free_bytes=self._guard.free_bytes,
            http=self._http.address,
        )

    def channels(self) -> Sequence[ChannelStatus]:
        return channel_statuses(self._node)

    def alerts(self) -> Sequence[Alert]:
        return self._watching.alerts

    def routes(self) -> Mapping[str, Sequence[str]]:
        return {route.name: route.options.to for route in self._node.generation.site.routes if route.options.enabled}

    def format_of(self, channel: str) -> Format | None:
        return self._node.generation.formats.get(channel) if channel in self._node.ways_in else None

    def requeue(self, deliveries: Sequence[Delivery]) -> None:
        self._node.requeue(deliveries)

    def release(self, destination: str, lane: str, delivery_id: int) -> None:
        self._node.release(destination, lane, delivery_id)

    # What the operators' HTTP listener shows

    def _not_ready(self) -> list[str]:
        if self._stop.is_set():
            return ["stopping"]
        if not hasattr(self, "_node"):
            return ["starting"]
        return reasons_not_ready(self._node, self._gate)

    def _readings(self) -> Readings:
        if not hasattr(self, "_node"):
            return {}
        running = readings(self._node, self._store, self._pool, self._guard.free_bytes)
        return self._attention.readings() | self._watching.readings() | running
