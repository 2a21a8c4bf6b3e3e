"""T2 to T4: deliveries handed on, claimed and settled."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from hcsyncd.errors import StoreError
from hcsyncd.message import Delivery, DeliveryState, MessageState, ReplyState
from hcsyncd.store.marks import Marks, write_marks
from hcsyncd.store.ports import Handoff, NewDelivery, OpenLane, Outcome
from hcsyncd.store.readers import Readers
from hcsyncd.store.rows import delivery_from, render_mapping
from hcsyncd.store.transaction import Transaction
from hcsyncd.store.writer import Work, Writer

SETTLED_STATES = frozenset({DeliveryState.SENT, DeliveryState.DEAD, DeliveryState.CLOSED})

_decode_received = msgspec.json.Decoder(list[tuple[int, int, int]]).decode
_decode_standings = msgspec.json.Decoder(list[tuple[int, str]]).decode


@dataclass(frozen=True, slots=True)
class _HandOver:
    """T2, as the writer takes it: with the marks that wait for these messages."""

    handoffs: Sequence[Handoff]
    marks: dict[int, ReplyState]


@dataclass(frozen=True, slots=True)
class Claim:
    """T3, as the writer takes it."""

    delivery_ids: tuple[int, ...]


class SqliteOutbox:
    """The outbox port on the store file."""

    def __init__(self, writer: Writer, readers: Readers, marks: Marks) -> None:
        self._writer = writer
        self._marks = marks
        self._readers = readers

    def hand_on(self, handoffs: Sequence[Handoff]) -> Future[list[list[int]]]:
        size = sum(len(made.body) for handoff in handoffs for made in handoff.deliveries if made.body is not None)
        marks = self._marks.take(handoff.message_id for handoff in handoffs)
        return self._writer.submit(HAND_ON, _HandOver(handoffs, marks), size)

    def claim(self, delivery_ids: Sequence[int]) -> Future[None]:
        return self._writer.submit(PROGRESS, Claim(tuple(delivery_ids)))

    def settle(self, outcome: Outcome) -> Future[MessageState]:
        return self._writer.submit(PROGRESS, outcome, len(outcome.answer))

    async def open_lanes(self, destination: str) -> dict[str, OpenLane]:
        rows = await self._readers.rows("open_lanes", (destination,))
        return {lane: OpenLane(count, last_id) for lane, count, last_id in rows}

    async def blocked_lanes(self, destination: str) -> list[tuple[str, str]]:
        return [(lane, route) for lane, route in await self._readers.rows("blocked_lanes", (destination,))]

    async def open_deliveries(
        self, destination: str, lane: str, after_id: int, limit: int, max_bytes: int
    ) -> list[Delivery]:
        wanted = {"destination": destination, "lane": lane, "after": after_id, "limit": limit}
        rows = await self._readers.up_to(max_bytes, "open_sizes", wanted, "deliveries_with_bodies")
        return [delivery_from(row) for row in rows]


# T2


def _hand_on(transaction: Transaction, group: list[_HandOver]) -> list[list[list[int]]]:
    waiting = _still_received(transaction, group)
    marks = {message_id: state for asked in group for message_id, state in asked.marks.items()}
    standings: dict[tuple[MessageState, str, str, ReplyState | None], list[int]] = {}
    bodies: list[tuple[Any, ...]] = []
    deliveries: list[tuple[Any, ...]] = []
    answers: list[list[list[int]]] = []
    for asked in group:
        answer: list[list[int]] = []
        for handoff in asked.handoffs:
            message_id = handoff.message_id
            own = waiting.pop(message_id, None)
            if own is None:
                answer.append([])
                continue
            standing = (*_standing_of(handoff), marks.pop(message_id, None))
            standings.setdefault(standing, []).append(message_id)
            answer.append(_make(transaction, handoff, own, bodies, deliveries) if handoff.deliveries else [])
        answers.append(answer)
    for standing, message_ids in standings.items():
        transaction.update("hand_on_messages", message_ids, *standing)
    write_marks(transaction, marks)
    transaction.insert("insert_bodies", bodies)
    transaction.insert("insert_deliveries", deliveries)
    return answers


def _still_received(transaction: Transaction, group: list[_HandOver]) -> dict[int, tuple[int, int]]:
    """The messages that still wait for routing, each with its body and that one's length.

    A message that was handed on before, by a run that a crash cut short, is not handed on twice.
    """
    waiting: dict[int, tuple[int, int]] = {}
    unknown: list[int] = []
    for asked in group:
        for handoff in asked.handoffs:
            own = transaction.received.pop(handoff.message_id, None)
            if own is None:
                unknown.append(handoff.message_id)
            else:
                waiting[handoff.message_id] = own
    for (found,) in transaction.select("still_received", unknown):
        waiting.update((message_id, (body_id, size)) for message_id, body_id, size in _decode_received(found))
    return waiting


def _standing_of(handoff: Handoff) -> tuple[MessageState, str, str]:
    """A message all of whose deliveries died in the making is a dead letter, whatever was meant."""
    made = handoff.deliveries
    if made and all(delivery.state is DeliveryState.DEAD for delivery in made):
        return MessageState.DEAD, handoff.cause or made[0].cause, handoff.text or made[0].text
    return handoff.state, handoff.cause, handoff.text


def _make(
    transaction: Transaction,
    handoff: Handoff,
    own: tuple[int, int],
    bodies: list[tuple[Any, ...]],
    deliveries: list[tuple[Any, ...]],
) -> list[int]:
    """Add the rows of one message's deliveries; their ids."""
    stored: dict[bytes, tuple[int, int]] = {}
    ids: list[int] = []
    for made in handoff.deliveries:
        dead = made.state is DeliveryState.DEAD
        if dead:
            body: tuple[int | None, int] = (None, 0)
        elif made.body is None:
            body = own
        else:
            known = stored.get(made.body)
            if known is None:
                known = stored[made.body] = (transaction.next_body(), len(made.body))
                bodies.append((known[0], made.body))
            body = known
        delivery_id = transaction.next_delivery()
        ids.append(delivery_id)
        deliveries.append(_row(made, delivery_id, handoff.message_id, made.created_at or transaction.now, body))
    return ids


