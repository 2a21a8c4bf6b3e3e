"""What happens to replays."""

from __future__ import annotations

from typing import ClassVar

from hcsyncd.events.event import Event


class ReplayPlanned(Event, frozen=True):
    """A replay was planned: how many ways of messages would be sent (of them changed), and how many would not."""

    replay_id: int
    author: str
    sent: int
    changed: int
    suppressed: int
    blocked: int


class ReplayFailed(Event, frozen=True):
    """A replay could not be planned, or was held because it could not go on."""

    level: ClassVar[str] = "error"
    replay_id: int
    text: str


class ReplayApplied(Event, frozen=True):
    """A person let a plan go; what it says is sent from here on."""

    replay_id: int
    user: str


class ReplayHeld(Event, frozen=True):
    """A replay stands still until it is resumed."""

    replay_id: int
    reason: str


class ReplayResumed(Event, frozen=True):
    """A replay that was held goes on."""

    replay_id: int


class ReplayCancelled(Event, frozen=True):
    """A replay was given up; what it has sent stays sent."""

    replay_id: int
    reason: str


class ReplayExpired(Event, frozen=True):
    """A plan was not applied in time."""

    replay_id: int


class ReplayFinished(Event, frozen=True):
    """A replay is through: how its ways of messages ended."""

    replay_id: int
    sent: int
    dead: int  # dead letters again, or unsure
    suppressed: int
    blocked: int
    seconds: float  # since it was applied
