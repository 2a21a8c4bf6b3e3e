"""Which files of a folder are whole and may be taken. The listing is the truth; nothing here depends on notices."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from hcsyncd.clock import Clock


@dataclass(frozen=True, slots=True)
class Sighting:
    """A file as one listing saw it. Equal sightings: nobody wrote in between."""

    name: str
    bytes: int
    mtime_ns: int
    inode: int


@dataclass(frozen=True, slots=True)
class Listing:
    """What one scan found: files to take, in order, and in how many seconds the next may be ripe (None: none is)."""

    ready: tuple[Sighting, ...]
    ripe_in_secs: float | None


@dataclass(frozen=True, slots=True)
class ScanRules:
    """Which files are wanted, when one is whole, and in what order they are taken."""

    include: tuple[str, ...]
    exclude: tuple[str, ...]
    stable_secs: float
    done_marker: str
    order: Literal["name", "mtime"]


class Scanner:
    """Remembers what it saw, so that it can tell a file at rest from one that is being written."""

    def __init__(self, folder: Path, rules: ScanRules, clock: Clock) -> None:
        self._folder = folder
        self._rules = rules
        self._clock = clock
        self._first_seen: dict[Sighting, float] = {}  # monotonic seconds

    def scan(self) -> Listing:
        """List the folder. Raises OSError when that cannot be done."""
        sightings, names = self._look()
        now = self._clock.monotonic()
        self._first_seen = {sighting: self._first_seen.get(sighting, now) for sighting in sightings}
        ready: list[Sighting] = []
        ripe_in: float | None = None
        for sighting, first_seen in self._first_seen.items():
            if self._rules.done_marker:
                if marker_name(self._rules.done_marker, sighting.name) in names:
                    ready.append(sighting)
                continue
            wait = first_seen + self._rules.stable_secs - now
            if wait <= 0:
                ready.append(sighting)
            else:
                ripe_in = wait if ripe_in is None else min(ripe_in, wait)
        ready.sort(key=self._order)
        return Listing(tuple(ready), ripe_in)

    def _look(self) -> tuple[list[Sighting], set[str]]:
        sightings: list[Sighting] = []
        names: set[str] = set()
        with os.scandir(self._folder) as entries:
            for entry in entries:
                names.add(entry.name)
                if not self._is_wanted(entry.name):
                    continue
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # taken away between the listing and the look: nothing to do
                if stat.S_ISREG(status.st_mode):  # a link could lead out of the folder
                    sightings.append(Sighting(entry.name, status.st_size, status.st_mtime_ns, status.st_ino))
        return sightings, names

    def _is_wanted(self, name: str) -> bool:
        if name.startswith("."):
            return False
        if self._rules.done_marker and is_marker(self._rules.done_marker, name):
            return False
        if any(fnmatchcase(name, pattern) for pattern in self._rules.exclude):
            return False
        return any(fnmatchcase(name, pattern) for pattern in self._rules.include)

    def _order(self, sighting: Sighting) -> tuple[int, str]:
        return (sighting.mtime_ns if self._rules.order == "mtime" else 0, sighting.name)


def marker_name(pattern: str, name: str) -> str:
    """The done-marker of a file: ``{name}`` is its name, ``{stem}`` its name without the last extension."""
    return pattern.replace("{name}", name).replace("{stem}", Path(name).stem)


def is_marker(pattern: str, name: str) -> bool:
    """Whether a file is some file's done-marker, and so no data."""
    head, _, tail = pattern.replace("{stem}", "{name}").partition("{name}")
    return len(name) > len(head) + len(tail) and name.startswith(head) and name.endswith(tail)
