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
from hcsyncd.store.parking import park
from hcsyncd.store.ports import Blocked, Handoff, NewDelivery, OpenLane, Outcome, Unmapped
from hcsyncd.store.readers import Readers
from hcsyncd.store.rows import delivery_from, key_rows, render_mapping
from hcsyncd.store.transaction import Transaction
from hcsyncd.store.writer import Work, Writer

SETTLED_STATES = frozenset({DeliveryState.SENT, DeliveryState.DEAD, DeliveryState.CLOSED})

_decode_received = msgspec.json.Decoder(list[tuple[int, int, int]]).decode
_decode_ids = msgspec.json.Decoder(list[int]).decode
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
        lanes: dict[str, OpenLane] = {}
        for sealed, count, last_id in await self._readers.rows("open_lanes", (destination,)):
            lane = self._readers.sealing.open_text(sealed, "lane")
            known = lanes.get(lane, OpenLane(0, 0))
            lanes[lane] = OpenLane(known.deliveries + count, max(known.last_id, last_id))
        return lanes

    async def blocked_lanes(self, destination: str) -> list[Blocked]:
        blocked: dict[tuple[str, str, str], list[int]] = {}
        for sealed, route, state, ids in await self._readers.rows("blocked_lanes", (destination,)):
            lane = self._readers.sealing.open_text(sealed, "lane")
            blocked.setdefault((lane, route, state), []).extend(_decode_ids(ids))
        return [
            Blocked(lane, route, DeliveryState(state), tuple(sorted(ids)))
            for (lane, route, state), ids in sorted(blocked.items())
        ]

    async def open_deliveries(
        self, destination: str, lane: str, after_id: int, limit: int, max_bytes: int
    ) -> list[Delivery]:
        def wanted() -> list[dict[str, Any]]:
            forms = self._readers.sealing.candidates("lane", lane)
            return [{"destination": destination, "lane": form, "after": after_id, "limit": limit} for form in forms]

        rows = await self._readers.up_to(max_bytes, "open_sizes", wanted, "deliveries_with_bodies")
        return [delivery_from(row) for row in rows[:limit]]


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
            made = handoff.deliveries
            answer.append(make_rows(transaction, message_id, made, own, (bodies, deliveries)) if made else [])
        answers.append(answer)
    for standing, message_ids in standings.items():
        transaction.update("hand_on_messages", message_ids, *standing)
    write_marks(transaction, marks)
    transaction.insert("insert_bodies", bodies)
    transaction.insert("insert_deliveries", deliveries)
    keys: list[tuple[Any, ...]] = []
    parked: list[tuple[int, int, Unmapped]] = []
    for asked, answer in zip(group, answers, strict=True):
        for handoff, delivery_ids in zip(asked.handoffs, answer, strict=True):
            note_made(handoff.message_id, handoff.deliveries, delivery_ids, (keys, parked))
    transaction.insert("insert_business_keys", keys)
    park(transaction, parked)
    return answers


def note_made(
    message_id: int,
    deliveries: Sequence[NewDelivery],
    delivery_ids: Sequence[int],
    rows: tuple[list[tuple[Any, ...]], list[tuple[int, int, Unmapped]]],
) -> None:
    """Add what deliveries just made are found by, and what those that are parked wait for."""
    keys, parked = rows
    for made, delivery_id in zip(deliveries, delivery_ids, strict=False):  # no ids: handed on before
        if made.business_keys:
            keys += key_rows(message_id, delivery_id, made.business_keys)
        if made.unmapped:
            parked.append((delivery_id, message_id, made.unmapped))


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


def make_rows(
    transaction: Transaction,
    message_id: int,
    made_of_it: Sequence[NewDelivery],
    own: tuple[int, int],
    rows: tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]],
    first_id: int = 0,
) -> list[int]:
    """Add the rows of one message's deliveries, bodies and deliveries apart; their ids. The first of them may have an
    id already. ``own`` is the message's own body, with its length."""
    bodies, deliveries = rows
    stored: dict[bytes, tuple[int, int]] = {}
    ids: list[int] = []
    for made in made_of_it:
        if made.state is not DeliveryState.READY:
            body: tuple[int | None, int] = (None, 0)
        elif made.body is None:
            body = own
        else:
            known = stored.get(made.body)
            if known is None:
                known = stored[made.body] = (transaction.next_body(), len(made.body))
                bodies.append((known[0], made.body))
            body = known
        delivery_id = first_id if first_id and not ids else transaction.next_delivery()
        ids.append(delivery_id)
        deliveries.append(delivery_row(made, delivery_id, message_id, made.created_at or transaction.now, body))
    return ids


def delivery_row(
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
        made.generation,
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
