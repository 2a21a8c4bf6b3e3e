"""What happens to the keys of the store, and to its copies."""

from __future__ import annotations

from typing import ClassVar

from hcsyncd.events.event import Event


class KeysRotated(Event, frozen=True):
    """New values are sealed under a fresh data key; those that are stored follow in the background."""

    data_key: int
    master: str  # the fingerprint of the master key that the data keys are wrapped under


class StoreSealed(Event, frozen=True):
    """All that is stored is sealed under the newest data key."""

    data_key: int
    failed: int  # values that did not open and stay as they were; the keys that they name are kept


class BackupMade(Event, frozen=True):
    """A copy of the store was written and verified."""

    file: str
    bytes: int
    seconds: float


class BackupFailed(Event, frozen=True):
    """A copy of the store could not be made; nothing of it is left."""

    level: ClassVar[str] = "error"
    file: str
    reason: str
