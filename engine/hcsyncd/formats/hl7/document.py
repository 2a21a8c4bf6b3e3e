"""An HL7 v2 message that is parsed only where somebody looks, and rendered only where somebody wrote.

::

    document["PID-3[2].1"]                  # a text, "" when nothing is there
    document.get("PV1-19.1")                # a text, or None
    document.all("OBX-5")                   # over all OBX and all repetitions
    document["MSH-5"] = "LAB"               # escaped, in the message's character set
    document["PV1-3"] = ["ORTHO", "201"]    # components
    for obx in document.segments("OBX"):
        obx["5"] = obx["5"].strip()

Bytes that were not touched stay as they were: line ends, blank lines, lines that are no segments, undecodable bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import hl7

from hcsyncd.errors import FormatError
from hcsyncd.formats.hl7.charset import MAX_NAMES, charset_named, charset_of, declared_charset
from hcsyncd.formats.hl7.delimiters import Delimiters
from hcsyncd.formats.hl7.header import read_header, start_of
from hcsyncd.formats.hl7.layout import Layout
from hcsyncd.formats.hl7.path import Path, parse_path
from hcsyncd.formats.hl7.segment import Encoded, Notation, Segment, Value

__all__ = ["Encoded", "Hl7Document", "Segment"]


class Hl7Document:
    """Implements `hcsyncd.formats.format.Document`."""

    __slots__ = ("_body", "_layout", "_notation", "_prefix")

    def __init__(self, body: bytes, charset: str = "") -> None:
        """Raises FormatError: ``empty``, ``no-msh``, ``bad-delimiters``. ``charset`` overrules MSH-18."""
        fields, delimiters, _ = read_header(body)
        overruled = charset_named(charset) if charset else None
        declared = overruled or charset_of(declared_charset(fields[17][:MAX_NAMES], delimiters.repetition), body)
        self._notation = Notation(delimiters, declared)
        self._body: bytes | None = body  # None once something may have been changed
        start = 0 if body.startswith(b"MSH") else start_of(body)
        self._prefix = body[:start]
        self._layout: Layout | None = None

    def __repr__(self) -> str:
        return f"<Hl7Document {self.get('MSH-9') or ''}>"

    @property
    def delimiters(self) -> Delimiters:
        """As MSH-1 and MSH-2 declare them."""
        return self._notation.delimiters

    @property
    def charset(self) -> str:
        """The character set the message is read and written in, as table 0211 names it."""
        return self._notation.charset.name

    def get(self, path: str) -> str | None:
        """The value at ``path``, None when nothing is there. A field with components or repetitions below the path,
        or a whole segment, is given as `Encoded`. HL7's explicit null is the text of two double quotes."""
        place = parse_path(path)
        segment = self._find(place)
        return None if segment is None else segment.read(place)

    def __getitem__(self, path: str) -> str:
        return self.get(path) or ""

    def __contains__(self, path: str) -> bool:
        return self.get(path) is not None

    def all(self, path: str) -> list[str]:
        """Every value at ``path``: over all segments of that name and all repetitions, where the path names none."""
        place = parse_path(path)
        if place.occurrence:
            segment = self._find(place)
            return [] if segment is None else segment.read_all(place)
        found = (self._layout or self._cut()).segments(place.segment)
        return [value for segment in found for value in segment.read_all(place)]

    def entries(self) -> Iterator[tuple[str, str]]:
        """Every value, down to the subcomponents, with its path; MSH-1 is none, and lines that are no segments have
        none."""
        counted: Counter[str] = Counter()
        for segment in (self._layout or self._cut()).segments():
            counted[segment.id] += 1
            occurrence = counted[segment.id] if counted[segment.id] > 1 else 0
            for place, value in segment.entries(occurrence):
                yield str(place), value

    def set(self, path: str, value: Value) -> None:
        """Write a text, a list of components or `Encoded` text at ``path``. What is missing before it within the
        segment becomes empty; a segment that is not there raises FormatError (``no-segment``). A new MSH-18 writes
        the whole message in that character set."""
        place = parse_path(path)
        segment = self._find(place)
        if segment is None:
            fix = f'add it first: document.add_segment("{place.segment}")'
            raise FormatError("no-segment", f"{path}: the message has no such segment; {fix}")
        before = segment.text if place.segment == "MSH" and place.field == 18 else None
        segment.write(place, value)
        if before is not None:
            self._transcode(segment, before)
        self._body = None

    def __setitem__(self, path: str, value: Value) -> None:
        self.set(path, value)

    def delete(self, path: str) -> None:
        """Take away what is at ``path``: a segment or a repetition goes, anything else becomes empty."""
        place = parse_path(path)
        segment = self._find(place)
        if segment is None:
            return
        if place.field:
            segment.erase(place)
            self._body = None
        else:
            self.remove_segment(segment)

    __delitem__ = delete

    def count(self, path: str) -> int:
        """How many there are: segments for ``OBX``, repetitions for ``PID-3``."""
        place = parse_path(path)
        if not place.field:
            return (self._layout or self._cut()).count(place.segment)
        segment = self._find(place)
        return 0 if segment is None else segment.count(place.field)

    def add(self, path: str, value: Value) -> None:
        """Append a repetition to the field at ``path``."""
        place = parse_path(path)
        self.set(str(Path(place.segment, place.occurrence, place.field, self.count(path) + 1)), value)

    def segments(self, name: str = "") -> list[Segment]:
        """The segments of that name, in order; all of them without a name. Changes made to them are the document's."""
        found = (self._layout or self._cut()).segments(name)
        self._body = None  # whoever holds a segment may change it
        return found

    def add_segment(self, name: str, fields: Iterable[Value] = (), *, after: Segment | None = None) -> Segment:
        """Insert a segment with its fields from 1 on, behind ``after`` or as the last one."""
        segment = Segment(parse_path(name).segment, name, self._notation)
        for number, value in enumerate(fields, 1):
            segment.set(str(number), value)
        (self._layout or self._cut()).insert(segment, after)
        self._body = None
        return segment

    def remove_segment(self, segment: Segment) -> None:
        """Take a segment out. Raises FormatError (``read-only``) for the header: without it there is no message."""
        layout = self._layout or self._cut()
        if segment is layout.segments()[0]:
            raise FormatError("read-only", f"{segment.id} cannot be removed: without it there is no message")
        layout.remove(segment)
        self._body = None

    def to_bytes(self) -> bytes:
        """Render; byte for byte as it was, but for what was changed."""
        if self._body is not None:
            return self._body
        return self._prefix + self._notation.charset.dump((self._layout or self._cut()).render())

    __bytes__ = to_bytes

    def tree(self) -> hl7.Message:
        """The whole message parsed by python-hl7, for those who need its tree: some hundred times slower, and a
        copy."""
        segments = (self._layout or self._cut()).segments()
        text = "".join([segment.text + "\r" for segment in segments])
        return hl7.parse(self._notation.charset.decode(text))

    def _cut(self) -> Layout:
        """The lines of the body, cut when first needed."""
        assert self._body is not None
        body = self._body[len(self._prefix) :] if self._prefix else self._body
        self._layout = Layout(self._notation.charset.load(body), self._notation)
        return self._layout

    def _find(self, path: Path) -> Segment | None:
        """The segment that ``path`` is in."""
        return (self._layout or self._cut()).find(path.segment, path.occurrence or 1)

    def _transcode(self, header: Segment, before: str) -> None:
        """MSH-18 was set: write everything in the character set it names, or put the header back as it was
        ``before``. A set that nobody knows changes nothing else."""
        old = self._notation.charset
        new = declared_charset(header["18"], self.delimiters.repetition)
        if new is None or new.codec == old.codec:
            return
        try:
            (self._layout or self._cut()).transcode(new)
        except FormatError:
            header.rewrite(before)
            raise
