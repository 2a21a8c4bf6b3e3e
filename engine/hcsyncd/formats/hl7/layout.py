"""The lines of a document, in order, and their ends. A line becomes a `Segment` when somebody asks for it."""

from __future__ import annotations

from hcsyncd.formats.hl7.charset import Charset
from hcsyncd.formats.hl7.lines import cut, segment_names
from hcsyncd.formats.hl7.segment import Notation, Segment


class Layout:
    """What a body consists of: segments, blank lines, lines that are no segments, each with its own line end."""

    __slots__ = ("_ends", "_ids", "_lines", "_notation")

    def __init__(self, text: str, notation: Notation) -> None:
        """``text`` is wire text that starts with a segment."""
        bar = notation.delimiters.field
        lines, self._ends = cut(text, bar)
        self._lines: list[str | Segment] = [*lines]
        names = segment_names(bar)
        self._ids = [names[line[:4]] for line in lines]  # "" for what is no segment
        self._notation = notation

    def find(self, name: str, occurrence: int = 1) -> Segment | None:
        """The segment of that name, counted from 1."""
        if name not in self._ids:
            return None
        place = self._ids.index(name)
        if occurrence > 1:
            places = [place for place, found in enumerate(self._ids) if found == name]
            if occurrence > len(places):
                return None
            place = places[occurrence - 1]
        line = self._lines[place]
        return line if isinstance(line, Segment) else self._segment(place)

    def segments(self, name: str = "") -> list[Segment]:
        """The segments of that name, or all."""
        return [self._segment(place) for place, found in enumerate(self._ids) if (found == name if name else found)]

    def count(self, name: str) -> int:
        """How many segments of that name there are."""
        return self._ids.count(name)

    def insert(self, segment: Segment, after: Segment | None) -> None:
        """Put a segment behind another, or behind the last one. It takes over the line end that is usual there."""
        place = self._lines.index(after) if after is not None else self._last()
        end = self._ends[place] or next((end for end in self._ends if end), "\r")
        if not self._ends[place]:  # the last line, unended: so is the new last line
            self._ends[place], end = end, ""
        self._lines.insert(place + 1, segment)
        self._ends.insert(place + 1, end)
        self._ids.insert(place + 1, segment.id)

    def remove(self, segment: Segment) -> None:
        """Take a segment out, with its line end."""
        place = self._lines.index(segment)
        del self._lines[place], self._ends[place], self._ids[place]

    def render(self) -> str:
        """The wire text of everything."""
        parts: list[str] = []
        for line, end in zip(self._lines, self._ends, strict=True):
            parts += (line if isinstance(line, str) else line.text, end)
        return "".join(parts)

    def transcode(self, charset: Charset) -> None:
        """Write every line in another character set. Raises FormatError (``not-encodable``) before anything is
        changed. Lines that are no segments keep their bytes."""
        old = self._notation.charset
        texts = []
        for line, name in zip(self._lines, self._ids, strict=True):
            text = line if isinstance(line, str) else line.text
            texts.append(charset.encode(old.decode(text)) if name else charset.load(old.dump(text)))
        for place, (line, text) in enumerate(zip(self._lines, texts, strict=True)):
            if isinstance(line, str):
                self._lines[place] = text
            else:
                line.rewrite(text)
        self._notation.charset = charset

    def _segment(self, place: int) -> Segment:
        line = self._lines[place]
        if isinstance(line, str):
            line = self._lines[place] = Segment(self._ids[place], line, self._notation)
        return line

    def _last(self) -> int:
        return max(place for place, found in enumerate(self._ids) if found)
