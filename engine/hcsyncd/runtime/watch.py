"""Where alerts get their readings: the running channels, the store's counts, the counters of events, the machine."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from hcsyncd.config.alerts import bounds_for
from hcsyncd.config.model import Channel, Site
from hcsyncd.errors import StoreError
from hcsyncd.events import CertificateSeen, Event, RouteFailed, StoreFailed, StoreRecovered, WorkerLost
from hcsyncd.observe.metrics import Metrics
from hcsyncd.runtime.alert_rules import AlertKind, Certificate, ChannelReading, Readings
from hcsyncd.runtime.certificates import expiry_of, files_of
from hcsyncd.runtime.live import ChannelStatus
from hcsyncd.runtime.notices import SinkQueue
from hcsyncd.runtime.steady_clock import SteadyClock
from hcsyncd.store.ports import Alerts, Arrears, Trouble

CERTIFICATES_SECS = 3600.0  # between two looks at the files
MAX_PEERS = 1000  # whose certificates are remembered
HEARD = ("hcsyncd_messages_received_total", "hcsyncd_messages_duplicated_total", "hcsyncd_messages_rejected_total")
SENT = "hcsyncd_deliveries_sent_total"
NOT_SENT = ("hcsyncd_deliveries_delayed_total", "hcsyncd_deliveries_dead_total", "hcsyncd_deliveries_unsure_total")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What of the running daemon is watched. Each is asked at every look."""

    site: Callable[[], Site]
    channels: Callable[[], Sequence[ChannelStatus]]
    free_bytes: Callable[[], int]
    arrears: Callable[[], Arrears]


@dataclass(slots=True)
class _Tally:
    """What was carried since the daemon began, by channel, and how much of it failed."""

    at: float  # on the monotonic clock
    carried: Mapping[str, float]
    failed: Mapping[str, float]


@dataclass(slots=True)
class _Heard:
    """When something last came from a source."""

    count: float
    at: int


@dataclass(slots=True)
class _Files:
    """The certificates in files, as they were last looked at."""

    found: tuple[Certificate, ...] = ()
    digest: str = ""  # of the site that names them
    looked_at: float = field(default=float("-inf"))


