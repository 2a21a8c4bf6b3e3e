"""What happens to the daemon as a whole, its configuration, its disk and its store."""

from __future__ import annotations

from typing import ClassVar

from hcsyncd.events.event import Event


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


class ControlUsed(Event, frozen=True):
    """An operator gave a command that sees what messages say, or changes something."""

    verb: str
    user_id: int
    access: str  # sees, changes


class ControlAsked(Event, frozen=True):
    """An operator gave a command that only looks: it may come from something that polls."""

    level: ClassVar[str] = "debug"
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
