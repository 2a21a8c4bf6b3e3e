"""Tries of a delivery as a person reads them: those that came out alike are one line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(slots=True)
class Run:
    """Tries of one delivery, one after the other, that came out alike."""

    delivery: int
    first: int  # number
    last: int
    started_at: int  # of the first
    ended_at: int  # of the last
    took: int  # the last one, microseconds
    state: str
    cause: str
    text: str
    answer: str  # of the last, as it travelled

    @property
    def count(self) -> int:
        return self.last - self.first + 1

    @property
    def numbers(self) -> str:
        return str(self.first) if self.count == 1 else f"{self.first}-{self.last}"

    @property
    def said(self) -> str:
        """What happened: ``14 x connect-refused: nobody listens``."""
        what = ": ".join(part for part in (self.cause, self.text) if part)
        return what if self.count == 1 else f"{self.count} x {what}"


def runs(attempts: Iterable[Json]) -> Iterator[Run]:
    """Attempts in the order of deliveries and tries, folded."""
    run: Run | None = None
    for one in sorted(attempts, key=lambda one: (one["delivery_id"], one["number"])):
        if run and _is_alike(run, one):
            run.last, run.ended_at = one["number"], one["ended_at"]
            run.took, run.answer = one["ended_at"] - one["started_at"], one["answer"]
            continue
        if run:
            yield run
        run = Run(
            one["delivery_id"],
            one["number"],
            one["number"],
            one["started_at"],
            one["ended_at"],
            one["ended_at"] - one["started_at"],
            one["state"],
            one["cause"],
            one["text"],
            one["answer"],
        )
    if run:
        yield run


def _is_alike(run: Run, one: Json) -> bool:
    return (run.delivery, run.state, run.cause, run.text) == (
        one["delivery_id"],
        one["state"],
        one["cause"],
        one["text"],
    ) and bool(one["cause"])
