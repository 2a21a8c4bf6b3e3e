"""A disk that loses power: it keeps apart what was synced from what was only written, and says at any moment how the
files would stand after a cut: what was synced is there; of the rest any part may be, down to single sectors."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import apsw

SECTOR_BYTES = 512

Files = dict[str, bytes]  # by name
Moment = Callable[[str], None]


@dataclass(slots=True)
class _Content:
    """One file: what is safe, and what was done to it since the last sync, in order."""

    safe: bytearray = field(default_factory=bytearray)
    since: list[tuple[int, bytes | None]] = field(default_factory=list)  # (offset, data), or (new size, None)

    def sync(self) -> None:
        for offset, data in self.since:
            _apply(self.safe, offset, data)
        self.since.clear()

    def after_cut(self, dice: random.Random, share: float) -> bytes:
        """The file with about ``share`` of the sectors that were not synced."""
        content = bytearray(self.safe)
        for offset, data in self.since:
            if data is None:
                if dice.random() < share:
                    _apply(content, offset, None)
                continue
            for start in range(0, len(data), SECTOR_BYTES):
                if dice.random() < share:
                    _apply(content, offset + start, data[start : start + SECTOR_BYTES])
        return bytes(content)


def _apply(content: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del content[offset:]
        return
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


class PowerDisk(apsw.VFS):
    """While it lives, SQLite's files of one folder are watched; ``on_moment`` is called, on SQLite's own stack, when a
    cut would find something new. All other files are plain ones that are never synced, so that what a cut has left
    can be looked at quickly."""

    def __init__(self, folder: Path, on_moment: Moment) -> None:
        super().__init__("power", "unix", makedefault=True)
        self.syncs: Counter[str] = Counter()  # by file
        self._folder = str(folder)
        self._on_moment = on_moment
        self._contents: dict[str, _Content] = {}
        self._lock = threading.RLock()

    def after_cut(self, dice: random.Random, share: float) -> Files:
        """How the files stand when power fails now."""
        with self._lock:
            return {name: content.after_cut(dice, share) for name, content in self._contents.items()}

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        if path is None or Path(path).parent != Path(self._folder):
            return _Unsynced("unix", name, flags)
        return _Watched(name, flags, self, Path(path).name)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802 - SQLite's signature
        super().xDelete(filename, syncdir)
        if Path(filename).parent == Path(self._folder):
            with self._lock:
                self._contents.pop(Path(filename).name, None)

    # What the watched files tell

    def opened(self, name: str) -> None:
        with self._lock:
            self._contents.setdefault(name, _Content())

    def changed(self, name: str, offset: int, data: bytes | None) -> None:
        with self._lock:
            self._contents[name].since.append((offset, data))
        self._on_moment("write")

    def synced(self, name: str) -> None:
        self._on_moment("before sync")
        with self._lock:
            self._contents[name].sync()
            self.syncs[name] += 1
        self._on_moment("after sync")


class _Watched(apsw.VFSFile):
    def __init__(self, name: str | apsw.URIFilename | None, flags: list[int], disk: PowerDisk, short: str) -> None:
        super().__init__("unix", name, flags)
        self._disk = disk
        self._name = short
        disk.opened(short)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's name
        super().xWrite(data, offset)
        self._disk.changed(self._name, offset, bytes(data))

    def xTruncate(self, size: int) -> None:  # noqa: N802 - SQLite's name
        super().xTruncate(size)
        self._disk.changed(self._name, size, None)

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        self._disk.synced(self._name)


class _Unsynced(apsw.VFSFile):
    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        """Nobody cuts the power of this one."""
