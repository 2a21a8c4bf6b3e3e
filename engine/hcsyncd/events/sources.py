"""What happens where messages come in."""

from __future__ import annotations

from typing import ClassVar

from hcsyncd.events.event import Event


class SourceStarted(Event, frozen=True):
    """A source is bound or connected."""

    channel: str
    address: str


class SourceStopped(Event, frozen=True):
    """A source was stopped on purpose."""

    channel: str


class SourceFailed(Event, frozen=True):
    """A source could not start or ended by itself; it is tried again after ``retry_secs``."""

    level: ClassVar[str] = "error"
    channel: str
    error: str
    retry_secs: float


class ConnectionOpened(Event, frozen=True):
    """A peer connected to a listener."""

    level: ClassVar[str] = "debug"
    channel: str
    peer: str


class ConnectionClosed(Event, frozen=True):
    """A peer's connection ended; ``reason`` is a stable code: peer-closed, idle, reset, frame-timeout, stopping,
    store-failed."""

    level: ClassVar[str] = "debug"
    channel: str
    peer: str
    reason: str


class ConnectionRefused(Event, frozen=True):
    """A peer was turned away; ``reason`` is a stable code: not-allowed, too-many, no-resources, tls, gone,
    unauthorized, slow."""

    level: ClassVar[str] = "warning"
    channel: str
    peer: str
    reason: str


class CertificateReloaded(Event, frozen=True):
    """A channel's certificate files have changed; new connections use them."""

    channel: str
    file: str


class CertificateRefused(Event, frozen=True):
    """A channel's certificate files have changed and will not load; the last good ones stay in use."""

    level: ClassVar[str] = "error"
    channel: str
    error: str


class FrameFaulted(Event, frozen=True):
    """Bytes on the wire were no frame; ``fault`` is a stable code: noise, unfinished, oversize, empty,
    end-without-start."""

    level: ClassVar[str] = "warning"
    channel: str
    peer: str
    fault: str
    bytes: int


class FaultTolerated(Event, frozen=True):
    """A known sender fault was overlooked, as the channel allows; ``switch`` is the option's name."""

    level: ClassVar[str] = "debug"
    channel: str
    switch: str


class FileTaken(Event, frozen=True):
    """A folder source took a whole file: all its messages are stored and it is archived."""

    channel: str
    file: str
    messages: int
    bytes: int
    rejected: int = 0  # of the messages: stored as dead letters at once


class WatchFailed(Event, frozen=True):
    """A folder source cannot be woken by the system; it finds files by scanning alone."""

    level: ClassVar[str] = "warning"
    channel: str
    folder: str
    error: str


class FileRefused(Event, frozen=True):
    """A folder source could not take a file; it stays where ``moved_to`` says."""

    level: ClassVar[str] = "error"
    channel: str
    file: str
    reason: str
    moved_to: str
