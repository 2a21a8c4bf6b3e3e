"""One try of one delivery: claimed where a second send would hurt, sent, and its outcome as a value."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from msgspec.structs import replace

from hcsyncd.clock import Clock
from hcsyncd.config.model import ChannelOptions, OnDead, Retry
from hcsyncd.connectors.connector import Asks
from hcsyncd.errors import DeliveryError, StoreError, Transient, Unsure
from hcsyncd.flow.retry import tried_before_secs
from hcsyncd.message import Delivery, DeliveryState, Envelope, Sent
from hcsyncd.store.ports import Outbox, Outcome

_TROUBLED = (DeliveryState.DEAD, DeliveryState.UNSURE)


class Sender(Protocol):
    """The part of a `connectors.connector.Destination` that deliveries need."""

    async def send(self, envelope: Envelope) -> Sent: ...

    async def probe(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Policy:
    """What a route says of its deliveries, or its destination channel where it says nothing."""

    retry: Retry
    on_dead: OnDead
    on_parked: OnDead = OnDead.CONTINUE

    def holds(self, state: DeliveryState) -> bool:
        """Whether the rest of a lane waits behind a delivery that came to stand like this."""
        if state is DeliveryState.PARKED:
            return self.on_parked is OnDead.HOLD
        return state in _TROUBLED and self.on_dead is OnDead.HOLD


@dataclass(frozen=True, slots=True)
class Terms:
    """What a dispatcher works by: replaced as a whole by a reload."""

    sender: Sender
    options: ChannelOptions
    policy: Callable[[str], Policy]  # by route name

    @property
    def claims(self) -> bool:
        """Whether each send is noted on disk before it is made."""
        return self.options.after_crash in ("hold", "ask")

    @property
    def asks(self) -> bool:
        """Whether the other side is asked about a send whose answer is not known, before it is made again."""
        return self.options.after_crash == "ask"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try, as it came out."""

    delivery: Delivery
    number: int
    started_at: int
    ended_at: int
    result: Sent | DeliveryError
    began: float = 0.0  # on the monotonic clock
    made: bool = True  # False: our own store failed before anything was sent, which is no try at all

    @property
    def first_tried_at(self) -> int:
        """When the first try of this round was made."""
        return self.delivery.first_tried_at or self.started_at

    def tried_from(self, retry: Retry) -> float:
        """What giving up is counted from, on the monotonic clock: a wall clock that jumps makes no dead letters."""
        delivery = self.delivery
        if delivery.tried_from or not delivery.first_tried_at:
            return delivery.tried_from or self.began
        return self.began - tried_before_secs(retry, delivery.attempt, delivery.first_tried_at, self.started_at)

    def tried_secs(self, retry: Retry, now: float) -> float:
        """How long the delivery has been tried, at ``now`` on the monotonic clock. The first try after a restart counts
        as none: the network may be up later than we are."""
        is_taken_up = self.delivery.first_tried_at and not self.delivery.tried_from
        return 0.0 if is_taken_up else now - self.tried_from(retry)

    def again(self, state: DeliveryState, due_at: int, retry: Retry) -> Delivery:
        """The delivery as it goes back to its lane after a failure for now: waiting, or sending where the other side is
        to be asked first."""
        return replace(
            self.delivery,
            state=state,
            attempt=self.number,
            due_at=due_at,
            first_tried_at=self.first_tried_at,
            tried_from=self.tried_from(retry),
        )

    def outcome(self, state: DeliveryState, due_at: int = 0) -> Outcome:
        """What is to be kept of it (T4), with the state that it leaves the delivery in."""
        result = self.result
        return Outcome(
            self.delivery.id,
            self.delivery.message_id,
            state,
            self.number,
            self.started_at,
            self.ended_at,
            due_at,
            cause=result.reason if isinstance(result, DeliveryError) else "",
            text=str(result) if isinstance(result, DeliveryError) else result.detail,
            answer=result.answer,
        )


async def attempt(
    terms: Terms, delivery: Delivery, outbox: Outbox, clock: Clock, on_cut_off: Callable[[Attempt], None]
) -> Attempt:
    """Try once. Never raises for what the other side does; ``on_cut_off`` is told of a try that was cancelled."""
    number = delivery.attempt + 1
    envelope = delivery.envelope if number == 1 else replace(delivery.envelope, attempt=number)
    started_at, began = clock.now(), clock.monotonic()
    result: Sent | DeliveryError
    made = True
    try:
        result = await _send(terms, delivery, envelope, outbox)
    except DeliveryError as error:
        result = error
    except StoreError as error:
        result, made = Transient("store-failed", str(error)), False
    except asyncio.CancelledError:
        cut = Unsure("cut-off", "the daemon was stopped before an answer came")
        on_cut_off(Attempt(delivery, number, started_at, clock.now(), cut))
        raise
    except Exception as error:  # a connector's defect must not stop the other lanes
        result = Transient("connector-failed", f"{type(error).__name__} in the connector: {error}")
    return Attempt(delivery, number, started_at, clock.now(), result, began, made)


async def _send(terms: Terms, delivery: Delivery, envelope: Envelope, outbox: Outbox) -> Sent:
    """Send; where a send's fate is not known, ask: that of an earlier one before this, that of this one after it."""
    if terms.claims and delivery.state is DeliveryState.SENDING:
        found = await _ask(terms, envelope, _earlier_doubt(delivery))
        if found is not None:
            return found
    elif terms.claims:
        await outbox.claim([delivery.id])
    try:
        return await terms.sender.send(envelope)
    except Unsure as doubt:
        found = await _ask(terms, envelope, doubt)
        if found is not None:
            return found
        raise Transient(doubt.reason, f"{doubt}; asked: it is not there", answer=doubt.answer) from doubt


def _earlier_doubt(delivery: Delivery) -> Unsure:
    if delivery.tried_from:  # in this run
        return Unsure("answer-lost", "the answer was lost, and what the other side has could not be told yet")
    return Unsure("interrupted", "the daemon ended while this delivery was under way")


async def _ask(terms: Terms, envelope: Envelope, doubt: Unsure) -> Sent | None:
    """What the other side has; None when it certainly has nothing. Raises Unsure where it cannot be told."""
    if not terms.asks or not isinstance(terms.sender, Asks):
        raise doubt
    try:
        found = await terms.sender.ask(envelope)
    except DeliveryError as error:
        raise Unsure(doubt.reason, f"{doubt}; asking failed: {error}", answer=doubt.answer) from error
    return None if found is None else Sent(found.answer, f"asked: it is there ({found.detail or doubt.reason})")
