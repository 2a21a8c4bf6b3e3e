"""One process owns a store folder: an advisory lock on ``store.lock``, which tells the owner's process id."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from hcsyncd.errors import StoreError

NAME = "store.lock"


class FolderLock:
    """Held until released or until the process ends, in whatever way: the file of a killed process locks nothing."""

    def __init__(self, folder: Path) -> None:
        """Raises StoreError when another process holds the folder, or when it cannot be written."""
        path = folder / NAME
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(
                f"cannot write in the store folder {folder} ({error.strerror}): "
                f"give the daemon's user write permission, or name another folder"
            ) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise StoreError(
                f"the store folder {folder} is in use by process {owner or 'unknown'}: stop that daemon first, "
                f"or name another folder"
            ) from error
        try:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
        except OSError:
            # The lock holds without its note, and on a full disk the daemon must still come up to deliver.
            return

    def release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
