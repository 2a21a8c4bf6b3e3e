"""One step of a running replay: the next messages, judged anew and put on the road, in one commit.

It takes the messages by the number of the original, over all destinations that have room; of a message whose other
destination has none, the rest follows later as a copy of its own, so that a destination that is down holds up no other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec.structs import astuple

from hcsyncd.message import Delivery, DeliveryState, Keys, MessageState
from hcsyncd.store.outbox import delivery_row, stand
from hcsyncd.store.ports import Applied, Closed, ItemState, NewDelivery, ReplayState, Step
from hcsyncd.store.queries import QUERIES
from hcsyncd.store.rows import delivery_from, key_rows, parse_mapping
from hcsyncd.store.transaction import Transaction
from hcsyncd.store.writer import Work

STEP_BYTES = 4 << 20  # of bodies, in one step; a single larger message goes alone
UNDER_WAY = frozenset({DeliveryState.READY, DeliveryState.SENDING, DeliveryState.WAITING, DeliveryState.PARKED})
TROUBLED = frozenset({DeliveryState.DEAD, DeliveryState.UNSURE})
_decode_keys = msgspec.json.Decoder(Keys).decode
_decode_business_keys = msgspec.json.Decoder(tuple[tuple[str, str], ...]).decode


@dataclass(frozen=True, slots=True)
class _Item:
    """A pending item."""

    id: int
    message_id: int
    intent: int
    destination: str
    stands_for: int | None
    as_made: bool
    made: NewDelivery
    body_id: int | None
    bytes: int


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Why an item does not go after all."""

    state: ItemState
    cause: str
    text: str


@dataclass(slots=True)
class _Ledger:
    """What a step has done so far."""

    made: list[int] = field(default_factory=list)
    reopened: list[int] = field(default_factory=list)
    copies: list[tuple[int, int]] = field(default_factory=list)
    closed: list[Closed] = field(default_factory=list)
    judged: int = 0
    bytes: int = 0


def _step(transaction: Transaction, group: list[Step]) -> list[Applied]:
    return [_Run(transaction, step).run() for step in group]


