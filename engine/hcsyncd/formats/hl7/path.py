"""Paths into a message, in the standard's own notation: ``PID-3``, ``PID-3[2].1``, ``OBX(3)-5``, ``ZPI``.

::

    OBX(3)-5[2].1.2
    │   │  │ │  │ └ subcomponent
    │   │  │ │  └── component
    │   │  │ └───── repetition of the field
    │   │  └─────── field
    │   └────────── which of the segments of that name
    └────────────── segment

Everything counts from 1. What is left out from the right means the whole: ``PID-3`` is the field with all repetitions.
What is left out in the middle means the first: ``PID-3.1`` is of the first repetition.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from hcsyncd.errors import FormatError

NOTATION = re.compile(
    r"([A-Z][A-Z0-9]{2})(?:\(([0-9]+)\))?(?:-([0-9]+)(?:\[([0-9]+)\])?(?:\.([0-9]+)(?:\.([0-9]+))?)?)?"
)
# What people write who know other tools: pid-3, PID.3.1, PID-3-1, PID[2]-3, PID-3(2), PID.F3.R2.C1
NEAR = re.compile(
    r"([A-Za-z][A-Za-z0-9]{2})(?:[\[(]([0-9]+)[\])])?"
    r"(?:[-./ ][Ff]?([0-9]+)(?:[\[(]([0-9]+)[\])]|\.[Rr]([0-9]+))?(?:[-.][Cc]?([0-9]+)(?:[-.][Ss]?([0-9]+))?)?)?"
)


@dataclass(frozen=True, slots=True)
class Path:
    """A path that was read. 0 stands for what was left out."""

    segment: str
    occurrence: int = 0
    field: int = 0
    repetition: int = 0
    component: int = 0
    subcomponent: int = 0

    def __str__(self) -> str:
        text = self.segment
        for part, form in (
            (self.occurrence, "({})"),
            (self.field, "-{}"),
            (self.repetition, "[{}]"),
            (self.component, ".{}"),
            (self.subcomponent, ".{}"),
        ):
            if part:
                text += form.format(part)
        return text


@lru_cache(maxsize=4096)
def parse_path(text: str) -> Path:
    """Read a path. Raises FormatError (``bad-path``) that names the likely fix."""
    found = NOTATION.fullmatch(text)
    if found is None:
        raise FormatError("bad-path", f"{text!r} is not a path such as PID-3[2].1{_suggestion(text)}")
    segment, *numbers = found.groups()
    if any(number is not None and int(number) == 0 for number in numbers):
        raise FormatError("bad-path", f"{text!r} is not a path: everything counts from 1")
    return Path(segment, *(int(number or 0) for number in numbers))


def _suggestion(text: str) -> str:
    near = NEAR.fullmatch(text.strip())
    if near is None:
        return ""
    segment, occurrence, field, repetition, other, component, subcomponent = near.groups()
    numbers = (occurrence, field, repetition or other, component, subcomponent)
    meant = Path(segment.upper(), *(int(number or 0) for number in numbers))
    return f" (did you mean {meant}?)"
