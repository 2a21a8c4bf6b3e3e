"""Every metric there is: its name, kind, labels, meaning, and the events that feed it. The docs are made from this
table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from hcsyncd import events
from hcsyncd.events import Event


class Kind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


SHORT_SECS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
LONG_SECS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0, 86400.0)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. ``labels`` are fields of the events. ``feeds`` says for each event what it adds (counter), sets
    (gauge) or adds to the distribution (histogram): a number, or the name of the event's field that holds it. A gauge
    or counter that nothing feeds is read at each scrape."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    feeds: Mapping[type[Event], float | str] = field(default_factory=dict)
    buckets: tuple[float, ...] = SHORT_SECS


def _counter(name: str, text: str, kind: type[Event], *labels: str, adds: float | str = 1) -> Metric:
    return Metric(f"hcsyncd_{name}_total", Kind.COUNTER, text, labels, {kind: adds})


def _histogram(name: str, text: str, kind: type[Event], adds: str, *labels: str, long: bool = False) -> Metric:
    return Metric(f"hcsyncd_{name}", Kind.HISTOGRAM, text, labels, {kind: adds}, LONG_SECS if long else SHORT_SECS)


def _gauge(name: str, text: str, *labels: str, feeds: Mapping[type[Event], float | str] | None = None) -> Metric:
    return Metric(f"hcsyncd_{name}", Kind.GAUGE, text, labels, feeds or {})


METRICS: tuple[Metric, ...] = (
    # Messages
    _counter("messages_received", "Arrivals on stable storage.", events.MessageReceived, "channel"),
    _counter("messages_received_bytes", "Their bodies, in bytes.", events.MessageReceived, "channel", adds="bytes"),
    _histogram("intake_seconds", "From arrival to commit.", events.MessageReceived, "seconds", "channel"),
    _counter("messages_duplicated", "Arrivals that were known already.", events.MessageDuplicated, "channel"),
    _counter("control_ids_reused", "Control ids used again for other content.", events.ControlIdReused, "channel"),
    _counter(
        "messages_rejected", "Arrivals stored as dead letters at once.", events.MessageRejected, "channel", "cause"
    ),
    _counter("intake_refused", "Arrivals not stored; to come again.", events.IntakeRefused, "channel", "reason"),
    _counter("replies_lost", "Acknowledgements nobody was there for.", events.ReplyLost, "channel"),
    _counter("messages_routed", "Messages handed on.", events.MessageRouted, "channel"),
    _histogram("route_seconds", "From arrival to hand-on.", events.MessageRouted, "seconds", "channel"),
    _counter("messages_filtered", "Messages that every route dropped on purpose.", events.MessageFiltered, "channel"),
    _counter("messages_unrouted", "Messages that no route wanted.", events.MessageUnrouted, "channel"),
    _counter("routes_failed", "Filters and transforms that failed.", events.RouteFailed, "route", "cause"),
    _counter("messages_replayed", "Messages put on the road again.", events.MessageReplayed),
    _counter("replays_applied", "Replays that a person let go.", events.ReplayApplied),
    _counter("replays_finished", "Replays that went through.", events.ReplayFinished),
    _counter("replays_failed", "Replays that could not be planned or go on.", events.ReplayFailed),
    # Deliveries
    _counter("deliveries_sent", "Deliveries the other side took.", events.DeliverySent, "destination", "route"),
    _histogram("send_seconds", "One attempt, when it succeeded.", events.DeliverySent, "send_seconds", "destination"),
    _histogram(
        "delivery_seconds",
        "From the message's arrival until the other side had it.",
        events.DeliverySent,
        "total_seconds",
        "destination",
        long=True,
    ),
    _counter("deliveries_delayed", "Attempts that failed for now.", events.DeliveryDelayed, "destination", "cause"),
    _counter("deliveries_unsure", "Sends whose answer was lost.", events.DeliveryUnsure, "destination", "cause"),
    _counter("deliveries_dead", "Deliveries that became dead letters.", events.DeliveryDied, "destination", "cause"),
    _counter("answers_ignored", "Answers that changed nothing.", events.AnswerIgnored, "destination", "reason"),
    _counter("deliveries_closed", "Deliveries settled by a person.", events.DeliveryClosed, "destination"),
    _counter("deliveries_parked", "Deliveries that wait for a mapping.", events.DeliveryParked, "destination"),
    _counter(
        "deliveries_unparked", "Parked deliveries that went on.", events.DeliveryUnparked, "destination", "outcome"
    ),
    _counter(
        "deliveries_settled",
        "Unsure deliveries of which it is known now.",
        events.DeliverySettled,
        "destination",
        "outcome",
        "how",
    ),
    _gauge("dead_letters", "Dead letters and unsure deliveries, by their channel.", "channel"),
    _gauge("dead_letters_overdue", "Those that should have been settled by now.", "channel"),
    _gauge("tasks_open", "Codes that wait for their mapping."),
    _gauge("tasks_overdue", "Those that should have been entered by now."),
    _gauge(
        "channel_held",
        "1 while a person holds the channel.",
        "channel",
        "hold",
        feeds={events.ChannelHeld: 1, events.ChannelResumed: 0},
    ),
    _gauge(
        "destination_failing",
        "1 while every attempt at a destination fails.",
        "destination",
        feeds={events.DestinationFailed: 1, events.DestinationRecovered: 0},
    ),
    _gauge("deliveries_open", "Deliveries that the engine still has to make.", "destination"),
    _gauge("oldest_delivery_seconds", "Age of the oldest open delivery.", "destination"),
    # Sources
    _gauge(
        "source_up",
        "1 while a source is bound or connected.",
        "channel",
        feeds={events.SourceStarted: 1, events.SourceStopped: 0, events.SourceFailed: 0},
    ),
    _counter("sources_failed", "Failures of a source to start or to go on.", events.SourceFailed, "channel"),
    _gauge("connections_open", "Peers connected to a listener.", "channel"),
    _counter("connections_opened", "Peers that connected.", events.ConnectionOpened, "channel"),
    _counter("connections_closed", "Connections that ended.", events.ConnectionClosed, "channel", "reason"),
    _counter("connections_refused", "Peers turned away.", events.ConnectionRefused, "channel", "reason"),
    _counter("frames_faulted", "Bytes on the wire that were no frame.", events.FrameFaulted, "channel", "fault"),
    _counter("faults_tolerated", "Sender faults overlooked.", events.FaultTolerated, "channel", "switch"),
    _counter("certificates_refused", "Certificate files that cannot be used.", events.CertificateRefused, "channel"),
    _counter("files_taken", "Files taken whole.", events.FileTaken, "channel"),
    _counter("files_refused", "Files that could not be taken.", events.FileRefused, "channel", "reason"),
    # Workers
    _gauge("workers_busy", "Workers with a batch in hand."),
    _gauge("batches_waiting", "Batches that no worker has taken yet."),
    _counter("workers_started", "Worker processes that came up.", events.WorkerStarted),
    _counter("workers_lost", "Worker processes that were ended or died.", events.WorkerLost, "reason"),
    # Store and daemon
    _gauge("store_pending", "Operations that wait for their commit."),
    _counter("store_failures", "Commits that failed.", events.StoreFailed),
    _counter("operations_failed", "Operations that failed by their own fault.", events.OperationFailed),
    _counter(
        "retention_messages",
        "Messages that retention took a class of data from.",
        events.RetentionRan,
        "channel",
        "data",
        adds="messages",
    ),
    _counter("retention_bytes", "What it took away.", events.RetentionRan, "channel", "data", adds="bytes"),
    _counter("retention_held", "Runs of retention held because the clock is doubted.", events.RetentionHeld),
    _counter("retention_failed", "Runs of retention that ended early.", events.RetentionFailed),
    _counter("attempts_folded", "Attempts in the middle of many that went.", events.AttemptsFolded, adds="attempts"),
    _counter("space_returned_bytes", "Disk space given back.", events.SpaceReturned, adds="bytes"),
    _counter("backups_made", "Copies of the store, written and verified.", events.BackupMade),
    _counter("backups_failed", "Copies that could not be made.", events.BackupFailed),
    _counter("key_rotations", "Changes of the key that values are sealed under.", events.KeysRotated),
    _counter("values_unopened", "Sealed values that could not be sealed anew.", events.StoreSealed, adds="failed"),
    _gauge("disk_free_bytes", "Free space where the store lives."),
    _gauge(
        "disk_low",
        "1 while intake is refused for want of space, or of a disk that can be measured.",
        feeds={events.DiskLow: 1, events.DiskFailed: 1, events.DiskRecovered: 0},
    ),
    _gauge("generation", "The configuration that is live.", feeds={events.GenerationActivated: "generation"}),
    _counter("reloads_refused", "Reloads that did not go through.", events.GenerationRefused),
    _counter("generations_reverted", "New configurations that were given up.", events.GenerationReverted),
    _counter("generations_stuck", "Those that could not be given up.", events.GenerationStuck),
    _gauge(
        "generation_held",
        "1 while the files on disk are those of a configuration that was given up.",
        feeds={events.GenerationReverted: 1, events.GenerationHeld: 1, events.GenerationActivated: 0},
    ),
    # Watching
    _gauge("alerts_open", "Alerts that are open.", "kind"),
    _counter("alerts_raised", "Alerts that were raised.", events.AlertRaised, "kind"),
    _counter("alerts_reminded", "Reminders of open alerts.", events.AlertReminded, "kind"),
    _counter("alerts_cleared", "Alerts that were cleared.", events.AlertCleared, "kind"),
    _counter("alerts_failed", "Times that alerts could not be judged or kept.", events.AlertsFailed),
    _gauge(
        "notices_failing",
        "1 while a sink takes no notices.",
        "sink",
        feeds={events.NoticeFailed: 1, events.NoticesRecovered: 0},
    ),
    _counter("notices_dropped", "Notices that were given up.", events.NoticeDropped, "sink"),
    _counter("clock_jumps", "Jumps of the wall clock.", events.ClockJumped),
    _gauge("audit_entry", "The entry that the audit log was last anchored at.", feeds={events.AuditAnchored: "entry"}),
    _counter("audit_failures", "Times that the audit log could not be kept or anchored.", events.AuditFailed),
    _counter("audit_breaks", "Starts that found the audit log cut or written anew.", events.AuditBroken),
    _counter("commands", "Operators' commands that see or change.", events.ControlUsed, "verb"),
    _counter("commands_failed", "Operators' commands that failed.", events.ControlFailed, "verb", "code"),
    _counter("commands_refused", "Peers turned away from the control socket.", events.ControlRefused),
    _gauge("process_resident_bytes", "Resident memory of the daemon process, without its workers."),
    Metric("hcsyncd_process_cpu_seconds_total", Kind.COUNTER, "Processor time of the daemon process."),
    _gauge("process_open_files", "File descriptors that the daemon process holds."),
)

LOG_ONLY: frozenset[type[Event]] = frozenset(
    {
        events.AlertAcknowledged,
        events.CertificateSeen,
        events.ClockSettled,
        events.AuditCut,
        events.ControlAsked,
        events.DeadLetterAssigned,
        events.TaskAssigned,
        events.TaskClosed,
        events.DaemonStarted,
        events.GenerationAccepted,
        events.DaemonStopping,
        events.DaemonStopped,
        events.ReplayPlanned,
        events.ReplayHeld,
        events.ReplayResumed,
        events.ReplayCancelled,
        events.ReplayExpired,
        events.StoreRecovered,
        events.CertificateReloaded,
        events.WatchFailed,
    }
)


def metrics_page() -> str:
    """docs/metrics.md: every metric, and the events that are in the log only."""
    lines = [
        "# Metrics",
        "",
        "Served as text for Prometheus on `/metrics` of the operators' HTTP listener.",
        "",
        "| metric | kind | labels | meaning | fed by |",
        "|---|---|---|---|---|",
    ]
    for metric in METRICS:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        fed_by = ", ".join(f"`{kind.__name__}`" for kind in metric.feeds) or "read at each scrape"
        lines.append(f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} | {fed_by} |")
    only = ", ".join(sorted(f"`{kind.__name__}`" for kind in LOG_ONLY))
    lines += ["", f"Events that are in the log only: {only}."]
    return "\n".join(lines) + "\n"
