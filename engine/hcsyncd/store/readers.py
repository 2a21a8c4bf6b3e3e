"""Reads beside the writer: a few read-only connections in threads of their own.

No read waits for a commit, and the event loop waits for no read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from heapq import merge
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar, cast

import apsw

from hcsyncd.errors import StoreError
from hcsyncd.store.diagnosis import diagnose
from hcsyncd.store.queries import QUERIES
from hcsyncd.store.sealing import CLEAR, Sealing
from hcsyncd.store.transaction import select

Found = TypeVar("Found")
Values = Sequence[Any] | dict[str, Any]

CONNECTIONS = 2
CACHE_KIBIBYTES = 4096
PATIENCE_SECS = 1.0  # with the reads that run when the store is closed; in between, each is cut off once more


class Readers:
    """A pool. Each read sees the store as it was at one moment, even when it takes several queries."""

    def __init__(self, path: Path, busy_milliseconds: int, sealing: Sealing = CLEAR) -> None:
        self.sealing = sealing
        self._idle: SimpleQueue[apsw.Connection] = SimpleQueue()
        self._connections = [_open(path, busy_milliseconds, sealing) for _ in range(CONNECTIONS)]
        for connection in self._connections:
            self._idle.put(connection)
        self._threads = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="store-reader")
        self._closed = False

    async def rows(self, name: str, values: Values = ()) -> list[Any]:
        """The rows of a named query."""
        text = QUERIES[name].text
        return await self.read(lambda connection: connection.execute(text, values).fetchall())

    async def up_to(self, max_bytes: int, sizes: str, values: Callable[[], Sequence[Values]], bodies: str) -> list[Any]:
        """The rows of query ``bodies`` for the ids that query ``sizes`` gives with the sizes of their bodies, ending
        with the one that brings these to ``max_bytes``. Bodies beyond that are never loaded. ``sizes`` is run with
        each of ``values()``, and what it gives is merged by id."""

        def look(connection: apsw.Connection) -> list[Any]:
            ids: list[int] = []
            total = 0
            text = QUERIES[sizes].text
            if self.sealing.is_on:  # what is asked for follows from the keys, and the read may not be older than they
                connection.execute(QUERIES["store_name"].text).fetchall()
            found = [cast("Iterator[tuple[int, int]]", connection.execute(text, some)) for some in values()]
            for row_id, size in merge(*found):
                ids.append(row_id)
                total += size
                if total >= max_bytes:
                    break
            return select(connection, bodies, ids)

        return await self.read(look)

    async def read(self, look: Callable[[apsw.Connection], Found]) -> Found:
        """Run ``look`` with a connection of the pool, in a thread. Fails with StoreError."""
        if self._closed:
            raise StoreError("the store is closed")
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._look, look)

    async def close(self) -> None:
        """Let short reads end, cut long ones off, and close: a stop of the daemon waits for no search."""
        self._closed = True
        ending = asyncio.ensure_future(asyncio.to_thread(self._threads.shutdown))
        while not (await asyncio.wait([ending], timeout=PATIENCE_SECS))[0]:
            for connection in self._connections:
                connection.interrupt()
        await ending
        for connection in self._connections:
            connection.close()

    def _look(self, look: Callable[[apsw.Connection], Found]) -> Found:
        connection = self._idle.get()
        try:
            connection.execute("BEGIN")
            try:
                return look(connection)
            finally:
                connection.execute("COMMIT")
        except apsw.Error as error:
            raise diagnose(error, "reading the store") from error
        finally:
            self._idle.put(connection)


def _open(path: Path, busy_milliseconds: int, sealing: Sealing) -> apsw.Connection:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    connection.set_busy_timeout(busy_milliseconds)
    sealing.register(connection)
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIBIBYTES}")
    return connection
