"""What waits for a mapping or for a person, and how it goes on."""

from __future__ import annotations

from typing import ClassVar

from hcsyncd.events.event import Event


class DeliveryParked(Event, frozen=True):
    """A lookup table has no entry for a code: the delivery waits until it has one."""

    level: ClassVar[str] = "warning"
    destination: str
    route: str
    message_id: int
    table: str


class DeliveryUnparked(Event, frozen=True):
    """A parked delivery goes on; ``outcome`` says how: ready, parked (for another code), dead, closed."""

    destination: str
    route: str
    delivery_id: int
    message_id: int
    outcome: str


class TaskClosed(Event, frozen=True):
    """Nothing waits for a code any more."""

    task_id: int
    table: str
    seconds: float  # since the first delivery was parked for it


class DeadLetterAssigned(Event, frozen=True):
    """A person said who takes care of a message's dead letters."""

    message_id: int
    owner: str
    by: str


class TaskAssigned(Event, frozen=True):
    """A person said who enters a mapping."""

    task_id: int
    owner: str
    by: str


class DeliverySettled(Event, frozen=True):
    """It is known now whether the other side has an unsure delivery: ``outcome`` is sent or not-sent, ``how`` is asked
    or person."""

    destination: str
    delivery_id: int
    message_id: int
    outcome: str
    how: str
