"""Text of fixed columns, addressed by rows and columns: ``row[1].item``, ``row.item``.

Rows count from 1; blank lines are no rows. Positions and lengths count characters, not bytes.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, model_validator

from hcsyncd.errors import FormatError
from hcsyncd.formats.body import BodyFormat, BodyOptions, decode_text, encode_text, known_charset
from hcsyncd.formats.delimited import parse_row_path
from hcsyncd.formats.format import FormatKind
from hcsyncd.options import Options, option


class Column(Options):
    """One column of a fixed-width line."""

    name: str = option(..., "What paths call it.", min_length=1, example="item")
    start: int = option(..., "Its first character, counted from 1.", unit="characters", ge=1)
    length: int = option(..., "How many characters it has.", unit="characters", ge=1)
    align: Literal["left", "right"] = option("left", "Where a shorter value stands.")
    pad: str = option(" ", "What fills the rest; it is taken off when read.", min_length=1, max_length=1)


@dataclass(slots=True)
class Line:
    """A line and its end."""

    text: str
    end: str


class FixedDocument:
    """Implements `hcsyncd.formats.format.Document`."""

    __slots__ = ("_body", "_charset", "_columns", "_lines", "_mark", "_rows")

    def __init__(self, body: bytes, columns: Sequence[Column], charset: str = "utf-8") -> None:
        """Raises FormatError (``not-decodable``)."""
        self._columns = {column.name: column for column in columns}
        self._charset = charset
        self._body: bytes | None = body  # None once something was changed
        self._mark, text = decode_text(body, charset)
        self._lines = [_line(raw) for raw in io.StringIO(text, newline="")]
        self._rows = [line for line in self._lines if line.text.strip()]

    @property
    def rows(self) -> list[dict[str, str]]:
        """The rows by column name. Copies."""
        return [{name: _read(line, column) for name, column in self._columns.items()} for line in self._rows]

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, path: str) -> str | None:
        """The value at ``path`` without its padding; in the first row when it names none. None when there is no such
        row, and raises FormatError (``bad-path``) when there is no such column."""
        values = self.all(path)
        return values[0] if values else None

    def __getitem__(self, path: str) -> str:
        return self.get(path) or ""

    def all(self, path: str) -> list[str]:
        """The values at ``path``: of every row for ``row.item`` and ``row[*].item``."""
        number, name = parse_row_path(path)
        column = self._column(name, path)
        rows = self._rows[number - 1 : number] if number else self._rows
        return [_read(line, column) for line in rows]

    def entries(self) -> Iterator[tuple[str, str]]:
        for number, row in enumerate(self.rows, 1):
            yield from ((f"row[{number}].{name}", value) for name, value in row.items() if value)

    def set(self, path: str, value: str) -> None:
        """Write a value, padded; the rest of the line stays. Raises FormatError: ``bad-path``, ``bad-value`` when it
        is longer than its column."""
        number, name = parse_row_path(path)
        column = self._column(name, path)
        if not 1 <= number <= len(self._rows):
            raise FormatError("bad-path", f"{path} cannot be set: there are {len(self._rows)} rows")
        if len(value) > column.length or "\r" in value or "\n" in value:
            raise FormatError("bad-value", f"{path} takes {column.length} characters on one line, got {len(value)}")
        padded = (
            value.ljust(column.length, column.pad) if column.align == "left" else value.rjust(column.length, column.pad)
        )
        line, before, after = self._rows[number - 1], column.start - 1, column.start - 1 + column.length
        line.text = line.text.ljust(before)[:before] + padded + line.text[after:]
        self._body = None

    def __setitem__(self, path: str, value: str) -> None:
        self.set(path, value)

    def to_bytes(self) -> bytes:
        """Raises FormatError (``not-encodable``)."""
        if self._body is not None:
            return self._body
        return self._mark + encode_text("".join(line.text + line.end for line in self._lines), self._charset)

    def _column(self, name: str, path: str) -> Column:
        if name not in self._columns:
            raise FormatError(
                "bad-path", f"{path}: there is no column {name!r}; columns are {', '.join(self._columns)}"
            )
        return self._columns[name]


def _line(raw: str) -> Line:
    text = raw.rstrip("\r\n")
    return Line(text, raw[len(text) :])


def _read(line: Line, column: Column) -> str:
    text = line.text[column.start - 1 : column.start - 1 + column.length]
    return text.rstrip(column.pad) if column.align == "left" else text.lstrip(column.pad)


class FixedOptions(BodyOptions):
    """Options of the format `fixed`."""

    columns: tuple[Column, ...] = option(
        ..., "The columns of a line.", min_length=1, example=[{"name": "item", "start": 1, "length": 10}]
    )
    charset: Annotated[str, AfterValidator(known_charset)] = option("utf-8", "The character set, as Python names it.")

    @model_validator(mode="after")
    def _apart(self) -> Self:
        names = [column.name for column in self.columns]
        if len(set(names)) < len(names):
            raise ValueError("two columns have the same name")
        ordered = sorted(self.columns, key=lambda column: column.start)
        for left, right in pairwise(ordered):
            if left.start + left.length > right.start:
                raise ValueError(f"columns {left.name!r} and {right.name!r} overlap")
        return self

    @classmethod
    def check_path(cls, path: str) -> None:
        parse_row_path(path)


class FixedFormat(BodyFormat):
    """Lines of fixed columns."""

    name = "fixed"
    content_type = "text/plain"

    def __init__(self, options: FixedOptions) -> None:
        super().__init__(options)
        self._columns = options.columns
        self._charset = options.charset

    def parse(self, body: bytes) -> FixedDocument:
        return FixedDocument(body, self._columns, self._charset)

    def check_path(self, path: str) -> None:
        """Knows the columns, other than the options' own check."""
        _, name = parse_row_path(path)
        names = [column.name for column in self._columns]
        if name not in names:
            raise FormatError("bad-path", f"{path}: there is no column {name!r}; columns are {', '.join(names)}")


FORMAT = FormatKind("fixed", "text of fixed columns, one file a message", FixedOptions, FixedFormat)
