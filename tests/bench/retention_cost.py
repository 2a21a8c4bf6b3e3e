"""What retention costs a loaded intake, as a ratio of the same run: ``python -m tests.bench.retention_cost [ROUNDS]``.

Callers in a closed loop carry messages through T1, T2 and T4, in rounds that alternate: without retention, and with it
removing what stood in the store before, as fast as it may beside them. Told are the rates and the waits, and the ratio
of the two kinds of rounds.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from hcsyncd.clock import SystemClock
from hcsyncd.config.keeping import Keep, KeepingDefaults
from hcsyncd.config.model import DaemonOptions, Site
from hcsyncd.runtime.keeping import Keeper
from hcsyncd.store.store import Store
from tests.fakes.events import RecordedEvents
from tests.fakes.stored import arrival, delivery, handoff, outcome, stored

CALLERS = 32
BEFORE = 60_000  # messages that retention has to remove
ROUND_SECS = 3.0
BODY = b"x" * 1000
SITE = Site(
    Path(),
    DaemonOptions(retention=KeepingDefaults(bodies=Keep(days=1), answers=Keep(days=1), metadata=Keep(days=1))),
    {},
    (),
)


async def carry(store: Store, number: int, received_at: int) -> None:
    new = arrival(number, body=b"%d %s" % (number, BODY), fingerprint=b"f%d" % number, received_at=received_at)
    message_id = stored(await store.inbox.put(new))
    ((delivery_id,),) = await store.outbox.hand_on([handoff(message_id, delivery(body=b"out " + BODY))])
    await store.outbox.settle(outcome(delivery_id, message_id, answer=b"AA"))


async def work(store: Store, numbers: Iterator[int], until: float, waits: list[float]) -> None:
    now = SystemClock().now()
    while (began := time.perf_counter()) < until:
        await carry(store, next(numbers), now)
        waits.append(time.perf_counter() - began)


async def measure(store: Store, numbers: Iterator[int]) -> tuple[float, float]:
    """Messages a second, and the 99th percentile of what one waited, in milliseconds."""
    waits: list[float] = []
    until = time.perf_counter() + ROUND_SECS
    await asyncio.gather(*(work(store, numbers, until, waits) for _ in range(CALLERS)))
    return len(waits) / ROUND_SECS, statistics.quantiles(waits, n=100)[98] * 1000


async def no_audit(_before: int) -> int:
    return 0


async def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = await Store.open(Path(folder), RecordedEvents(), SystemClock())
        numbers = itertools.count(1)
        for _ in range(BEFORE // 500):
            await asyncio.gather(*(carry(store, next(numbers), 1) for _ in range(500)))
        keeper = Keeper(store.retention, lambda: SITE, lambda: store.pending, no_audit, RecordedEvents(), SystemClock())
        alone: list[tuple[float, float]] = []
        beside: list[tuple[float, float]] = []
        removed = 0
        for _ in range(rounds):
            alone.append(await measure(store, numbers))
            keeping = asyncio.create_task(keeper.keep(limit_secs=ROUND_SECS, sure=True))
            beside.append(await measure(store, numbers))
            removed += sum(gone.messages for gone in (await keeping).gone)
        await store.close()
    for name, found in (("without", alone), ("with", beside)):
        rates, waits = zip(*found, strict=True)
        sys.stdout.write(
            f"{name:8} {statistics.median(rates):8.0f} messages/s, p99 {statistics.median(waits):6.1f} ms\n"
        )
    ratio = statistics.median(rate for rate, _ in beside) / statistics.median(rate for rate, _ in alone)
    sys.stdout.write(f"ratio    {ratio:8.2f}; removed {removed / (rounds * ROUND_SECS):.0f} a second beside it\n")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 3))
