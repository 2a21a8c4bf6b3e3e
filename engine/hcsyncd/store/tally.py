"""How many messages and deliveries there are in each state, counted in the store's indexes.

A count goes over every row of an index: some 80 ms for a million messages with their deliveries. Counters kept by the
writes themselves would cost each message more than that is worth, so what took long to count is told again for a while:
whoever watches takes no more than a tenth of one reader's time. Small stores are always counted anew.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import apsw

from hcsyncd.store.queries import QUERIES
from hcsyncd.store.readers import Readers

LEAST_SECS = 0.02  # a count that takes less is never told twice
REST = 10.0  # times as long as it took to count

ByState = dict[str, int]


class Count(NamedTuple):
    """What was counted at one moment."""

    messages: Mapping[tuple[str, str], int]  # by source channel and state, replayed copies with them
    replays: ByState  # of these, the replayed copies
    deliveries: Mapping[tuple[str, str], int]  # by destination channel and state


class Tally:
    """Counts one store."""

    def __init__(self, readers: Readers, least_secs: float = LEAST_SECS, rest: float = REST) -> None:
        self._readers = readers
        self._least_secs = least_secs
        self._rest = rest
        self._counting = asyncio.Lock()
        self._last: Count | None = None
        self._good_until = 0.0  # monotonic

    async def count(self) -> Count:
        async with self._counting:
            if self._last is not None and time.monotonic() < self._good_until:
                return self._last
            last, took = await self._readers.read(_count_and_time)
            self._last = last
            self._good_until = time.monotonic() + took * self._rest if took >= self._least_secs else 0.0
            return last


def by_state(counts: Mapping[tuple[str, str], int]) -> ByState:
    """The counts of all channels together."""
    total: ByState = {}
    for (_, state), count in counts.items():
        total[state] = total.get(state, 0) + count
    return total


def _count_and_time(connection: apsw.Connection) -> tuple[Count, float]:
    """A count, and the seconds of work it took: waiting for a busy machine makes no store a large one."""
    began = time.thread_time()
    return _count(connection), time.thread_time() - began


def _count(connection: apsw.Connection) -> Count:
    names = ("count_messages_by_channel", "count_replays", "count_deliveries_by_destination")
    found: list[Any] = [connection.execute(QUERIES[name].text).fetchall() for name in names]
    messages, replays, deliveries = found
    return Count(
        {(channel, state): count for channel, state, count in messages},
        dict(replays),
        {(channel, state): count for channel, state, count in deliveries},
    )