def _row(
    made: NewDelivery, delivery_id: int, message_id: int, now: int, body: tuple[int | None, int]
) -> tuple[Any, ...]:
    return (
        delivery_id,
        message_id,
        made.route,
        made.destination,
        made.lane,
        made.state,
        now,
        now if made.state in SETTLED_STATES else 0,
        *body,
        made.content_type,
        made.type,
        made.control_id,
        render_mapping(made.headers),
        made.key,
        made.cause,
        made.text,
    )


# T3 and T4


def _progress(transaction: Transaction, group: list[Claim | Outcome]) -> list[MessageState | None]:
    """Claims and outcomes are one kind of work, because their order matters where they speak of one delivery."""
    claimed: list[int] = []
    outcomes: dict[int, Outcome] = {}
    attempts: list[tuple[Any, ...]] = []
    for asked in group:
        if isinstance(asked, Claim):
            if any(delivery_id in outcomes for delivery_id in asked.delivery_ids):
                _write(transaction, claimed, outcomes)
            claimed += asked.delivery_ids
            continue
        if asked.delivery_id in outcomes:
            _write(transaction, claimed, outcomes)
        outcomes[asked.delivery_id] = asked
        attempts.append(
            (asked.delivery_id, asked.started_at, asked.ended_at, asked.state, asked.cause, asked.text, asked.answer)
        )
    _write(transaction, claimed, outcomes)
    transaction.insert("insert_attempts", attempts)
    standings = stand(transaction, {asked.message_id for asked in group if isinstance(asked, Outcome)})
    return [standings[asked.message_id] if isinstance(asked, Outcome) else None for asked in group]


def _write(transaction: Transaction, claimed: list[int], outcomes: dict[int, Outcome]) -> None:
    """Write what was gathered, claims first, and gather anew."""
    transaction.update("claim_deliveries", claimed)
    rows = [
        (
            outcome.delivery_id,
            outcome.state,
            outcome.attempt,
            outcome.due_at,
            outcome.started_at,
            outcome.ended_at if outcome.state in SETTLED_STATES else 0,
            outcome.cause,
            outcome.text,
        )
        for outcome in outcomes.values()
    ]
    if transaction.insert("settle_deliveries", rows) != len(rows):
        raise StoreError(f"settling failed: of the deliveries {sorted(outcomes)}, one is not in the store")
    claimed.clear()
    outcomes.clear()


def stand(transaction: Transaction, message_ids: Iterable[int]) -> dict[int, MessageState]:
    """Bring messages' states in line with their deliveries; where each stands now."""
    standings: dict[int, MessageState] = {}
    for (found,) in transaction.select("standings", sorted(message_ids)):
        standings.update((message_id, MessageState(state)) for message_id, state in _decode_standings(found))
    changed: dict[MessageState, list[int]] = {}
    for message_id, state in standings.items():
        changed.setdefault(state, []).append(message_id)
    for state, ids in changed.items():
        transaction.update("stand_messages", ids, state)
    return standings


HAND_ON: Work[_HandOver, list[list[int]]] = Work("handing on", _hand_on, rank=3)
PROGRESS: Work[Claim | Outcome, Any] = Work("recording what became of a delivery", _progress, rank=4)