class Watch:
    """Reads everything that alerts are judged by. Its `hear` is a subscriber of the bus, for rare events alone."""

    def __init__(
        self,
        around: Surroundings,
        store: Alerts,
        metrics: Metrics,
        clock: SteadyClock,
        sinks: Sequence[SinkQueue],
        window_secs: float,
        owner: str,
    ) -> None:
        self._around = around
        self._sinks = sinks
        self._store = store
        self._metrics = metrics
        self._clock = clock
        self._window_secs = window_secs
        self._owner = owner
        self._started_at = clock.now()
        self._store_error = ""
        self._trouble: Trouble | None = None  # as the store said last
        self._lost: deque[float] = deque()  # worker processes, on the monotonic clock
        self._route_failures: dict[str, float] = {}
        self._peers: dict[tuple[str, str], int] = {}
        self._tallies: deque[_Tally] = deque([self._tally()])
        self._heard: dict[str, _Heard] = {}
        self._files = _Files()

    def hear(self, event: Event) -> None:
        match event:
            case StoreFailed(error=error):
                self._store_error = error
            case StoreRecovered():
                self._store_error = ""
            case WorkerLost():
                self._lost.append(self._clock.monotonic())
            case RouteFailed(channel=channel):
                self._route_failures[channel] = self._route_failures.get(channel, 0.0) + 1
            case CertificateSeen(channel=channel, name=name, expires_at=expires_at):
                if (channel, name) in self._peers or len(self._peers) < MAX_PEERS:
                    self._peers[channel, name] = expires_at
            case _:
                return

    @staticmethod
    def wants(kind: type[Event]) -> bool:
        return kind in (StoreFailed, StoreRecovered, WorkerLost, RouteFailed, CertificateSeen)

    async def read(self) -> Readings:
        """Everything, as it is now. A store that cannot be read is one of the readings, beside what it said last; fails
        with StoreError where it has said nothing yet."""
        site = self._around.site()
        unreadable = ""
        try:
            self._trouble = await self._store.trouble()
            await self._listen(site)
        except StoreError as error:
            unreadable = str(error)
            if self._trouble is None:
                raise
        trouble = self._trouble
        base, latest = self._window()
        arrears = self._around.arrears()
        channels = [
            self._channel(site, status, trouble, arrears, base, latest)
            for status in self._around.channels()
            if status.name in site.channels
        ]
        return Readings(
            now=self._clock.now(),
            owner=self._owner,
            channels=tuple(channels),
            certificates=(*await self._certificates(site), *self._shown(site)),
            free_bytes=self._around.free_bytes(),
            store_error=self._store_error or unreadable,
            workers_lost=self._workers_lost(),
            clock_jump_secs=self._clock.jump_secs,
            tasks_overdue=arrears.tasks_overdue,
            failing_sinks={sink.name: sink.error for sink in self._sinks if sink.error},
        )

    def _channel(
        self, site: Site, status: ChannelStatus, trouble: Trouble, arrears: Arrears, base: _Tally, latest: _Tally
    ) -> ChannelReading:
        name = status.name
        channel = site.channels[name]
        heard = self._heard.get(name)
        is_held = bool(status.holds)  # a person knows: what is held is neither down nor silent
        return ChannelReading(
            name=name,
            role=status.role,
            owner=self._owner_of(channel),
            bounds=bounds_for(channel.options.alerts, site.daemon.alerts),
            error="" if is_held else status.error,
            queued=status.queued,
            oldest_at=status.oldest_at,
            heard_at=heard.at if heard and not is_held else 0,
            carried=_more(name, latest.carried, base.carried),
            failed=_more(name, latest.failed, base.failed),
            dead=trouble.dead.get(name, 0),
            unsure=trouble.unsure.get(name, 0),
            parked=trouble.parked.get(name, 0),
            overdue=arrears.overdue.get(name, 0),
        )

    def _owner_of(self, channel: Channel | None) -> str:
        return (channel.options.owner if channel else "") or self._owner

    # Traffic

    def _tally(self) -> _Tally:
        received = self._metrics.counted(HEARD[0], "channel")
        rejected = self._metrics.counted(HEARD[2], "channel")
        not_sent = _sum(*(self._metrics.counted(name, "destination") for name in NOT_SENT))
        sent = self._metrics.counted(SENT, "destination")
        carried = _sum(received, rejected, sent, not_sent)
        return _Tally(self._clock.monotonic(), carried, _sum(rejected, self._route_failures, not_sent))

    def _window(self) -> tuple[_Tally, _Tally]:
        """The counts at the beginning of the error window, and now."""
        latest = self._tally()
        self._tallies.append(latest)
        while len(self._tallies) > 2 and self._tallies[1].at <= latest.at - self._window_secs:
            self._tallies.popleft()
        return self._tallies[0], latest

    def _workers_lost(self) -> int:
        while self._lost and self._lost[0] < self._clock.monotonic() - self._window_secs:
            self._lost.popleft()
        return len(self._lost)

    # Silence

    async def _listen(self, site: Site) -> None:
        """Note which sources something came from since the last look."""
        counts = _sum(*(self._metrics.counted(name, "channel") for name in HEARD))
        now = self._clock.now()
        if new := [name for name, channel in site.channels.items() if self._is_unheard(site, channel)]:
            kept = await self._store.last_received(new)
            silent = {alert.subject for alert in await self._store.open() if alert.kind == AlertKind.SILENT_FEED}
            for name in new:
                # Senders get their time after a start; but what was silent before it, and is an alert, still is.
                at = kept.get(name, 0)
                self._heard[name] = _Heard(counts.get(name, 0.0), at if name in silent else max(at, self._started_at))
        for name, heard in self._heard.items():
            if counts.get(name, 0.0) > heard.count:
                self._heard[name] = _Heard(counts[name], now)

    def _is_unheard(self, site: Site, channel: Channel) -> bool:
        if channel.source is None or channel.name in self._heard:
            return False
        return bounds_for(channel.options.alerts, site.daemon.alerts).silent_after_secs > 0

    # Certificates

    async def _certificates(self, site: Site) -> tuple[Certificate, ...]:
        files, now = self._files, self._clock.monotonic()
        if site.digest != files.digest or now - files.looked_at >= CERTIFICATES_SECS:
            self._files = _Files(await asyncio.to_thread(self._read_files, site), site.digest, now)
        return self._files.found

    def _read_files(self, site: Site) -> tuple[Certificate, ...]:
        found = (
            (name, file, expiry_of(site.folder / file, is_authorities=is_authorities))
            for name, file, is_authorities in files_of(site)
        )
        return tuple(
            Certificate(name, self._owner_of(site.channels.get(name)), file, expires_at)
            for name, file, expires_at in found
            if expires_at is not None
        )

    def _shown(self, site: Site) -> list[Certificate]:
        return [
            Certificate(channel, self._owner_of(site.channels.get(channel)), name, expires_at)
            for (channel, name), expires_at in self._peers.items()
            if channel in site.channels
        ]


def _sum(*counts: Mapping[str, float]) -> dict[str, float]:
    total: dict[str, float] = {}
    for some in counts:
        for name, count in some.items():
            total[name] = total.get(name, 0.0) + count
    return total


def _more(name: str, now: Mapping[str, float], before: Mapping[str, float]) -> int:
    return int(now.get(name, 0.0) - before.get(name, 0.0))
