"""What people stop and let go on."""

from __future__ import annotations

from typing import ClassVar

from hcsyncd.events.event import Event


class ChannelHeld(Event, frozen=True):
    """A person holds a channel, or did so before the daemon was started: it is told again at each start."""

    level: ClassVar[str] = "warning"
    channel: str
    hold: str  # receiving, routing, delivery
    by: str
    reason: str


class ChannelResumed(Event, frozen=True):
    """A person let a channel go on."""

    channel: str
    hold: str
    by: str
    reason: str
