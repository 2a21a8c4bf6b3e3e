"""A backup takes the place of the store: whole or not at all, wherever the process or the machine stops.

The copy is written beside the store as ``store.db.incoming`` and verified there. Renaming it to ``store.db.restored``
is the decision: from then on the store folder can only go forward, and whoever opens it next carries the rest out
(`finish`): what was there is moved aside, never removed, and the copy gets the store's name.

A backup is older than what happened since, and ids were given since. So that no id, and with it no idempotency key, is
given twice, ids go on far above: above those of the store that was replaced where it can be read, and above all that
can have been given since the backup was made.
"""

from __future__ import annotations

import os
import shutil
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apsw
from msgspec.structs import replace as replace_fields

from hcsyncd.clock import MICROSECONDS
from hcsyncd.errors import StoreError
from hcsyncd.record import Record
from hcsyncd.store.audit_anchor import ANCHOR_FILE
from hcsyncd.store.backup import Manifest, digest, inspect, read_manifest, sync
from hcsyncd.store.diagnosis import diagnose
from hcsyncd.store.keyring import MasterKey, open_keyring
from hcsyncd.store.lock import FolderLock
from hcsyncd.store.queries import QUERIES
from hcsyncd.store.schema import load_migrations, migrate

FILE = "store.db"
INCOMING = f"{FILE}.incoming"
RESTORED = f"{FILE}.restored"
ASIDE = (FILE, f"{FILE}-wal", f"{FILE}-shm", ANCHOR_FILE)  # all of which belong to one store

IDS_A_SECOND = 10_000  # more than any daemon gives
LEAST_LEAP = 1_000_000


class Restored(Record, frozen=True):
    """What a restore did."""

    manifest: Manifest
    ids_from: int  # ids go on above this
    aside: str  # what the old store's files are called now, "" when there was none


def restore(backup: Path, folder: Path, now: int, master: MasterKey | None, *, replace: bool = False) -> Restored:
    """Verify a backup and put it into a store folder. Blocks.

    Raises StoreError, and changes nothing, when a daemon uses the folder, when there is a store and not ``replace``,
    and when the backup is not whole, from a newer version, or sealed under another master key than the given one.
    """
    if not backup.is_file():
        raise StoreError(f"there is no backup {backup}")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = FolderLock(folder)
    except OSError as error:
        raise StoreError(f"cannot make the store folder {folder}: {error.strerror or error}") from error
    try:
        finish(folder)  # an earlier restore that was cut short
        present = folder / FILE
        if present.exists() and not replace:
            raise StoreError(f"there is a store in {folder}: --replace moves it aside, and keeps it")
        manifest = _verified(backup)
        _check_form(backup, manifest)
        last_id = _last_id(present) if present.exists() else 0
        incoming = folder / INCOMING
        _copy(backup, incoming, manifest)
        ids_from = _prepare(incoming, manifest, master, last_id, now)
        incoming.rename(folder / RESTORED)
        sync(folder)
        return Restored(manifest, ids_from, finish(folder))
    except OSError as error:
        raise StoreError(f"the restore to {folder} failed: {error.strerror or error}") from error
    except apsw.Error as error:
        raise diagnose(error, f"the restore to {folder}") from error
    finally:
        (folder / INCOMING).unlink(missing_ok=True)
        lock.release()


def finish(folder: Path) -> str:
    """Carry out what a restore had decided on when it was cut short; whoever calls holds the folder's lock. What the
    old store's files are called now, "" where there is nothing to do."""
    restored = folder / RESTORED
    if not restored.exists():
        return ""
    # The same word for each attempt at one restore: it is the copy's own time.
    stamp = datetime.fromtimestamp(restored.stat().st_mtime_ns // 1000 / MICROSECONDS, UTC).strftime("%Y%m%dT%H%M%SZ")
    aside = ""
    for name in ASIDE:
        if (folder / name).exists():
            aside = f"replaced-{stamp}"
            (folder / name).rename(_free(folder, f"{aside}-{name}"))
    sync(folder)
    restored.rename(folder / FILE)
    sync(folder)
    return aside


def _free(folder: Path, name: str) -> Path:
    """A name that is not taken: nothing that was moved aside is ever written over."""
    path = folder / name
    number = 1
    while path.exists():
        number += 1
        path = folder / f"{name}.{number}"
    return path


def _verified(backup: Path) -> Manifest:
    """What the backup is, by its own bytes. Without a manifest these must be a whole store; with one, that one's."""
    found = inspect(backup)
    written = read_manifest(backup)
    if written is None:
        return replace_fields(found, made_at=backup.stat().st_mtime_ns // 1000)
    if (found.sha256, found.store, found.counts) != (written.sha256, written.store, written.counts):
        raise StoreError(f"{backup} is not what its manifest says: it was altered since, take another backup")
    return written


def _check_form(backup: Path, manifest: Manifest) -> None:
    known = load_migrations()[-1].number
    if manifest.form > known:
        raise StoreError(
            f"{backup} was made by a newer hcsyncd (its form is number {manifest.form}, this version knows {known}): "
            f"restore it with that version"
        )


def _last_id(store: Path) -> int:
    """The highest id of the store that is to be replaced; 0 where it cannot be read any more."""
    try:
        with closing(apsw.Connection(str(store), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
            found: Any = connection.execute(QUERIES["last_ids"].text).fetchone()
            return int(max(found))
    except apsw.Error:
        return 0


def _copy(backup: Path, incoming: Path, manifest: Manifest) -> None:
    """Raises StoreError when what was written cannot be read back."""
    shutil.copyfile(backup, incoming)
    incoming.chmod(0o600)
    if digest(incoming) != manifest.sha256:
        raise StoreError(f"the copy of {backup} in the store folder is not what was read: look at the disk")


def _prepare(incoming: Path, manifest: Manifest, master: MasterKey | None, last_id: int, now: int) -> int:
    """See that the key fits, bring the copy to this version's form, and raise its ids. Where they go on."""
    with closing(apsw.Connection(str(incoming))) as connection:
        migrate(connection, load_migrations(), now)
        open_keyring(connection, master, manifest.store)
        last: Any = connection.execute(QUERIES["last_ids"].text).fetchone()
        since = max(now - manifest.made_at, 0) // MICROSECONDS * IDS_A_SECOND
        # Rounded up, so that people see at an id that a restore came before it.
        ids_from: int = (max(last_id, max(last) + since) // LEAST_LEAP + 1) * LEAST_LEAP
        connection.execute(QUERIES["raise_ids"].text, (ids_from,))
    descriptor = os.open(incoming, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return ids_from
