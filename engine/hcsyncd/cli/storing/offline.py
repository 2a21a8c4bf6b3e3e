"""What `hcsyncd store` needs where no daemon runs: the key that hcsyncd.yaml names, and a restore that is noted."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

from hcsyncd import __version__
from hcsyncd.cli.site import data_folder
from hcsyncd.clock import SystemClock
from hcsyncd.config.load import load_daemon
from hcsyncd.errors import ConfigError
from hcsyncd.events import Event
from hcsyncd.runtime.verb import Access, Caller
from hcsyncd.store.keyring import MasterKey
from hcsyncd.store.ports import NewEntry
from hcsyncd.store.restore import Restored, restore
from hcsyncd.store.store import Store


def master_key(site: Path) -> MasterKey | None:
    """The key that hcsyncd.yaml names. Raises ConfigError where it cannot be had."""
    loaded = load_daemon(site, os.environ)
    if loaded.options is None:
        raise ConfigError(f"{site / 'hcsyncd.yaml'} has errors", loaded.findings)
    return MasterKey.of(loaded.options.encryption.secret)


def restore_offline(site: Path, backup: Path, *, replace: bool) -> Restored:
    """Put a backup in the place of the site's store, open it once, and note in its audit log who did it."""
    folder = data_folder(site)
    key = master_key(site)
    restored = restore(backup, folder, SystemClock().now(), key, replace=replace)
    asyncio.run(_note_restore(folder, key, backup, restored))
    return restored


async def _note_restore(folder: Path, key: MasterKey | None, backup: Path, restored: Restored) -> None:
    caller = Caller(os.getuid(), os.getpid())
    what = {
        "file": str(backup),
        "made_at": restored.manifest.made_at,
        "sha256": restored.manifest.sha256,
        "replaced": restored.aside,
        "version": __version__,
    }
    entry = NewEntry(
        user_id=caller.user_id,
        user=caller.name,
        process_id=caller.process_id,
        verb="store.restored",
        access=Access.CHANGES,
        what=json.dumps(what, sort_keys=True),
        outcome="done",
    )
    store = await Store.open(folder, _overlook, SystemClock(), key)
    try:
        await store.audit.append(entry)
    finally:
        await store.close()


def _overlook(_event: Event) -> None:
    """No daemon runs, and so there is no log: what fails is raised."""
