"""What happens to alerts, to whoever is told of them, and to the clock."""

from __future__ import annotations

from typing import ClassVar

from hcsyncd.events.event import Event


class AlertRaised(Event, frozen=True):
    """A condition has held for long enough to be an alert: said once."""

    level: ClassVar[str] = "error"
    kind: str
    subject: str
    owner: str
    text: str


class AlertReminded(Event, frozen=True):
    """An alert is still open, and nobody has acknowledged it."""

    level: ClassVar[str] = "warning"
    kind: str
    subject: str
    owner: str
    text: str
    open_seconds: float


class AlertCleared(Event, frozen=True):
    """The condition of an alert no longer holds: said once."""

    kind: str
    subject: str
    owner: str
    open_seconds: float


class AlertAcknowledged(Event, frozen=True):
    """A person looks after an alert."""

    alert_id: int
    kind: str
    subject: str
    user: str


class AlertsFailed(Event, frozen=True):
    """What alerts are judged by could not be read, or an alert not be kept: said once. Alerts go on from memory."""

    level: ClassVar[str] = "error"
    error: str


class NoticeFailed(Event, frozen=True):
    """A sink of notices (webhook, email) does not take them: said once. They wait, up to a bound, and are tried
    again."""

    level: ClassVar[str] = "error"
    sink: str
    error: str


class NoticeDropped(Event, frozen=True):
    """Too many notices wait for a sink that takes none: the oldest is given up."""

    level: ClassVar[str] = "error"
    sink: str
    kind: str
    subject: str


class NoticesRecovered(Event, frozen=True):
    """A sink takes notices again."""

    sink: str
    seconds: float  # since the first failure


class ClockJumped(Event, frozen=True):
    """The wall clock moved against the monotonic one: it was set, or the machine slept. Deadlines are not moved by it;
    a jump forward is not believed by alerts and retention until it has stood for a while."""

    level: ClassVar[str] = "error"
    seconds: float  # forward is positive


class ClockSettled(Event, frozen=True):
    """The wall clock is believed again after a jump forward."""

    seconds: float  # that it jumped
    confirmed: bool  # by a person; else it stood for `clock_settle_secs`


class CertificateSeen(Event, frozen=True):
    """A peer showed its certificate as it connected."""

    level: ClassVar[str] = "debug"
    channel: str
    name: str  # as the certificate gives it
    expires_at: int  # microseconds
