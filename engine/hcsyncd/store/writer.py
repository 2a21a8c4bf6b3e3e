"""The one writer: a thread with its own connection that makes one commit of everything that waits.

There is no timer. While a commit runs, the next group gathers, and it goes when the event loop has told the callers of
the first one; when the writer is idle, a group is what one turn of the loop asked for. So a lone call waits for one
disk sync, and under load many calls share one. The loop hands groups over, and the writer takes none by itself: a
commit has to win the interpreter lock back from a busy loop several times, whether it is small or large.

When a group fails, it is rolled back and its operations are run again one by one, each in a transaction of its own, so
that only the guilty one fails. When the disk fails, operations fail and the writer lives on: the next one that succeeds
is the recovery.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Generic, NamedTuple, TypeVar

import apsw

from hcsyncd.clock import Clock
from hcsyncd.errors import StoreError
from hcsyncd.events import Event, OperationFailed, StoreFailed, StoreRecovered
from hcsyncd.store.diagnosis import diagnose, is_of_the_machine
from hcsyncd.store.queries import QUERIES
from hcsyncd.store.sealing import CLEAR, Sealing
from hcsyncd.store.transaction import Transaction

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")

MAX_OPERATIONS = 512  # in one commit
MAX_BYTES = 8 << 20  # of bodies in one commit; a single larger one goes alone
CHECKPOINT_PAGES = 1000  # write-ahead pages after which they are moved into the store file
# Turns of the loop between a commit and the next one, while something waits: callers act on their answers, peers on
# what they are told, and it all shares the commit. An idle loop turns in microseconds; with 4 turns in place of 2, 64
# closed-loop connections cost the writer a quarter less CPU.
GATHER_TURNS = 4
HOPELESS = 3  # operations in a row that fail by the machine's fault, after which the rest of a group fails untried


@dataclass(frozen=True, slots=True, eq=False)
class Work(Generic[Asked, Answer]):
    """One kind of operation. ``run`` takes all that a group asks of the kind and gives one answer each, in order.

    Within a group, kinds of a lower ``rank`` take effect first, so that each kind needs few statements. Ranks are
    chosen so that no caller can tell: what would depend on the order is of one kind. Without a rank, an operation keeps
    its place between those asked before and after it.
    """

    name: str
    run: Callable[[Transaction, list[Asked]], Sequence[Answer]]
    rank: int | None = None


class Operation(NamedTuple):
    """One call, waiting."""

    work: Work[Any, Any]
    asked: Any
    future: asyncio.Future[Any]
    bytes: int


class Writer:
    """Takes operations from the event loop that made it; every method but the thread's own belongs to that loop."""

    def __init__(
        self, connection: apsw.Connection, emit: Callable[[Event], None], clock: Clock, sealing: Sealing = CLEAR
    ) -> None:
        self._connection = connection
        self._transaction = Transaction(connection, sealing)
        self._emit = emit
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Operation] = deque()
        self._in_hand = 0
        self._groups: SimpleQueue[list[Operation] | None] = SimpleQueue()  # None: there will be no more
        self._hand_over_soon = False
        self._closing = False
        self._dismissed = False
        self._closed = self._loop.create_future()
        self._failing = False
        self._checkpoint_at = self._pages_written() + CHECKPOINT_PAGES
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    @property
    def pending(self) -> int:
        """Operations that are not committed yet."""
        return len(self._waiting) + self._in_hand

    def submit(self, work: Work[Asked, Answer], asked: Asked, size: int = 0) -> asyncio.Future[Answer]:
        """Have an operation carried out; ``size`` is its bytes of bodies. Fails with StoreError."""
        future: asyncio.Future[Answer] = self._loop.create_future()
        if self._closing:
            future.set_exception(StoreError(f"{work.name} came after the store was closed"))
            return future
        self._waiting.append(Operation(work, asked, future, size))
        if not self._in_hand and not self._hand_over_soon:
            # After this turn of the loop, so that all calls of the turn share the commit.
            self._hand_over_soon = True
            self._loop.call_soon(self._hand_over)
        return future

    async def close(self) -> None:
        """Commit what waits, move the log into the store file, close the connection."""
        if not self._closing:
            self._closing = True
            if not self._in_hand:
                self._hand_over()
        await asyncio.shield(self._closed)

    def _hand_over(self) -> None:
        """Give the thread its next group; when there is none and will be none, its leave."""
        self._hand_over_soon = False
        if self._in_hand or self._dismissed:
            return
        if self._waiting:
            group = self._take()
            self._in_hand = len(group)
            self._groups.put(group)
        elif self._closing:
            self._dismissed = True
            self._groups.put(None)

    def _hand_over_after(self, turns: int) -> None:
        if turns:
            self._loop.call_soon(self._hand_over_after, turns - 1)
        else:
            self._hand_over()

    def _take(self) -> list[Operation]:
        group: list[Operation] = []
        size = 0
        waiting = self._waiting
        while waiting and len(group) < MAX_OPERATIONS:
            size += waiting[0].bytes
            if size > MAX_BYTES and group:
                break
            group.append(waiting.popleft())
        return group

    # In the thread

    def _run(self) -> None:
        try:
            while (group := self._groups.get()) is not None:
                self._tell(self._resolve, group, self._carry_out(group))
                if self._transaction.rebuild:
                    self._rebuild()
                if self._transaction.wipe_log:
                    self._wipe_log()
                elif self._pages_written() >= self._checkpoint_at:
                    self._checkpoint(apsw.SQLITE_CHECKPOINT_PASSIVE)
            self._checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE)
            self._connection.close()
        finally:
            self._tell(self._finish)

    def _tell(self, callback: Callable[..., object], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:
            # The loop is closed: whoever waited is gone, and what is committed stays committed.
            return

    def _carry_out(self, group: list[Operation]) -> list[Any]:
        """The answer, or the StoreError, of each operation."""
        try:
            return self._commit(group)
        except Exception as error:
            self._roll_back()
            if len(group) == 1:
                return [self._blame(group[0], error)]
        results: list[Any] = []
        failed_in_a_row = 0
        for operation in group:
            if failed_in_a_row >= HOPELESS:
                results.append(results[-1])
                continue
            try:
                results += self._commit([operation])
                failed_in_a_row = 0
            except Exception as error:
                self._roll_back()
                results.append(self._blame(operation, error))
                failed_in_a_row += is_of_the_machine(error)
        return results

    def _commit(self, group: list[Operation]) -> list[Any]:
        transaction = self._transaction
        transaction.now = self._clock.now()
        results: list[Any] = [None] * len(group)
        self._connection.execute("BEGIN IMMEDIATE")
        for work, places in _by_work(group):
            answers = work.run(transaction, [group[place].asked for place in places])
            for place, answer in zip(places, answers, strict=True):
                results[place] = answer
        self._connection.execute("COMMIT")
        if self._failing:
            self._failing = False
            self._tell(self._emit, StoreRecovered())
        return results

    def _roll_back(self) -> None:
        self._transaction.forget()
        if not self._connection.in_transaction:
            return  # SQLite did it by itself, as it does on a full disk
        try:
            self._connection.execute("ROLLBACK")
        except apsw.Error as error:
            self._note_failure(diagnose(error, "rolling back"))

    def _blame(self, operation: Operation, error: Exception) -> StoreError:
        failure = diagnose(error, operation.work.name)
        failure.__cause__ = error
        if is_of_the_machine(error):
            self._note_failure(failure)
        elif failure is not error:  # else it is an answer that the caller is to have, and no fault
            self._tell(self._emit, OperationFailed(str(failure)))
        return failure

    def _note_failure(self, failure: StoreError) -> None:
        if not self._failing:
            self._failing = True
            self._tell(self._emit, StoreFailed(str(failure)))

    def _pages_written(self) -> int:
        """Pages that went to the log since the connection was opened. Asked for, as a hook would cost each commit one
        more turn of the interpreter lock."""
        return self._connection.status(apsw.SQLITE_DBSTATUS_CACHE_WRITE)[0]

    def _checkpoint(self, mode: int) -> None:
        # What a long read still needs cannot be moved: it is tried again when there is more, not after each commit.
        self._checkpoint_at = self._pages_written() + CHECKPOINT_PAGES
        try:
            self._connection.wal_checkpoint(mode=mode)
        except apsw.Error as error:
            self._note_failure(diagnose(error, "moving the write-ahead log into the store file"))

    def _rebuild(self) -> None:
        self._transaction.rebuild = False
        try:
            self._connection.execute("VACUUM")
            self._connection.execute(QUERIES["end_remnants"].text)
        except apsw.Error as error:
            self._note_failure(diagnose(error, "building the store file anew"))

    def _wipe_log(self) -> None:
        """Empty the log, if no read holds on to it; else it is tried again behind the next commit."""
        patience: int = self._connection.pragma("busy_timeout")
        self._connection.set_busy_timeout(0)
        try:
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            self._transaction.wipe_log = False
        except apsw.BusyError:
            return
        except apsw.Error as error:
            self._note_failure(diagnose(error, "emptying the write-ahead log"))
        finally:
            self._connection.set_busy_timeout(patience)

    # Back in the loop

    def _resolve(self, group: list[Operation], results: list[Any]) -> None:
        self._in_hand = 0
        if self._waiting or self._closing:
            self._hand_over_soon = True
            self._hand_over_after(GATHER_TURNS)
        for operation, result in zip(group, results, strict=True):
            future = operation.future
            if future.done():  # done: the caller was cancelled; its operation stays
                continue
            if isinstance(result, StoreError):
                future.set_exception(result)
            else:
                future.set_result(result)

    def _finish(self) -> None:
        if not self._closed.done():
            self._closed.set_result(None)


def _by_work(group: list[Operation]) -> Iterator[tuple[Work[Any, Any], list[int]]]:
    """The kinds of work in the order in which they are to take effect, each with the places of its operations."""
    ranked: dict[Work[Any, Any], list[int]] = {}
    for place, operation in enumerate(group):
        work = operation.work
        if work.rank is None:
            yield from _in_rank(ranked)
            ranked = {}
            yield work, [place]
        elif work in ranked:
            ranked[work].append(place)
        else:
            ranked[work] = [place]
    yield from _in_rank(ranked)


def _in_rank(ranked: dict[Work[Any, Any], list[int]]) -> Iterator[tuple[Work[Any, Any], list[int]]]:
    return iter(sorted(ranked.items(), key=lambda item: item[0].rank or 0))
