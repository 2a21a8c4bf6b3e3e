"""Delimited text (CSV, RFC 4180, and its relatives), addressed by rows and columns: ``row[1].item``, ``row[2].3``,
``row.item``.

Rows count from 1 without the header line; a column is a name of the header line, or a number from 1. Only a row that
was changed is written anew: the others keep their quotes and line ends.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, model_validator

from hcsyncd.errors import FormatError
from hcsyncd.formats.body import BodyFormat, BodyOptions, decode_text, encode_text, known_charset
from hcsyncd.formats.format import FormatKind
from hcsyncd.options import option

WRITTEN_END = "\r\n"
PATH = re.compile(r"row(?:\[(?:([1-9][0-9]*)|\*)\])?\.(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the text is written."""

    delimiter: str = ","
    quote: str = '"'  # "": no quoting
    header: bool = True
    charset: str = "utf-8"


@dataclass(slots=True)
class Row:
    """One record: its values, and the text it was read from; ``raw`` is None once a value was changed."""

    values: list[str]
    raw: str | None
    end: str


class DelimitedDocument:
    """Implements `hcsyncd.formats.format.Document`."""

    __slots__ = ("_body", "_columns", "_dialect", "_lines", "_mark", "_rows")

    def __init__(self, body: bytes, dialect: Dialect = Dialect()) -> None:
        """Raises FormatError: ``not-decodable``, ``bad-row``."""
        self._dialect = dialect
        self._body: bytes | None = body  # None once something was changed
        self._mark, text = decode_text(body, dialect.charset)
        self._lines = _records(text, dialect)  # with header and blank lines
        self._rows = [row for row in self._lines if row.values]
        self._columns = self._rows.pop(0).values if dialect.header and self._rows else []

    @property
    def columns(self) -> list[str]:
        """The names in the header line; none without one."""
        return list(self._columns)

    @property
    def rows(self) -> list[dict[str, str]]:
        """The rows by column name, or by number from "1" on where there is no name. Copies."""
        return [
            {self._columns[i] if i < len(self._columns) else str(i + 1): value for i, value in enumerate(row.values)}
            for row in self._rows
        ]

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, path: str) -> str | None:
        """The value at ``path``; in the first row when it names none. None when there is no such row or column."""
        values = self.all(path)
        return values[0] if values else None

    def __getitem__(self, path: str) -> str:
        return self.get(path) or ""

    def all(self, path: str) -> list[str]:
        """The values at ``path``: of every row for ``row.item`` and ``row[*].item``."""
        number, name = parse_row_path(path)
        column = self._column(name)
        rows = self._rows[number - 1 : number] if number else self._rows
        return [row.values[column] for row in rows if 0 <= column < len(row.values)]

    def entries(self) -> Iterator[tuple[str, str]]:
        for number, row in enumerate(self.rows, 1):
            yield from ((f"row[{number}].{name}", value) for name, value in row.items() if value)

    def set(self, path: str, value: str) -> None:
        """Write a value; columns missing before it become empty. Raises FormatError (``bad-path``) when the row or the
        column is not there."""
        number, name = parse_row_path(path)
        column = self._column(name)
        if not number or number > len(self._rows) or column < 0:
            known = ", ".join(self._columns) or "numbers"
            text = f"{path} cannot be set: there are {len(self._rows)} rows, columns are {known}"
            raise FormatError("bad-path", text)
        row = self._rows[number - 1]
        row.values += [""] * (column + 1 - len(row.values))
        row.values[column] = value
        self._touch(row)

    def __setitem__(self, path: str, value: str) -> None:
        self.set(path, value)

    def add_row(self, values: Mapping[str, str] | Sequence[str]) -> None:
        """Append a row, by column names or in order."""
        if isinstance(values, Mapping):
            for name in values:
                if name not in self._columns:
                    raise FormatError(
                        "bad-path", f"there is no column {name!r}; columns are {', '.join(self._columns)}"
                    )
            values = [values.get(name, "") for name in self._columns]
        end = next((line.end for line in self._lines if line.end), "\r\n")
        if self._lines and not self._lines[-1].end:
            self._lines[-1].end = end
        row = Row(list(values), None, end)
        self._lines.append(row)
        self._rows.append(row)
        self._touch(row)

    def delete_row(self, number: int) -> None:
        """Take a row out, counted from 1."""
        if not 1 <= number <= len(self._rows):
            raise FormatError("bad-path", f"there is no row {number}: there are {len(self._rows)}")
        row = self._rows.pop(number - 1)
        self._lines = [line for line in self._lines if line is not row]
        self._body = None

    def to_bytes(self) -> bytes:
        """Raises FormatError: ``not-encodable``, and ``bad-value`` for a delimiter where nothing can be quoted."""
        if self._body is not None:
            return self._body
        texts = [
            (_render(line.values, self._dialect) if line.raw is None else line.raw) + line.end for line in self._lines
        ]
        return self._mark + encode_text("".join(texts), self._dialect.charset)

    def _touch(self, row: Row) -> None:
        row.raw = None
        self._body = None

    def _column(self, name: str) -> int:
        """The place of a column, -1 when there is none of that name or number."""
        if name in self._columns:
            return self._columns.index(name)
        return int(name) - 1 if name.isdecimal() else -1


