"""One try of one delivery: claimed where a second send would hurt, sent, and its outcome as a value."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from msgspec.structs import replace

from hcsyncd.clock import Clock
from hcsyncd.config.model import ChannelOptions, OnDead, Retry
from hcsyncd.errors import DeliveryError, StoreError, Transient, Unsure
from hcsyncd.message import Delivery, DeliveryState, Envelope, Sent
from hcsyncd.store.ports import Outbox, Outcome


class Sender(Protocol):
    """The part of a `connectors.connector.Destination` that deliveries need."""

    async def send(self, envelope: Envelope) -> Sent: ...


@dataclass(frozen=True, slots=True)
class Policy:
    """What a route says of its deliveries, or its destination channel where it says nothing."""

    retry: Retry
    on_dead: OnDead


@dataclass(frozen=True, slots=True)
class Terms:
    """What a dispatcher works by: replaced as a whole by a reload."""

    sender: Sender
    options: ChannelOptions
    policy: Callable[[str], Policy]  # by route name

    @property
    def claims(self) -> bool:
        """Whether each send is noted on disk before it is made."""
        return self.options.after_crash == "hold"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try, as it came out."""

    delivery: Delivery
    number: int
    started_at: int
    ended_at: int
    result: Sent | DeliveryError

    @property
    def first_tried_at(self) -> int:
        """When the first try of this round was made: what giving up is counted from."""
        return self.delivery.first_tried_at or self.started_at

    def again(self, due_at: int) -> Delivery:
        """The delivery as it goes back to its lane after a failure for now."""
        return replace(
            self.delivery,
            state=DeliveryState.WAITING,
            attempt=self.number,
            due_at=due_at,
            first_tried_at=self.first_tried_at,
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
    started_at = clock.now()
    result: Sent | DeliveryError
    try:
        if terms.claims and delivery.state is DeliveryState.SENDING:
            result = Unsure("interrupted", "the daemon ended while this delivery was under way")
        else:
            if terms.claims:
                await outbox.claim([delivery.id])
            result = await terms.sender.send(envelope)
    except DeliveryError as error:
        result = error
    except StoreError as error:
        result = Transient("store-failed", str(error))
    except asyncio.CancelledError:
        cut = Unsure("cut-off", "the daemon was stopped before an answer came")
        on_cut_off(Attempt(delivery, number, started_at, clock.now(), cut))
        raise
    except Exception as error:  # a connector's defect must not stop the other lanes
        result = Transient("connector-failed", f"{type(error).__name__} in the connector: {error}")
    return Attempt(delivery, number, started_at, clock.now(), result)
