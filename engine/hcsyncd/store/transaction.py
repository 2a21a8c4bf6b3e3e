"""What an operation sees of the store while the writer carries it out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import apsw

from hcsyncd.store.queries import QUERIES, Query

ROWS_A_STATEMENT = 64


class Transaction:
    """The writer's connection inside a transaction, with the counters that ids come from.

    There is one writer, so ids are counted here and never asked from the database. After a roll-back the counters
    stay where they are: ids may have gaps, and they always rise.

    Groups of rows go in as few statements as possible, because each step of a statement gives the interpreter lock away
    and has to win it back from a busy event loop.
    """

    __slots__ = ("connection", "last_body", "last_delivery", "last_message", "now")

    def __init__(self, connection: apsw.Connection) -> None:
        self.connection = connection
        self.now = 0  # microseconds; set by the writer for each commit
        self.last_message, self.last_delivery, self.last_body = _last_ids(connection)

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
        """Run a query that takes rows; how many rows of the database it changed."""
        changed = 0
        query = QUERIES[name]
        for part in _powers_of_two(rows):
            values: list[Any] = []
            for row in part:
                values += row
            self.connection.execute(query.for_rows(len(part)), values)
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


def _powers_of_two(rows: Sequence[tuple[Any, ...]]) -> Iterator[Sequence[tuple[Any, ...]]]:
    """Split rows into few parts of few different lengths, so that the statement cache holds them all."""
    start, left = 0, len(rows)
    while left:
        size = min(ROWS_A_STATEMENT, 1 << (left.bit_length() - 1))
        yield rows[start : start + size]
        start, left = start + size, left - size


def _lists(query: Query, keys: Sequence[Any]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Split a list of keys into statements; the last is filled up to a power of two with a key it has already."""
    for start in range(0, len(keys), ROWS_A_STATEMENT):
        part = tuple(keys[start : start + ROWS_A_STATEMENT])
        size = 1 << (len(part) - 1).bit_length()
        yield query.for_rows(size), part + part[-1:] * (size - len(part))
