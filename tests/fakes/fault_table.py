"""One row of the table of faults: what was counted while one fault was tried."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Row:
    """Counts of one fault. ``place`` orders the table."""

    place: float
    fault: str
    made: str  # how the fault was made
    word: str  # what the operator is told
    recovery: str
    tries: int = 1  # how often the fault struck
    sent: int = 0  # different messages that senders had
    acknowledged: int = 0
    stored: int = 0
    delivered: int = 0  # effects at the receiver, each key once
    repeats: int = 0  # came at the receiver again under the same key
    filtered: int = 0
    parked: int = 0  # unsure ones among them: they wait for a person
    dead: int = 0
    open: int = 0
    lost: int = 0  # acknowledged and nowhere
    doubled: int = 0  # effects that were there twice
    disordered: int = 0  # lanes whose order was not kept
    counted: bool = True  # False: only refused, there was nothing to count
    looks: int = 0  # how often the sum of the states was checked while it ran

    def __str__(self) -> str:
        counts = {name: value for name, value in asdict(self).items() if type(value) is int}
        shown = ", ".join(f"{name} {value}" for name, value in counts.items() if value or name in ("lost", "doubled"))
        return f"{self.fault}: {shown}"

    def append_to(self, file: Path) -> None:
        """One line of JSON, in one write: tests of several processes share the file."""
        with file.open("a", encoding="utf-8") as table:
            table.write(json.dumps(asdict(self)) + "\n")
