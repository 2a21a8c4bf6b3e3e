"""The audit log in the store file."""

from __future__ import annotations

import hashlib
import hmac
import json
from asyncio import Future
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import apsw
from msgspec.structs import astuple, replace

from hcsyncd.errors import StoreError
from hcsyncd.store.audit_anchor import ANCHOR_FILE, read_anchor
from hcsyncd.store.audit_chain import CUT, NO_KEYS, ChainKeys, check_chain, genesis, hash_of
from hcsyncd.store.ports.audit import Anchor, AuditEntry, AuditFilter, AuditFinding, NewEntry, Verified
from hcsyncd.store.queries import QUERIES
from hcsyncd.store.readers import Readers
from hcsyncd.store.transaction import Transaction
from hcsyncd.store.writer import Work, Writer

MAX_FINDINGS = 100  # a chain that is broken all over is told of by its first places
# Commands on messages that name any of the given ones.
_ON_MESSAGES = """
(
    (verb GLOB 'messages.*' OR verb GLOB 'dead.*' OR verb GLOB 'unsure.*' OR verb = 'replays.plan')
    AND EXISTS (
        SELECT 1 FROM (
            SELECT json_extract(what, '$.id') AS named
            UNION ALL SELECT json_extract(what, '$.other')
            UNION ALL SELECT value FROM json_each(what, '$.ids')
            UNION ALL SELECT value FROM json_each(what, '$.wanted.ids')
        )
        WHERE named IN (SELECT value FROM json_each(?))
    )
)
"""


class SqliteAuditLog:
    """The audit port on the store file."""

    def __init__(self, writer: Writer, readers: Readers, name: str, pseudonym_key: bytes) -> None:
        self._writer = writer
        self._readers = readers
        self._name = name
        self._pseudonym_keys: tuple[bytes, ...] = (pseudonym_key,)
        self._keys = NO_KEYS

    def use_keys(self, keys: ChainKeys, pseudonym_key: bytes = b"") -> None:
        """Make the hashes of entries from here on under ``keys.current``, and pseudonyms under a key that does not lie
        in the file where there is one. Those that were made before are still found."""
        self._keys = keys
        if pseudonym_key:
            self._pseudonym_keys = (pseudonym_key, *self._pseudonym_keys)

    def append(self, new: NewEntry) -> Future[AuditEntry]:
        return self._writer.submit(APPEND, (new, self._name, self._keys))

    def cut(self, before: int, by: NewEntry, limit: int = 1000) -> Future[int]:
        return self._writer.submit(CUT_OFF, (before, limit, by, self._name, self._keys))

    def pseudonym(self, value: str) -> str:
        return self.pseudonyms(value)[0]

    def pseudonyms(self, value: str) -> tuple[str, ...]:
        digests = (hmac.new(key, value.encode(), hashlib.sha256).hexdigest() for key in self._pseudonym_keys)
        return tuple(f"key:{digest[:32]}" for digest in digests)

    async def head(self) -> Anchor | None:
        rows = await self._readers.rows("audit_head")
        return Anchor(*rows[0]) if rows else None

    async def entry(self, number: int) -> Anchor | None:
        rows = await self._readers.rows("audit_entry", (number,))
        return Anchor(*rows[0]) if rows else None

    async def find(self, wanted: AuditFilter) -> list[AuditEntry]:
        return await self._readers.read(lambda connection: find_entries(connection, wanted))

    async def verify(self, anchors: Sequence[Anchor] = ()) -> Verified:
        keys = self._keys
        return await self._readers.read(lambda connection: verify_log(connection, anchors, keys))


def verify_log(connection: apsw.Connection, anchors: Sequence[Anchor] = (), keys: ChainKeys = NO_KEYS) -> Verified:
    """Check the log of an open store against itself, the anchor beside it, and ``anchors``."""
    count: int = connection.execute(QUERIES["count_audit"].text).get
    head: Any = connection.execute(QUERIES["audit_head"].text).fetchone()
    shown = f"{head[0]}:{head[1].hex()}" if head else ""
    try:
        beside = read_anchor(Path(connection.filename).parent)
    except StoreError as error:
        return Verified(count, shown, (AuditFinding(0, "no-anchor", str(error)),))
    findings = verify_audit(connection, [*anchors, beside] if beside else anchors, keys)
    if head and beside is None:
        text = f"{ANCHOR_FILE} is not there, which the daemon writes beside the store: an end cut off would not show"
        findings.append(AuditFinding(head[0], "no-anchor", text))
    return Verified(count, shown, tuple(findings))


def verify_audit(
    connection: apsw.Connection, anchors: Sequence[Anchor] = (), keys: ChainKeys = NO_KEYS
) -> list[AuditFinding]:
    """What is wrong with a store's audit log, the first bad entry first; nothing when it is whole. Reads entry by
    entry, and ends after a hundred findings."""
    name: str = connection.execute(QUERIES["store_name"].text).get
    return list(islice(check_chain(read_entries(connection), name, keys, anchors), MAX_FINDINGS))


