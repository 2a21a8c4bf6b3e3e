"""A person's filter as SQL. Values are always bound.

What narrows most leads, and a plus before a column keeps its index from leading where something else is the narrower
way: the ids of messages, a business key, a trace, a whole control id, a state that few messages are in for long. Where
nothing of that is asked for, the rows of a range of ids are gone through, and the range is the caller's to bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apsw

from hcsyncd.message import DeliveryState, MessageState
from hcsyncd.store.ports import Filter
from hcsyncd.store.queries import QUERIES
from hcsyncd.store.sealing import Sealing

# States that few messages are in for long; in the others, the newest rows are near.
RARE_STATES = frozenset(MessageState) - {MessageState.DONE, MessageState.FILTERED, MessageState.UNROUTED}
RARE_DELIVERY_STATES = frozenset(DeliveryState) - {DeliveryState.SENT, DeliveryState.CLOSED}
_ANY = "*?"


def is_whole(pattern: str) -> bool:
    """Whether a pattern means one text."""
    return bool(pattern) and not any(sign in pattern for sign in _ANY)


def leads(wanted: Filter) -> bool:
    """Whether an index leads to what is wanted, so that nothing needs be gone through."""
    if wanted.ids or wanted.keys or wanted.trace or is_whole(wanted.control_id):
        return True
    return wanted.state in RARE_STATES or _is_rare_delivery_state(wanted.state)


def _is_rare_delivery_state(state: str) -> bool:
    return state in RARE_DELIVERY_STATES and state not in frozenset(MessageState)


class Conditions:
    """A WHERE clause in the making."""

    def __init__(self, sealing: Sealing) -> None:
        self._sealing = sealing
        self._clauses: list[str] = []
        self._values: list[Any] = []

    def add(self, clause: str, *values: Any) -> None:
        self._clauses.append(clause)
        self._values += values

    def add_message_fields(self, wanted: Filter) -> None:
        """What a filter asks of the message itself, but for its state and cause."""
        if wanted.ids:
            self.add(f"message.id IN ({', '.join('?' * len(wanted.ids))})", *wanted.ids)
        for name, value in wanted.keys:
            self._add_key(name, value)
        if wanted.trace:
            traced = QUERIES["traced_with"].text
            self.add(f"message.id IN ({traced})", wanted.trace, wanted.trace)
        if wanted.first_id:
            self.add("message.id >= ?", wanted.first_id)
        if wanted.last_id:
            self.add("message.id <= ?", wanted.last_id)
        if wanted.channel:
            self.add("message.channel = ?", wanted.channel)
        if is_whole(wanted.control_id):
            plus = "+" if wanted.ids or wanted.keys or wanted.trace else ""
            self.add(f"{plus}message.control_id = ?", wanted.control_id)
        elif wanted.control_id:
            self._add_pattern("control_id", wanted.control_id)
        if wanted.type:
            self._add_pattern("type", wanted.type)
        if wanted.since is not None:
            self.add("+message.received_at >= ?", wanted.since)
        if wanted.until is not None:
            self.add("+message.received_at < ?", wanted.until)

    def _add_pattern(self, column: str, pattern: str) -> None:
        self.add(f"+message.{column} GLOB ?", pattern.replace("[", "[[]"))

    def _add_key(self, name: str, value: str) -> None:
        forms = self._sealing.candidates("key", value)
        marks = ", ".join("?" * len(forms))
        # S608: what a person gives is bound. A copy says what its original said.
        said = f"FROM business_key WHERE value IN ({marks}) AND name = ?"
        copy = "JOIN message AS copy ON copy.replay_of = business_key.message_id"
        copied = said.replace("business_key", f"business_key CROSS {copy}", 1)
        clause = f"message.id IN (SELECT message_id {said} UNION SELECT copy.id {copied})"
        self.add(clause, *forms, name, *forms, name)

    def add_state(self, wanted: Filter) -> None:
        """A state of the message, or, where messages have no such state, of one of its deliveries."""
        state = wanted.state
        narrower = wanted.ids or wanted.keys or wanted.trace or is_whole(wanted.control_id)
        if not state:
            return
        if state in frozenset(MessageState):
            self.add(f"{'' if state in RARE_STATES and not narrower else '+'}message.state = ?", state)
        elif _is_rare_delivery_state(state) and not narrower:
            self.add("message.id IN (SELECT message_id FROM delivery WHERE delivery.state = ?)", state)
        else:
            self.add(having("state = ?"), state)

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


def having(condition: str) -> str:
    """A condition on any of a message's deliveries."""
    # S608: conditions are written in the store's files; what a person gives is bound.
    return f"EXISTS (SELECT 1 FROM delivery WHERE delivery.message_id = message.id AND delivery.{condition})"  # noqa: S608


def where_in(connection: apsw.Connection, select_from: str, column: str, keys: Sequence[int], order: str) -> list[Any]:
    """The rows whose ``column`` is one of ``keys``, in statements of bounded length."""
    rows: list[Any] = []
    for start in range(0, len(keys), ROWS):
        part = tuple(keys[start : start + ROWS])
        marks = ", ".join("?" * len(part))
        rows += connection.execute(f"{select_from} WHERE {column} IN ({marks}) ORDER BY {order}", part).fetchall()
    return rows


ROWS = 64
