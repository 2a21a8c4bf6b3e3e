"""What an operation sees of the store while the writer carries it out."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import apsw

from hcsyncd.store.queries import QUERIES, Query
from hcsyncd.store.sealing import CLEAR, Sealing

# Statements are prepared for these numbers of rows; a group takes the next larger one and fills it up.
LENGTHS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
ROWS_A_STATEMENT = LENGTHS[-1]

RECEIVED_KNOWN = 4096  # messages


class Transaction:
    """The writer's connection inside a transaction, with the counters that ids come from.

    There is one writer, so ids are counted here and never asked from the database. After a roll-back the counters
    stay where they are: ids may have gaps, and they always rise.

    Groups of rows go in as few statements as possible, because each step of a statement gives the interpreter lock away
    and has to win it back from a busy event loop.
    """

    __slots__ = (
        "connection",
        "last_body",
        "last_delivery",
        "last_message",
        "now",
        "rebuild",
        "received",
        "sealing",
        "wipe_log",
    )

    def __init__(self, connection: apsw.Connection, sealing: Sealing = CLEAR) -> None:
        self.connection = connection
        self.sealing = sealing
        self.rebuild = False  # set: the file is built anew after the commit, without what was deleted
        self.wipe_log = False  # set: the write-ahead log is emptied after the commit, for what it may still hold
        self.now = 0  # microseconds; set by the writer for each commit
        # Some of the messages that wait for routing, each with its body and that one's length: spares the look-up.
        self.received: dict[int, tuple[int, int]] = {}
        self.last_message, self.last_delivery, self.last_body = _last_ids(connection)

    def note_received(self, message_id: int, body_id: int, size: int) -> None:
        """Know without looking that a message waits for routing, until it is handed on."""
        if len(self.received) >= RECEIVED_KNOWN:
            self.received.clear()  # those are looked up when their turn comes
        self.received[message_id] = (body_id, size)

    def forget(self) -> None:
        """After a roll-back: only the database knows what is so."""
        self.received.clear()

    def next_message(self) -> int:
        self.last_message += 1
        return self.last_message

    def next_delivery(self) -> int:
        self.last_delivery += 1
        return self.last_delivery

    def next_body(self) -> int:
        self.last_body += 1
        return self.last_body

    def insert(self, name: str, rows: Sequence[tuple[Any, ...]]) -> int:
        """Run a query that takes rows, sealing what it says is to be; how many rows of the database it changed."""
        changed = 0
        query = QUERIES[name]
        if query.seals:
            rows = self.sealing.seal_rows(query.seals, rows)
        for start in range(0, len(rows), ROWS_A_STATEMENT):
            part = rows[start : start + ROWS_A_STATEMENT]
            length = _length_for(len(part))
            values = list(chain.from_iterable(part))
            values += (None,) * (len(part[0]) * (length - len(part)))
            self.connection.execute(query.for_rows(length), values)
            changed += self.connection.changes()
        return changed

    def update(self, name: str, ids: Sequence[int], *first: Any) -> int:
        """Run a query that takes ``first`` and then a list of ids; how many rows of the database it changed."""
        changed = 0
        for text, values in _lists(QUERIES[name], ids):
            self.connection.execute(text, (*first, *values))
            changed += self.connection.changes()
        return changed

    def select(self, name: str, keys: Sequence[Any]) -> list[Any]:
        """The rows of a query that takes a list of keys."""
        return select(self.connection, name, keys)


def _last_ids(connection: apsw.Connection) -> tuple[int, int, int]:
    row: Any = connection.execute(QUERIES["last_ids"].text).fetchone()
    message_id, delivery_id, body_id = row
    return message_id, delivery_id, body_id


def select(connection: apsw.Connection, name: str, keys: Sequence[Any]) -> list[Any]:
    """The rows of a query that takes a list of keys, in statements of bounded length."""
    rows: list[Any] = []
    for text, values in _lists(QUERIES[name], keys):
        rows += connection.execute(text, values).fetchall()
    return rows


def _lists(query: Query, keys: Sequence[Any]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Split a list of keys into statements; the last is filled up with a key it has already."""
    for start in range(0, len(keys), ROWS_A_STATEMENT):
        part = tuple(keys[start : start + ROWS_A_STATEMENT])
        length = _length_for(len(part))
        yield query.for_rows(length), part + part[-1:] * (length - len(part))


def _length_for(count: int) -> int:
    return LENGTHS[bisect_left(LENGTHS, count)]
