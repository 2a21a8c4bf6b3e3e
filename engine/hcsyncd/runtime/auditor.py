"""Who saw, sent, replayed and changed what: noted before a command is carried out, with what was asked, and no patient.

Of a request only the names in `CLEAR` stand in the log as they were given. Every other text may be a business key
(an MRN, a name that was searched for) and is written as a pseudonym: a keyed digest, so that the log can be asked for a
value by whoever has it, and tells none to whoever has not. Bytes are written as their length and SHA-256.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec

from hcsyncd.errors import StoreError
from hcsyncd.events import AuditAnchored, AuditBroken, AuditFailed, Event, GenerationActivated, GenerationReverted
from hcsyncd.runtime.verb import Access, Caller, Request
from hcsyncd.store.audit_anchor import read_anchor, write_anchor
from hcsyncd.store.audit_chain import BROKEN
from hcsyncd.store.ports import Anchor, AuditEntry, AuditLog, NewEntry

ANCHOR_SECS = 3600.0

CLEAR = frozenset(
    {
        "access",
        "anchors",
        "author",
        "cause",
        "channel",
        "channels",
        "code",
        "control_id",
        "destination",
        "destinations",
        "digest",
        "due",
        "file",
        "format",
        "generation",
        "hours",
        "kind",
        "kinds",
        "limit",
        "master",
        "name",
        "note",
        "order",
        "outcome",
        "owner",
        "point",
        "points",
        "rate",
        "reason",
        "role",
        "route",
        "routes",
        "since",
        "state",
        "states",
        "subject",
        "table",
        "to",
        "type",
        "until",
        "user",
        "verb",
        "tap",
        "window",
    }
)
"""Fields of requests that hold no patient's data."""

KEYS = "keys"  # the field of business keys

OWN_EVENTS: Mapping[type[Event], str] = {
    GenerationActivated: "generation.activated",
    GenerationReverted: "generation.reverted",
}
"""What the daemon does by itself, or at the end of a command, that changes what runs."""


