"""The store as a whole: opened on a folder, a bundle of ports, closed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw

from hcsyncd.clock import Clock
from hcsyncd.errors import StoreError
from hcsyncd.events import Event
from hcsyncd.message import DeliveryState
from hcsyncd.store.alerts import SqliteAlerts
from hcsyncd.store.audit import SqliteAuditLog, pseudonym_key
from hcsyncd.store.configurations import SqliteConfigurations
from hcsyncd.store.copies import SqliteCopies
from hcsyncd.store.diagnosis import diagnose
from hcsyncd.store.doubts import SqliteDoubts
from hcsyncd.store.history import SqliteHistory
from hcsyncd.store.holds import SqliteHolds
from hcsyncd.store.inbox import SqliteInbox
from hcsyncd.store.keyring import MasterKey, open_keyring
from hcsyncd.store.lock import FolderLock
from hcsyncd.store.marks import Marks
from hcsyncd.store.outbox import SqliteOutbox
from hcsyncd.store.queries import QUERIES
from hcsyncd.store.readers import Readers
from hcsyncd.store.repairs import SqliteRepairs
from hcsyncd.store.replays import SqliteReplays
from hcsyncd.store.resealing import REBUILD_BYTES, Resealing, begin
from hcsyncd.store.restore import FILE as STORE_FILE, finish
from hcsyncd.store.retention import SqliteRetention
from hcsyncd.store.schema import load_migrations, migrate, refuse_unusable
from hcsyncd.store.sealing import Sealing
from hcsyncd.store.search import SqliteSearch
from hcsyncd.store.tasks import SqliteTasks
from hcsyncd.store.verification import chain_keys
from hcsyncd.store.writer import Writer

FILE = STORE_FILE
OLDEST_SQLITE = (3, 51, 3)  # before it, two connections that write or checkpoint at once can damage a write-ahead log
PAGE_BYTES = 4096
CACHE_KIBIBYTES = 16384
STATEMENTS = 256  # prepared and kept
LOG_BYTES = 64 << 20  # the write-ahead log is cut back to this after a burst
BUSY_MILLISECONDS = 5000  # a backup program may hold the file for a moment
QUICK_CHECK_BYTES = 64 << 20  # larger files are not read through at the start after a crash


@dataclass(frozen=True, slots=True)
class Recovered:
    """What an earlier run left to do."""

    messages: int = 0  # received, not yet handed on
    deliveries: int = 0  # open
    sending: int = 0  # of these, claimed: their sends may or may not have happened


@dataclass(frozen=True, slots=True)
class _Opened:
    """An open store file, before it belongs to an event loop."""

    lock: FolderLock
    path: Path
    connection: apsw.Connection
    readers: Readers
    name: str
    recovered: Recovered
    sealing: Sealing
    pseudonym_key: bytes = field(repr=False)


class Store:
    """The SQLite store of one folder: one writer thread, a few readers, one owner process."""

    def __init__(self, opened: _Opened, emit: Callable[[Event], None], clock: Clock) -> None:
        self._lock = opened.lock
        self._readers = opened.readers
        self._writer = Writer(opened.connection, emit, clock, opened.sealing)
        self.sealing = opened.sealing
        self.name = opened.name  # twelve hexadecimal digits, given once when the file was made
        self.recovered = opened.recovered
        self._marks = Marks(self._writer)
        self.inbox = SqliteInbox(self._writer, opened.readers, self._marks)
        self.outbox = SqliteOutbox(self._writer, opened.readers, self._marks)
        self.history = SqliteHistory(opened.readers)
        self.search = SqliteSearch(self._writer, opened.readers)
        self.repairs = SqliteRepairs(self._writer)
        self.replays = SqliteReplays(self._writer, opened.readers)
        self.resealing = Resealing(self._writer, opened.readers, opened.sealing, opened.name, emit)
        self.retention = SqliteRetention(self._writer, opened.readers)
        self.holds = SqliteHolds(self._writer, opened.readers)
        self.tasks = SqliteTasks(self._writer, opened.readers)
        self.doubts = SqliteDoubts(self._writer, opened.readers)
        self.configurations = SqliteConfigurations(self._writer, opened.readers)
        self.audit = SqliteAuditLog(self._writer, opened.readers, opened.name, opened.pseudonym_key)
        self.audit.use_keys(chain_keys(opened.sealing), opened.sealing.keyring.lasting("audit pseudonyms"))
        self.copies = SqliteCopies(opened.path, self._writer, opened.readers, opened.sealing)
        self.alerts = SqliteAlerts(self._writer, opened.readers)

    @classmethod
    async def open(
        cls, folder: Path, emit: Callable[[Event], None], clock: Clock, key: MasterKey | None = None
    ) -> Store:
        """Open the store of a folder, making what is not there yet. It belongs to the running loop. Given a key, a
        clear store is sealed from then on.

        Raises StoreError, saying what to do, when the folder is in use or cannot be written, when the file is damaged,
        another program's, or from a newer version, and when it is sealed and the key is missing or another one.
        """
        return cls(await asyncio.to_thread(_open, folder, clock.now(), key), emit, clock)

    @property
    def pending(self) -> int:
        """Writes that are not committed yet."""
        return self._writer.pending + len(self._marks)

    async def close(self) -> None:
        """Commit what waits, end what is read, leave one whole file."""
        try:
            await self._readers.close()
            self._marks.flush()
            await self._writer.close()
        finally:
            self._lock.release()


def _open(folder: Path, now: int, key: MasterKey | None) -> _Opened:
    version = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
    if version < OLDEST_SQLITE:
        raise StoreError(f"SQLite {apsw.sqlite_lib_version()} can damage a store: install apsw 3.51.3 or later")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"cannot make the store folder {folder} ({error.strerror}): name a folder that can be made"
        ) from error
    path = folder / FILE
    with ExitStack() as undo:
        lock = FolderLock(folder)
        undo.callback(lock.release)
        finish(folder)
        try:
            connection = _connect(path, undo)
            migrate(connection, load_migrations(), now)
            name: str = connection.execute(QUERIES["store_name"].text).get
            sealing = _unlock(connection, key, name, now)
            recovered = _recovered(connection)
            readers = Readers(path, BUSY_MILLISECONDS, sealing)
            opened = _Opened(lock, path, connection, readers, name, recovered, sealing, pseudonym_key(connection))
        except apsw.Error as error:
            raise diagnose(error, f"opening the store {path}") from error
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
        undo.pop_all()
    return opened


def _connect(path: Path, undo: ExitStack) -> apsw.Connection:
    """The writer's connection, to a file that looks whole."""
    crashed = path.with_name(f"{path.name}-wal").exists()  # a clean end takes the log away
    connection = apsw.Connection(str(path), statementcachesize=STATEMENTS)
    undo.callback(connection.close)
    connection.set_busy_timeout(BUSY_MILLISECONDS)
    # A file that is refused is left as it is, its log too: by the log the next start knows that it must look again.
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    refuse_unusable(connection, load_migrations())
    # These count only before the file has a page, and the first would be written into any other one.
    is_new = not path.stat().st_size
    for setting in ("auto_vacuum = INCREMENTAL", f"page_size = {PAGE_BYTES}") if is_new else ():
        connection.execute(f"PRAGMA {setting}").fetchall()
    for setting in (
        "journal_mode = WAL",
        "synchronous = FULL",
        "wal_autocheckpoint = 0",
        f"journal_size_limit = {LOG_BYTES}",
        f"cache_size = -{CACHE_KIBIBYTES}",
        "temp_store = MEMORY",
    ):
        connection.execute(f"PRAGMA {setting}").fetchall()
    if crashed and path.stat().st_size <= QUICK_CHECK_BYTES:
        finding: str = connection.execute("PRAGMA quick_check(1)").get
        if finding != "ok":
            raise StoreError(
                f"the store {path} is damaged ({finding.splitlines()[-1]}): "
                f"keep a copy of its folder, and bring back a backup"
            )
    if not connection.pragma("auto_vacuum") and path.stat().st_size <= REBUILD_BYTES:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL").fetchall()
        connection.execute("VACUUM")  # a store from before space was given back
    return connection


def _unlock(connection: apsw.Connection, key: MasterKey | None, name: str, now: int) -> Sealing:
    """The store's sealing, known to the writer's connection."""
    keyring = open_keyring(connection, key, name)
    if key is not None and not keyring:
        keyring = begin(connection, key, name, now)
    sealing = Sealing(keyring)
    sealing.register(connection)
    if sealing.is_on:
        connection.execute("PRAGMA secure_delete = ON").fetchall()  # clear values are wiped, and not only forgotten
    return sealing


def _recovered(connection: apsw.Connection) -> Recovered:
    messages: int = connection.execute(QUERIES["count_received"].text).get
    found: Any = connection.execute(QUERIES["count_open"].text)
    deliveries: dict[str, int] = dict(found)
    return Recovered(messages, sum(deliveries.values()), deliveries.get(DeliveryState.SENDING, 0))
