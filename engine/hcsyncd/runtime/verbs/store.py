"""The store as a whole: its size, its keys, its copies, and whether it is sound."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import msgspec

from hcsyncd.clock import Clock
from hcsyncd.config.sealing import read_key
from hcsyncd.errors import ControlError, StoreError
from hcsyncd.events import BackupFailed, BackupMade, Event, KeysRotated
from hcsyncd.runtime.verb import Access, Caller, Request, Verb, Verbs
from hcsyncd.store.backup import copy_name
from hcsyncd.store.copies import Backup
from hcsyncd.store.keyring import MasterKey
from hcsyncd.store.store import Store
from hcsyncd.store.verification import Verification


class BackUp(Request, frozen=True):
    """``file``: an absolute path; of a folder, and the copy gets a name of its own in it, or of the copy itself. One
    that is not kept, as for an extract, is no backup, and `store status` does not take it for one."""

    file: Annotated[str, msgspec.Meta(pattern="^/")]
    kept: bool = True


class Rotate(Request, frozen=True):
    """``file`` holds the new master key; "": only the data key is changed. The daemon reads it, so that no key ever
    goes over the control socket."""

    file: Annotated[str, msgspec.Meta(pattern="^(/.*)?$")] = ""


class Verify(Request, frozen=True):
    """``every_value``: open every sealed value, and not a sample."""

    every_value: bool = False


class StoreVerbs:
    """``store.status``, ``store.verify``, ``store.backup``, ``store.rotate``."""

    def __init__(self, store: Store, emit: Callable[[Event], None], clock: Clock) -> None:
        self._store = store
        self._emit = emit
        self._clock = clock

    def verbs(self) -> Verbs:
        return {
            "store.status": Verb(Request, self.status),
            "store.verify": Verb(Verify, self.verify),
            "store.backup": Verb(BackUp, self.back_up, Access.SEES),
            "store.rotate": Verb(Rotate, self.rotate, Access.CHANGES),
        }

    async def status(self, _asked: Request, _caller: Caller) -> dict[str, Any]:
        """``{"name": ..., "file": FileStatus, "keys": KeyStatus}``."""
        return {
            "name": self._store.name,
            "file": await self._store.copies.status(),
            "keys": await self._store.resealing.status(),
        }

    async def verify(self, asked: Verify, _caller: Caller) -> Verification:
        return await self._store.copies.verify(every_value=asked.every_value)

    async def back_up(self, asked: BackUp, _caller: Caller) -> Backup:
        began, now = self._clock.monotonic(), self._clock.now()
        target = Path(asked.file)
        if await asyncio.to_thread(target.is_dir):
            target /= copy_name(self._store.name, now)
        try:
            made = await self._store.copies.back_up(target, now, kept=asked.kept)
        except StoreError as error:
            if asked.kept:
                self._emit(BackupFailed(str(target), str(error)))
            raise
        if asked.kept:
            self._emit(BackupMade(made.file, made.manifest.bytes, self._clock.monotonic() - began))
        return made

    async def rotate(self, asked: Rotate, _caller: Caller) -> dict[str, Any]:
        """``{"data_key": its number, "master": the fingerprint}``."""
        master = await asyncio.to_thread(_read_master, Path(asked.file)) if asked.file else None
        number = await self._store.resealing.rotate(master)
        present = self._store.sealing.keyring.master
        fingerprint = present.fingerprint if present else ""
        self._emit(KeysRotated(number, fingerprint))
        return {"data_key": number, "master": fingerprint}


def _read_master(file: Path) -> MasterKey:
    try:
        secret = read_key(file.read_text(encoding="ascii"))
    except OSError as error:
        raise ControlError(f"the daemon cannot read the new key {file}: {error.strerror}") from error
    except ValueError:  # a UnicodeDecodeError is one too; its text would hold bytes of the key
        secret = None
    if secret is None:
        raise ControlError(f"{file} does not hold 32 bytes in base64 or hexadecimal: `hcsyncd store make-key {file}`")
    return MasterKey(secret)