def parse_row_path(path: str) -> tuple[int, str]:
    """The row, 0 for all, and the column of a path. Raises FormatError (``bad-path``)."""
    found = PATH.fullmatch(path)
    if found is None:
        raise FormatError("bad-path", f"{path!r} is not a path into rows such as row[1].item, row[2].3 or row.item")
    return int(found[1] or 0), found[2]


def _records(text: str, dialect: Dialect) -> list[Row]:
    """The records with the text each was read from. A blank line is a record without values."""
    lines = list(io.StringIO(text, newline=""))
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE
    quote = dialect.quote or None
    reader = csv.reader(lines, delimiter=dialect.delimiter, quotechar=quote, quoting=quoting, strict=True)
    records, taken = [], 0
    try:
        for values in reader:
            raw = "".join(lines[taken : reader.line_num])
            taken = reader.line_num
            content = raw.rstrip("\r\n") if not raw.endswith("\r\n") else raw[:-2]
            records.append(Row(values, content, raw[len(content) :]))
    except csv.Error as error:
        raise FormatError("bad-row", f"line {reader.line_num} is no row of delimited text: {error}") from error
    return records


def _render(values: list[str], dialect: Dialect) -> str:
    text = io.StringIO(newline="")
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE
    quote = dialect.quote or None
    # The writer quotes only those line ends that are in its own: so it is given both, and loses them again.
    writer = csv.writer(text, delimiter=dialect.delimiter, quotechar=quote, quoting=quoting, lineterminator=WRITTEN_END)
    try:
        writer.writerow(values)
    except csv.Error as error:
        raise FormatError("bad-value", f"a value cannot be written without quotes: {error}") from error
    return text.getvalue().removesuffix(WRITTEN_END)


class DelimitedOptions(BodyOptions):
    """Options of the format `delimited`."""

    delimiter: str = option(",", 'Between columns; a tab is written as `"\\t"`.', min_length=1, max_length=1)
    quote: str = option(
        '"', "Around values that hold a delimiter or a line end; empty when nothing is quoted.", max_length=1
    )
    header: bool = option(default=True, doc="Whether the first line names the columns.")
    charset: Annotated[str, AfterValidator(known_charset)] = option("utf-8", "The character set, as Python names it.")

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if self.delimiter == self.quote or self.delimiter in "\r\n":
            raise ValueError("delimiter must be a character of its own: neither the quote nor a line end")
        return self

    @classmethod
    def check_path(cls, path: str) -> None:
        parse_row_path(path)


class DelimitedFormat(BodyFormat):
    """Rows of columns."""

    name = "delimited"
    content_type = "text/csv"

    def __init__(self, options: DelimitedOptions) -> None:
        super().__init__(options)
        self._dialect = Dialect(options.delimiter, options.quote, options.header, options.charset)

    def parse(self, body: bytes) -> DelimitedDocument:
        return DelimitedDocument(body, self._dialect)


FORMAT = FormatKind("delimited", "delimited text such as CSV, one file a message", DelimitedOptions, DelimitedFormat)
