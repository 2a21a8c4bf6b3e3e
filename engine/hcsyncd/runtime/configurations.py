"""The configurations that were live, by number: kept before anything is made by them, and usable again later."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path, PurePosixPath

from hcsyncd.config.model import Site
from hcsyncd.errors import ControlError, StoreError
from hcsyncd.runtime.site import check_site
from hcsyncd.store.ports import ConfigurationHistory


class Configurations:
    """Reads the history for whoever needs an older configuration."""

    def __init__(self, history: ConfigurationHistory, site: Path, scratch: Path) -> None:
        """``site`` is the folder whose secrets every configuration means; ``scratch`` a private folder that is emptied
        here, where older files may be laid out for a while."""
        self.history = history
        self._site = site
        self._scratch = scratch
        shutil.rmtree(scratch, ignore_errors=True)  # what a killed daemon left

    @asynccontextmanager
    async def site_of(self, number: int) -> AsyncIterator[Site]:
        """The site as it was in generation ``number``, its references resolved as they are now; its folder goes with
        the context. Raises ControlError when the number is not known, and when its files no longer make a site: an
        environment variable or a secret that it names is gone, or this version of hcsyncd reads them otherwise."""
        files = await self.files_of(number)
        folder = await asyncio.to_thread(self._lay_out, files)
        try:
            checked = await asyncio.to_thread(check_site, folder, None, self._site)
            if checked.site is None:
                finding = checked.errors[0]
                more = f" and {len(checked.errors) - 1} more" if len(checked.errors) > 1 else ""
                raise ControlError(f"generation {number} can no longer be used: {finding}{more}")
            yield checked.site
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def files_of(self, number: int) -> dict[str, bytes]:
        """The files of a generation by name. Raises ControlError when there is no such generation."""
        files = await self.history.files(number)
        if not files:
            raise ControlError(f"there is no generation {number}; `hcsyncd history` lists those that are kept")
        return files

    def _lay_out(self, files: Mapping[str, bytes]) -> Path:
        try:
            self._scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(dir=self._scratch))
            write_files(folder, files)
        except OSError as error:
            raise StoreError(f"cannot write to {self._scratch}: {error.strerror}") from error
        return folder


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files by name below a folder. Names come from `Site.files` and lead nowhere else. Raises OSError."""
    for name, content in files.items():
        assert is_within(name), name
        path = folder / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)


def is_within(name: str) -> bool:
    """Whether a relative name stays below its folder."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts
