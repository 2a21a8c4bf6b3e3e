"""Backup, verification and size of an open store: what an operator asks of it as a whole."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import apsw

from hcsyncd.errors import StoreError
from hcsyncd.record import Record
from hcsyncd.store.backup import Manifest, back_up, obey
from hcsyncd.store.diagnosis import diagnose
from hcsyncd.store.queries import QUERIES
from hcsyncd.store.readers import Readers
from hcsyncd.store.sealing import Sealing
from hcsyncd.store.transaction import Transaction
from hcsyncd.store.verification import Verification, verify
from hcsyncd.store.writer import Work, Writer

INCREMENTAL = 2  # of PRAGMA auto_vacuum

Result = TypeVar("Result")


class Backup(Record, frozen=True):
    """A copy that was made."""

    file: str
    manifest: Manifest


class FileStatus(Record, frozen=True):
    """The store's file."""

    path: str
    form: int  # the number of its last migration
    bytes: int
    log_bytes: int  # of the write-ahead log
    free_bytes: int  # within the file: used again, or given back by retention
    gives_back: bool  # False: only `hcsyncd store compact` makes the file smaller
    backup_at: int = 0  # of the last copy that was made while the daemon ran; 0: none yet
    backup_file: str = ""


class SqliteCopies:
    """Each call has a connection of its own, and a thread: they take long, and nothing waits for them."""

    def __init__(self, path: Path, writer: Writer, readers: Readers, sealing: Sealing) -> None:
        self._path = path
        self._writer = writer
        self._readers = readers
        self._sealing = sealing
        self._copying = asyncio.Lock()

    async def back_up(self, target: Path, now: int, *, kept: bool = True) -> Backup:
        """Write a verified copy to ``target``; the last one that is ``kept`` is known as the last backup. Cancelled, it
        leaves nothing. Raises StoreError."""
        if self._copying.locked():
            raise StoreError("a backup is being made already: wait for its end")
        async with self._copying:
            stop = threading.Event()
            manifest = await _in_thread(lambda: back_up(self._path, target, now, stop), stop)
            made = Backup(str(target), manifest)
            if kept:
                await self._writer.submit(NOTE_BACKUP, made)
            return made

    async def verify(self, *, every_value: bool) -> Verification:
        stop = threading.Event()
        return await _in_thread(
            lambda: verify_file(self._path, self._sealing, every_value=every_value, stop=stop), stop
        )

    async def status(self) -> FileStatus:
        return await self._readers.read(lambda connection: file_status(connection, self._path))


def verify_file(
    path: Path, sealing: Sealing, *, every_value: bool, stop: threading.Event | None = None
) -> Verification:
    """Verify a store by a connection of its own, as it stands at one moment. ``stop`` set ends it with StoreError."""
    try:
        with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
            obey(connection, stop)
            connection.execute("BEGIN")
            return verify(connection, sealing, every_value=every_value)
    except apsw.Error as error:
        raise diagnose(error, f"verifying the store {path}") from error


def file_status(connection: apsw.Connection, path: Path) -> FileStatus:
    log = path.with_name(f"{path.name}-wal")
    page_bytes: Any = connection.pragma("page_size")
    form: Any = connection.execute("SELECT max(number) FROM migration").get
    last: Any = connection.execute(QUERIES["last_backup"].text).fetchone() or (0, "")
    return FileStatus(
        path=str(path),
        form=form,
        bytes=connection.pragma("page_count") * page_bytes,
        log_bytes=log.stat().st_size if log.exists() else 0,
        free_bytes=connection.pragma("freelist_count") * page_bytes,
        gives_back=connection.pragma("auto_vacuum") == INCREMENTAL,
        backup_at=last[0],
        backup_file=last[1],
    )


async def _in_thread(blocking: Callable[[], Result], stop: threading.Event) -> Result:
    """The result of a blocking call. Cancelled, the call is told to stop, and waited for."""
    call = asyncio.ensure_future(asyncio.to_thread(blocking))
    try:
        return await asyncio.shield(call)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([call])
        raise


def _note_backup(transaction: Transaction, group: list[Backup]) -> list[None]:
    for made in group:
        manifest = made.manifest
        values = (manifest.made_at, made.file, manifest.bytes, manifest.sha256)
        transaction.connection.execute(QUERIES["note_backup"].text, values)
    return [None] * len(group)


NOTE_BACKUP: Work[Backup, None] = Work("noting a backup", _note_backup)
