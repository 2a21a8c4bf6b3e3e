"""The anchor of the audit log: its head, in a file of its own beside the store.

A chain tells of every edit, but not of entries that were cut off at its end: what is left is whole. So the head is
noted outside, here and in the daemon's log. Whoever may write in the store's folder may write this file too: proof is
an anchor that is kept elsewhere, as a log collector keeps the daemon's log.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from hcsyncd.errors import StoreError
from hcsyncd.store.ports.audit import Anchor

ANCHOR_FILE = "audit.anchor"


def read_anchor(folder: Path) -> Anchor | None:
    """The anchor of a store's folder; None when there is none. Raises StoreError when the file is not what was
    written."""
    path = folder / ANCHOR_FILE
    try:
        written = json.loads(path.read_bytes())
        return Anchor(int(written["entry"]), bytes.fromhex(written["hash"]))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"cannot read the anchor of the audit log, {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path} is not an anchor of the audit log as it was written") from error


def write_anchor(folder: Path, anchor: Anchor) -> None:
    """Put an anchor in the place of the one before, whole or not at all, on stable storage. Raises StoreError."""
    path = folder / ANCHOR_FILE
    fresh = path.with_name(f"{ANCHOR_FILE}.new")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            stream.write(json.dumps({"entry": anchor.number, "hash": anchor.hash.hex()}) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(path)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StoreError(f"cannot write the anchor of the audit log, {path}: {error.strerror}") from error


def parse_anchor(text: str) -> Anchor:
    """An anchor as the daemon's log and `audit verify` write it: ``ENTRY:HASH``. Raises ValueError."""
    number, _, digest = text.partition(":")
    return Anchor(int(number), bytes.fromhex(digest))
