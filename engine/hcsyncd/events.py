"""One frozen record for each thing that can happen. Logs, metrics and traces derive from these and from nowhere else.

No event holds a body, a secret or a patient's data: identifiers, codes, counts and times only.
"""

from __future__ import annotations

from typing import ClassVar

from hcsyncd.record import Record


class Event(Record, frozen=True):
    """The root. ``level`` is the log level at which a person wants to read of it."""

    level: ClassVar[str] = "info"


# The daemon


class DaemonStarted(Event, frozen=True):
    """The daemon is ready: everything is bound and the store is recovered."""

    version: str
    site: str
    recovered_messages: int  # received before, not yet routed
    recovered_deliveries: int  # open when the daemon last ended


class DaemonStopping(Event, frozen=True):
    """A stop was asked for; intake is being closed."""

    reason: str


class DaemonStopped(Event, frozen=True):
    """Everything is closed."""

    open_deliveries: int
    seconds: float


class GenerationActivated(Event, frozen=True):
    """A configuration is live."""

    generation: int
    channels: int
    routes: int
    changes: str  # in words; "" at the start


class GenerationRefused(Event, frozen=True):
    """A reload did not go through; the running configuration stays."""

    level: ClassVar[str] = "error"
    findings: int
    reason: str


class ControlUsed(Event, frozen=True):
    """An operator gave a command over the control socket."""

    verb: str
    user_id: int


class ControlRefused(Event, frozen=True):
    """Another user knocked at the control socket and was turned away."""

    level: ClassVar[str] = "warning"
    user_id: int


class ControlFailed(Event, frozen=True):
    """A command over the control socket could not be carried out; ``code`` is its error's."""

    level: ClassVar[str] = "warning"
    verb: str
    user_id: int
    code: str
    text: str


class DiskLow(Event, frozen=True):
    """Free space fell below the bound: intake is refused until it is back."""

    level: ClassVar[str] = "error"
    free_bytes: int
    bound_bytes: int


class DiskFailed(Event, frozen=True):
    """The store's disk cannot be measured, as when it is no longer mounted: intake is refused until it can."""

    level: ClassVar[str] = "error"
    error: str


class DiskRecovered(Event, frozen=True):
    """Free space is back; intake is open."""

    free_bytes: int


class StoreFailed(Event, frozen=True):
    """The store could not commit."""

    level: ClassVar[str] = "error"
    error: str


class StoreRecovered(Event, frozen=True):
    """The store commits again after a failure."""


class OperationFailed(Event, frozen=True):
    """The store could not carry out one operation, by the operation's own fault; others go on."""

    level: ClassVar[str] = "error"
    error: str


# Sources


class SourceStarted(Event, frozen=True):
    """A source is bound or connected."""

    channel: str
    address: str


class SourceStopped(Event, frozen=True):
    """A source was stopped on purpose."""

    channel: str


class SourceFailed(Event, frozen=True):
    """A source could not start or ended by itself; it is tried again after ``retry_secs``."""

    level: ClassVar[str] = "error"
    channel: str
    error: str
    retry_secs: float


class ConnectionOpened(Event, frozen=True):
    """A peer connected to a listener."""

    level: ClassVar[str] = "debug"
    channel: str
    peer: str


class ConnectionClosed(Event, frozen=True):
    """A peer's connection ended; ``reason`` is a stable code: peer-closed, idle, reset, frame-timeout, stopping,
    store-failed."""

    level: ClassVar[str] = "debug"
    channel: str
    peer: str
    reason: str


class ConnectionRefused(Event, frozen=True):
    """A peer was turned away; ``reason`` is a stable code: not-allowed, too-many, no-resources, tls, gone,
    unauthorized."""

    level: ClassVar[str] = "warning"
    channel: str
    peer: str
    reason: str


class CertificateReloaded(Event, frozen=True):
    """A channel's certificate files have changed; new connections use them."""

    channel: str
    file: str


class CertificateRefused(Event, frozen=True):
    """A channel's certificate files have changed and will not load; the last good ones stay in use."""

    level: ClassVar[str] = "error"
    channel: str
    error: str


class FrameFaulted(Event, frozen=True):
    """Bytes on the wire were no frame; ``fault`` is a stable code: noise, unfinished, oversize, empty,
    end-without-start."""

    level: ClassVar[str] = "warning"
    channel: str
    peer: str
    fault: str
    bytes: int


class FaultTolerated(Event, frozen=True):
    """A known sender fault was overlooked, as the channel allows; ``switch`` is the option's name."""

    level: ClassVar[str] = "debug"
    channel: str
    switch: str


class FileTaken(Event, frozen=True):
    """A folder source took a whole file: all its messages are stored and it is archived."""

    channel: str
    file: str
    messages: int
    bytes: int
    rejected: int = 0  # of the messages: stored as dead letters at once