class Auditor:
    """Implements `runtime.verb.Auditor` on the store, and keeps the head of the log anchored outside of it."""

    def __init__(self, log: AuditLog, folder: Path, emit: Callable[[Event], None]) -> None:
        self._log = log
        self._folder = folder
        self._emit = emit
        self._self = Caller(os.geteuid(), os.getpid())

    async def note(self, caller: Caller, verb: str, access: Access, asked: Request) -> int:
        what = canonical(asked, self._log.pseudonym)
        return (await self._log.append(_entry(caller, verb, access, what, "given"))).number

    async def note_failure(self, caller: Caller, verb: str, code: str, entry: int) -> None:
        await self._log.append(_entry(caller, verb, "", as_json({"code": code, "of": entry}), "failed"))

    # The daemon's own entries

    async def start(self, version: str, site: str) -> None:
        """Look whether the log still ends where the last run left it, and note the start. A log that cannot be kept
        does not keep the daemon from its work: commands that need it are refused."""
        try:
            await self._look_for_a_cut()
            await self._did("daemon.started", {"site": site, "version": version})
        except StoreError as error:
            self._emit(AuditFailed(str(error)))
        await self.anchor()

    async def stop(self) -> None:
        """Note the end. Anchored by it, the log is whole until the next start."""
        try:
            await self._did("daemon.stopped", {})
        except StoreError as error:
            self._emit(AuditFailed(str(error)))
        await self.anchor()

    async def run(self) -> None:
        """Anchor the log every hour, until cancelled."""
        while True:
            await asyncio.sleep(ANCHOR_SECS)
            await self.anchor()

    async def cut(self, before: int) -> int:
        """Take the entries away that are older than a moment, in microseconds; the log says so itself. How many went.
        Fails with StoreError."""
        gone = 0
        while entries := await self._log.cut(before, _entry(self._self, "", Access.CHANGES, "{}", "done")):
            gone += entries
        if gone:
            await self.anchor()
        return gone

    async def anchor(self) -> None:
        """Note the head of the log in the side file and in the daemon's log."""
        try:
            head = await self._log.head()
            if head is None:
                return
            await asyncio.to_thread(write_anchor, self._folder, head)
        except StoreError as error:
            self._emit(AuditFailed(str(error)))
        else:
            self._emit(AuditAnchored(head.number, head.hash.hex()))

    async def _look_for_a_cut(self) -> None:
        """An anchor that the log does not bear out is kept in the log itself, before a fresh one takes its place."""
        try:
            anchor = await asyncio.to_thread(read_anchor, self._folder)
            text = "" if anchor is None else await self._contradiction(anchor)
        except StoreError as error:
            anchor, text = None, str(error)
        if not text:
            return
        self._emit(AuditBroken(text))
        named = {} if anchor is None else {"entry": anchor.number, "hash": anchor.hash.hex()}
        await self._did(BROKEN, {"text": text, **named})

    async def _contradiction(self, anchor: Anchor) -> str:
        """What the log says against an anchor; nothing when it bears it out, or no longer goes back so far."""
        head = await self._log.head()
        if head is None or head.number < anchor.number:
            return (
                f"the audit log ends at entry {head.number if head else 0}, and its anchor names entry {anchor.number}"
            )
        found = await self._log.entry(anchor.number)
        if found is not None and found.hash != anchor.hash:
            return f"entry {anchor.number} of the audit log is not the one that its anchor names"
        return ""

    def hear(self, event: Event) -> None:
        """A subscriber of the bus, which wants what `wants` says."""
        asked = {name: getattr(event, name) for name in event.__struct_fields__}
        kept = self._log.append(self._own(OWN_EVENTS[type(event)], asked))
        kept.add_done_callback(self._own_kept)

    @staticmethod
    def wants(kind: type[Event]) -> bool:
        return kind in OWN_EVENTS

    def _own_kept(self, done: asyncio.Future[AuditEntry]) -> None:
        if not done.cancelled() and (error := done.exception()) is not None:
            self._emit(AuditFailed(str(error)))

    async def _did(self, verb: str, what: Mapping[str, Any]) -> None:
        await self._log.append(self._own(verb, what))

    def _own(self, verb: str, what: Mapping[str, Any]) -> NewEntry:
        return _entry(self._self, verb, Access.CHANGES, as_json(what), "done")


def _entry(caller: Caller, verb: str, access: str, what: str, outcome: str) -> NewEntry:
    return NewEntry(caller.user_id, caller.name, caller.process_id, verb, access, what, outcome)


def canonical(asked: Request, pseudonym: Callable[[str], str]) -> str:
    """What was asked, as canonical JSON. What was left at its default is left out."""
    return as_json(_given(asked, pseudonym))


def _given(asked: msgspec.Struct, pseudonym: Callable[[str], str]) -> dict[str, object]:
    given = {field.name: (getattr(asked, field.name), field.default) for field in msgspec.structs.fields(asked)}
    return {
        name: _plain(name, value, pseudonym)
        for name, (value, default) in given.items()
        if value != default and not _is_empty(value)
    }


def as_json(value: Mapping[str, Any]) -> str:
    """One text for one meaning: names in order, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)


def _is_empty(value: object) -> bool:
    return value is None or (isinstance(value, (str, bytes, list, tuple, dict, frozenset)) and not value)


def _plain(name: str, value: object, pseudonym: Callable[[str], str]) -> object:
    match value:
        case bytes():
            return {"bytes": len(value), "sha256": hashlib.sha256(value).hexdigest()}
        case Enum() | bool() | int() | float() | None:
            return value.value if isinstance(value, Enum) else value
        case str():
            return value if name in CLEAR else pseudonym(value)
        case msgspec.Struct():
            return _given(value, pseudonym)
        case Mapping():
            return {str(key): _plain(name, inner, pseudonym) for key, inner in value.items()}
        case tuple() | list() if name == KEYS:  # (name, value) each: what a key is called tells nothing
            return [[key, pseudonym(inner)] for key, inner in value]
        case list() | tuple() | set() | frozenset():
            return [_plain(name, inner, pseudonym) for inner in value]
        case _:
            return pseudonym(str(value))
