from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest

from hcsyncd.errors import StoreError
from hcsyncd.store.readers import CONNECTIONS, Readers
from hcsyncd.store.schema import load_migrations, migrate


@pytest.fixture
async def file(tmp_path: Path) -> AsyncIterator[apsw.Connection]:
    writer = apsw.Connection(str(tmp_path / "store.db"))
    writer.pragma("journal_mode", "wal")
    migrate(writer, load_migrations(), 0)
    writer.execute("CREATE TABLE note (value)")
    yield writer
    writer.close()


@pytest.fixture
async def readers(file: apsw.Connection) -> AsyncIterator[Readers]:
    pool = Readers(Path(file.db_filename("main")), 1000)
    yield pool
    await pool.close()


def count(connection: apsw.Connection) -> int:
    found: int = connection.execute("SELECT count(*) FROM note").get
    return found


async def test_a_read_sees_one_moment(file: apsw.Connection, readers: Readers) -> None:
    def look(connection: apsw.Connection) -> tuple[int, int]:
        first = count(connection)
        file.execute("INSERT INTO note VALUES (1)")
        return first, count(connection)

    assert await readers.read(look) == (0, 0)
    assert await readers.read(count) == 1


async def test_reads_run_side_by_side_and_off_the_loop(readers: Readers) -> None:
    together = threading.Barrier(CONNECTIONS + 1)  # passed only when all are there, the loop's own thread too

    def look(_connection: apsw.Connection) -> None:
        together.wait(10)

    reads = asyncio.gather(*(readers.read(look) for _ in range(CONNECTIONS)))
    await asyncio.to_thread(together.wait, 10)
    await reads


async def test_a_reader_cannot_write(readers: Readers) -> None:
    with pytest.raises(StoreError, match="reading the store failed: the store cannot be written"):
        await readers.read(lambda connection: connection.execute("INSERT INTO note VALUES (1)").fetchall())
    assert await readers.read(count) == 0, "the connection is good for the next read"


async def test_a_failed_read_gives_its_connection_back(readers: Readers) -> None:
    for _ in range(CONNECTIONS * 2):
        with pytest.raises(StoreError, match="no such table"):
            await readers.read(lambda connection: connection.execute("SELECT * FROM nowhere").fetchall())
    assert await readers.read(count) == 0


async def test_closing_waits_for_the_reads_that_run(file: apsw.Connection) -> None:
    pool = Readers(Path(file.db_filename("main")), 1000)
    entered, gate = threading.Event(), threading.Event()

    def look(connection: apsw.Connection) -> int:
        entered.set()
        gate.wait(10)
        return count(connection)

    reading = asyncio.ensure_future(pool.read(look))
    await asyncio.to_thread(entered.wait, 10)
    closing = asyncio.ensure_future(pool.close())
    await asyncio.sleep(0)
    assert not closing.done()
    gate.set()
    await closing
    assert await reading == 0
    with pytest.raises(StoreError, match="closed"):
        await pool.read(count)


async def test_a_long_read_does_not_keep_the_store_open(readers: Readers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hcsyncd.store.readers.PATIENCE_SECS", 0.05)
    began = threading.Event()

    def look(connection: apsw.Connection) -> object:
        began.set()
        endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
        return connection.execute(endless).fetchall()

    reading = asyncio.create_task(readers.read(look))
    await asyncio.to_thread(began.wait)
    await asyncio.wait_for(readers.close(), 10)
    with pytest.raises(StoreError):
        await reading
