"""One segment of a document: cut into fields when first asked, read and changed by paths, rendered byte for byte.

Text without a mark is text: it is unescaped when read and escaped when written, so that no delimiter in it can ever
become structure. What has structure below the path (a field with components, a field with repetitions) is read as
`Encoded`: HL7 text as it stands, which can be written elsewhere as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from hcsyncd.errors import FormatError
from hcsyncd.formats.hl7.charset import Charset
from hcsyncd.formats.hl7.delimiters import Delimiters
from hcsyncd.formats.hl7.escape import escape, unescape
from hcsyncd.formats.hl7.path import Path, parse_path

HEADER_SEGMENTS = frozenset({"MSH", "FHS", "BHS"})  # their field 1 is the separator itself (HL7 v2.5.1 §2.14.9.1)


class Encoded(str):
    """HL7 text with its delimiters and escapes: ``Encoded("DOE^JOHN")`` is two components, ``"DOE^JOHN"`` is one
    text."""

    __slots__ = ()


Value: TypeAlias = "str | Sequence[Value]"  # a sequence is the parts one level down: the components of a field


@dataclass(slots=True)
class Notation:
    """How the segments of one document are written; shared by them all, so that a new character set reaches each."""

    delimiters: Delimiters
    charset: Charset

    def read(self, text: str) -> str:
        """Wire text, of one element, as a value."""
        marks = self.delimiters
        if (
            marks.component in text
            or (marks.subcomponent and marks.subcomponent in text)
            or (marks.repetition and marks.repetition in text)
        ):
            return Encoded(self.charset.decode(text))
        if marks.escape in text:
            text = unescape(text, marks)
        return self.charset.decode(text)

    def write(self, value: Value, path: Path) -> str:
        """A value as wire text for the element at ``path``."""
        if isinstance(value, Encoded):
            self._refuse_spill(value, path)
            return self.charset.encode(value)
        if isinstance(value, str):
            return self.charset.encode(escape(value, self.delimiters))
        if not isinstance(value, Sequence):
            raise TypeError(f"{path} takes a text or a list of texts, not {type(value).__name__}")
        below = Path(path.segment, 0, path.field, 1, path.component or 1, 1 if path.component else 0)
        separator = self.delimiters.subcomponent if path.component else self.delimiters.component
        if path.subcomponent or not separator:
            raise FormatError("bad-value", f"{path} has no parts: it takes one text, not a list")
        return separator.join([self.write(part, below) for part in value])

    def _refuse_spill(self, value: Encoded, path: Path) -> None:
        """Encoded text must not hold the delimiters of the levels above its place."""
        marks = self.delimiters
        above = {marks.field, "\r", "\n"}
        if path.repetition or path.component:
            above.add(marks.repetition)
        if path.component:
            above.add(marks.component)
        if path.subcomponent:
            above.add(marks.subcomponent)
        if any(mark and mark in value for mark in above):
            raise FormatError("bad-value", f"the encoded text for {path} holds a delimiter of a level above it")


class Segment:
    """A segment of a document; changes made to it are the document's."""

    __slots__ = ("_fields", "_notation", "_text", "id")

    def __init__(self, name: str, text: str, notation: Notation) -> None:
        """``text`` is wire text without its line end."""
        self.id = name
        self._text = text
        self._notation = notation
        self._fields: list[str] | None = None

    def __repr__(self) -> str:
        return f"<Segment {self.id}>"

    @property
    def text(self) -> str:
        """Wire text, without the line end."""
        if self._fields is None:
            return self._text
        return self._notation.delimiters.field.join(self._fields)

    def get(self, path: str) -> str | None:
        """The value at a path without its segment, ``"3[2].1"``; None when nothing is there."""
        return self.read(self._within(path))

    def __getitem__(self, path: str) -> str:
        return self.read(self._within(path)) or ""

    def set(self, path: str, value: Value) -> None:
        """Write at a path without its segment. Missing fields, repetitions and components before it become empty."""
        place = self._within(path)
        if self.id == "MSH" and place.field == 18:
            raise FormatError("read-only", 'write document["MSH-18"]: a new character set is for the whole message')
        self.write(place, value)

    def __setitem__(self, path: str, value: Value) -> None:
        self.set(path, value)

    def all(self, path: str) -> list[str]:
        """The values at a path without its segment, over the repetitions of the field."""
        return self.read_all(self._within(path))

    def read(self, path: Path) -> str | None:
        """The value at a path that was parsed already. The segment it names is not looked at again."""
        if not path.field:
            return Encoded(self._notation.charset.decode(self.text))
        text = self._field(path.field)
        if not text:
            return None
        if path.field <= 2 and self._is_separator(path):
            return text if path.component <= 1 and path.repetition <= 1 else None
        if path.repetition or path.component:
            text = self._element(text, path)
        return self._notation.read(text) if text else None

    def read_all(self, path: Path) -> list[str]:
        """As `read`, over all repetitions when the path names none."""
        mark = self._notation.delimiters.repetition
        if path.field and mark not in self._field(path.field):  # as almost every field is
            value = self.read(path)
            return [] if value is None else [value]
        repetitions = 1 if path.repetition or not path.field or self._is_separator(path) else self.count(path.field)
        if path.repetition or repetitions < 1:
            paths = [path]
        else:
            paths = [
                Path(path.segment, 0, path.field, place if path.field else 0, path.component, path.subcomponent)
                for place in range(1, repetitions + 1)
            ]
        return [value for place in paths if (value := self.read(place)) is not None]

    def entries(self, occurrence: int = 0) -> Iterator[tuple[Path, str]]:
        """Every value that is not empty, down to the subcomponents. The first of several is left out of a path, as it
        is what a path without a number means."""
        marks = self._notation.delimiters
        first = 1 if self.id in HEADER_SEGMENTS else 0
        for number, field in enumerate(self._split()[1:], 1 + first):
            if first and number == 2:  # MSH-2 holds the delimiters themselves
                yield Path(self.id, occurrence, number), field
                continue
            for repetition, whole in _numbered(field, marks.repetition):
                components = list(_numbered(whole, marks.component))
                for component, part in components:
                    subcomponents = list(_numbered(part, marks.subcomponent))
                    for subcomponent, text in subcomponents:
                        if text:
                            path = Path(
                                self.id,
                                occurrence,
                                number,
                                repetition if repetition > 1 else 0,
                                component if len(components) > 1 or len(subcomponents) > 1 else 0,
                                subcomponent if len(subcomponents) > 1 else 0,
                            )
                            yield path, self._notation.read(text)

    def write(self, path: Path, value: Value) -> None:
        """Set the value at a path that was parsed already. Raises FormatError (``bad-value``, ``read-only``)."""
        if not path.field or self._is_separator(path):
            raise FormatError("read-only", f"{path} cannot be set: a message keeps its segments' names and delimiters")
        self._put(path, self._notation.write(value, path))

    def erase(self, path: Path) -> None:
        """Take the value at ``path`` away: a repetition goes, anything else becomes empty."""
        if not path.field or self._is_separator(path):
            raise FormatError(
                "read-only", f"{path} cannot be deleted: a message keeps its segments' names and delimiters"
            )
        text = self._field(path.field)
        mark = self._notation.delimiters.repetition
        if path.repetition and not path.component:
            parts = text.split(mark) if mark else [text]
            del parts[path.repetition - 1 : path.repetition]
            self._put(Path(path.segment, 0, path.field), mark.join(parts))
        elif self.read(path) is not None:
            self._put(path, "")

    def count(self, field: int) -> int:
        """How many repetitions a field has; 0 when it is empty."""
        text, mark = self._field(field), self._notation.delimiters.repetition
        return (text.count(mark) if mark else 0) + 1 if text else 0

    def rewrite(self, text: str) -> None:
        """Give the whole segment another wire text."""
        self._text, self._fields = text, None

    def _within(self, path: str) -> Path:
        return parse_path(f"{self.id}-{path}")

    def _is_separator(self, path: Path) -> bool:
        return path.field <= 2 and self.id in HEADER_SEGMENTS

    def _split(self) -> list[str]:
        fields = self._fields
        if fields is None:
            fields = self._fields = self._text.split(self._notation.delimiters.field)
        return fields

    def _field(self, number: int) -> str:
        fields = self._split()
        if self.id in HEADER_SEGMENTS:
            if number == 1:
                return self._notation.delimiters.field
            number -= 1
        return fields[number] if number < len(fields) else ""

    def _element(self, text: str, path: Path) -> str:
        """What stands at ``path`` in the wire text of its field; "" when nothing does."""
        marks = self._notation.delimiters
        if path.repetition > 1 or (marks.repetition and marks.repetition in text):
            text = _part(text, marks.repetition, path.repetition or 1)
        if path.component:
            text = _part(text, marks.component, path.component)
            if path.subcomponent:
                text = _part(text, marks.subcomponent, path.subcomponent)
        return text

    def _put(self, path: Path, text: str) -> None:
        """Put wire text at ``path``, rendering again only the field it is in."""
        marks, fields = self._notation.delimiters, self._split()
        number = path.field - 1 if self.id in HEADER_SEGMENTS else path.field
        if number >= len(fields):
            fields += [""] * (number + 1 - len(fields))
        levels = []
        if path.repetition or path.component:
            levels.append((marks.repetition, path.repetition or 1))
        if path.component:
            levels.append((marks.component, path.component))
        if path.subcomponent:
            levels.append((marks.subcomponent, path.subcomponent))
        fields[number] = _replaced(fields[number], levels, text, path)


def _numbered(text: str, separator: str) -> Iterator[tuple[int, str]]:
    return enumerate(text.split(separator) if separator else [text], 1)


def _part(text: str, separator: str, place: int) -> str:
    if not separator:
        return text if place == 1 else ""
    parts = text.split(separator, place)
    return parts[place - 1] if place <= len(parts) else ""


def _replaced(text: str, levels: list[tuple[str, int]], value: str, path: Path) -> str:
    """``text`` with the element that ``levels`` lead to replaced by ``value``."""
    if not levels:
        return value
    (separator, place), *below = levels
    if not separator:
        if place > 1:
            raise FormatError("bad-value", f"{path} cannot be set: MSH-2 declares no delimiter for it")
        return _replaced(text, below, value, path)
    parts = text.split(separator)
    parts += [""] * (place - len(parts))
    parts[place - 1] = _replaced(parts[place - 1], below, value, path)
    return separator.join(parts)