def read_entries(connection: apsw.Connection) -> Iterator[AuditEntry | AuditFinding]:
    """The log from its beginning. A row whose text is no text any more is a finding."""
    # Text that is no UTF-8 would end the reading: it is taken as bytes, and decoded row by row.
    text = QUERIES["audit_columns"].text
    for name in ("user", "verb", "access", "what", "outcome", "key_id"):
        text = text.replace(f" {name},", f" CAST({name} AS BLOB),", 1)
    for row in connection.execute(f"{text} ORDER BY number"):
        yield _entry_from_bytes(row)


def _entry_from_bytes(row: tuple[Any, ...]) -> AuditEntry | AuditFinding:
    number, at, user_id, user, process_id, *texts = row
    try:
        decoded = [text.decode() for text in texts[:5]]
        return AuditEntry(number, at, user_id, user.decode(), process_id, *decoded, *texts[5:])
    except UnicodeDecodeError:
        return AuditFinding(number, "unreadable", "it holds what is no text: it is not what was written")


def find_entries(connection: apsw.Connection, wanted: AuditFilter) -> list[AuditEntry]:
    """The entries that a filter means."""
    conditions: list[str] = []
    values: list[Any] = []

    def add(condition: str, *its_values: Any) -> None:
        conditions.append(condition)
        values.extend(its_values)

    if wanted.user:
        add("(user = ? OR CAST(user_id AS TEXT) = ?)", wanted.user, wanted.user)
    if wanted.verb:
        add("verb GLOB ?", wanted.verb)
    if wanted.message_ids or wanted.pseudonyms:
        condition, its_values = _about(wanted)
        add(condition, *its_values)
    if wanted.since is not None:
        add("at >= ?", wanted.since)
    if wanted.until is not None:
        add("at < ?", wanted.until)
    if wanted.after:
        add("number < ?" if wanted.newest_first else "number > ?", wanted.after)
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    order = "DESC" if wanted.newest_first else "ASC"
    text = f"{QUERIES['audit_columns'].text}{where} ORDER BY number {order} LIMIT ?"
    return [AuditEntry(*row) for row in connection.execute(text, (*values, wanted.limit))]


def _about(wanted: AuditFilter) -> tuple[str, list[Any]]:
    """The entries on any of the messages, or on the business key's value: whoever asks for a patient means both."""
    either: list[str] = []
    values: list[Any] = []
    if wanted.message_ids:
        either.append(_ON_MESSAGES)
        values.append(json.dumps(wanted.message_ids))
    for pseudonym in wanted.pseudonyms:
        either.append("instr(what, ?)")
        values.append(pseudonym)
    return f"({' OR '.join(either)})", values


def pseudonym_key(connection: apsw.Connection) -> bytes:
    key: bytes = connection.execute(QUERIES["audit_pseudonym_key"].text).get
    return key


def _append(transaction: Transaction, group: list[tuple[NewEntry, str, ChainKeys]]) -> list[AuditEntry]:
    return [_append_one(transaction, *asked) for asked in group]


def _append_one(transaction: Transaction, new: NewEntry, store: str, keys: ChainKeys) -> AuditEntry:
    row: Any = transaction.connection.execute(QUERIES["audit_head"].text).fetchone()
    number, previous = row or (0, genesis(store))
    named = (new.user_id, new.user, new.process_id, new.verb, new.access, new.what, new.outcome)
    entry = AuditEntry(number + 1, transaction.now, *named, keys.current, previous, b"")
    entry = replace(entry, hash=hash_of(entry, keys))
    transaction.connection.execute(QUERIES["append_audit"].text, astuple(entry))
    return entry


def _cut_off(transaction: Transaction, group: list[tuple[int, int, NewEntry, str, ChainKeys]]) -> list[int]:
    return [_cut_off_one(transaction, *asked) for asked in group]


def _cut_off_one(transaction: Transaction, before: int, limit: int, by: NewEntry, store: str, keys: ChainKeys) -> int:
    """What is kept stands whole: the entry that says how far was cut is in the same commit as the cut."""
    connection = transaction.connection
    first: int | None = connection.execute(QUERIES["audit_first"].text).get
    head: Any = connection.execute(QUERIES["audit_head"].text).fetchone()
    if first is None:
        return 0
    through = min(first + limit, head[0]) - 1  # the newest entry always stays
    kept: int | None = connection.execute(QUERIES["audit_first_since"].text, (through, before)).get
    if kept is not None:
        through = kept - 1
    if through < first:
        return 0
    last: Any = connection.execute(QUERIES["audit_entry"].text, (through,)).fetchone()
    what = json.dumps(
        {"entries": through - first + 1, "hash": last[1].hex(), "through": through}, separators=(",", ":")
    )
    _append_one(transaction, replace(by, verb=CUT, what=what), store, keys)
    connection.execute(QUERIES["delete_audit"].text, (through,))
    return connection.changes()


APPEND: Work[tuple[NewEntry, str, ChainKeys], AuditEntry] = Work("keeping an audit entry", _append)
CUT_OFF: Work[tuple[int, int, NewEntry, str, ChainKeys], int] = Work("removing old audit entries", _cut_off)
