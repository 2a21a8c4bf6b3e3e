"""Folder destination: each envelope becomes a file that is whole from the moment its name can be seen."""

from __future__ import annotations

import asyncio
import errno
import filecmp
import os
import shutil
import threading
import time
from pathlib import Path
from typing import Literal

from pydantic import field_validator

from hcsyncd.connectors.connector import Connector, Role, Seat
from hcsyncd.connectors.folder_name import FIELDS, check_pattern, file_name, key_digest, numbered
from hcsyncd.connectors.folder_scan import marker_name
from hcsyncd.connectors.lane_turns import LaneTurns
from hcsyncd.errors import ConfigError, Refused, Transient
from hcsyncd.message import Envelope, Sent
from hcsyncd.options import Options, option

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
REMEMBERED_SECS = 90 * 86_400  # longer than any retry; a replay after that may find another number
REASONS = {
    errno.ENOENT: "folder-missing",
    errno.ENOTDIR: "folder-missing",
    errno.EACCES: "folder-denied",
    errno.EPERM: "folder-denied",
    errno.EROFS: "folder-denied",
}


class FolderDestinationOptions(Options):
    """Writes each message as one file."""

    folder: Path = option(..., "The folder; relative to the site.", example="out/events")
    create: bool = option(
        default=True,
        doc="Make the folder when it is not there. false for a mount point, where that means it is not mounted.",
    )
    name: str = option(
        "{message_id}-{key}.{extension}",
        "The file's name. Fields: " + "; ".join(f"`{{{field}}}`: {text}" for field, text in FIELDS.items()) + ".",
        min_length=1,
    )
    on_exists: Literal["replace", "refuse", "number"] = option(
        "replace",
        "When another delivery's file has the name: `replace` it, `refuse` the delivery, or `number` the new one"
        " (`list.2.csv`). A repeated attempt of one delivery makes no second file.",
    )
    emptied: bool = option(
        default=False,
        doc="Readers take the files away. A file that is not there may then have been taken, and asking after it cannot"
        " tell: the delivery waits for a person.",
    )
    done_marker: str = option(
        "", "An empty file that is made after each file: `{name}.done`, `{stem}.ok`. Empty: none is made."
    )

    @property
    def can_ask(self) -> bool:
        """See `connectors.connector.Asks`."""
        return True

    @field_validator("name")
    @classmethod
    def _is_pattern(cls, name: str) -> str:
        return check_pattern(name)

    @field_validator("done_marker")
    @classmethod
    def _names_a_file(cls, pattern: str) -> str:
        if pattern and (pattern.count("{name}") + pattern.count("{stem}") != 1 or "/" in pattern):
            raise ValueError("must hold {name} or {stem} once, and no folder: `{name}.done`")
        if pattern in {"{name}", "{stem}"}:
            raise ValueError("must differ from the name of the file: `{name}.done`")
        return pattern


