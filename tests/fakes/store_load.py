"""A process that works a store under load and tells on its standard output what it was promised, one JSON list a line.

Run as ``python -m tests.fakes.store_load FOLDER FIRST_NUMBER``; it goes on until it is killed.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from hcsyncd.clock import SystemClock
from hcsyncd.store.store import Store
from tests.fakes.events import RecordedEvents
from tests.fakes.stored import arrival, delivery, handoff, outcome, stored

CALLERS = 32


def tell(*what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def carry(store: Store, numbers: Iterator[int]) -> None:
    for number in numbers:
        message_id = stored(await store.inbox.put(arrival(number)))
        tell("stored", number, message_id)
        ((delivery_id,),) = await store.outbox.hand_on([handoff(message_id, delivery(body=b"out %d" % number))])
        tell("handed on", number, delivery_id)
        if number % 2:
            await store.outbox.settle(outcome(delivery_id, message_id))
            tell("settled", number, delivery_id)


async def main(folder: Path, first: int) -> None:
    store = await Store.open(folder, RecordedEvents(), SystemClock())
    numbers = itertools.count(first)
    await asyncio.gather(*(carry(store, numbers) for _ in range(CALLERS)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
