"""What happens to messages."""

from __future__ import annotations

from typing import ClassVar

from hcsyncd.events.event import Event


class MessageReceived(Event, frozen=True):
    """An arrival is on stable storage."""

    level: ClassVar[str] = "debug"
    channel: str
    message_id: int
    type: str
    bytes: int
    seconds: float  # from arrival to commit


class MessageDuplicated(Event, frozen=True):
    """An arrival was known already; the original's reply was given again."""

    channel: str
    message_id: int  # the original


class ControlIdReused(Event, frozen=True):
    """A sender used a control id again for other content."""

    level: ClassVar[str] = "warning"
    channel: str
    message_id: int  # the new one
    original_id: int
    refused: bool


class MessageRejected(Event, frozen=True):
    """An arrival was stored as a dead letter at once, and its sender was told no."""

    level: ClassVar[str] = "warning"
    channel: str
    message_id: int
    cause: str
    bytes: int


class IntakeRefused(Event, frozen=True):
    """An arrival was not stored; its sender was told to come again. Why is said once, by an event of the disk or the
    store."""

    level: ClassVar[str] = "debug"
    channel: str
    reason: str


class ReplyLost(Event, frozen=True):
    """A sender was gone before its acknowledgement could be written; the stored reply waits for its resend."""

    level: ClassVar[str] = "warning"
    channel: str
    message_id: int


class MessageRouted(Event, frozen=True):
    """A message was handed on."""

    level: ClassVar[str] = "debug"
    channel: str
    message_id: int
    deliveries: int
    seconds: float  # from arrival to hand-on


class MessageFiltered(Event, frozen=True):
    """Every route that matched dropped the message on purpose."""

    level: ClassVar[str] = "debug"
    channel: str
    message_id: int
    reason: str


class MessageUnrouted(Event, frozen=True):
    """No route wanted the message."""

    level: ClassVar[str] = "debug"
    channel: str
    message_id: int
    type: str


class RouteFailed(Event, frozen=True):
    """A route's filter or transform failed on a message, which is a dead letter on that route."""

    level: ClassVar[str] = "error"
    channel: str
    message_id: int
    route: str
    cause: str
    text: str


class MessageReplayed(Event, frozen=True):
    """A message was put on the road again as a new one."""

    message_id: int  # the original
    copy_id: int
