"""The root of everything that can happen."""

from __future__ import annotations

from typing import ClassVar

from hcsyncd.record import Record


class Event(Record, frozen=True):
    """The root. ``level`` is the log level at which a person wants to read of it."""

    level: ClassVar[str] = "info"
