"""The chain of the audit log: how an entry's hash is made, and what a broken chain looks like. No input or output.

The hash of an entry is SHA-256 (FIPS 180-4) over its fields as one JSON array, the hash of the entry before it among
them; where the store has a key, it is HMAC-SHA-256 (RFC 2104) under that key, which nobody can make anew who has only
the file. The first entry's predecessor is made of the store's name, so that entries do not fit into another store.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from hcsyncd.store.ports.audit import Anchor, AuditEntry, AuditFinding

CUT = "audit.cut"  # the verb of an entry that stands for those that were removed before it
BROKEN = "audit.broken"  # the verb of an entry by which a start found that the log does not end where it was left
DIGEST_BYTES = hashlib.sha256().digest_size


@dataclass(frozen=True, slots=True)
class ChainKeys:
    """The keys that hashes are made with, by their names. ``current`` is that of new entries; "" means no key."""

    current: str = ""
    keys: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    def hash(self, key_id: str, payload: bytes) -> bytes:
        """KeyError when there is no such key."""
        if not key_id:
            return hashlib.sha256(payload).digest()
        return hmac.new(self.keys[key_id], payload, hashlib.sha256).digest()


NO_KEYS = ChainKeys()


def genesis(store: str) -> bytes:
    """What stands for the entry before the first one."""
    return hashlib.sha256(f"hcsyncd audit log of store {store}".encode()).digest()


def hash_of(entry: AuditEntry, keys: ChainKeys) -> bytes:
    """The hash that the entry must have. KeyError when its key is not there."""
    return keys.hash(entry.key_id, _payload(entry))


def _payload(entry: AuditEntry) -> bytes:
    return msgspec.json.encode(
        (
            1,  # the form of what follows
            entry.number,
            entry.at,
            entry.user_id,
            entry.user,
            entry.process_id,
            entry.verb,
            entry.access,
            entry.what,
            entry.outcome,
            entry.key_id,
            entry.previous.hex(),
        )
    )


def check_chain(
    entries: Iterable[AuditEntry | AuditFinding], store: str, keys: ChainKeys = NO_KEYS, anchors: Sequence[Anchor] = ()
) -> Iterator[AuditFinding]:
    """Everything that is wrong with a chain, in the order of its entries, which are read once and not kept. A row that
    cannot be read comes as a finding of its own."""
    check = _Check(genesis(store), keys, anchors)
    for entry in entries:
        if isinstance(entry, AuditFinding):
            yield entry
            check.step_over(entry.number)
        else:
            yield from check.next(entry)
    yield from check.end()


class _Check:
    """Where a reading of the chain stands."""

    def __init__(self, start: bytes, keys: ChainKeys, anchors: Sequence[Anchor]) -> None:
        self._keys = keys
        self._anchors: dict[int, set[bytes]] = {}
        for anchor in anchors:
            self._anchors.setdefault(anchor.number, set()).add(anchor.hash)
        self._first: AuditEntry | None = None
        self._number = 0  # of the entry before
        self._hash: bytes | None = start  # of the entry before; None: it could not be read
        self._keyed = ""
        self._cuts: dict[int, str] = {}  # through which entry, and its hash

    def step_over(self, number: int) -> None:
        self._number, self._hash = number, None

    def next(self, entry: AuditEntry) -> Iterator[AuditFinding]:
        if self._first is None and not self._number:
            self._first = entry
            if entry.number > 1:  # what came before was cut, which an entry further on must say
                self._number, self._hash = entry.number - 1, None
        yield from self._place(entry)
        yield from self._content(entry)
        if self._anchors.get(entry.number, set()) - {entry.hash}:
            text = "it is not the entry that the anchor names: the log was written anew from here or before"
            yield AuditFinding(entry.number, "other-anchor", text)
        if entry.verb == CUT:
            self._note_cut(entry)
        elif entry.verb == BROKEN:
            yield AuditFinding(entry.number, "broken-before", "the start before it found the log cut or written anew")
        self._number, self._hash, self._keyed = entry.number, entry.hash, entry.key_id

    def _place(self, entry: AuditEntry) -> Iterator[AuditFinding]:
        missing = range(self._number + 1, entry.number)
        if missing:
            what = f"entry {missing[0]} is" if len(missing) == 1 else f"entries {missing[0]} to {missing[-1]} are"
            yield AuditFinding(missing[0], "missing", f"{what} missing")
        elif self._hash is not None and entry.previous != self._hash:
            text = "it does not follow from the entry before it: one of the two was put in or moved"
            yield AuditFinding(entry.number, "out-of-chain", text)

    def _content(self, entry: AuditEntry) -> Iterator[AuditFinding]:
        if self._keyed and not entry.key_id:
            text = "it was written without a key, and those before it with one"
            yield AuditFinding(entry.number, "unkeyed", text)
        try:
            right = hmac.compare_digest(hash_of(entry, self._keys), entry.hash)
        except KeyError:
            text = f"it was written under key {entry.key_id!r}, which is not given"
            yield AuditFinding(entry.number, "unknown-key", text)
        except UnicodeEncodeError:
            yield AuditFinding(entry.number, "edited", "it is not what was written")
        else:
            if not right:
                yield AuditFinding(entry.number, "edited", "it is not what was written")

    def _note_cut(self, entry: AuditEntry) -> None:
        try:
            cut = json.loads(entry.what)
            self._cuts[int(cut["through"])] = str(cut["hash"])
        except (ValueError, KeyError, TypeError):
            return  # it was edited, which its hash says

    def end(self) -> Iterator[AuditFinding]:
        first = self._first
        if first is not None and first.number > 1 and self._cuts.get(first.number - 1) != first.previous.hex():
            text = f"entries 1 to {first.number - 1} are missing, and no entry says that they were removed in order"
            yield AuditFinding(1, "missing", text)
        for number in sorted(self._anchors):
            if number > self._number:
                text = (
                    f"entries {self._number + 1} to {number} are missing at the end: an anchor names the last of them"
                )
                yield AuditFinding(self._number + 1, "cut-off", text)
        if self._keys.current and self._number and not self._keyed:
            text = "the newest entry was written without a key, and the store has one"
            yield AuditFinding(self._number, "unkeyed", text)
