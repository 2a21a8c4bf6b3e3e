"""Who saw, sent, replayed and changed what: kept as a chain, so that no entry can be edited, taken out or slipped in
without being found."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Sequence
from typing import Protocol

from hcsyncd.record import Record


class NewEntry(Record, frozen=True):
    """What is to be kept. ``what`` is canonical JSON: no bodies, and business keys as pseudonyms."""

    user_id: int
    user: str
    process_id: int
    verb: str
    access: str  # sees, changes
    what: str = "{}"
    outcome: str = "given"  # given: a command, noted before it was carried out; failed; done: the daemon did it itself


class AuditEntry(Record, frozen=True):
    """One entry. ``hash`` is made of everything else in it, ``previous`` among that; with ``key_id``, under a key."""

    number: int  # from 1, without a gap
    at: int
    user_id: int
    user: str
    process_id: int
    verb: str
    access: str
    what: str
    outcome: str
    key_id: str
    previous: bytes
    hash: bytes


class Anchor(Record, frozen=True):
    """The head of the chain at some moment. Kept elsewhere, it proves that nothing was cut off at the end."""

    number: int
    hash: bytes


class AuditFinding(Record, frozen=True):
    """Something that is not as it was written. ``code`` is stable: edited, missing, unreadable, out-of-chain,
    unknown-key, unkeyed, cut-off, other-anchor, broken-before, no-anchor."""

    number: int  # the entry at which it shows
    code: str
    text: str


class Verified(Record, frozen=True):
    """A chain that was read from end to end. It is whole when there are no findings; else the first is the first bad
    entry's."""

    entries: int
    head: str  # the newest entry as an anchor, ENTRY:HASH; "" when there is none
    findings: tuple[AuditFinding, ...] = ()


class AuditFilter(Record, frozen=True):
    """Which entries a person means. Empty fields do not narrow; ``verb`` is a pattern with ``*`` and ``?``."""

    user: str = ""  # a login name or a number
    verb: str = ""
    message_ids: tuple[int, ...] = ()  # any of them, as commands on messages name them
    pseudonyms: tuple[str, ...] = ()  # of a business key's value: any of them
    since: int | None = None  # microseconds, inclusive
    until: int | None = None  # microseconds, exclusive
    after: int = 0  # an entry: the list goes on behind it, in its own order
    limit: int = 100
    newest_first: bool = True


class AuditLog(Protocol):
    """Used by the auditor and the commands on the log."""

    def append(self, new: NewEntry) -> Future[AuditEntry]:
        """Keep an entry. Fails with StoreError: it is not kept then."""
        ...

    def cut(self, before: int, by: NewEntry, limit: int = 1000) -> Future[int]:
        """Remove entries older than ``before`` (microseconds), the oldest first and at most ``limit``; an entry of its
        own, ``by``, keeps how far and the hash that it went up to. How many are gone."""
        ...

    def pseudonym(self, value: str) -> str:
        """What a business key's value is called in the log: the same value always the same."""
        ...

    def pseudonyms(self, value: str) -> tuple[str, ...]:
        """All that it was ever called, the present one first: the key may have changed when the store was sealed."""
        ...

    async def head(self) -> Anchor | None:
        """The newest entry; None before the first."""
        ...

    async def entry(self, number: int) -> Anchor | None:
        """The number and hash of one entry; None where there is none."""
        ...

    async def find(self, wanted: AuditFilter) -> list[AuditEntry]: ...

    async def verify(self, anchors: Sequence[Anchor] = ()) -> Verified:
        """Check the whole chain, against the anchor beside the store and against ``anchors`` that were kept
        elsewhere."""
        ...
