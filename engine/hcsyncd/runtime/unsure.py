"""Unsure deliveries, which were sent and whose answer was lost: settled by asking the other side, or by a person."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Protocol

from hcsyncd.clock import Clock
from hcsyncd.connectors.connector import Asks
from hcsyncd.errors import ControlError, DeliveryError
from hcsyncd.events import DeliverySettled, Event
from hcsyncd.message import Delivery, DeliveryState, MessageState, Sent
from hcsyncd.record import Record
from hcsyncd.store.ports import DeadRow, DeliveryRow, Doubts, Filter, History, Outcome


class Verdict(StrEnum):
    """What is known of an unsure delivery by now."""

    SENT = "sent"
    NOT_SENT = "not-sent"  # it goes again
    UNKNOWN = "unknown"  # it stays unsure


class Settled(Record, frozen=True):
    """One unsure delivery, and what came of it."""

    delivery_id: int
    message_id: int
    destination: str
    verdict: Verdict
    text: str


class Road(Protocol):
    """What goes on when a delivery is settled. Implemented by `runtime.node.Node`."""

    def asked_at(self, destination: str) -> Asks | None:
        """The destination, where it can be asked what it has."""
        ...

    def settled(self, message_id: int, state: MessageState, text: str) -> None: ...

    def requeue(self, deliveries: Sequence[Delivery]) -> None: ...

    def release(self, destination: str, lane: str, delivery_id: int) -> None: ...


class Settlement:
    """Asks about unsure deliveries, or takes a person's word."""

    def __init__(
        self, history: History, doubts: Doubts, road: Road, emit: Callable[[Event], None], clock: Clock
    ) -> None:
        self._history = history
        self._doubts = doubts
        self._road = road
        self._emit = emit
        self._clock = clock

    async def ask(self, wanted: Filter, by: str) -> list[Settled]:
        """Ask the other sides about all that the filter means, one after the other, in the order of their ids."""
        rows = await self._unsure(wanted)
        return [await self._ask(row, by) for row in rows]

    async def settle(self, wanted: Filter, verdict: Verdict, by: str, reason: str) -> Settled:
        """Take a person's word for one delivery. Raises ControlError when the filter means none, or several."""
        rows = await self._unsure(wanted)
        if not rows:
            raise ControlError("there is no such unsure delivery; hcsyncd unsure lists them")
        if len(rows) > 1:
            ways = ", ".join(f"{row.route} to {row.destination}" for row in rows)
            raise ControlError(f"the message has {len(rows)} unsure deliveries ({ways}): name one by its destination")
        said = f"{by} says it was {'sent' if verdict is Verdict.SENT else 'not sent'}: {reason}"
        return await self._conclude(rows[0], verdict, said, "person")

    async def _unsure(self, wanted: Filter) -> list[DeliveryRow]:
        found: list[DeadRow] = await self._history.dead(wanted)
        rows = [row.delivery for row in found if row.delivery and row.delivery.state is DeliveryState.UNSURE]
        return sorted(rows, key=lambda row: row.id)

    async def _ask(self, row: DeliveryRow, by: str) -> Settled:
        other_side = self._road.asked_at(row.destination)
        if other_side is None:
            return _unknown(row, f"{row.destination} cannot be asked; look there, then hcsyncd unsure settle")
        for delivery in await self._doubts.envelopes([row.id]):
            try:
                found = await other_side.ask(delivery.envelope)
            except DeliveryError as error:
                return _unknown(row, str(error))
            if found is None:
                return await self._conclude(row, Verdict.NOT_SENT, f"asked by {by}: it is not there", "asked")
            said = f"asked by {by}: it is there" + (f" ({found.detail})" if found.detail else "")
            return await self._conclude(row, Verdict.SENT, said, "asked", found)
        return _unknown(row, "it is no longer unsure")

    async def _conclude(
        self, row: DeliveryRow, verdict: Verdict, said: str, how: str, found: Sent | None = None
    ) -> Settled:
        state = DeliveryState.SENT if verdict is Verdict.SENT else DeliveryState.READY
        now = self._clock.now()
        answer = found.answer if found else b""
        outcome = Outcome(row.id, row.message_id, state, row.attempt, now, now, text=said, answer=answer)
        if verdict is Verdict.SENT:
            message_state = await self._doubts.sent(outcome)
            if message_state is None:
                return _unknown(row, "it is no longer unsure")
            self._road.release(row.destination, row.lane, row.id)
            self._road.settled(row.message_id, message_state, "")
        else:
            delivery = await self._doubts.not_sent(outcome)
            if delivery is None:
                return _unknown(row, "it is no longer unsure")
            self._road.requeue([delivery])
        self._emit(DeliverySettled(row.destination, row.id, row.message_id, verdict, how))
        return Settled(row.id, row.message_id, row.destination, verdict, said)


def _unknown(row: DeliveryRow, text: str) -> Settled:
    return Settled(row.id, row.message_id, row.destination, Verdict.UNKNOWN, text)
