"""What happens to deliveries and their destinations."""

from __future__ import annotations

from typing import ClassVar

from hcsyncd.events.event import Event


class DeliverySent(Event, frozen=True):
    """The other side took a delivery."""

    level: ClassVar[str] = "debug"
    destination: str
    route: str
    delivery_id: int
    message_id: int
    attempt: int
    send_seconds: float
    total_seconds: float  # since it was handed on


class DeliveryDelayed(Event, frozen=True):
    """An attempt failed for now."""

    level: ClassVar[str] = "warning"
    destination: str
    route: str
    delivery_id: int
    message_id: int
    attempt: int
    cause: str
    text: str
    retry_secs: float


class DeliveryUnsure(Event, frozen=True):
    """It is not known whether the other side took a delivery; it waits for an answer or a person."""

    level: ClassVar[str] = "error"
    destination: str
    route: str
    delivery_id: int
    message_id: int
    cause: str


class DeliveryDied(Event, frozen=True):
    """A delivery is a dead letter."""

    level: ClassVar[str] = "error"
    destination: str
    route: str
    delivery_id: int
    message_id: int
    attempt: int
    cause: str
    text: str


class DeliveryClosed(Event, frozen=True):
    """A person settled a delivery: discarded or replayed in another form."""

    destination: str
    delivery_id: int
    message_id: int
    reason: str


class DestinationFailed(Event, frozen=True):
    """A destination's attempts fail one after the other: said once, at the first failure."""

    level: ClassVar[str] = "error"
    destination: str
    cause: str
    text: str


class DestinationRecovered(Event, frozen=True):
    """A destination that failed takes deliveries again."""

    destination: str
    seconds: float  # since the first failure


class AnswerIgnored(Event, frozen=True):
    """The other side sent an acknowledgement that changes nothing; ``reason`` is a stable code: answered-before (as the
    application's answer is after the commit answer), not-asked. ``verdict`` is MSA-1, "" when it is none."""

    level: ClassVar[str] = "warning"
    destination: str
    reason: str
    verdict: str
