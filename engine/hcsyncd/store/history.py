"""What happened, for the operator's commands: read beside the writer, bodies only when asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import apsw
from msgspec.structs import replace

from hcsyncd.errors import StoreError
from hcsyncd.message import DeliveryState, Message, MessageState
from hcsyncd.store.conditions import Conditions, having, where_in
from hcsyncd.store.finder import Finder
from hcsyncd.store.ports import EVERYTHING, AttemptRow, DeadRow, DeliveryRow, Filter, Looked, MessageRow, Reach
from hcsyncd.store.queries import QUERIES
from hcsyncd.store.readers import Readers
from hcsyncd.store.rows import listed_delivery, listed_message, message_from
from hcsyncd.store.sealing import Sealing
from hcsyncd.store.tally import Tally, by_state
from hcsyncd.store.transaction import select

PAGE = 500  # dead letters whose bodies are looked into, one page after the other

SELECT_MESSAGE = QUERIES["message_columns"].text
SELECT_DELIVERY = QUERIES["delivery_columns"].text

# Conditions of a delivery; the plus keeps an index from leading, where a list of ids is the narrower way.
_TROUBLED = "state IN ('dead', 'unsure')"


class SqliteHistory:
    """The history port on the store file."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers
        self._finder = Finder(readers)
        self._tally = Tally(readers)

    async def find(self, wanted: Filter) -> list[MessageRow]:
        return (await self._finder.look(wanted, EVERYTHING)).rows

    async def look(self, wanted: Filter, reach: Reach) -> Looked:
        return await self._finder.look(wanted, reach)

    async def message(self, message_id: int) -> MessageRow | None:
        found = await self.find(Filter(ids=(message_id,)))
        return found[0] if found else None

    async def messages(self, message_ids: Sequence[int]) -> list[Message]:
        rows = await self._readers.read(lambda connection: select(connection, "messages_with_bodies", message_ids))
        return [message_from(row) for row in rows]

    async def body(self, message_id: int) -> bytes:
        return await self._one("message_body", message_id, "body of message")

    async def replies(self, message_id: int) -> tuple[bytes, bytes]:
        rows = await self._readers.rows("message_replies", (message_id,))
        if not rows:
            raise StoreError(f"message {message_id} is not in the store")
        return rows[0][0], rows[0][1]

    async def deliveries(self, message_ids: Sequence[int]) -> list[DeliveryRow]:
        rows = await self._readers.read(
            lambda connection: where_in(connection, SELECT_DELIVERY, "delivery.message_id", message_ids, "delivery.id")
        )
        return [listed_delivery(row) for row in rows]

    async def sent_body(self, delivery_id: int) -> bytes:
        return await self._one("sent_body", delivery_id, "body of delivery")

    async def attempts(self, delivery_ids: Sequence[int]) -> list[AttemptRow]:
        def look(connection: apsw.Connection) -> tuple[list[Any], list[Any]]:
            folds = select(connection, "folds_of", delivery_ids)
            return folds, select(connection, "attempts_by_delivery", delivery_ids)

        folds, rows = await self._readers.read(look)
        folded = {delivery_id: (first, gone) for delivery_id, first, gone in folds}
        numbers: dict[int, int] = {}
        found = []
        for delivery_id, *rest in rows:
            started_at, ended_at, state, cause, text, answer = rest
            number = numbers.get(delivery_id, 0) + 1
            first, gone = folded.get(delivery_id, (0, 0))
            if gone and number == first + 1:  # those in between went
                number += gone
            numbers[delivery_id] = number
            found.append(
                AttemptRow(delivery_id, number, started_at, ended_at, DeliveryState(state), cause, text, answer)
            )
        return found

    async def trace(self, message_id: int) -> list[MessageRow]:
        return [
            listed_message(row) for row in await self._readers.read(lambda connection: _trace(connection, message_id))
        ]

    async def dead(self, wanted: Filter) -> list[DeadRow]:
        if not wanted.text:
            return await self._readers.read(lambda connection: _dead(connection, wanted, self._readers.sealing))
        found: list[DeadRow] = []
        page = replace(wanted, text="", limit=PAGE)
        while True:
            rows = await self.dead(page)
            holding = await self._finder.holding([row.message.id for row in rows], wanted.text)
            found += [row for row in rows if row.message.id in holding]
            if len(rows) < PAGE or len(found) >= wanted.limit:
                return found[: wanted.limit]
            page = replace(page, after_id=rows[-1].message.id)

    async def counts(self) -> Mapping[str, Mapping[str, int]]:
        count = await self._tally.count()
        everything, deliveries = by_state(count.messages), by_state(count.deliveries)
        return {
            "messages": {state: everything.get(state, 0) - count.replays.get(state, 0) for state in MessageState},
            "deliveries": {state: deliveries.get(state, 0) for state in DeliveryState},
            "replays": {state: count.replays.get(state, 0) for state in MessageState},
        }

    async def channel_counts(self) -> list[tuple[str, str, int]]:
        count = await self._tally.count()
        return [(*place, number) for counts in (count.messages, count.deliveries) for place, number in counts.items()]

    async def _one(self, query: str, key: int, what: str) -> bytes:
        rows = await self._readers.rows(query, (key,))
        if not rows:
            raise StoreError(f"the {what} {key} is not in the store; retention may have removed it")
        found: bytes = rows[0][0]
        return found


