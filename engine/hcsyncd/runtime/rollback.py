"""An older configuration's files put back into a site's folder, whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

from hcsyncd.config.site_files import names_on_disk
from hcsyncd.errors import ConfigError
from hcsyncd.runtime.configurations import is_within

ASIDE = ".aside"  # hidden: nothing in it is read as the site's


class Rewriting:
    """Makes a folder hold the files of a generation. Files that belong to no generation are never touched."""

    def __init__(self, folder: Path, wanted: Mapping[str, bytes], label: str) -> None:
        """``label`` names the folder below ``.aside`` that takes the files which the generation did not have."""
        self._folder = folder
        self._wanted = {name: content for name, content in wanted.items() if is_within(name)}
        self._aside = folder / ASIDE / label
        self._replaced: dict[str, bytes | None] = {}  # what was there before; None: nothing
        self._moved: list[str] = []

    def changes(self) -> tuple[str, ...]:
        """What would be done to each file, in words. Raises ConfigError when a file cannot be read."""
        words = []
        try:
            for name in sorted({*names_on_disk(self._folder), *self._wanted}):
                if name not in self._wanted:
                    words.append(f"{name}: moved to {ASIDE}/{self._aside.name}/")
                    continue
                present = self._present(name)
                if present != self._wanted[name]:
                    words.append(f"{name}: {'written' if present is None else 'changed'}")
        except OSError as error:
            raise ConfigError(f"cannot read {error.filename}: {error.strerror}") from error
        return tuple(words)

    def apply(self) -> None:
        """Write and move. Raises ConfigError, and everything is as it was."""
        try:
            for name in names_on_disk(self._folder):
                if name not in self._wanted:
                    self._move(self._folder / name, self._aside / name)
                    self._moved.append(name)
            for name, content in self._wanted.items():
                present = self._present(name)
                if present != content:
                    self._write(name, content)
                    self._replaced[name] = present
        except OSError as error:
            self.undo()
            raise ConfigError(
                f"cannot write {error.filename or self._folder}: {error.strerror}; nothing was changed: "
                f"roll back as a user who may write to {self._folder}"
            ) from error

    def undo(self) -> None:
        """Put back what was there. Raises ConfigError when that fails: the history has the files."""
        try:
            for name, content in self._replaced.items():
                if content is None:
                    (self._folder / name).unlink(missing_ok=True)
                else:
                    self._write(name, content)
            for name in self._moved:
                self._move(self._aside / name, self._folder / name)
        except OSError as error:
            raise ConfigError(
                f"cannot put {error.filename or self._folder} back: {error.strerror}; the files are in "
                f"`hcsyncd history`"
            ) from error
        if self._moved:
            shutil.rmtree(self._aside, ignore_errors=True)
            with contextlib.suppress(OSError):  # others were moved aside before
                self._aside.parent.rmdir()

    def _present(self, name: str) -> bytes | None:
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def _move(self, source: Path, target: Path) -> None:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        source.rename(target)

    def _write(self, name: str, content: bytes) -> None:
        """Replace a file as a whole: whoever reads it sees the old one or the new one."""
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pattern = path if path.exists() else self._folder / "routes.yaml"
        descriptor, temporary = tempfile.mkstemp(prefix=".", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                if pattern.exists():
                    os.fchmod(file.fileno(), stat.S_IMODE(pattern.stat().st_mode))
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
