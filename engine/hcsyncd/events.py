"""One frozen record for each thing that can happen. Logs, metrics and traces derive from these and from nowhere else.

No event holds a body, a secret or a patient's data: identifiers, codes, counts and times only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Event:
    """The root. ``level`` is the log level at which a person wants to read of it."""

    level: ClassVar[str] = "info"


# The daemon


@dataclass(frozen=True, slots=True)
class DaemonStarted(Event):
    """The daemon is ready: everything is bound and the store is recovered."""

    version: str
    site: str
    recovered_messages: int  # received before, not yet routed
    recovered_deliveries: int  # open when the daemon last ended


@dataclass(frozen=True, slots=True)
class DaemonStopping(Event):
    """A stop was asked for; intake is being closed."""

    reason: str


@dataclass(frozen=True, slots=True)
class DaemonStopped(Event):
    """Everything is closed."""

    open_deliveries: int
    seconds: float


@dataclass(frozen=True, slots=True)
class GenerationActivated(Event):
    """A configuration is live."""

    generation: int
    channels: int
    routes: int
    changes: str  # in words; "" at the start


@dataclass(frozen=True, slots=True)
class GenerationRefused(Event):
    """A reload did not go through; the running configuration stays."""

    level: ClassVar[str] = "error"
    findings: int
    reason: str


@dataclass(frozen=True, slots=True)
class ControlUsed(Event):
    """An operator gave a command over the control socket."""

    verb: str
    user_id: int


@dataclass(frozen=True, slots=True)
class ControlRefused(Event):
    """Another user knocked at the control socket and was turned away."""

    level: ClassVar[str] = "warning"
    user_id: int


@dataclass(frozen=True, slots=True)
class ControlFailed(Event):
    """A command over the control socket could not be carried out; ``code`` is its error's."""

    level: ClassVar[str] = "warning"
    verb: str
    user_id: int
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class DiskLow(Event):
    """Free space fell below the bound: intake is refused until it is back."""

    level: ClassVar[str] = "error"
    free_bytes: int
    bound_bytes: int


@dataclass(frozen=True, slots=True)
class DiskRecovered(Event):
    """Free space is back; intake is open."""

    free_bytes: int


@dataclass(frozen=True, slots=True)
class StoreFailed(Event):
    """The store could not commit."""

    level: ClassVar[str] = "error"
    error: str


@dataclass(frozen=True, slots=True)
class StoreRecovered(Event):
    """The store commits again after a failure."""


# Sources


@dataclass(frozen=True, slots=True)
class SourceStarted(Event):
    """A source is bound or connected."""

    channel: str
    address: str


@dataclass(frozen=True, slots=True)
class SourceStopped(Event):
    """A source was stopped on purpose."""

    channel: str


@dataclass(frozen=True, slots=True)
class SourceFailed(Event):
    """A source could not start or ended by itself; it is tried again after ``retry_secs``."""

    level: ClassVar[str] = "error"
    channel: str
    error: str
    retry_secs: float


@dataclass(frozen=True, slots=True)
class ConnectionOpened(Event):
    """A peer connected to a listener."""

    level: ClassVar[str] = "debug"
    channel: str
    peer: str


@dataclass(frozen=True, slots=True)
class ConnectionClosed(Event):
    """A peer's connection ended; ``reason`` is a stable code: peer-closed, idle, reset, frame-timeout, stopping,
    store-failed."""

    level: ClassVar[str] = "debug"
    channel: str
    peer: str
    reason: str


@dataclass(frozen=True, slots=True)
class ConnectionRefused(Event):
    """A peer was turned away; ``reason`` is a stable code: not-allowed, too-many, no-resources, tls, gone,
    unauthorized."""

    level: ClassVar[str] = "warning"
    channel: str
    peer: str
    reason: str


@dataclass(frozen=True, slots=True)
class CertificateReloaded(Event):
    """A channel's certificate files have changed; new connections use them."""

    channel: str
    file: str


@dataclass(frozen=True, slots=True)
class CertificateRefused(Event):
    """A channel's certificate files have changed and will not load; the last good ones stay in use."""

    level: ClassVar[str] = "error"
    channel: str
    error: str


@dataclass(frozen=True, slots=True)
class FrameFaulted(Event):
    """Bytes on the wire were no frame; ``fault`` is a stable code: noise, unfinished, oversize, empty,
    end-without-start."""

    level: ClassVar[str] = "warning"
    channel: str
    peer: str
    fault: str
    bytes: int


@dataclass(frozen=True, slots=True)
class FaultTolerated(Event):
    """A known sender fault was overlooked, as the channel allows; ``switch`` is the option's name."""

    level: ClassVar[str] = "debug"
    channel: str
    switch: str


@dataclass(frozen=True, slots=True)
class FileTaken(Event):
    """A folder source took a whole file: all its messages are stored and it is archived."""

    channel: str
    file: str
    messages: int
    bytes: int
    rejected: int = 0  # of the messages: stored as dead letters at once