class NameLedger:
    """Which name a delivery got, where its pattern alone does not say: written before the file is."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self) -> None:
        """Make the folder, and forget what is too old to come again."""
        self._folder.mkdir(parents=True, exist_ok=True)
        oldest = time.time() - REMEMBERED_SECS
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.stat().st_mtime < oldest:
                    Path(entry.path).unlink()

    def recall(self, key: str) -> str:
        """The name that ``key`` got before, or ""."""
        try:
            return (self._folder / key).read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""

    def note(self, key: str, name: str) -> None:
        _write_whole(self._folder / f".{key}", name.encode())
        (self._folder / f".{key}").replace(self._folder / key)
        _sync_folder(self._folder)


class FolderDestination:
    """Writes in threads; one file of a lane at a time, so that they appear in order."""

    def __init__(self, options: FolderDestinationOptions, seat: Seat) -> None:
        self._options = options
        self._folder = seat.site / options.folder
        self._turns = LaneTurns()
        self._naming = threading.Lock()
        self._ledger = NameLedger(seat.state / "names")

    async def open(self) -> None:
        """See `connectors.connector.Destination.open`."""
        await asyncio.to_thread(self._make_ready)

    async def probe(self) -> str:
        """See `connectors.connector.Destination.probe`. Writes a hidden file and removes it."""
        return await asyncio.to_thread(self._try_out)

    async def send(self, envelope: Envelope) -> Sent:
        """See `connectors.connector.Destination.send`."""
        async with self._turns.of(envelope.lane):
            return await asyncio.to_thread(self._write, envelope)

    async def ask(self, envelope: Envelope) -> Sent | None:
        """See `connectors.connector.Asks.ask`. The file is there when one of its name has its content."""
        async with self._turns.of(envelope.lane):
            return await asyncio.to_thread(self._look, envelope)

    async def close(self) -> None:
        """See `connectors.connector.Destination.close`. Nothing is held open between sends."""

    def _make_ready(self) -> None:
        try:
            if self._options.create:
                self._folder.mkdir(parents=True, exist_ok=True)
            if self._options.on_exists != "replace":
                self._ledger.open()
        except OSError as error:
            raise ConfigError(f"cannot use folder {self._folder}: {error.strerror} ({error.filename})") from error
        if not self._folder.is_dir():
            raise ConfigError(f"there is no folder {self._folder}: make it, mount it, or set `create: true`")

    def _try_out(self) -> str:
        trial = self._folder / ".hcsyncd-probe"
        try:
            _write_whole(trial, b"probe")
            trial.unlink()
            free = shutil.disk_usage(self._folder).free
        except OSError as error:
            raise self._failure(error) from error
        return f"{self._folder} can be written; {free // 1024**2} MiB free"

    def _write(self, envelope: Envelope) -> Sent:
        key = key_digest(envelope)
        # The same name for every try: what a crash left of an earlier one is written over.
        unfinished = self._folder / f".hcsyncd-{key}.part"
        try:
            _write_whole(unfinished, envelope.body)
            name = self._place(unfinished, file_name(self._options.name, envelope), key)
            if self._options.done_marker:
                _write_whole(self._folder / marker_name(self._options.done_marker, name), b"")
            _sync_folder(self._folder)
        except OSError as error:
            raise self._failure(error) from error
        finally:
            _remove_if_there(unfinished)
        return Sent(detail=name)

    def _look(self, envelope: Envelope) -> Sent | None:
        key = key_digest(envelope)
        name = file_name(self._options.name, envelope)
        if self._options.on_exists != "replace":
            name = self._ledger.recall(key) or name
        try:
            content = (self._folder / name).read_bytes()
        except FileNotFoundError:
            content = None
        except OSError as error:
            raise self._failure(error) from error
        if content == envelope.body:
            return Sent(detail=name)
        if content is not None and self._options.on_exists == "replace":
            text = f"{self._folder / name} is there with other content: a later one may have replaced it"
            raise Transient("file-differs", text)
        self._check_missing(name, key)
        return None

    def _check_missing(self, name: str, key: str) -> None:
        """Raises Transient where a file that is not there may have been. One that has not got its name yet was
        certainly not taken away."""
        if not self._folder.is_dir():
            raise Transient("folder-missing", f"there is no folder {self._folder}")
        if self._options.emptied and not (self._folder / f".hcsyncd-{key}.part").exists():
            raise Transient("file-missing", f"{self._folder / name} is not there: it was never made, or was taken away")

    def _place(self, unfinished: Path, name: str, key: str) -> str:
        """Give the finished file its name; returns the name."""
        if self._options.on_exists == "replace":
            unfinished.replace(self._folder / name)
            return name
        with self._naming:
            own = self._ledger.recall(key)
            # An earlier attempt got this far: its file is there, or it was never made or was taken away since.
            if own and (_holds_the_same(self._folder / own, unfinished) or _rename_new(unfinished, self._folder / own)):
                return own
            number = 1
            while True:
                candidate = numbered(name, number)
                if not os.path.lexists(self._folder / candidate):
                    self._ledger.note(key, candidate)
                    if _rename_new(unfinished, self._folder / candidate):
                        return candidate
                if self._options.on_exists == "refuse":
                    raise Refused("file-exists", f"{self._folder / name} is there already")
                number += 1

    def _failure(self, error: OSError) -> Transient | Refused:
        number = error.errno or 0
        if number == errno.ENAMETOOLONG:
            return Refused("name-too-long", f"the file's name is too long for {self._folder}")
        if number in FULL:
            return Transient("disk-full", f"no room for the file in {self._folder}: {error.strerror}")
        return Transient(REASONS.get(number, "file-error"), f"cannot write into {self._folder}: {error.strerror}")


def _write_whole(path: Path, content: bytes) -> None:
    """Write a file and have it on disk before returning; a file that cannot be whole is removed."""
    try:
        with path.open("wb", buffering=0) as file:
            rest = memoryview(content)
            while rest:
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
    except OSError:
        _remove_if_there(path)
        raise


def _holds_the_same(path: Path, other: Path) -> bool:
    try:
        return filecmp.cmp(path, other, shallow=False)
    except FileNotFoundError:
        return False


def _rename_new(source: Path, target: Path) -> bool:
    """Rename, unless somebody else has made ``target`` by now."""
    try:
        os.link(source, target)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        source.rename(target)  # without hard links the look just before has to do
    else:
        source.unlink()
    return True


def _remove_if_there(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return  # what brought us here is raised, and the next try writes over it


def _sync_folder(folder: Path) -> None:
    """Have the names of a folder on disk (fsync(2): a file's own fsync does not cover its entry)."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


CONNECTOR = Connector(
    kind="folder",
    role=Role.DESTINATION,
    summary="Writes each message as one file, whole from the moment it can be seen.",
    options=FolderDestinationOptions,
    build=FolderDestination,
)
