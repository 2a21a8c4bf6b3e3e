"""What happened, for the operator's commands: read beside the writer, bodies only when asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import apsw

from hcsyncd.errors import StoreError
from hcsyncd.message import DeliveryState, Keys, Message, MessageState, ReplyState
from hcsyncd.store.ports import AttemptRow, DeadRow, DeliveryRow, Filter, MessageRow
from hcsyncd.store.queries import QUERIES
from hcsyncd.store.readers import Readers
from hcsyncd.store.rows import message_from, parse_mapping
from hcsyncd.store.transaction import ROWS_A_STATEMENT, select

SELECT_MESSAGE = QUERIES["message_columns"].text
SELECT_DELIVERY = QUERIES["delivery_columns"].text

# Conditions of a delivery; the plus keeps an index from leading, where a list of ids is the narrower way.
_TROUBLED = "state IN ('dead', 'unsure')"

# States that few messages are in for long: there the index leads, in the others the newest rows are near.
_RARE_STATES = frozenset(MessageState) - {MessageState.DONE, MessageState.FILTERED, MessageState.UNROUTED}


class SqliteHistory:
    """The history port on the store file."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers

    async def find(self, wanted: Filter) -> list[MessageRow]:
        conditions = _Conditions()
        conditions.add_message_fields(wanted)
        conditions.add_state(wanted.state, leads=not wanted.ids)
        if wanted.cause:
            conditions.add(f"(message.cause = ? OR {_having('cause = ?')})", wanted.cause, wanted.cause)
        if wanted.route:
            conditions.add(_having("route = ?"), wanted.route)
        if wanted.destination:
            conditions.add(_having("destination = ?"), wanted.destination)
        rows = await self._readers.read(
            lambda connection: conditions.run(connection, SELECT_MESSAGE, "message.id", wanted)
        )
        return [_message_row(row) for row in rows]

    async def message(self, message_id: int) -> MessageRow | None:
        found = await self.find(Filter(ids=(message_id,)))
        return found[0] if found else None

    async def messages(self, message_ids: Sequence[int]) -> list[Message]:
        rows = await self._readers.read(lambda connection: select(connection, "messages_with_bodies", message_ids))
        return [message_from(row) for row in rows]

    async def body(self, message_id: int) -> bytes:
        return await self._one("message_body", message_id, "message")

    async def replies(self, message_id: int) -> tuple[bytes, bytes]:
        rows = await self._readers.rows("message_replies", (message_id,))
        if not rows:
            raise StoreError(f"message {message_id} is not in the store")
        return rows[0][0], rows[0][1]

    async def deliveries(self, message_ids: Sequence[int]) -> list[DeliveryRow]:
        rows = await self._readers.read(
            lambda connection: _where_in(connection, SELECT_DELIVERY, "delivery.message_id", message_ids, "delivery.id")
        )
        return [_delivery_row(row) for row in rows]

    async def sent_body(self, delivery_id: int) -> bytes:
        return await self._one("sent_body", delivery_id, "body of delivery")

    async def attempts(self, delivery_ids: Sequence[int]) -> list[AttemptRow]:
        rows = await self._readers.read(lambda connection: select(connection, "attempts_by_delivery", delivery_ids))
        numbers: dict[int, int] = {}
        found = []
        for delivery_id, *rest in rows:
            started_at, ended_at, state, cause, text, answer = rest
            number = numbers[delivery_id] = numbers.get(delivery_id, 0) + 1
            found.append(
                AttemptRow(delivery_id, number, started_at, ended_at, DeliveryState(state), cause, text, answer)
            )
        return found

    async def trace(self, message_id: int) -> list[MessageRow]:
        return [
            _message_row(row) for row in await self._readers.read(lambda connection: _trace(connection, message_id))
        ]

    async def dead(self, wanted: Filter) -> list[DeadRow]:
        return await self._readers.read(lambda connection: _dead(connection, wanted))

    async def counts(self) -> Mapping[str, Mapping[str, int]]:
        def look(connection: apsw.Connection) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
            names = ("count_messages", "count_replays", "count_deliveries")
            found: list[Any] = [connection.execute(QUERIES[name].text) for name in names]
            messages, replays, deliveries = (dict(rows) for rows in found)
            return messages, replays, deliveries

        everything, replays, deliveries = await self._readers.read(look)
        return {
            "messages": {state: everything.get(state, 0) - replays.get(state, 0) for state in MessageState},
            "deliveries": {state: deliveries.get(state, 0) for state in DeliveryState},
            "replays": {state: replays.get(state, 0) for state in MessageState},
        }

    async def channel_counts(self) -> list[tuple[str, str, int]]:
        messages = await self._readers.rows("count_messages_by_channel")
        deliveries = await self._readers.rows("count_deliveries_by_destination")
        return [(name, state, count) for name, state, count in messages + deliveries]

    async def _one(self, query: str, key: int, what: str) -> bytes:
        rows = await self._readers.rows(query, (key,))
        if not rows:
            raise StoreError(f"{what} {key} is not in the store")
        found: bytes = rows[0][0]
        return found