@dataclass(frozen=True, slots=True)
class WatchFailed(Event):
    """A folder source cannot be woken by the system; it finds files by scanning alone."""

    level: ClassVar[str] = "warning"
    channel: str
    folder: str
    error: str


@dataclass(frozen=True, slots=True)
class FileRefused(Event):
    """A folder source could not take a file; it stays where ``moved_to`` says."""

    level: ClassVar[str] = "error"
    channel: str
    file: str
    reason: str
    moved_to: str


# Messages


@dataclass(frozen=True, slots=True)
class MessageReceived(Event):
    """An arrival is on stable storage."""

    level: ClassVar[str] = "debug"
    channel: str
    message_id: int
    type: str
    bytes: int
    seconds: float  # from arrival to commit


@dataclass(frozen=True, slots=True)
class MessageDuplicated(Event):
    """An arrival was known already; the original's reply was given again."""

    channel: str
    message_id: int  # the original


@dataclass(frozen=True, slots=True)
class ControlIdReused(Event):
    """A sender used a control id again for other content."""

    level: ClassVar[str] = "warning"
    channel: str
    message_id: int  # the new one
    original_id: int
    refused: bool


@dataclass(frozen=True, slots=True)
class MessageRejected(Event):
    """An arrival was stored as a dead letter at once, and its sender was told no."""

    level: ClassVar[str] = "warning"
    channel: str
    message_id: int
    cause: str
    bytes: int


@dataclass(frozen=True, slots=True)
class IntakeRefused(Event):
    """An arrival was not stored; its sender was told to come again."""

    level: ClassVar[str] = "error"
    channel: str
    reason: str


@dataclass(frozen=True, slots=True)
class ReplyLost(Event):
    """A sender was gone before its acknowledgement could be written; the stored reply waits for its resend."""

    level: ClassVar[str] = "warning"
    channel: str
    message_id: int


@dataclass(frozen=True, slots=True)
class MessageRouted(Event):
    """A message was handed on."""

    level: ClassVar[str] = "debug"
    channel: str
    message_id: int
    deliveries: int
    seconds: float  # from arrival to hand-on


@dataclass(frozen=True, slots=True)
class MessageFiltered(Event):
    """Every route that matched dropped the message on purpose."""

    level: ClassVar[str] = "debug"
    channel: str
    message_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class MessageUnrouted(Event):
    """No route wanted the message."""

    channel: str
    message_id: int
    type: str


@dataclass(frozen=True, slots=True)
class RouteFailed(Event):
    """A route's filter or transform failed on a message, which is a dead letter on that route."""

    level: ClassVar[str] = "error"
    channel: str
    message_id: int
    route: str
    cause: str
    text: str


@dataclass(frozen=True, slots=True)
class MessageReplayed(Event):
    """A message was put on the road again as a new one."""

    message_id: int  # the original
    copy_id: int


# Deliveries


@dataclass(frozen=True, slots=True)
class DeliverySent(Event):
    """The other side took a delivery."""

    level: ClassVar[str] = "debug"
    destination: str
    route: str
    delivery_id: int
    message_id: int
    attempt: int
    send_seconds: float
    total_seconds: float  # since it was handed on


@dataclass(frozen=True, slots=True)
class DeliveryDelayed(Event):
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


@dataclass(frozen=True, slots=True)
class DeliveryUnsure(Event):
    """It is not known whether the other side took a delivery; it waits for an answer or a person."""

    level: ClassVar[str] = "error"
    destination: str
    route: str
    delivery_id: int
    message_id: int
    cause: str


@dataclass(frozen=True, slots=True)
class DeliveryDied(Event):
    """A delivery is a dead letter."""

    level: ClassVar[str] = "error"
    destination: str
    route: str
    delivery_id: int
    message_id: int
    attempt: int
    cause: str
    text: str


@dataclass(frozen=True, slots=True)
class DeliveryClosed(Event):
    """A person settled a delivery: discarded or replayed in another form."""

    destination: str
    delivery_id: int
    message_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class DestinationFailed(Event):
    """A destination's attempts fail one after the other: said once, at the first failure."""

    level: ClassVar[str] = "error"
    destination: str
    cause: str
    text: str


@dataclass(frozen=True, slots=True)
class DestinationRecovered(Event):
    """A destination that failed takes deliveries again."""

    destination: str
    seconds: float  # since the first failure


@dataclass(frozen=True, slots=True)
class AnswerIgnored(Event):
    """The other side sent an acknowledgement that changes nothing; ``reason`` is a stable code: answered-before (as the
    application's answer is after the commit answer), not-asked. ``verdict`` is MSA-1, "" when it is none."""

    level: ClassVar[str] = "warning"
    destination: str
    reason: str
    verdict: str


# Workers


@dataclass(frozen=True, slots=True)
class WorkerStarted(Event):
    """A worker process is ready for transforms."""

    level: ClassVar[str] = "debug"
    worker: int
    process_id: int


@dataclass(frozen=True, slots=True)
class WorkerLost(Event):
    """A worker process was ended or died; its batch is run again, message by message."""

    level: ClassVar[str] = "error"
    worker: int
    process_id: int
    reason: str  # stable code: timeout, memory, exit
