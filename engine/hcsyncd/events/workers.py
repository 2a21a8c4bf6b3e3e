"""What happens to the worker processes."""

from __future__ import annotations

from typing import ClassVar

from hcsyncd.events.event import Event


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
