"""How a run of sending went: outcomes counted, latencies kept, both bounded in memory by eight bytes a message."""

from __future__ import annotations

import time
from array import array
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """What became of one message, as the sender sees it. HL7 table 0008: AA, CA; AE, CE; AR, CR."""

    ACCEPTED = "accepted"
    ERROR = "error"
    REJECTED = "rejected"
    TIMEOUT = "timeout"  # no answer in time
    LOST = "lost"  # the connection ended before the answer
    MISMATCHED = "mismatched"  # an answer for another message (MSA-2)
    UNREADABLE = "unreadable"  # an answer that says nothing that can be judged
    UNSENDABLE = "unsendable"  # the message cannot be framed


@dataclass(frozen=True, slots=True)
class Answered:
    """One exchange: its outcome, and in ``detail`` a line for a person."""

    outcome: Outcome
    detail: str = ""
    answer: bytes = field(default=b"", repr=False)


class Tally:
    """Counts of one run. Latencies are of answered messages only, in seconds."""

    def __init__(self) -> None:
        self.outcomes: Counter[Outcome] = Counter()
        self._latencies = array("d")
        self._started = time.perf_counter()
        self._ended = self._started

    def add(self, outcome: Outcome, seconds: float) -> None:
        self.outcomes[outcome] += 1
        self._ended = time.perf_counter()
        if outcome in (Outcome.ACCEPTED, Outcome.ERROR, Outcome.REJECTED):
            self._latencies.append(seconds)

    @property
    def sent(self) -> int:
        return self.outcomes.total()

    @property
    def all_accepted(self) -> bool:
        return self.sent > 0 and self.outcomes[Outcome.ACCEPTED] == self.sent

    def summary(self) -> dict[str, Any]:
        """For JSON: times in seconds, the rate in messages a second."""
        seconds = self._ended - self._started
        ordered = sorted(self._latencies)
        shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
        return {
            "sent": self.sent,
            "outcomes": {outcome.value: self.outcomes[outcome] for outcome in Outcome},
            "seconds": round(seconds, 6),
            "rate": round(self.sent / seconds, 3) if seconds else 0.0,
            "latency": {name: round(percentile(ordered, share), 6) for name, share in shares.items()},
        }


def percentile(ordered: list[float], share: float) -> float:
    """The value below or at which ``share`` of a sorted list lies (nearest rank); 0.0 of nothing."""
    if not ordered:
        return 0.0
    rank = -(-len(ordered) * share // 1)
    return ordered[max(int(rank) - 1, 0)]
