"""What is worth an alert: pure functions from readings and bounds to the conditions that hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from enum import StrEnum

from hcsyncd.clock import MICROSECONDS
from hcsyncd.config.alerts import AlertOptions, Bounds
from hcsyncd.config.hours import Hours
from hcsyncd.record import Record

DAY_SECS = 86_400
FALLEN = 0.8  # of a bound: a queue that was too long must be shorter than that to be no alert any more
RISEN = 1.1  # the same for free space


class AlertKind(StrEnum):
    """Every kind of alert."""

    QUEUE_AGE = "queue-age"
    QUEUE_DEPTH = "queue-depth"
    SOURCE_DOWN = "source-down"
    DESTINATION_DOWN = "destination-down"
    SILENT_FEED = "silent-feed"
    ERROR_RATE = "error-rate"
    DEAD_LETTERS = "dead-letters"
    UNSURE = "unsure"
    PARKED = "parked"
    OVERDUE = "overdue"
    STORE_FAILING = "store-failing"
    DISK = "disk"
    CERTIFICATE_EXPIRY = "certificate-expiry"
    WORKER_LOST = "worker-lost"
    CLOCK_JUMP = "clock-jump"
    NOTICES = "notices"


class ChannelReading(Record, frozen=True):
    """How one channel stands."""

    name: str
    role: str  # source, destination
    owner: str
    bounds: Bounds
    error: str = ""  # why it is down
    queued: int = 0
    oldest_at: int = 0  # of the open deliveries; 0: none
    heard_at: int = 0  # when the newest message came, or from when on one is expected; 0: not known
    carried: int = 0  # within the error window: messages of a source, attempts at a destination
    failed: int = 0  # of these
    dead: int = 0
    unsure: int = 0
    parked: int = 0
    overdue: int = 0


class Certificate(Record, frozen=True):
    """One that a channel shows or has been shown."""

    channel: str
    owner: str
    name: str  # a file, or a peer by the name in it
    expires_at: int


class Readings(Record, frozen=True):
    """Everything that alerts are judged by, at one moment."""

    now: int  # microseconds, of the steady clock
    owner: str  # of the daemon itself
    channels: tuple[ChannelReading, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    free_bytes: int | None = None
    store_error: str = ""
    workers_lost: int = 0  # within the error window
    clock_jump_secs: float = 0.0
    tasks_overdue: int = 0
    failing_sinks: Mapping[str, str] = {}  # why, by sink


class Condition(Record, frozen=True):
    """Something that holds now. ``for_secs`` is how long before it is an alert, None: as everything else. One that
    only ``keeps`` an alert open raises none: it is near its bound, or cannot be judged now."""

    kind: AlertKind
    subject: str
    owner: str
    text: str
    for_secs: float | None = None
    keeps: bool = False


Rule = Callable[[Readings, AlertOptions], Iterator[Condition]]


def judge(readings: Readings, options: AlertOptions) -> list[Condition]:
    """Every condition that holds."""
    return [condition for rule in RULES for condition in rule(readings, options)]


def queue_age(readings: Readings, _options: AlertOptions) -> Iterator[Condition]:
    for channel in readings.channels:
        bound = channel.bounds.queue_age_secs
        secs = (readings.now - channel.oldest_at) / MICROSECONDS if channel.oldest_at else 0.0
        if bound and secs > bound * FALLEN:
            text = f"the oldest delivery has waited {span(secs)} (bound {span(bound)})"
            why = f": {channel.error}" if channel.error else ""
            yield _of(channel, AlertKind.QUEUE_AGE, text + why, keeps=secs <= bound)


def queue_depth(readings: Readings, _options: AlertOptions) -> Iterator[Condition]:
    for channel in readings.channels:
        bound = channel.bounds.queue_depth
        if bound and channel.queued > bound * FALLEN:
            text = f"{channel.queued} deliveries wait (bound {bound})"
            yield _of(channel, AlertKind.QUEUE_DEPTH, text, keeps=channel.queued <= bound)


def down(readings: Readings, _options: AlertOptions) -> Iterator[Condition]:
    for channel in readings.channels:
        if channel.error and channel.bounds.down_secs:
            kind = AlertKind.SOURCE_DOWN if channel.role == "source" else AlertKind.DESTINATION_DOWN
            yield _of(channel, kind, channel.error, for_secs=channel.bounds.down_secs)


def silent_feed(readings: Readings, _options: AlertOptions) -> Iterator[Condition]:
    """Silence is counted within the hours alone. Outside of them nothing is known: what is open stays open."""
    for channel in readings.channels:
        bounds = channel.bounds
        if not bounds.silent_after_secs or not channel.heard_at or channel.role != "source":
            continue
        since = channel.heard_at
        if bounds.hours:
            opened = Hours.parse(bounds.hours).opened_at(_local(readings.now))
            if opened is None:
                yield _of(channel, AlertKind.SILENT_FEED, "outside of its hours", keeps=True)
                continue
            since = max(since, int(opened.timestamp() * MICROSECONDS))
        secs = (readings.now - since) / MICROSECONDS
        if secs >= bounds.silent_after_secs:
            text = f"nothing came for {span(secs)} (bound {span(bounds.silent_after_secs)})"
            yield _of(channel, AlertKind.SILENT_FEED, text)


def error_rate(readings: Readings, options: AlertOptions) -> Iterator[Condition]:
    for channel in readings.channels:
        bound = channel.bounds.error_share
        if not bound or not channel.failed:
            continue
        share = channel.failed / max(channel.carried, channel.failed)
        text = f"{channel.failed} of {max(channel.carried, channel.failed)} failed in {span(options.error_window_secs)}"
        is_away = channel.role == "destination" and bool(channel.error)  # which is an alert of its own
        too_many = share > bound and channel.carried >= options.error_min_count and not is_away
        if too_many or share > bound / 2:
            yield _of(channel, AlertKind.ERROR_RATE, text, keeps=not too_many)


def standing_still(readings: Readings, options: AlertOptions) -> Iterator[Condition]:
    """What waits for a person."""
    for channel in readings.channels:
        bounds = channel.bounds
        if bounds.dead_letters and channel.dead >= bounds.dead_letters:
            text = f"{counted(channel.dead, 'dead letter')}: hcsyncd dead list"
            yield _of(channel, AlertKind.DEAD_LETTERS, text)
        if bounds.unsure and channel.unsure >= bounds.unsure:
            text = f"of {counted(channel.unsure, 'delivery')} it is not known whether the other side has it"
            yield _of(channel, AlertKind.UNSURE, text)
        if bounds.parked and channel.parked >= bounds.parked:
            text = f"{counted(channel.parked, 'delivery')} parked for want of a mapping: hcsyncd tasks"
            yield _of(channel, AlertKind.PARKED, text)
        if options.overdue and channel.overdue:
            text = f"{channel.overdue} of its dead letters should have been settled by now: hcsyncd dead list"
            yield _of(channel, AlertKind.OVERDUE, text)
    if options.overdue and readings.tasks_overdue:
        text = f"{counted(readings.tasks_overdue, 'task')} should have been done by now: hcsyncd tasks"
        yield Condition(AlertKind.OVERDUE, "", readings.owner, text)


def machine(readings: Readings, options: AlertOptions) -> Iterator[Condition]:
    """The store, its disk, the workers and the clock."""
    if readings.store_error:
        yield Condition(AlertKind.STORE_FAILING, "", readings.owner, readings.store_error)
    bound = options.disk_free_bytes
    if bound and readings.free_bytes is not None and readings.free_bytes < bound * RISEN:
        text = f"{readings.free_bytes // 1_000_000} MB are free on the store's disk (bound {bound // 1_000_000} MB)"
        yield Condition(AlertKind.DISK, "", readings.owner, text, keeps=readings.free_bytes >= bound)
    if options.workers_lost and readings.workers_lost >= options.workers_lost:
        text = f"{readings.workers_lost} worker processes were lost in {span(options.error_window_secs)}"
        yield Condition(AlertKind.WORKER_LOST, "", readings.owner, text)
    if secs := readings.clock_jump_secs:
        way = "forward: not believed until it has stood, or this alert is acknowledged" if secs > 0 else "back"
        text = f"the wall clock jumped {span(abs(secs))} {way}"
        yield Condition(AlertKind.CLOCK_JUMP, "", readings.owner, text, for_secs=0.0)


def certificate_expiry(readings: Readings, options: AlertOptions) -> Iterator[Condition]:
    for certificate in readings.certificates:
        days = (certificate.expires_at - readings.now) / MICROSECONDS / DAY_SECS
        if options.certificate_days and days < options.certificate_days:
            text = f"{certificate.name} expires in {days:.0f} days" if days > 0 else f"{certificate.name} has expired"
            subject = f"{certificate.channel}: {certificate.name}"
            yield Condition(AlertKind.CERTIFICATE_EXPIRY, subject, certificate.owner, text)


def failing_sinks(readings: Readings, _options: AlertOptions) -> Iterator[Condition]:
    for sink, error in readings.failing_sinks.items():
        yield Condition(AlertKind.NOTICES, sink, readings.owner, f"{sink} takes no notices: {error}")


RULES: tuple[Rule, ...] = (
    machine,
    down,
    queue_age,
    queue_depth,
    silent_feed,
    error_rate,
    standing_still,
    certificate_expiry,
    failing_sinks,
)


def _of(
    channel: ChannelReading, kind: AlertKind, text: str, *, for_secs: float | None = None, keeps: bool = False
) -> Condition:
    return Condition(kind, channel.name, channel.owner, text, for_secs, keeps)


def counted(count: int, noun: str) -> str:
    """1 delivery, 2 deliveries."""
    if count == 1:
        return f"1 {noun}"
    return f"{count} {noun[:-1]}ies" if noun.endswith("y") else f"{count} {noun}s"


def span(secs: float) -> str:
    """A length of time for a sentence: 40 s, 17 min, 3 h, 2 days."""
    for unit, name in ((DAY_SECS, "days"), (3600, "h"), (60, "min")):
        if secs >= 2 * unit or (secs >= unit and name != "days"):
            return f"{secs / unit:.3g} {name}" if secs < 10 * unit else f"{secs / unit:.0f} {name}"
    return f"{secs:.3g} s"


def _local(moment: int) -> datetime:
    """Local time without its zone, as hours of the week are meant."""
    return datetime.fromtimestamp(moment / MICROSECONDS, UTC).astimezone().replace(tzinfo=None)
