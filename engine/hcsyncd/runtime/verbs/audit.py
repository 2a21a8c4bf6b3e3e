"""The audit log, to be read and proved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from hcsyncd.errors import ControlError
from hcsyncd.runtime.verb import Access, Caller, Request, Verb, Verbs
from hcsyncd.store.audit_anchor import parse_anchor
from hcsyncd.store.ports import Anchor, AuditEntry, AuditFilter, AuditLog, Filter, History, Verified

MAX_MESSAGES = 10_000  # of one business key: a patient has fewer


class AuditList(Request, frozen=True):
    """Which entries. ``ids`` are messages; ``keys`` are business keys (name, value): entries about any message that has
    one, or that were asked for by it, are meant."""

    user: str = ""
    verb: str = ""
    ids: tuple[int, ...] = ()
    keys: tuple[tuple[str, str], ...] = ()
    since: int | None = None
    until: int | None = None
    after: int = 0
    limit: int = 100
    newest_first: bool = True


class AuditVerify(Request, frozen=True):
    """``anchors`` are heads that were kept elsewhere, as ``ENTRY:HASH``."""

    anchors: tuple[str, ...] = ()


class AuditVerbs:
    """``audit.list``, ``audit.verify``."""

    def __init__(self, log: AuditLog, history: History) -> None:
        self._log = log
        self._history = history

    def verbs(self) -> Verbs:
        return {
            "audit.list": Verb(AuditList, self.list_entries, Access.SEES),
            "audit.verify": Verb(AuditVerify, self.verify),
        }

    async def list_entries(self, asked: AuditList, _caller: Caller) -> list[dict[str, Any]]:
        """Entries as objects, hashes in hexadecimal."""
        return [as_object(entry) for entry in await self._log.find(await self._filter(asked))]

    async def _filter(self, asked: AuditList) -> AuditFilter:
        ids = set(asked.ids)
        names = {str(message_id) for message_id in asked.ids}  # as `find` and `trace` were asked for them
        for key in asked.keys:
            ids.update(row.id for row in await self._history.find(Filter(keys=(key,), limit=MAX_MESSAGES)))
            names.add(key[1])
        return AuditFilter(
            user=asked.user,
            verb=asked.verb,
            message_ids=tuple(sorted(ids)),
            pseudonyms=tuple(pseudonym for name in sorted(names) for pseudonym in self._log.pseudonyms(name)),
            since=asked.since,
            until=asked.until,
            after=asked.after,
            limit=asked.limit,
            newest_first=asked.newest_first,
        )

    async def verify(self, asked: AuditVerify, _caller: Caller) -> Verified:
        return await self._log.verify(anchors_from(asked.anchors))


def as_object(entry: AuditEntry) -> dict[str, Any]:
    """An entry as it is shown and exported."""
    return {**msgspec.structs.asdict(entry), "previous": entry.previous.hex(), "hash": entry.hash.hex()}


def anchors_from(texts: Sequence[str]) -> list[Anchor]:
    """Raises ControlError for what is no anchor."""
    try:
        return [parse_anchor(text) for text in texts]
    except ValueError as error:
        raise ControlError("an anchor is written ENTRY:HASH, as the daemon's log and `audit verify` say it") from error
