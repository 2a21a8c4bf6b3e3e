"""What happens to the configuration."""

from __future__ import annotations

from typing import ClassVar

from hcsyncd.events.event import Event


class GenerationActivated(Event, frozen=True):
    """A configuration is live."""

    generation: int
    channels: int
    routes: int
    changes: str  # in words; "" at the start
    author: str = ""  # a user's login name, signal, start, or hcsyncd itself
    reason: str = ""


class GenerationRefused(Event, frozen=True):
    """A reload did not go through; the running configuration stays."""

    level: ClassVar[str] = "error"
    findings: int
    reason: str


class GenerationAccepted(Event, frozen=True):
    """A new configuration has stood the time in which a reload is watched."""

    generation: int
    messages: int  # that came by in that time


class GenerationReverted(Event, frozen=True):
    """Messages failed under a new configuration, and the one before runs again. The files on disk are still those of
    the one that was given up."""

    level: ClassVar[str] = "error"
    generation: int  # given up
    restored: int  # whose files run again
    channel: str
    reason: str
    dead: int  # messages that are dead letters by it
    command: str  # puts them on the road again; "" when there are none


class GenerationStuck(Event, frozen=True):
    """A new configuration was to be given up, and the one before does not come to life: the new one goes on."""

    level: ClassVar[str] = "error"
    generation: int
    reason: str
    error: str


class GenerationHeld(Event, frozen=True):
    """At the start, the files on disk were those of a configuration that had been given up: the last good one runs."""

    level: ClassVar[str] = "warning"
    generation: int
    given_up: int
    reason: str  # why it was given up
