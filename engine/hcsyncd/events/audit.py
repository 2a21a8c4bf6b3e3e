"""What happens to the audit log."""

from __future__ import annotations

from typing import ClassVar

from hcsyncd.events.event import Event


class AuditAnchored(Event, frozen=True):
    """The head of the audit log at this moment. Whoever keeps the daemon's log elsewhere can prove with it that nothing
    was cut off since: `hcsyncd audit verify --anchor ENTRY:HASH`."""

    entry: int
    hash: str


class AuditFailed(Event, frozen=True):
    """The audit log could not be kept, or its anchor not be written; commands that need an entry are refused
    meanwhile."""

    level: ClassVar[str] = "error"
    error: str


class AuditBroken(Event, frozen=True):
    """At a start the audit log did not end where the last run left it: entries were cut off, or it was written anew.
    So it is too when an older store was brought back with the anchor of a newer one."""

    level: ClassVar[str] = "error"
    text: str