class WatchFailed(Event, frozen=True):
    """A folder source cannot be woken by the system; it finds files by scanning alone."""

    level: ClassVar[str] = "warning"
    channel: str
    folder: str
    error: str


class FileRefused(Event, frozen=True):
    """A folder source could not take a file; it stays where ``moved_to`` says."""

    level: ClassVar[str] = "error"
    channel: str
    file: str
    reason: str
    moved_to: str


# Messages


class MessageReceived(Event, frozen=True):
    """An arrival is on stable storage."""

    level: ClassVar[str] = "debug"
    channel: str
    message_id: int
    type: str
    bytes: int
    seconds: float  # from arrival to commit


class MessageDuplicated(Event, frozen=True):
    """An arrival was known already; the original's reply was given again."""

    channel: str
    message_id: int  # the original


class ControlIdReused(Event, frozen=True):
    """A sender used a control id again for other content."""

    level: ClassVar[str] = "warning"
    channel: str
    message_id: int  # the new one
    original_id: int
    refused: bool


class MessageRejected(Event, frozen=True):
    """An arrival was stored as a dead letter at once, and its sender was told no."""

    level: ClassVar[str] = "warning"
    channel: str
    message_id: int
    cause: str
    bytes: int


class IntakeRefused(Event, frozen=True):
    """An arrival was not stored; its sender was told to come again. Why is said once, by an event of the disk or the
    store."""

    level: ClassVar[str] = "debug"
    channel: str
    reason: str


class ReplyLost(Event, frozen=True):
    """A sender was gone before its acknowledgement could be written; the stored reply waits for its resend."""

    level: ClassVar[str] = "warning"
    channel: str
    message_id: int


class MessageRouted(Event, frozen=True):
    """A message was handed on."""

    level: ClassVar[str] = "debug"
    channel: str
    message_id: int
    deliveries: int
    seconds: float  # from arrival to hand-on


class MessageFiltered(Event, frozen=True):
    """Every route that matched dropped the message on purpose."""

    level: ClassVar[str] = "debug"
    channel: str
    message_id: int
    reason: str


class MessageUnrouted(Event, frozen=True):
    """No route wanted the message."""

    level: ClassVar[str] = "debug"
    channel: str
    message_id: int
    type: str


class RouteFailed(Event, frozen=True):
    """A route's filter or transform failed on a message, which is a dead letter on that route."""

    level: ClassVar[str] = "error"
    channel: str
    message_id: int
    route: str
    cause: str
    text: str


class MessageReplayed(Event, frozen=True):
    """A message was put on the road again as a new one."""

    message_id: int  # the original
    copy_id: int


# Deliveries


class DeliverySent(Event, frozen=True):
    """The other side took a delivery."""

    level: ClassVar[str] = "debug"
    destination: str
    route: str
    delivery_id: int
    message_id: int
    attempt: int
    send_seconds: float
    total_seconds: float  # since it was handed on


class DeliveryDelayed(Event, frozen=True):
    """An attempt failed for now."""

    level: ClassVar[str] = "warning"
    destination: str
    route: str
    delivery_id: int
    message_id: int
    attempt: int
    cause: str
    text: str
    retry_secs: float


class DeliveryUnsure(Event, frozen=True):
    """It is not known whether the other side took a delivery; it waits for an answer or a person."""

    level: ClassVar[str] = "error"
    destination: str
    route: str
    delivery_id: int
    message_id: int
    cause: str


class DeliveryDied(Event, frozen=True):
    """A delivery is a dead letter."""

    level: ClassVar[str] = "error"
    destination: str
    route: str
    delivery_id: int
    message_id: int
    attempt: int
    cause: str
    text: str


class DeliveryClosed(Event, frozen=True):
    """A person settled a delivery: discarded or replayed in another form."""

    destination: str
    delivery_id: int
    message_id: int
    reason: str


class DestinationFailed(Event, frozen=True):
    """A destination's attempts fail one after the other: said once, at the first failure."""

    level: ClassVar[str] = "error"
    destination: str
    cause: str
    text: str


class DestinationRecovered(Event, frozen=True):
    """A destination that failed takes deliveries again."""

    destination: str
    seconds: float  # since the first failure


class AnswerIgnored(Event, frozen=True):
    """The other side sent an acknowledgement that changes nothing; ``reason`` is a stable code: answered-before (as the
    application's answer is after the commit answer), not-asked. ``verdict`` is MSA-1, "" when it is none."""

    level: ClassVar[str] = "warning"
    destination: str
    reason: str
    verdict: str


# Workers


class WorkerStarted(Event, frozen=True):
    """A worker process is ready for transforms."""

    level: ClassVar[str] = "debug"
    worker: int
    process_id: int


class WorkerLost(Event, frozen=True):
    """A worker process was ended or died; its batch is run again, message by message."""

    level: ClassVar[str] = "error"
    worker: int
    process_id: int
    reason: str  # stable code: timeout, memory, exit
