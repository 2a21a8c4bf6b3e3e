"""Everything that watches over the daemon: the audit log, the clock, and the alerts with their sinks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping

from hcsyncd.clock import Clock
from hcsyncd.config.model import Site
from hcsyncd.observe.bus import EventBus
from hcsyncd.observe.metrics import Metrics
from hcsyncd.runtime.alerting import Alerting
from hcsyncd.runtime.auditor import Auditor
from hcsyncd.runtime.email import Email
from hcsyncd.runtime.notices import Sink, SinkQueue
from hcsyncd.runtime.steady_clock import SteadyClock
from hcsyncd.runtime.verb import Verbs
from hcsyncd.runtime.verbs.alerts import AlertVerbs
from hcsyncd.runtime.verbs.audit import AuditVerbs
from hcsyncd.runtime.watch import Surroundings, Watch
from hcsyncd.runtime.webhook import Webhook
from hcsyncd.store.ports import Alert
from hcsyncd.store.store import Store


class Watching:
    """Made when the store is open, started when the road is, stopped before the store is closed."""

    def __init__(self, site: Site, store: Store, bus: EventBus, metrics: Metrics, clock: Clock) -> None:
        options = site.daemon.alerts
        self.clock = SteadyClock(clock, options.clock_jump_secs, options.clock_settle_secs, bus.emit)
        self.auditor = Auditor(store.audit, site.data, bus.emit)
        self._plain_clock = clock
        self._sinks = [SinkQueue(sink, bus.emit, clock) for sink in _sinks(site)]
        self._site = site
        self._store = store
        self._bus = bus
        self._metrics = metrics
        self._alerting: Alerting | None = None
        self._tasks: list[asyncio.Task[None]] = []
        bus.subscribe(self.auditor.hear, self.auditor.wants)

    async def start(self, version: str, around: Surroundings) -> None:
        """Begin to look. Raises StoreError when what is open cannot be read."""
        daemon, emit = self._site.daemon, self._bus.emit
        window, owner = daemon.alerts.error_window_secs, daemon.alerts.owner or daemon.dead_letters.owner
        watch = Watch(around, self._store.alerts, self._metrics, self.clock, self._sinks, window, owner)
        self._bus.subscribe(watch.hear, watch.wants)
        alerting = Alerting(
            self._store.alerts, daemon.alerts, watch.read, self._sinks, self._site.folder.name, emit, self._plain_clock
        )
        await alerting.load()
        await self.auditor.start(version, str(self._site.folder))
        self._alerting = alerting
        for sink in self._sinks:
            sink.start()
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(run) for run in (self.clock.run(), self.auditor.run(), alerting.run())]

    def rest(self) -> None:
        """Look no more: what is being stopped is no alert."""
        for task in self._tasks:
            task.cancel()

    async def stop(self) -> None:
        """Tell what is still to be told, and note the end."""
        self.rest()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(sink.stop() for sink in self._sinks))
        if self._alerting is not None:
            await self.auditor.stop()

    @property
    def alerts(self) -> list[Alert]:
        """The open ones, the oldest first."""
        return self._alerting.open if self._alerting else []

    def verbs(self) -> Verbs:
        """Once started."""
        assert self._alerting is not None
        return {
            **AlertVerbs(self._alerting, self._store.alerts, self.clock).verbs(),
            **AuditVerbs(self._store.audit, self._store.history).verbs(),
        }

    def readings(self) -> dict[str, Mapping[tuple[str, ...], float]]:
        """The gauge of open alerts, by metric name and label values."""
        return {"hcsyncd_alerts_open": self._alerting.counts()} if self._alerting else {}


def _sinks(site: Site) -> Iterator[Sink]:
    options = site.daemon.alerts
    if options.webhook is not None:
        yield Webhook(options.webhook, site.folder)
    if options.email is not None:
        yield Email(options.email, site.folder)
