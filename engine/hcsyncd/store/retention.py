"""Retention: what is due is found beside the writer, judged again and removed in commits of bounded size."""

from __future__ import annotations

import time
from asyncio import Future
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import apsw
import msgspec

from hcsyncd.message import MessageState
from hcsyncd.store.ports.retention import (
    Bound,
    ClockSeen,
    Data,
    Family,
    Kept,
    Removed,
    Space,
    Volume,
    Walked,
)
from hcsyncd.store.queries import QUERIES
from hcsyncd.store.readers import Readers
from hcsyncd.store.transaction import Transaction
from hcsyncd.store.writer import Work, Writer

STEP_MESSAGES = 512  # index entries in one step of a walk; a read that goes on for long holds the write-ahead log up
STEP_DELIVERIES = 8192

# In this order: what is found by what goes first. A table of another subject that speaks of messages adds its query.
_METADATA = (
    "remove_attempts",
    "remove_folds",
    "remove_parkings",
    "remove_assignments",
    "remove_replay_items",
    "remove_keys",
    "remove_deliveries",
    "remove_arrivals",
    "remove_removals",
    "remove_messages",
)
_BYTES = {Data.BODIES: "bytes_of_bodies", Data.ANSWERS: "bytes_of_answers", Data.METADATA: "bytes_of_metadata"}
_REMOVE = {
    Data.BODIES: ("note_highest_body", "remove_bodies", "note_bodies_removed"),
    Data.ANSWERS: ("remove_replies", "remove_answers", "note_answers_removed"),
    Data.METADATA: _METADATA,
}

_decode_ids = msgspec.json.Decoder(list[int]).decode
_encode = msgspec.json.encode


@dataclass(frozen=True, slots=True)
class _Remove:
    bound: Bound
    roots: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Fold:
    delivery_ids: tuple[int, ...]
    attempts: int