def _trace(connection: apsw.Connection, message_id: int) -> list[Any]:
    first_cause = connection.execute(QUERIES["first_cause"].text, (message_id,)).get
    if first_cause is None:
        return []
    ids = [row[0] for row in connection.execute(QUERIES["traced"].text, {"trace": first_cause})]
    return where_in(connection, SELECT_MESSAGE, "message.id", ids, "message.id")


def _dead(connection: apsw.Connection, wanted: Filter, sealing: Sealing) -> list[DeadRow]:
    """What needs a person: dead messages that have no dead delivery to show for it, and deliveries dead or unsure."""
    found: list[tuple[int, int]] = []
    if not wanted.route and not wanted.destination and wanted.state in ("", MessageState.DEAD):
        found += _dead_messages(connection, wanted, sealing)
    found += _dead_deliveries(connection, wanted, sealing)
    found.sort(key=lambda pair: (-pair[0] if wanted.newest_first else pair[0], pair[1]))
    found = found[: wanted.limit]
    message_ids = sorted({message_id for message_id, _ in found})
    delivery_ids = [delivery_id for _, delivery_id in found if delivery_id]
    messages = {
        row[0]: listed_message(row) for row in where_in(connection, SELECT_MESSAGE, "message.id", message_ids, "1")
    }
    deliveries = {
        row[0]: listed_delivery(row) for row in where_in(connection, SELECT_DELIVERY, "delivery.id", delivery_ids, "1")
    }
    return [DeadRow(messages[message_id], deliveries.get(delivery_id)) for message_id, delivery_id in found]


def _dead_messages(connection: apsw.Connection, wanted: Filter, sealing: Sealing) -> list[tuple[int, int]]:
    conditions = Conditions(sealing)
    conditions.add(f"{'+' if wanted.ids or wanted.keys else ''}message.state = 'dead'")
    conditions.add(f"NOT {having(_TROUBLED)}")
    conditions.add_message_fields(wanted)
    if wanted.cause:
        conditions.add("message.cause = ?", wanted.cause)
    return conditions.run(connection, "SELECT message.id, 0 FROM message", "message.id", wanted)


def _dead_deliveries(connection: apsw.Connection, wanted: Filter, sealing: Sealing) -> list[tuple[int, int]]:
    conditions = Conditions(sealing)
    if wanted.state:
        conditions.add("+delivery.state = ?", wanted.state)
    if wanted.ids:
        conditions.add(f"delivery.message_id IN ({', '.join('?' * len(wanted.ids))})", *wanted.ids)
    conditions.add(f"{'+' if wanted.ids else ''}delivery.{_TROUBLED}")
    conditions.add_message_fields(wanted)
    for column, value in (("route", wanted.route), ("destination", wanted.destination), ("cause", wanted.cause)):
        if value:
            conditions.add(f"delivery.{column} = ?", value)
    joined = "SELECT delivery.message_id, delivery.id FROM delivery JOIN message ON message.id = delivery.message_id"
    return conditions.run(connection, joined, "delivery.message_id", wanted)
