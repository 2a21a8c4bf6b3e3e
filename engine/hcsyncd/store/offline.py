"""A store that no daemon uses: looked at, copied and compacted by a command itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import apsw

from hcsyncd.errors import StoreError
from hcsyncd.record import Record
from hcsyncd.store.backup import back_up, copy_name
from hcsyncd.store.copies import Backup, FileStatus, file_status, verify_file
from hcsyncd.store.diagnosis import diagnose
from hcsyncd.store.keyring import MasterKey, open_keyring
from hcsyncd.store.lock import FolderLock
from hcsyncd.store.queries import QUERIES
from hcsyncd.store.resealing import KeyStatus, key_status
from hcsyncd.store.restore import FILE
from hcsyncd.store.sealing import Sealing
from hcsyncd.store.verification import Verification


class StoreStatus(Record, frozen=True):
    """A store at a glance."""

    name: str
    file: FileStatus
    keys: KeyStatus


class OfflineStore:
    """A store file, or a copy of one. Every call blocks, and raises StoreError."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def status(self) -> StoreStatus:
        with self._reading() as connection:
            return StoreStatus(store_name(connection), file_status(connection, self.path), key_status(connection))

    def verify(self, master: MasterKey | None, *, every_value: bool) -> Verification:
        return verify_file(self.path, self.sealing(master), every_value=every_value)

    def sealing(self, master: MasterKey | None) -> Sealing:
        """What opens its values. Raises StoreError when the key is missing or another one."""
        with self._reading() as connection:
            return Sealing(open_keyring(connection, master, store_name(connection)))

    def back_up(self, target: Path, now: int) -> Backup:
        """Write a copy, to a file or into a folder; nothing is noted in the store."""
        if target.is_dir():
            with self._reading() as connection:
                target /= copy_name(store_name(connection), now)
        return Backup(str(target), back_up(self.path, target, now))

    def compact(self) -> tuple[int, int]:
        """Build the file anew, without anything that was deleted: its size before and after, in bytes."""
        before = self.path.stat().st_size
        try:
            with closing(apsw.Connection(str(self.path))) as connection:
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
                connection.execute("VACUUM")
                connection.execute(QUERIES["end_remnants"].text)
                connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except apsw.Error as error:
            raise diagnose(error, f"compacting the store {self.path}") from error
        return before, self.path.stat().st_size

    def messages(self) -> Iterator[tuple[Any, ...]]:
        """Rows of ``export_messages``, one after the other."""
        return self._rows("export_messages", Sealing())

    def deliveries(self, sealing: Sealing) -> Iterator[tuple[Any, ...]]:
        """Rows of ``export_deliveries``."""
        return self._rows("export_deliveries", sealing)

    def attempts(self, sealing: Sealing) -> Iterator[tuple[Any, ...]]:
        """Rows of ``export_attempts``."""
        return self._rows("export_attempts", sealing)

    def business_keys(self, sealing: Sealing) -> Iterator[tuple[Any, ...]]:
        """Rows of ``export_business_keys``."""
        return self._rows("export_business_keys", sealing)

    def _rows(self, name: str, sealing: Sealing) -> Iterator[tuple[Any, ...]]:
        with self._reading() as connection:
            sealing.register(connection)
            yield from connection.execute(QUERIES[name].text)

    @contextmanager
    def _reading(self) -> Iterator[apsw.Connection]:
        try:
            with closing(apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
                yield connection
        except apsw.Error as error:
            raise diagnose(error, f"reading the store {self.path}") from error


def require_store(folder: Path) -> None:
    """Raises StoreError when the folder has no store."""
    if not (folder / FILE).is_file():
        raise StoreError(f"there is no store in {folder}: a daemon makes one, or `hcsyncd store restore`")


@contextmanager
def offline_store(folder: Path) -> Iterator[OfflineStore]:
    """Hold a folder's store by its lock, so that no daemon can take it meanwhile. Raises StoreError when a daemon has
    it, and when there is none."""
    require_store(folder)
    lock = FolderLock(folder)
    try:
        yield OfflineStore(folder / FILE)
    finally:
        lock.release()


def store_name(connection: apsw.Connection) -> str:
    name: str = connection.execute(QUERIES["store_name"].text).get
    return name
