"""Copies of the store: made while it is used, and verified before they count.

A copy shows the store as it was at one moment. It is made in steps from a connection of its own, so that neither the
writer nor any reader waits; only the write-ahead log cannot shrink until it is done. Beside each copy lies a manifest,
``<copy>.manifest.json``. Sealed values stay sealed: a copy can be used with the master key of its time only.
"""

from __future__ import annotations

import hashlib
import os
import threading
from contextlib import ExitStack, closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apsw
import msgspec

from hcsyncd.clock import MICROSECONDS
from hcsyncd.errors import StoreError
from hcsyncd.record import Record
from hcsyncd.store.diagnosis import diagnose
from hcsyncd.store.queries import QUERIES
from hcsyncd.store.schema import APPLICATION_ID

MANIFEST_SUFFIX = ".manifest.json"
PART_SUFFIX = ".part"
STEP_PAGES = 256  # 1 MiB
PAUSE_SECS = 0.001  # between steps: the disk is the store's first
READ_BYTES = 1 << 20
STEPS_BETWEEN_LOOKS = 100_000  # of SQLite's machine


class Counts(Record, frozen=True):
    """What a store holds, in rows."""

    messages: int
    deliveries: int
    attempts: int
    bodies: int


class Manifest(Record, frozen=True):
    """What a copy is, so that it can be told whole from cut short, and one store's from another's."""

    store: str  # the store's name
    form: int  # the number of its last migration
    made_at: int
    bytes: int
    sha256: str
    counts: Counts
    sealed_with: str  # the fingerprint of the master key; "" for a clear store

    @property
    def moment(self) -> str:
        return datetime.fromtimestamp(self.made_at / MICROSECONDS, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def manifest_path(copy: Path) -> Path:
    return copy.with_name(copy.name + MANIFEST_SUFFIX)


def copy_name(store: str, now: int) -> str:
    """What a copy is called when only its folder was named."""
    return f"hcsyncd-{store}-{datetime.fromtimestamp(now / MICROSECONDS, UTC):%Y%m%dT%H%M%SZ}.db"


def back_up(source: Path, target: Path, now: int, stop: threading.Event | None = None) -> Manifest:
    """Write a copy of the store file ``source`` to ``target``, verify it, and only then let it have its name.

    Blocks: belongs into a thread. ``stop`` set from another one ends it. Raises StoreError, and leaves nothing, when
    the target is there already, when it cannot be written, and when what was written is not right.
    """
    if not target.suffix and not target.exists():  # else the first night would make a file of that name
        raise StoreError(f"there is no folder {target}: make it first, or name the copy's file with an ending, as .db")
    part = target.with_name(target.name + PART_SUFFIX)
    manifest_file = manifest_path(target)
    with ExitStack() as undo:
        try:
            for path in (target, manifest_file):  # reserved first, so that two backups never write the same
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
                undo.callback(path.unlink, missing_ok=True)
            os.close(os.open(part, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600))
            undo.callback(part.with_name(f"{part.name}-journal").unlink, missing_ok=True)
            undo.callback(part.unlink, missing_ok=True)
            counts = _copy(source, part, stop or threading.Event())
            manifest = inspect(part, now, stop)
            if manifest.counts != counts:
                raise StoreError(f"the copy {target} does not hold what the store held: look at the disk it lies on")
            write_whole(manifest_file, msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
            part.replace(target)
            sync(target.parent)
        except FileExistsError as error:
            raise StoreError(f"{error.filename} is there already: a backup never overwrites, name another") from error
        except OSError as error:
            raise StoreError(
                f"cannot write the backup {target}: {error.strerror or error} (a daemon that runs writes it itself, "
                f"as its own user)"
            ) from error
        except apsw.Error as error:
            raise diagnose(error, f"the backup to {target}") from error
        undo.pop_all()
    return manifest


def _copy(source: Path, part: Path, stop: threading.Event) -> Counts:
    """Copy page by page what the source holds now; its counts."""
    with (
        closing(apsw.Connection(str(source), flags=apsw.SQLITE_OPEN_READONLY)) as reading,
        closing(apsw.Connection(str(part))) as writing,
    ):
        reading.execute("BEGIN")  # one moment for all steps: else each commit would begin the copy anew
        counts = count(reading)
        with writing.backup("main", reading, "main") as steps:
            while not steps.done:
                if stop.wait(PAUSE_SECS):
                    raise StoreError("the backup was broken off: the daemon stops")
                steps.step(STEP_PAGES)
        reading.execute("COMMIT")
        writing.execute("PRAGMA journal_mode = DELETE").fetchall()  # one file that says all
    return counts


def inspect(copy: Path, now: int = 0, stop: threading.Event | None = None) -> Manifest:
    """Read a copy through: what it is, with the digest of its bytes. ``now`` is noted as its time; ``stop`` set ends
    it.

    Raises StoreError when it is no whole store of ours, saying what is wrong.
    """
    try:
        if not copy.stat().st_size:
            raise StoreError(f"{copy} is empty: the backup was cut short")
        with closing(apsw.Connection(f"file:{_quoted(copy)}?immutable=1", flags=_READ_URI)) as connection:
            obey(connection, stop)
            if connection.pragma("application_id") != APPLICATION_ID:
                raise StoreError(f"{copy} is no hcsyncd store")
            finding: str = connection.execute("PRAGMA integrity_check(1)").get
            if finding != "ok":
                raise StoreError(f"{copy} is damaged ({finding.splitlines()[-1]}): take another backup")
            form: Any = connection.execute("SELECT max(number) FROM migration").get
            name: str = connection.execute(QUERIES["store_name"].text).get
            keys: list[Any] = connection.execute(QUERIES["data_keys"].text).fetchall()
            counts = count(connection)
        return Manifest(
            store=name,
            form=form,
            made_at=now,
            bytes=copy.stat().st_size,
            sha256=digest(copy),
            counts=counts,
            sealed_with=keys[-1][1] if keys else "",
        )
    except OSError as error:
        raise StoreError(f"cannot read {copy}: {error.strerror or error}") from error
    except apsw.InterruptError as error:
        raise diagnose(error, f"reading {copy} through") from error
    except apsw.Error as error:
        raise StoreError(f"{copy} is damaged, cut short, or no hcsyncd store ({error}): take another backup") from error


def obey(connection: apsw.Connection, stop: threading.Event | None) -> None:
    """End what runs on a connection, with apsw.InterruptError, soon after ``stop`` is set by another thread."""
    if stop is not None:
        connection.set_progress_handler(stop.is_set, STEPS_BETWEEN_LOOKS)


def read_manifest(copy: Path) -> Manifest | None:
    """The manifest beside a copy, None when there is none."""
    path = manifest_path(copy)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise StoreError(f"the manifest {path} cannot be read: the backup was cut short, or altered") from error


def count(connection: apsw.Connection) -> Counts:
    row: Any = connection.execute(QUERIES["count_rows"].text).fetchone()
    return Counts(*row)


def digest(path: Path) -> str:
    """SHA-256 of a file, as it lies on the disk: written through first."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
        with suppress(OSError):  # where it cannot be asked for, the cache is as good as the disk
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        found = hashlib.sha256()
        while chunk := file.read(READ_BYTES):
            found.update(chunk)
    return found.hexdigest()


def write_whole(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync(folder: Path) -> None:
    """Have a folder's names on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_READ_URI = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI


def _quoted(path: Path) -> str:
    return str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
