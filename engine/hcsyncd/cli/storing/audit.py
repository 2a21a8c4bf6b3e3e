"""The audit log where no daemon runs: the same commands on the store itself, noted and anchored like the daemon's."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import msgspec

from hcsyncd.cli.site import data_folder
from hcsyncd.cli.storing.offline import master_key
from hcsyncd.clock import SystemClock
from hcsyncd.events import Event
from hcsyncd.runtime.auditor import Auditor
from hcsyncd.runtime.verb import Access, Caller
from hcsyncd.runtime.verbs.audit import AuditVerbs
from hcsyncd.store.offline import require_store
from hcsyncd.store.store import Store


def carry_out(site: Path, name: str, asked: dict[str, Any]) -> Any:
    """What the daemon would answer, as decoded JSON. Raises StoreError, as when there is no store (looking
    makes none), and when another process has it."""
    return asyncio.run(_carry_out(site, name, asked))


async def _carry_out(site: Path, name: str, asked: dict[str, Any]) -> Any:
    folder = data_folder(site)
    require_store(folder)
    store = await Store.open(folder, _overlook, SystemClock(), master_key(site))
    try:
        auditor = Auditor(store.audit, folder, _overlook)
        caller = Caller(os.getuid(), os.getpid())
        verb = AuditVerbs(store.audit, store.history).verbs()[name]
        form = verb.read(msgspec.to_builtins(asked))
        access = verb.access_of(form)
        if access is not Access.LOOKS:
            await auditor.note(caller, name, access, form)
            await auditor.anchor()
        return msgspec.to_builtins(await verb.run(form, caller))
    finally:
        await store.close()


def _overlook(_event: Event) -> None:
    """No daemon runs, and so there is no log: what fails is raised."""
