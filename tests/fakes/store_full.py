"""A process whose files may not grow: stands for a full disk, and needs no rights to make one.

Run as ``python -m tests.fakes.store_full FOLDER``; it tells on its standard output what happened, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from pathlib import Path

from hcsyncd.clock import SystemClock
from hcsyncd.store.ports import Known, Stored
from hcsyncd.store.store import FILE, Store
from tests.fakes.events import RecordedEvents
from tests.fakes.stored import arrival, stored

ROOM_BYTES = 256 * 1024
HUGE = 1024 * 1024


def limit_files(size: int) -> None:
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))


def told(answers: list[Stored | Known | BaseException]) -> list[int | str]:
    """The ids of what was stored, the complaints of what was not."""
    return [str(answer) if isinstance(answer, BaseException) else stored(answer) for answer in answers]


async def main(folder: Path) -> None:
    events = RecordedEvents()
    store = await Store.open(folder, events, SystemClock())
    before = await asyncio.gather(*(store.inbox.put(arrival(number)) for number in range(10)))

    log = (folder / f"{FILE}-wal").stat().st_size
    limit_files(log + ROOM_BYTES)
    bodies = [b"small 1", bytes(HUGE), b"small 2"]
    mixed = await asyncio.gather(
        *(store.inbox.put(arrival(100 + place, body=body)) for place, body in enumerate(bodies)), return_exceptions=True
    )
    limit_files(log)
    full = await asyncio.gather(
        *(store.inbox.put(arrival(200 + number, body=bytes(30_000))) for number in range(20)), return_exceptions=True
    )
    still_read = len(await store.inbox.received("adt", 0, 100, 1 << 30))
    limit_files(resource.RLIM_INFINITY)
    after = stored(await store.inbox.put(arrival(300)))
    report = {
        "before": told(list(before)),
        "mixed": told(mixed),
        "full": told(full),
        "still_read": still_read,
        "after": after,
        "events": [type(event).__name__ for event in events.events],
    }
    await store.close()
    sys.stdout.write(json.dumps(report))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