class SqliteRetention:
    """The retention port on the store file."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def channels(self) -> list[str]:
        return [row[0] for row in await self._readers.rows("settled_channels")]

    async def walk(self, bound: Bound, state: MessageState, after_id: int) -> Walked:
        return await self._readers.read(lambda connection: _walk(connection, bound, state, after_id))

    def remove(self, bound: Bound, roots: Sequence[int]) -> Future[Removed]:
        return self._writer.submit(REMOVE, _Remove(bound, tuple(roots)))

    async def measure(self, bound: Bound, roots: Sequence[int]) -> Kept:
        return await self._readers.read(lambda connection: _measure(connection, bound, roots))

    async def newest(self) -> int:
        rows = await self._readers.rows("newest_message")
        newest: int = rows[0][0]
        return newest

    async def volume(self, after_id: int, upto_id: int) -> Volume:
        volume: dict[tuple[str, Data], Kept] = {}
        for channel, *counted in await self._readers.rows("volume", {"after": after_id, "upto": upto_id}):
            for data, messages, size in zip(Data, counted[::2], counted[1::2], strict=True):
                volume[channel, data] = Kept(messages, size)
        return volume

    async def sizes(self, channel: str, data: Data, after_id: int, upto_id: int) -> list[tuple[int, int]]:
        wanted = {"channel": channel, "data": data, "after": after_id, "upto": upto_id}
        return await self._readers.rows("sizes", wanted)

    async def long_deliveries(self, after_id: int, attempts: int) -> tuple[list[int], int]:
        wanted = {"after": after_id, "attempts": attempts, "limit": STEP_DELIVERIES}
        ((last_id, found),) = await self._readers.rows("long_deliveries", wanted)
        return _decode_ids(found), last_id or 0

    def fold_attempts(self, delivery_ids: Sequence[int], attempts: int) -> Future[Removed]:
        return self._writer.submit(FOLD, _Fold(tuple(delivery_ids), attempts))

    async def space(self) -> Space:
        def look(connection: apsw.Connection) -> Space:
            pages, free, page_bytes = (
                int(connection.pragma(name)) for name in ("page_count", "freelist_count", "page_size")
            )
            return Space(pages * page_bytes, free * page_bytes)

        return await self._readers.read(look)

    def give_back(self, max_bytes: int) -> Future[Removed]:
        return self._writer.submit(GIVE_BACK, max_bytes)

    def empty_log(self) -> Future[None]:
        return self._writer.submit(EMPTY_LOG, None)

    async def clock_seen(self) -> ClockSeen:
        ((seen_at, doubted_at),) = await self._readers.rows("clock_seen")
        return ClockSeen(seen_at, doubted_at)

    def note_clock(self, seen: ClockSeen) -> Future[None]:
        return self._writer.submit(NOTE_CLOCK, seen)


# Beside the writer


def _walk(connection: apsw.Connection, bound: Bound, state: MessageState, after_id: int) -> Walked:
    wanted = {
        "state": state,
        "channel": bound.channel,
        "after": after_id,
        "limit": STEP_MESSAGES,
        "before": bound.before,
        "below": bound.below,
        "data": bound.data,
    }
    row: Any = connection.execute(QUERIES["walk_settled"].text, wanted).fetchone()
    last_id, walked, roots, first_young = row
    families = tuple(family for family, _ in _removable(connection, bound, _decode_ids(roots)))
    if first_young is not None:  # those before it that stay are looked at again when it is due itself
        return Walked(families, after_id, ended=True)
    newest: int = connection.execute(QUERIES["newest_message"].text).get  # stays for now, and may go when it is not
    return Walked(families, min(last_id or after_id, max(newest - 1, 0)), ended=walked < STEP_MESSAGES)


def _removable(connection: apsw.Connection, bound: Bound, roots: Sequence[int]) -> list[tuple[Family, list[int]]]:
    """Of these families those that may go, each with its messages, by root."""
    if not roots:
        return []
    wanted = {"roots": _json(roots), "before": bound.before, "below": bound.below, "data": bound.data}
    rows: Any = connection.execute(QUERIES["removable_families"].text, wanted)
    return [(Family(root, messages, size), _decode_ids(members)) for root, members, messages, size in sorted(rows)]


def _measure(connection: apsw.Connection, bound: Bound, roots: Sequence[int]) -> Kept:
    members = [member for _, ids in _removable(connection, bound, roots) for member in ids]
    return Kept(len(members), _bytes_of(connection, bound.data, _json(members)))


def _bytes_of(connection: apsw.Connection, data: Data, members: str) -> int:
    size: int = connection.execute(QUERIES[_BYTES[data]].text, {"members": members}).get
    return size


def _json(ids: Sequence[int]) -> str:
    return _encode(ids).decode()


# In the writer


def _remove(transaction: Transaction, group: list[_Remove]) -> list[Removed]:
    return [_remove_some(transaction, asked) for asked in group]


def _remove_some(transaction: Transaction, asked: _Remove) -> Removed:
    began = time.perf_counter()
    connection, data = transaction.connection, asked.bound.data
    ids = [member for _, members in _removable(connection, asked.bound, asked.roots) for member in members]
    if not ids:
        return Removed(seconds=time.perf_counter() - began)
    members = _json(ids)
    size = _bytes_of(connection, data, members)
    for name in _REMOVE[data]:
        connection.execute(QUERIES[name].text, {"members": members, "now": transaction.now})
    return Removed(len(ids), size, time.perf_counter() - began)


def _fold(transaction: Transaction, group: list[_Fold]) -> list[Removed]:
    return [_fold_some(transaction, asked) for asked in group]


def _fold_some(transaction: Transaction, asked: _Fold) -> Removed:
    began = time.perf_counter()
    connection = transaction.connection
    first = (asked.attempts + 1) // 2
    last = asked.attempts - first
    folded = 0
    for delivery_id in asked.delivery_ids:
        wanted = {"delivery": delivery_id, "first": first, "last": last}
        connection.execute(QUERIES["fold_attempts"].text, wanted)
        if gone := connection.changes():
            folded += gone
            connection.execute(QUERIES["note_fold"].text, {"delivery": delivery_id, "first": first, "gone": gone})
    return Removed(folded, 0, time.perf_counter() - began)


def _give_back(transaction: Transaction, group: list[int]) -> list[Removed]:
    return [_give_some_back(transaction.connection, max_bytes) for max_bytes in group]


def _give_some_back(connection: apsw.Connection, max_bytes: int) -> Removed:
    began = time.perf_counter()
    page_bytes = int(connection.pragma("page_size"))
    before = int(connection.pragma("page_count"))
    connection.execute(f"PRAGMA incremental_vacuum({max(1, max_bytes // page_bytes)})").fetchall()
    pages = before - int(connection.pragma("page_count"))
    return Removed(pages, pages * page_bytes, time.perf_counter() - began)


def _empty_log(transaction: Transaction, group: list[None]) -> list[None]:
    transaction.wipe_log = True
    return group


def _note_clock(transaction: Transaction, group: list[ClockSeen]) -> list[None]:
    transaction.connection.execute(QUERIES["note_clock"].text, (group[-1].seen_at, group[-1].doubted_at))
    return [None] * len(group)


REMOVE = Work("removing what is kept long enough", _remove)
FOLD = Work("folding attempts", _fold)
GIVE_BACK = Work("giving disk space back", _give_back)
EMPTY_LOG = Work("emptying the write-ahead log", _empty_log)
NOTE_CLOCK = Work("noting the time", _note_clock)
