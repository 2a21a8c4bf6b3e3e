"""The seam between the wire and the road. A connector moves bytes; it knows no store, no route, no other connector."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from hcsyncd.clock import Clock
from hcsyncd.events import Event
from hcsyncd.formats.format import Format
from hcsyncd.message import Arrival, Envelope, Receipt, ReplyState, Sent
from hcsyncd.options import Options


class Intake(Protocol):
    """What a source is handed: the way in."""

    def accept(self, arrival: Arrival) -> asyncio.Future[Receipt]:
        """Take an arrival. The future is done once the arrival is on stable storage (or refused): only then may the
        peer be told anything. It fails with StoreError when the store cannot take it; the peer is then told nothing
        good. Cancelling the future takes nothing back."""
        ...

    def answered(self, receipt: Receipt, state: ReplyState) -> None:
        """Record that the reply was written to the wire (sent) or could not be (lost)."""
        ...

    def unreadable(self, arrival: Arrival, reason: str, text: str) -> asyncio.Future[Receipt]:
        """Take bytes that broke the transport's own rules (an over-long frame, a file that cannot be split): they
        become a dead letter with this cause, and the receipt holds the reply to give."""
        ...


@dataclass(frozen=True, slots=True)
class Seat:
    """What every connector is given to work with."""

    channel: str
    format: Format
    emit: Callable[[Event], None]
    clock: Clock
    site: Path  # relative paths in options are relative to this folder
    state: Path  # a folder of its own, for what the connector must remember between runs


class Source(Protocol):
    """Receives. Built by its descriptor; an instance is started once."""

    async def start(self) -> None:
        """Bind or connect. Raises SourceError when that cannot be done; nothing is accepted yet."""
        ...

    async def run(self, intake: Intake) -> None:
        """Accept until `stop` is called. Returning or raising otherwise means the source failed and is restarted."""
        ...

    async def stop(self) -> None:
        """No new arrivals; those in hand are receipted and answered before this returns. Safe to call twice."""
        ...

    @property
    def address(self) -> str:
        """Where it listens or looks, for a person: ``127.0.0.1:2575``, a folder. Known once started."""
        ...


class Destination(Protocol):
    """Sends."""

    async def open(self) -> None:
        """Make ready; the other side need not be there yet. Raises ConfigError or OSError for what is wrong on ours."""
        ...

    async def probe(self) -> str:
        """Reach the other side without an effect there and say what was seen; raises DeliveryError."""
        ...

    async def send(self, envelope: Envelope) -> Sent:
        """Deliver one envelope. Raises Transient, Unsure or Refused. Called concurrently for different lanes, and for
        one lane up to its window; envelopes of one lane are to leave in the order of the calls."""
        ...

    async def close(self) -> None:
        """Let go of connections; sends in hand have ended before. Safe to call twice."""
        ...


@runtime_checkable
class Asks(Protocol):
    """A destination that can tell whether it has an envelope. ``can_ask`` of its options: whether it is set up to."""

    async def ask(self, envelope: Envelope) -> Sent | None:
        """Look for what was sent, without an effect there: what a `send` would have returned, or None when it is
        certainly not there. Raises Transient when it cannot be told now."""
        ...


class Role(StrEnum):
    """Which way messages go through a connector."""

    SOURCE = "source"
    DESTINATION = "destination"


@dataclass(frozen=True, slots=True)
class Connector:
    """The descriptor at the foot of a connector's file: the one thing the rest of the engine knows about it."""

    kind: str
    role: Role
    summary: str
    options: type[Options]
    build: Callable[[Any, Seat], Any]  # (options, seat) -> Source or Destination, by role
