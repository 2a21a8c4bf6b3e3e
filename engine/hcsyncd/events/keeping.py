"""What retention does."""

from __future__ import annotations

from typing import ClassVar

from hcsyncd.events.event import Event


class RetentionRan(Event, frozen=True):
    """What was kept long enough is gone: of one channel, one class of data (bodies, answers, metadata)."""

    channel: str
    data: str
    messages: int
    bytes: int  # of metadata: as estimated


class RetentionHeld(Event, frozen=True):
    """Nothing is removed, because the store was last seen so long ago that the clock is doubted: what is due by it may
    not be."""

    level: ClassVar[str] = "warning"
    ahead_secs: float
    wait_secs: float  # so long it must go on steadily, or until a person runs retention


class RetentionFailed(Event, frozen=True):
    """A run ended early; the next one goes on."""

    level: ClassVar[str] = "error"
    error: str


class AttemptsFolded(Event, frozen=True):
    """Of deliveries that were tried often, the attempts in the middle are gone."""

    attempts: int


class AuditCut(Event, frozen=True):
    """Entries of the audit log were kept long enough and are gone; an entry of its own says how far."""

    entries: int


class SpaceReturned(Event, frozen=True):
    """Free space at the end of the store's file was given back to the disk."""

    bytes: int
