"""Files that were taken out of a watched folder by renaming them: ours alone, and found again after a crash.

::

    <folder>/.hcsyncd/<channel>/lock                      held while a source runs
    <folder>/.hcsyncd/<channel>/taking/<number>/<name>    claimed; numbers rise in the order of claiming
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from hcsyncd.connectors.folder_scan import Sighting
from hcsyncd.errors import SourceError

WORK_FOLDER = ".hcsyncd"
HASH_BYTES = 1024 * 1024
NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
NOT_OURS = {errno.EACCES, errno.EPERM}


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a file is. A file that comes back untouched is the same; one that is written again is not, whatever it is
    called and holds."""

    digest: str  # of name, size, modification time and content
    bytes: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Claim:
    """A claimed file."""

    path: Path

    @property
    def name(self) -> str:
        """The name that its sender gave it."""
        return self.path.name

    def identify(self) -> Identity:
        """Read the whole file. Raises OSError; raises BlockingIOError when somebody is still writing to it."""
        digest = hashlib.sha256()
        with self.path.open("rb", buffering=0) as file:
            status = os.fstat(file.fileno())
            while part := file.read(HASH_BYTES):
                digest.update(part)
        digest.update(os.fsencode(f"\0{self.name}\0{status.st_size}\0{status.st_mtime_ns}"))
        identity = Identity(digest.hexdigest()[:32], status.st_size, status.st_mtime_ns)
        self.check_unchanged(identity)
        return identity

    def check_unchanged(self, identity: Identity) -> None:
        """Raises BlockingIOError when somebody wrote to the file since: a sender that keeps a file open after the claim
        goes on writing into it."""
        status = self.path.stat()
        if (status.st_size, status.st_mtime_ns) != (identity.bytes, identity.mtime_ns):
            raise BlockingIOError(errno.EAGAIN, "still being written", self.name)


class ClaimFolder:
    """The claims of one channel in one folder."""

    def __init__(self, folder: Path, channel: str) -> None:
        self._folder = folder
        self._own = folder / WORK_FOLDER / channel
        self._taking = self._own / "taking"
        self._lock: int | None = None

    def open(self) -> None:
        """Make the work folder and lock it. Raises SourceError."""
        try:
            self._taking.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self._own / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise SourceError(
                f"cannot work in {self._folder}: {error.strerror} ({error.filename}); files are claimed by moving them"
                f" to {self._taking}, so the folder must be writable"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in NO_LOCKS:
                return  # some network file systems know no locks; then it is for the site to run one source
            self.close()
            raise SourceError(f"another process takes files from {self._folder} for this channel: stop it") from error

    def close(self) -> None:
        """Let go of the lock. Safe to call twice."""
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)

    def claimed(self) -> list[Claim]:
        """What is claimed and not settled, in the order of claiming: after a crash or a refusal."""
        claims: list[Claim] = []
        for place in sorted(path for path in self._taking.iterdir() if path.is_dir()):
            files = sorted(place.iterdir())
            claims += [Claim(file) for file in files]
            if not files:
                place.rmdir()  # a crash between making the place and moving the file there
        return claims

    def claim(self, seen: Sighting) -> Claim | None:
        """Take a file out of the folder; None when it is gone, or was written to since it was seen. Raises
        PermissionError when this one file cannot be moved, OSError when none can be."""
        source = self._folder / seen.name
        place = self._new_place()
        target = place / seen.name
        try:
            source.rename(target)
        except FileNotFoundError:
            place.rmdir()
            return None
        except OSError as error:
            place.rmdir()
            if error.errno in NOT_OURS and os.access(self._folder, os.W_OK | os.X_OK):
                raise PermissionError(error.errno, error.strerror, seen.name) from error
            raise
        status = target.stat()
        if (status.st_size, status.st_mtime_ns) != (seen.bytes, seen.mtime_ns) and not os.path.lexists(source):
            target.rename(source)
            place.rmdir()
            return None
        return Claim(target)

    def move(self, claim: Claim, folder: Path) -> Path:
        """Put a settled file into ``folder`` under its own name, numbered when that is taken; gives where it is now."""
        folder.mkdir(parents=True, exist_ok=True)
        target = _reserved(folder, claim.name)
        try:
            claim.path.rename(target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                target.unlink()
                raise
            shutil.copy2(claim.path, target)
            with target.open("rb") as copy:
                os.fsync(copy.fileno())
            claim.path.unlink()
        claim.path.parent.rmdir()
        return target

    def delete(self, claim: Claim) -> None:
        """Remove a settled file."""
        claim.path.unlink()
        claim.path.parent.rmdir()

    def _new_place(self) -> Path:
        number = time.time_ns()
        while True:
            place = self._taking / f"{number:020d}"
            try:
                place.mkdir()
            except FileExistsError:
                number += 1
            else:
                return place


def _reserved(folder: Path, name: str) -> Path:
    """A name in ``folder`` that nobody has, taken by an empty file: a rename over it can then hit no other file."""
    plain = Path(name)
    number = 1
    while True:
        target = folder / (name if number == 1 else f"{plain.stem}.{number}{plain.suffix}")
        try:
            os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            number += 1
        else:
            return target
