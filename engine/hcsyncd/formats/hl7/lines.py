"""Where segments end. The standard says CR (HL7 v2.5.1 §2.5.3); files and some senders use LF, CRLF or all three.

CR always ends a segment, with an LF behind it or without. A lone LF does where the first segment ended with one; else
only where a segment, a blank line or nothing follows it, because then it is part of a text that somebody wrapped.
"""

from __future__ import annotations

import re
from functools import lru_cache

ANY_END = re.compile(r"\r\n?|\n")


def line_end(text: str, field: str) -> re.Pattern[str]:
    """The pattern of a segment's end in ``text``, which starts with a segment; ``field`` is the field separator."""
    first = ANY_END.search(text)
    return ANY_END if first and first[0] == "\n" else _careful_end(field)


def cut(text: str, field: str) -> tuple[list[str], list[str]]:
    """The lines of ``text`` and their ends; the last line has the end "" and may be empty."""
    if "\n" not in text:
        lines = text.split("\r")
        return lines, ["\r"] * (len(lines) - 1) + [""]
    lines, ends, start = [], [], 0
    for found in line_end(text, field).finditer(text):
        lines.append(text[start : found.start()])
        ends.append(found[0])
        start = found.end()
    return [*lines, text[start:]], [*ends, ""]


class SegmentNames(dict[str, str]):
    """From the first four characters of a line to the name of the segment it is, in capitals; "" when it is none. A
    table that fills itself: a message has many lines, and the same few names come again and again."""

    ROOM = 4096

    def __init__(self, field: str) -> None:
        super().__init__()
        self._pattern = re.compile(rf"[A-Za-z][A-Za-z0-9]{{2}}{re.escape(field)}|[A-Z][A-Z0-9]{{2}}\Z")

    def __missing__(self, start: str) -> str:
        if len(self) >= self.ROOM:
            self.clear()
        name = self[start] = start[:3].upper() if self._pattern.match(start) else ""
        return name


@lru_cache(maxsize=64)
def segment_names(field: str) -> SegmentNames:
    """The table for messages with that field separator."""
    return SegmentNames(field)


@lru_cache(maxsize=64)
def _careful_end(field: str) -> re.Pattern[str]:
    separator = re.escape(field)
    segment = rf"[A-Za-z][A-Za-z0-9]{{2}}{separator}|[A-Z][A-Z0-9]{{2}}[\r\n]"
    return re.compile(rf"\r\n?|\n(?=[\r\n]|\Z|{segment})")
