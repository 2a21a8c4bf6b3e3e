"""A process that seals a store anew, backs it up or restores it, to be killed while it is at it.

Run as ``python -m tests.fakes.store_copies FOLDER seal|backup|restore KEY [FILE]``; KEY is in hexadecimal. It tells on
its standard output when it begins and what it has done, one line each.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from hcsyncd.clock import SystemClock
from hcsyncd.store.keyring import MasterKey
from hcsyncd.store.restore import restore
from hcsyncd.store.store import Store
from tests.fakes.events import RecordedEvents


def tell(what: str) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


async def seal(folder: Path, key: MasterKey) -> None:
    """Rotate, and seal anew, again and again."""
    store = await Store.open(folder, RecordedEvents(), SystemClock(), key)
    background = asyncio.create_task(store.resealing.run())
    while not background.done():
        tell("begins")
        await store.resealing.rotate()
        await asyncio.sleep(0.02)  # long enough for some of it: the next rotation comes in between


async def back_up(folder: Path, key: MasterKey, file: Path) -> None:
    store = await Store.open(folder, RecordedEvents(), SystemClock(), key)
    tell("begins")
    await store.copies.back_up(file, SystemClock().now())
    tell("backed up")
    await store.close()


def main(folder: Path, what: str, key: MasterKey, file: Path) -> None:
    match what:
        case "seal":
            asyncio.run(seal(folder, key))
        case "backup":
            asyncio.run(back_up(folder, key, file))
        case "restore":
            tell("begins")
            restore(file, folder, SystemClock().now(), key, replace=True)
            tell("restored")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], MasterKey(bytes.fromhex(sys.argv[3])), Path(sys.argv[-1]))