class _Conditions:
    """A WHERE clause in the making; values are always bound."""

    def __init__(self) -> None:
        self._clauses: list[str] = []
        self._values: list[Any] = []

    def add(self, clause: str, *values: Any) -> None:
        self._clauses.append(clause)
        self._values += values

    def add_message_fields(self, wanted: Filter) -> None:
        """What a filter asks of the message itself, but for its state and cause."""
        if wanted.ids:
            self.add(f"message.id IN ({', '.join('?' * len(wanted.ids))})", *wanted.ids)
        if wanted.channel:
            self.add("message.channel = ?", wanted.channel)
        for column, pattern in (("type", wanted.type), ("control_id", wanted.control_id)):
            if pattern:
                self.add(f"message.{column} GLOB ?", pattern.replace("[", "[[]"))
        if wanted.since is not None:
            self.add("message.received_at >= ?", wanted.since)
        if wanted.until is not None:
            self.add("message.received_at < ?", wanted.until)

    def add_state(self, state: str, *, leads: bool) -> None:
        """A state of the message, or, where messages have no such state, of one of its deliveries."""
        if not state:
            return
        if leads and state in _RARE_STATES:
            self.add("message.state = ?", state)
        elif state in frozenset(MessageState):
            self.add("+message.state = ?", state)
        else:
            self.add(_having("state = ?"), state)

    def run(self, connection: apsw.Connection, select_from: str, key: str, wanted: Filter) -> list[Any]:
        """The rows in the order of ``key`` that the filter wants, no more than it wants."""
        clauses, values = list(self._clauses), list(self._values)
        if wanted.after_id:
            clauses.append(f"{key} {'<' if wanted.newest_first else '>'} ?")
            values.append(wanted.after_id)
        where = f" WHERE {' AND '.join(clauses)}" if clauses else ""
        order = "DESC" if wanted.newest_first else "ASC"
        return connection.execute(
            f"{select_from}{where} ORDER BY {key} {order} LIMIT ?", (*values, wanted.limit)
        ).fetchall()


def _having(condition: str) -> str:
    """A condition on any of a message's deliveries."""
    # S608: conditions are written in this file; what a person gives is bound.
    return f"EXISTS (SELECT 1 FROM delivery WHERE delivery.message_id = message.id AND delivery.{condition})"  # noqa: S608


def _where_in(connection: apsw.Connection, select_from: str, column: str, keys: Sequence[int], order: str) -> list[Any]:
    rows: list[Any] = []
    for start in range(0, len(keys), ROWS_A_STATEMENT):
        part = tuple(keys[start : start + ROWS_A_STATEMENT])
        marks = ", ".join("?" * len(part))
        rows += connection.execute(f"{select_from} WHERE {column} IN ({marks}) ORDER BY {order}", part).fetchall()
    return rows


def _trace(connection: apsw.Connection, message_id: int) -> list[Any]:
    first_cause = connection.execute(QUERIES["first_cause"].text, (message_id,)).get
    if first_cause is None:
        return []
    ids = [row[0] for row in connection.execute(QUERIES["traced"].text, {"trace": first_cause})]
    return _where_in(connection, SELECT_MESSAGE, "message.id", ids, "message.id")


def _dead(connection: apsw.Connection, wanted: Filter) -> list[DeadRow]:
    """What needs a person: dead messages that have no dead delivery to show for it, and deliveries dead or unsure."""
    found: list[tuple[int, int]] = []
    if not wanted.route and not wanted.destination and wanted.state in ("", MessageState.DEAD):
        found += _dead_messages(connection, wanted)
    found += _dead_deliveries(connection, wanted)
    found.sort(key=lambda pair: (-pair[0] if wanted.newest_first else pair[0], pair[1]))
    found = found[: wanted.limit]
    message_ids = sorted({message_id for message_id, _ in found})
    delivery_ids = [delivery_id for _, delivery_id in found if delivery_id]
    messages = {
        row[0]: _message_row(row) for row in _where_in(connection, SELECT_MESSAGE, "message.id", message_ids, "1")
    }
    deliveries = {
        row[0]: _delivery_row(row) for row in _where_in(connection, SELECT_DELIVERY, "delivery.id", delivery_ids, "1")
    }
    return [DeadRow(messages[message_id], deliveries.get(delivery_id)) for message_id, delivery_id in found]


def _dead_messages(connection: apsw.Connection, wanted: Filter) -> list[tuple[int, int]]:
    conditions = _Conditions()
    conditions.add(f"{'+' if wanted.ids else ''}message.state = 'dead'")
    conditions.add(f"NOT {_having(_TROUBLED)}")
    conditions.add_message_fields(wanted)
    if wanted.cause:
        conditions.add("message.cause = ?", wanted.cause)
    return conditions.run(connection, "SELECT message.id, 0 FROM message", "message.id", wanted)


def _dead_deliveries(connection: apsw.Connection, wanted: Filter) -> list[tuple[int, int]]:
    conditions = _Conditions()
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


def _message_row(row: tuple[Any, ...]) -> MessageRow:
    message_id, channel, received_at, kind, control_id, sender, receiver, state, reply_state = row[:9]
    cause, text, size, peer, trace, parent, replay_of, facts = row[9:]
    return MessageRow(
        id=message_id,
        channel=channel,
        received_at=received_at,
        keys=Keys(kind, control_id, sender, receiver),
        state=MessageState(state),
        reply_state=ReplyState(reply_state),
        cause=cause,
        text=text,
        bytes=size,
        peer=peer,
        trace=message_id if trace is None else trace,
        parent=parent,
        replay_of=replay_of,
        facts=parse_mapping(facts),
    )


def _delivery_row(row: tuple[Any, ...]) -> DeliveryRow:
    delivery_id, message_id, route, destination, lane, state, *rest, made, cause, text = row
    attempt, due_at, created_at, settled_at, key, kind, content_type, size = rest
    return DeliveryRow(
        id=delivery_id,
        message_id=message_id,
        route=route,
        destination=destination,
        lane=lane,
        state=DeliveryState(state),
        attempt=attempt,
        due_at=due_at,
        created_at=created_at,
        settled_at=settled_at,
        key=key,
        type=kind,
        content_type=content_type,
        bytes=size,
        made=bool(made),
        cause=cause,
        text=text,
    )
