"""A de-identified extract of the store, for analysts: an SQLite file with what happened and when, and no patient in it.

It is made from a backup copy that is removed afterwards, so that the store's own file is not touched. The copy is read
with the store's own SQLite, and the extract is written by sqlite-utils with the standard library's: two of them on one
file in one process would drop each other's locks.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import sqlite3
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlite_utils

from hcsyncd import __version__
from hcsyncd.cli.site import ask, data_folder
from hcsyncd.cli.storing.offline import master_key
from hcsyncd.clock import MICROSECONDS, SystemClock
from hcsyncd.config.sealing import read_key
from hcsyncd.errors import ConfigError, DaemonAbsent, StoreError
from hcsyncd.store.backup import manifest_path
from hcsyncd.store.offline import OfflineStore, offline_store

COPY_SECS = 86_400.0
BATCH_ROWS = 1000
_CODE = re.compile(r"[A-Za-z0-9_.^-]{0,32}")  # what a type or a cause looks like when it is one

Row = dict[str, Any]

README = {
    "what this is": "Messages, deliveries and attempts of an hcsyncd store, without what they said and about whom.",
    "ids": "As in the store: `hcsyncd messages show ID` finds the message again.",
    "times": "ISO 8601 in UTC; empty: it has not happened.",
    "pseudonyms": "Values that begin with p_ are HMAC-SHA-256 under a key of this export: equal values have equal"
    " pseudonyms, and nobody can tell the value without the key. Control ids, peers, lanes and business keys.",
    "left out": "Bodies, replies, answers, headers, wire facts, texts, idempotency keys, file names, the audit log.",
    "types and causes": "Kept where they are codes; `(other)` stands for anything else that was sent in their place.",
    "tables": "message 1:n delivery by message_id; delivery 1:n attempt by delivery_id; business_key by message_id.",
}


@dataclass(frozen=True, slots=True)
class Pseudonyms:
    """Names for values: always the same under one key, and nothing can be told from them without it."""

    key: bytes = field(repr=False)

    @classmethod
    def of(cls, file: Path | None) -> Pseudonyms:
        """The key of a file; without one a fresh key, which nobody keeps."""
        if file is None:
            return cls(os.urandom(32))
        try:
            secret = read_key(file.read_text(encoding="ascii"))
        except OSError as error:
            raise ConfigError(f"cannot read the pseudonym key {file}: {error.strerror}") from error
        except ValueError:  # a UnicodeDecodeError is one too; its text would hold bytes of the key
            secret = None
        if secret is None:
            raise ConfigError(
                f"{file} does not hold 32 bytes in base64 or hexadecimal: `hcsyncd store make-key {file}`"
            )
        return cls(secret)

    def name(self, kind: str, value: str) -> str:
        if not value:
            return ""
        return "p_" + hmac.digest(self.key, f"{kind}\0{value}".encode(), hashlib.sha256).hex()[:24]


def export(site: Path, target: Path, pseudonyms: Pseudonyms) -> dict[str, int]:
    """Write the extract; the rows of each table. Raises StoreError, and leaves nothing, when it cannot be written."""
    if target.exists():
        raise StoreError(f"{target} is there already, and an export never overwrites: name another file")
    part = target.with_name(f"{target.name}.part")
    copy = data_folder(site) / f"export-{os.getpid()}.db"  # where the daemon may write, whatever else it may not
    try:
        part.unlink(missing_ok=True)
        _copy(site, copy)
        counts = _extract(site, copy, part, pseudonyms)
        part.chmod(0o600)
        part.rename(target)
    except OSError as error:
        raise StoreError(f"cannot write the export {target}: {error.strerror or error}") from error
    except sqlite3.Error as error:
        raise StoreError(f"the export to {target} failed: {error}") from error
    finally:
        for path in (part, copy, manifest_path(copy)):
            path.unlink(missing_ok=True)
    return counts


def _copy(site: Path, target: Path) -> None:
    try:
        ask(site, "store.backup", {"file": str(target), "kept": False}, COPY_SECS)
    except DaemonAbsent:
        with offline_store(data_folder(site)) as store:
            store.back_up(target, SystemClock().now())


def _extract(site: Path, copy: Path, target: Path, pseudonyms: Pseudonyms) -> dict[str, int]:
    source = OfflineStore(copy)
    sealing = source.sealing(master_key(site))
    extract = sqlite_utils.Database(str(target))
    try:
        tables = {
            "message": (_message(row, pseudonyms) for row in source.messages()),
            "delivery": (_delivery(row, pseudonyms) for row in source.deliveries(sealing)),
            "attempt": (_attempt(row) for row in source.attempts(sealing)),
            "business_key": (_business_key(row, pseudonyms) for row in source.business_keys(sealing)),
        }
        for table, rows in tables.items():
            extract.table(table).insert_all(rows, pk="id", batch_size=BATCH_ROWS)
        _index(extract)
        now = datetime.fromtimestamp(SystemClock().now() / MICROSECONDS, UTC)
        made = f"{now:%Y-%m-%dT%H:%M:%SZ} by hcsyncd {__version__} from store {source.status().name}"
        extract.table("README").insert_all(
            {"about": about, "text": text} for about, text in {**README, "made": made}.items()
        )
        return {table: extract[table].count if extract[table].exists() else 0 for table in tables}
    finally:
        extract.close()


def _index(extract: sqlite_utils.Database) -> None:
    for table, column in (
        ("delivery", "message_id"),
        ("attempt", "delivery_id"),
        ("business_key", "message_id"),
        ("business_key", "value"),
        ("message", "received_at"),
    ):
        if extract[table].exists():
            extract.table(table).create_index([column])


def _message(row: tuple[Any, ...], pseudonyms: Pseudonyms) -> Row:
    row_id, channel, received_at, kind, control_id, sender, receiver, state, reply_state, cause, *rest = row
    size, peer, trace, parent, replay_of = rest
    return {
        "id": row_id,
        "channel": channel,
        "received_at": _moment(received_at),
        "type": _code(kind),
        "control_id": pseudonyms.name("control_id", control_id),
        "sender": pseudonyms.name("system", sender),
        "receiver": pseudonyms.name("system", receiver),
        "state": state,
        "reply_state": reply_state,
        "cause": _code(cause),
        "bytes": size,
        "peer": pseudonyms.name("peer", peer.rpartition(":")[0] or peer),
        "trace": row_id if trace is None else trace,
        "parent": parent,
        "replay_of": replay_of,
    }


def _delivery(row: tuple[Any, ...], pseudonyms: Pseudonyms) -> Row:
    row_id, message_id, route, destination, lane, state, attempt, due_at, first_tried_at, created_at, *rest = row
    settled_at, size, content_type, kind, control_id, cause, generation = rest
    return {
        "id": row_id,
        "message_id": message_id,
        "route": route,
        "destination": destination,
        "lane": pseudonyms.name("lane", lane),
        "state": state,
        "attempts": attempt,
        "created_at": _moment(created_at),
        "first_tried_at": _moment(first_tried_at),
        "due_at": _moment(due_at),
        "settled_at": _moment(settled_at),
        "bytes": size,
        "content_type": content_type,
        "type": _code(kind),
        "control_id": pseudonyms.name("control_id", control_id),
        "cause": _code(cause),
        "generation": generation,
    }


def _attempt(row: tuple[Any, ...]) -> Row:
    row_id, delivery_id, started_at, ended_at, state, cause, size = row
    return {
        "id": row_id,
        "delivery_id": delivery_id,
        "started_at": _moment(started_at),
        "ended_at": _moment(ended_at),
        "seconds": (ended_at - started_at) / MICROSECONDS,
        "state": state,
        "cause": _code(cause),
        "answer_bytes": size,
    }


def _business_key(row: tuple[Any, ...], pseudonyms: Pseudonyms) -> Row:
    row_id, message_id, delivery_id, name, value = row
    return {
        "id": row_id,
        "message_id": message_id,
        "delivery_id": delivery_id or None,
        "name": name,
        "value": pseudonyms.name(f"key:{name}", value),
    }


def _moment(at: int) -> str:
    return datetime.fromtimestamp(at / MICROSECONDS, UTC).isoformat(timespec="milliseconds") if at else ""


def _code(text: str) -> str:
    return text if _CODE.fullmatch(text) else "(other)"