class _Run:
    """One step."""

    def __init__(self, transaction: Transaction, step: Step) -> None:
        self._transaction = transaction
        self._connection = transaction.connection
        self._step = step
        self._room = {destination: room for destination, room in step.room.items() if room > 0}
        self._in_line = set(step.in_line)
        self._ledger = _Ledger()

    def run(self) -> Applied:
        replay: Any = self._one("replay_row", self._step.replay_id)
        state = ReplayState(replay[1]) if replay else ReplayState.CANCELLED
        if state is not ReplayState.RUNNING:
            return Applied(state)
        edited = _decode_keys(replay[-1]) if replay[-1] else None
        for _ in range(self._step.messages):
            message_id = self._next_message()
            if message_id is None or self._ledger.bytes >= STEP_BYTES:
                break
            self._take(message_id, edited)
        ledger = self._ledger
        return Applied(
            state=state,
            made=self._deliveries(ledger.made),
            reopened=self._deliveries(ledger.reopened),
            copies=ledger.copies,
            closed=ledger.closed,
            judged=ledger.judged,
            has_more=self._one("has_pending_items", self._step.replay_id) is not None,
        )

    def _deliveries(self, ids: list[int]) -> list[Delivery]:
        return [delivery_from(row) for row in self._transaction.select("deliveries_with_bodies", ids)]

    def _next_message(self) -> int | None:
        """The lowest original that a destination with room waits for."""
        lowest: int | None = None
        for destination in list(self._room):
            head = self._one("next_replay_item", self._step.replay_id, destination)
            if head is None or (head[1] and destination in self._in_line):
                del self._room[destination]
            elif lowest is None or head[0] < lowest:
                lowest = head[0]
        return lowest

    def _take(self, message_id: int, edited: Keys | None) -> None:
        """Put one message on the road, to every destination that has room."""
        going: list[_Item] = []
        for item in list(self._items(message_id)):
            refusal = self._refusal(item)
            self._ledger.judged += 1
            if refusal is None:
                going.append(item)
            else:
                values = (refusal.state, refusal.cause, refusal.text, self._transaction.now, item.id)
                self._connection.execute(QUERIES["settle_item"].text, values)
        self._reopen([item for item in going if item.as_made])
        anew = [item for item in going if not item.as_made]
        if anew:
            self._make(message_id, anew, edited)
        self._ledger.bytes += sum(item.bytes for item in going)
        for item in going:
            self._room[item.destination] = self._room.get(item.destination, 0) - 1
            if not item.as_made:
                self._in_line.add(item.destination)
        self._room = {destination: room for destination, room in self._room.items() if room > 0}

    def _items(self, message_id: int) -> Iterator[_Item]:
        for destination in list(self._room):
            wanted = (self._step.replay_id, destination, message_id)
            for row in self._connection.execute(QUERIES["pending_items"].text, wanted).fetchall():
                yield _item(row, message_id, destination)

    # Judged anew

    def _refusal(self, item: _Item) -> _Refusal | None:
        if item.destination not in self._step.reachable:
            return _blocked("no-destination", f"there is no destination {item.destination} any more")
        if self._settled_meanwhile(item):
            return _blocked("settled-meanwhile", "what it stands in for was settled since the plan was made")
        if self._one("message_state_by_id", item.message_id) is None:
            return _blocked("body-removed", "its message is not in the store any more")
        if self._one("has_body", item.body_id) is None:
            return _blocked("body-removed", "its body is not in the store any more")
        same: list[Any] = self._connection.execute(
            QUERIES["same_key"].text, {"intent": item.intent, "key": item.made.key}
        ).fetchall()
        for delivery_id, state in same:
            if state == DeliveryState.SENT and not self._step.again:
                text = f"delivery {delivery_id} was sent under the same key since the plan was made"
                return _Refusal(ItemState.SUPPRESSED, "already-sent", text)
            if state in UNDER_WAY:
                return _blocked("under-way", f"delivery {delivery_id} with the same key is {state}")
        return None

    def _settled_meanwhile(self, item: _Item) -> bool:
        """Whether the dead letter that an item stands in for is none any more."""
        if item.stands_for is None:
            return False
        if item.stands_for:
            found = self._one("delivery_state_by_id", item.stands_for)
            return found is None or found[0] not in TROUBLED
        found = self._one("message_state_by_id", item.message_id)
        if found is not None and found[0] == MessageState.DEAD:
            return False
        return self._one("replayed_before", item.message_id, self._step.replay_id) is None

    # Done

    def _reopen(self, items: list[_Item]) -> None:
        ids = [item.stands_for for item in items if item.stands_for]
        if not ids:
            return
        owners = {row[1] for row in self._transaction.select("troubled_with_bodies", ids)}
        self._transaction.update("reopen_deliveries", ids)
        stand(self._transaction, owners)
        for item in items:
            self._applied(item, None, item.stands_for)
        self._ledger.reopened += ids

    def _make(self, message_id: int, items: list[_Item], edited: Keys | None) -> None:
        transaction = self._transaction
        copy_id = transaction.next_message()
        names = {"copy_id": copy_id, "message_id": message_id, "now": transaction.now}
        self._connection.execute(QUERIES["replay_message"].text, names)
        if edited is not None:
            body: Any = self._one("replay_edited_body", self._step.replay_id)
            self._connection.execute(QUERIES["edit_body"].text, (*body, copy_id))
            self._connection.execute(QUERIES["edit_keys"].text, (*astuple(edited), copy_id))
        rows: list[tuple[Any, ...]] = []
        found_by: list[tuple[Any, ...]] = []
        for item in items:
            delivery_id = transaction.next_delivery()
            place = (item.body_id, item.bytes)
            rows.append(delivery_row(item.made, delivery_id, copy_id, transaction.now, place))
            found_by += key_rows(copy_id, delivery_id, item.made.business_keys)
            self._applied(item, copy_id, delivery_id)
            self._ledger.made.append(delivery_id)
        transaction.insert("insert_deliveries", rows)
        transaction.insert("insert_business_keys", found_by)
        self._ledger.copies.append((message_id, copy_id))
        self._close(message_id, items, f"replayed as message {copy_id}")

    def _applied(self, item: _Item, copy_id: int | None, delivery_id: int | None) -> None:
        values = (copy_id, delivery_id, self._transaction.now, item.id)
        self._connection.execute(QUERIES["apply_item"].text, values)

    def _close(self, message_id: int, items: list[_Item], reason: str) -> None:
        """Settle what the copy takes over. What it does not cover stays the original's."""
        transaction = self._transaction
        ways = {item.stands_for: item.destination for item in items if item.stands_for}
        owners = {message_id} if any(item.stands_for == 0 for item in items) else set()
        for delivery_id, destination in ways.items():
            _, owner = self._one("delivery_state_by_id", delivery_id)
            self._ledger.closed.append(Closed(delivery_id, owner, destination))
            owners.add(owner)
        transaction.update("close_deliveries", list(ways), transaction.now, reason)
        for owner in owners:
            if not self._one("count_troubled_deliveries", owner)[0]:
                names = {"message_id": owner, "reason": reason}
                self._connection.execute(QUERIES["close_dead_message"].text, names)
        stand(transaction, owners)

    def _one(self, name: str, *values: Any) -> Any:
        return self._connection.execute(QUERIES[name].text, values).fetchone()


def _blocked(cause: str, text: str) -> _Refusal:
    return _Refusal(ItemState.BLOCKED, cause, text)


def _item(row: tuple[Any, ...], message_id: int, destination: str) -> _Item:
    item_id, intent, route, stands_for, as_made, generation, key, lane = row[:8]
    content_type, kind, control_id, headers, found_by, body_id, size = row[8:]
    made = NewDelivery(
        route=route,
        destination=destination,
        lane=lane,
        content_type=content_type,
        key=key,
        type=kind,
        control_id=control_id,
        headers=parse_mapping(headers),
        generation=generation,
        business_keys=_decode_business_keys(found_by) if found_by else (),
    )
    return _Item(item_id, message_id, intent, destination, stands_for, bool(as_made), made, body_id, size)


STEP = Work("applying a replay", _step)
