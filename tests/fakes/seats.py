"""What a connector is given to work with, for a test: a folder of its own and every event kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from hcsyncd.clock import Clock, SystemClock
from hcsyncd.connectors.connector import Seat
from hcsyncd.errors import FormatError
from hcsyncd.events import Event
from hcsyncd.formats.format import Answer, Document, Format, Peek

E = TypeVar("E", bound=Event)


@dataclass
class RecordedEvents:
    """Every event that was emitted, in order."""

    events: list[Event] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]


class OpaqueFormat:
    """Reads nothing: a connector only moves bytes."""

    name = "opaque"
    content_type = "application/octet-stream"

    def peek(self, body: bytes) -> Peek:
        raise FormatError("opaque", "this format cannot be read")

    def refusal(self, body: bytes, error: FormatError, answer: Answer) -> bytes:
        return b""

    def parse(self, body: bytes) -> Document:
        raise FormatError("opaque", "this format cannot be read")

    def check_path(self, path: str) -> None:
        raise FormatError("opaque", "this format has no paths")

    def split(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        yield b"".join(chunks)


def make_seat(
    folder: Path,
    emit: RecordedEvents,
    *,
    channel: str = "adt_in",
    format_: Format | None = None,
    clock: Clock | None = None,
) -> Seat:
    """A seat in ``folder``, with the machine's clock and a format that reads nothing unless told otherwise."""
    state = folder / "state" / channel
    state.mkdir(parents=True, exist_ok=True)
    return Seat(channel, format_ or OpaqueFormat(), emit, clock or SystemClock(), folder, state)
