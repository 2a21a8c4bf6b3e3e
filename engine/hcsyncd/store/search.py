"""Finding on the store file: business keys, places in queues, rows as they come in."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from hcsyncd.message import DeliveryState
from hcsyncd.store.conditions import where_in
from hcsyncd.store.ports import DeliveryRow, IndexedKeys, Keyed, Newest, Reindexing, Standing, Tried
from hcsyncd.store.queries import QUERIES
from hcsyncd.store.readers import Readers
from hcsyncd.store.rows import key_rows, listed_delivery, parse_mapping
from hcsyncd.store.transaction import Transaction, select
from hcsyncd.store.writer import Work, Writer

STEP_IDS = 20_000  # gone through by one read

SELECT_DELIVERY = QUERIES["delivery_columns"].text

_encode_ids = msgspec.json.encode
_decode_blocker = msgspec.json.Decoder(tuple[int, str]).decode


@dataclass(frozen=True, slots=True)
class _Reindex:
    found: tuple[IndexedKeys, ...]
    below_id: int
    ended: bool


class SqliteSearch:
    """The search port on the store file."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def keys(self, message_ids: Sequence[int]) -> list[Keyed]:
        rows = await self._readers.read(lambda connection: select(connection, "keys_of_messages", message_ids))
        return [Keyed(*row) for row in rows]

    async def keyed(self, value: str, limit: int) -> list[tuple[str, int]]:
        forms = self._readers.sealing.candidates("key", value)
        rows = await self._readers.read(lambda connection: select(connection, "messages_keyed", forms))
        return list(dict.fromkeys((name, message_id) for name, message_id in rows))[:limit]

    async def with_fact(self, word: str, messages: int, limit: int) -> list[int]:
        found: list[int] = []
        last = (await self.newest()).message
        floor = max(0, last - messages)
        while last > floor and len(found) < limit:
            wanted = {"first": max(floor, last - STEP_IDS), "last": last, "word": word}
            for message_id, facts in await self._readers.rows("facts_with", wanted):
                if any(value == word or value.endswith(f"/{word}") for value in parse_mapping(facts).values()):
                    found.append(message_id)
            last -= STEP_IDS
        return found[:limit]

    async def deliveries(self, delivery_ids: Sequence[int]) -> list[DeliveryRow]:
        rows = await self._readers.read(
            lambda connection: where_in(connection, SELECT_DELIVERY, "delivery.id", delivery_ids, "delivery.id")
        )
        return [listed_delivery(row) for row in rows]

    async def open_deliveries(self, limit: int) -> list[DeliveryRow]:
        return await self.deliveries([row[0] for row in await self._readers.rows("open_delivery_ids", (limit,))])

    async def queued(self, delivery_ids: Sequence[int], most: int) -> list[Standing]:
        asked = {"ids": _encode_ids(list(delivery_ids)).decode(), "most": most}
        found = []
        for delivery_id, ahead, blocker, task in await self._readers.rows("queued", asked):
            blocked_by, state = _decode_blocker(blocker) if blocker else (0, "")
            blocked_state = DeliveryState(state) if state else None
            found.append(Standing(delivery_id, ahead, blocked_by, blocked_state, task or 0))
        return found

    async def waiting_before(self, message_id: int, most: int) -> int:
        rows = await self._readers.rows("waiting_before", {"message_id": message_id, "most": most})
        return int(rows[0][0])

    async def newest(self) -> Newest:
        return Newest(*(await self._readers.rows("newest_rows"))[0])

    async def made_after(self, delivery_id: int, limit: int) -> list[DeliveryRow]:
        return await self.deliveries([row[0] for row in await self._readers.rows("made_after", (delivery_id, limit))])

    async def tried_after(self, attempt_id: int, limit: int) -> list[Tried]:
        rows = await self._readers.rows("tried_after", (attempt_id, limit))
        return [
            Tried(row_id, delivery_id, ended_at, DeliveryState(state), cause)
            for row_id, delivery_id, ended_at, state, cause in rows
        ]

    async def reindexing(self) -> Reindexing | None:
        rows = await self._readers.rows("reindexing")
        return Reindexing(*rows[0]) if rows else None

    def begin_reindexing(self, asked_at: int) -> Future[Reindexing]:
        return self._writer.submit(BEGIN, asked_at)

    def reindex(self, found: Sequence[IndexedKeys], below_id: int, *, ended: bool) -> Future[None]:
        return self._writer.submit(REINDEX, _Reindex(tuple(found), below_id, ended))


def _begin(transaction: Transaction, group: list[int]) -> list[Reindexing]:
    begun = []
    for asked_at in group:
        newest = transaction.last_message
        transaction.connection.execute(QUERIES["forget_reindexing"].text)
        transaction.connection.execute(QUERIES["begin_reindexing"].text, (asked_at, newest, newest + 1))
        begun.append(Reindexing(asked_at, newest, newest + 1, 0))
    return begun


def _reindex(transaction: Transaction, group: list[_Reindex]) -> list[None]:
    for asked in group:
        rows = [
            row
            for one in asked.found
            for delivery_id, keys in one.keys
            for row in key_rows(one.message_id, delivery_id, keys)
        ]
        transaction.update("forget_keys", [one.message_id for one in asked.found])
        transaction.insert("insert_business_keys", rows)
        values = (asked.below_id, len(rows), transaction.now if asked.ended else 0)
        transaction.connection.execute(QUERIES["note_reindexing"].text, values)
    return [None] * len(group)


BEGIN = Work("beginning to read stored messages for their keys", _begin)
REINDEX = Work("keeping the keys of stored messages", _reindex)
