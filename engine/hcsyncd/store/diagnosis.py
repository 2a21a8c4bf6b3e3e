"""What a database error means to the person who has to mend it."""

from __future__ import annotations

import apsw

from hcsyncd.errors import StoreError

_ADVICE: tuple[tuple[type[apsw.Error], str], ...] = (
    (apsw.FullError, "the disk is full: free space where the store lies, and it goes on by itself"),
    (apsw.IOError, "reading or writing the store failed: look at the disk, its space and its limits"),
    (
        apsw.ReadOnlyError,
        "the store cannot be written: give the daemon's user write permission on the folder and its files",
    ),
    (apsw.CantOpenError, "the store cannot be opened: look at the folder's permissions and at the disk's space"),
    (apsw.NotADBError, "the file is no hcsyncd store, or its head is damaged: move it away, or bring back a backup"),
    (apsw.CorruptError, "the store is damaged: stop the daemon, keep a copy of the folder, and bring back a backup"),
    (apsw.BusyError, "another program holds the store: end it, only the daemon may write here"),
    (apsw.LockedError, "another program holds the store: end it, only the daemon may write here"),
    (apsw.NoMemError, "there is not enough memory for the store"),
    (
        apsw.PermissionsError,
        "the store cannot be written: give the daemon's user write permission on the folder and its files",
    ),
)


def is_of_the_machine(error: BaseException) -> bool:
    """Whether the disk, the file or the memory is to blame, and so every operation would fail alike."""
    return isinstance(error, tuple(kind for kind, _ in _ADVICE))


def diagnose(error: Exception, doing: str) -> StoreError:
    """The error as the engine speaks of it. ``doing`` opens the sentence: "the commit of 3 operations"."""
    if isinstance(error, StoreError):
        return error
    for kind, advice in _ADVICE:
        if isinstance(error, kind):
            return StoreError(f"{doing} failed: {advice} ({error})")
    # Values of a row never stand in SQLite's messages; those of other exceptions might.
    detail = str(error) if isinstance(error, apsw.Error) else type(error).__name__
    return StoreError(f"{doing} failed: {detail}")
