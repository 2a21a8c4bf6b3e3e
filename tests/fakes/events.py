"""A listener that keeps what it hears."""

from __future__ import annotations

from typing import TypeVar

from hcsyncd.events import Event
from tests.fakes.waiting import until

Kind = TypeVar("Kind", bound=Event)


class RecordedEvents:
    """Every event that was emitted, in order: an instance is what an emitter is given. Ask with `of`, wait with
    `first`."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type[Kind]) -> list[Kind]:
        return [event for event in self.events if isinstance(event, kind)]

    async def first(self, kind: type[Kind], count: int = 1, timeout_secs: float = 10.0) -> Kind:
        """The ``count``-th event of a kind, as soon as there is one."""
        await until(lambda: len(self.of(kind)) >= count, f"{count} {kind.__name__}", timeout_secs)
        return self.of(kind)[count - 1]
