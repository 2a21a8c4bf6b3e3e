from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import apsw
import pytest

from hcsyncd.errors import StoreError
from hcsyncd.events import OperationFailed
from hcsyncd.store import writer as writing
from hcsyncd.store.schema import load_migrations, migrate
from hcsyncd.store.transaction import Transaction
from hcsyncd.store.writer import Work, Writer
from tests.fakes.clock import FakeClock
from tests.fakes.events import RecordedEvents
from tests.fakes.waiting import until


class Bench:
    """A writer on a file with one table to write notes in, and works that note what they were given."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.groups: list[tuple[str, list[Any]]] = []
        self.events = RecordedEvents()
        connection = apsw.Connection(str(path))
        connection.pragma("journal_mode", "wal")
        connection.wal_autocheckpoint(0)
        migrate(connection, load_migrations(), 0)
        connection.execute("CREATE TABLE note (kind TEXT, value)")
        self.writer = Writer(connection, self.events, FakeClock())

    def work(self, name: str, rank: int | None = 0) -> Work[Any, Any]:
        def run(transaction: Transaction, asked: list[Any]) -> Sequence[Any]:
            self.groups.append((name, list(asked)))
            for value in asked:
                if value == "bad":
                    raise ValueError("body")
                transaction.connection.execute("INSERT INTO note VALUES (?, ?)", (name, value))
            return [f"{value} noted" for value in asked]

        return Work(name, run, rank)

    async def block(self) -> tuple[asyncio.Future[Any], threading.Event]:
        """An operation that holds the writer in its commit until the event is set."""
        entered, gate = threading.Event(), threading.Event()

        def run(_transaction: Transaction, asked: list[Any]) -> Sequence[Any]:
            entered.set()
            gate.wait(10)
            return asked

        held = self.writer.submit(Work("blocking", run), None)
        await until(entered.is_set, "the writer is in the commit")
        return held, gate

    def noted(self) -> list[Any]:
        """What is on disk, as another connection sees it."""
        connection = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            return [value for (value,) in connection.execute("SELECT value FROM note ORDER BY rowid")]
        finally:
            connection.close()


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path / "notes.db")
    yield made
    await made.writer.close()


async def test_the_calls_of_one_turn_share_a_commit(bench: Bench) -> None:
    note = bench.work("note")
    answers = await asyncio.gather(*(bench.writer.submit(note, value) for value in "abc"))
    assert answers == ["a noted", "b noted", "c noted"]
    assert bench.groups == [("note", ["a", "b", "c"])]
    assert bench.noted() == ["a", "b", "c"]


async def test_what_comes_during_a_commit_makes_the_next_one(bench: Bench) -> None:
    held, gate = await bench.block()
    note = bench.work("note")
    late = [bench.writer.submit(note, "a")]
    await asyncio.sleep(0)
    late.append(bench.writer.submit(note, "b"))
    assert not held.done()
    gate.set()
    await asyncio.gather(held, *late)
    assert bench.groups == [("note", ["a", "b"])]


async def test_an_answer_comes_after_its_commit(bench: Bench) -> None:
    note = bench.work("note")
    seen: list[list[Any]] = []
    future = bench.writer.submit(note, "a")
    future.add_done_callback(lambda _: seen.append(bench.noted()))
    await future
    await asyncio.sleep(0)
    assert seen == [["a"]]


async def test_answers_are_given_in_the_order_of_the_calls(bench: Bench) -> None:
    low, high = bench.work("low", 0), bench.work("high", 1)
    order: list[int] = []
    futures = [bench.writer.submit((high, low)[number % 2], number) for number in range(6)]
    for future in futures:
        future.add_done_callback(lambda done: order.append(futures.index(done)))
    await asyncio.gather(*futures)
    await asyncio.sleep(0)
    assert order == list(range(6))


async def test_kinds_take_effect_by_rank_and_the_rankless_in_its_place(bench: Bench) -> None:
    low, high, single = bench.work("low", 0), bench.work("high", 1), bench.work("single", None)
    asked = [(high, "1"), (low, "2"), (single, "3"), (high, "4"), (low, "5"), (high, "6")]
    await asyncio.gather(*(bench.writer.submit(work, value) for work, value in asked))
    assert bench.groups == [
        ("low", ["2"]),
        ("high", ["1"]),
        ("single", ["3"]),
        ("low", ["5"]),
        ("high", ["4", "6"]),
    ]


async def test_only_the_guilty_operation_fails(bench: Bench) -> None:
    note, other = bench.work("note"), bench.work("other", 1)
    asked = [(note, "a"), (other, "b"), (note, "bad"), (note, "c")]
    answers = await asyncio.gather(*(bench.writer.submit(work, value) for work, value in asked), return_exceptions=True)
    assert [answer for answer in answers if isinstance(answer, str)] == ["a noted", "b noted", "c noted"]
    failure = answers[2]
    assert isinstance(failure, StoreError)
    assert str(failure) == "note failed: ValueError", "the cause by its kind alone: its text may hold data"
    assert isinstance(failure.__cause__, ValueError)
    assert bench.noted() == ["a", "b", "c"], "nothing twice, in the order of the calls"
    assert [type(event) for event in bench.events.events] == [OperationFailed], "told, and no failure of the store"


async def test_a_lone_operation_that_fails_leaves_nothing(bench: Bench) -> None:
    def run(transaction: Transaction, _asked: list[Any]) -> Sequence[Any]:
        transaction.connection.execute("INSERT INTO note VALUES ('half', 'done')")
        raise StoreError("no such thing")

    with pytest.raises(StoreError, match=r"^no such thing$"):
        await bench.writer.submit(Work("half", run), None)
    assert bench.noted() == []
    assert await bench.writer.submit(bench.work("note"), "a") == "a noted"
    assert bench.events.events == [], "what the operation has to say goes to its caller alone"


async def test_a_commit_that_the_database_refuses_fails_only_its_cause(bench: Bench) -> None:
    def forbid_repeats(transaction: Transaction, asked: list[None]) -> Sequence[None]:
        transaction.connection.execute("CREATE UNIQUE INDEX once ON note (value)")
        return asked

    await bench.writer.submit(Work("rule", forbid_repeats), None)
    note = bench.work("note")
    answers = await asyncio.gather(*(bench.writer.submit(note, value) for value in "aba"), return_exceptions=True)
    assert [str(answer) for answer in answers] == [
        "a noted",
        "b noted",
        "note failed: UNIQUE constraint failed: note.value",
    ]


async def test_a_cancelled_caller_disturbs_nobody(bench: Bench) -> None:
    note = bench.work("note")
    first, gone, last = (bench.writer.submit(note, value) for value in "abc")
    gone.cancel()
    assert list(await asyncio.gather(first, last)) == ["a noted", "c noted"]
    assert bench.noted() == ["a", "b", "c"], "what was asked is done"


async def test_a_group_is_bounded_in_number(bench: Bench) -> None:
    note = bench.work("note")
    count = writing.MAX_OPERATIONS * 2 + 1
    await asyncio.gather(*(bench.writer.submit(note, number) for number in range(count)))
    assert [len(values) for _, values in bench.groups] == [writing.MAX_OPERATIONS, writing.MAX_OPERATIONS, 1]
    assert bench.noted() == list(range(count))


async def test_a_group_is_bounded_in_bytes(bench: Bench) -> None:
    note = bench.work("note")
    half = writing.MAX_BYTES // 2
    sizes = [half, half, half, writing.MAX_BYTES * 3, 1, 1]
    await asyncio.gather(*(bench.writer.submit(note, number, size) for number, size in enumerate(sizes)))
    assert [values for _, values in bench.groups] == [[0, 1], [2], [3], [4, 5]]


async def test_what_answered_callers_ask_for_at_once_shares_a_commit_with_what_waited(bench: Bench) -> None:
    held, gate = await bench.block()
    note = bench.work("note")
    late: list[asyncio.Future[Any]] = []
    held.add_done_callback(lambda _: late.append(bench.writer.submit(note, "b")))
    waited = bench.writer.submit(note, "a")
    gate.set()
    await waited
    await asyncio.gather(*late)
    assert bench.groups == [("note", ["a", "b"])]


async def test_what_is_not_committed_is_pending(bench: Bench) -> None:
    held, gate = await bench.block()
    late = bench.writer.submit(bench.work("note"), "a")
    assert bench.writer.pending == 2
    gate.set()
    await asyncio.gather(held, late)
    assert bench.writer.pending == 0


async def test_closing_carries_out_what_waits(bench: Bench) -> None:
    note = bench.work("note")
    held, gate = await bench.block()
    futures = [bench.writer.submit(note, value) for value in "abc"]
    asyncio.get_running_loop().call_soon(gate.set)
    await asyncio.gather(bench.writer.close(), bench.writer.close())
    assert held.done()
    assert [future.result() for future in futures] == ["a noted", "b noted", "c noted"]
    assert bench.noted() == ["a", "b", "c"]
    with pytest.raises(StoreError, match="after the store was closed"):
        await bench.writer.submit(note, "d")
    assert bench.noted() == ["a", "b", "c"]


async def test_the_log_is_moved_into_the_file_from_time_to_time(bench: Bench) -> None:
    note = bench.work("note")
    for number in range(12):
        await bench.writer.submit(note, bytes([number]) * 500_000)
    log = bench.path.with_name("notes.db-wal")
    assert log.stat().st_size < 8_000_000, "the log is begun anew after a checkpoint"
    assert bench.path.stat().st_size > 3_000_000


async def test_a_long_read_holds_up_no_commit_and_the_log_is_moved_after_it(bench: Bench) -> None:
    note = bench.work("note")
    reader = apsw.Connection(str(bench.path), flags=apsw.SQLITE_OPEN_READONLY)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM note").fetchall()
    for number in range(12):
        await bench.writer.submit(note, bytes([number]) * 500_000)
    log = bench.path.with_name("notes.db-wal")
    assert log.stat().st_size > 6_000_000, "the reader still needs all of it"
    reader.close()
    for number in range(24):
        await bench.writer.submit(note, bytes([number]) * 500_000)
    assert log.stat().st_size < 16_000_000
    assert bench.path.stat().st_size > 10_000_000


def test_a_loop_that_ended_without_closing_leaves_what_the_writer_had_in_hand(tmp_path: Path) -> None:
    made: list[Bench] = []
    gates: list[threading.Event] = []

    async def leave() -> None:
        bench = Bench(tmp_path / "notes.db")
        made.append(bench)
        noted = bench.writer.submit(bench.work("note", 2), "a")  # in one turn, and so in one group with the block
        _, gate = await bench.block()
        gates.append(gate)
        assert not noted.done()

    asyncio.run(leave())
    gates[0].set()
    bench = made[0]
    bench.writer._groups.put(None)
    bench.writer._thread.join(10)
    assert not bench.writer._thread.is_alive()
    assert bench.noted() == ["a"]
