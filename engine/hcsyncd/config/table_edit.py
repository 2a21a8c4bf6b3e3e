"""One more line in a lookup table of ``mapping/``, with everything else in the file as a person left it."""

from __future__ import annotations

import csv
import io
import os
import re
from pathlib import Path

from hcsyncd.config.spec import NAME_PATTERN
from hcsyncd.config.tables import FOLDER, HEADER
from hcsyncd.errors import ConfigError


def with_entry(content: bytes, code: str, value: str, *, replace: bool = False) -> bytes:
    """The bytes of a CSV table with ``code`` in it: a new last line, or its line with another value when ``replace``
    says so. Line ends, quoting, further columns and the order of the lines stay. Raises ConfigError."""
    if not code or any(sign in code + value for sign in "\r\n\0"):
        raise ConfigError("a code is a text in one line, and so is its value; a code is not empty")
    text = content.decode("utf-8-sig")
    mark = content[: len(content) - len(text.encode())]
    lines = io.StringIO(text, newline="").readlines()
    reader = csv.reader(lines, strict=True)
    columns, before = 0, 0
    for row in reader:
        if columns == 0:
            columns = len(row)
            if [name.strip() for name in row[:2]] != HEADER:
                raise ConfigError("the first line must be code,value")
        elif row and row[0] == code:
            if len(row) > 1 and row[1] == value:
                return content
            if not replace:
                raise ConfigError(f"{code} stands there already, with another value: --replace takes the new one")
            lines[before : reader.line_num] = [_line([code, value, *row[2:]]) + _end_of(lines[reader.line_num - 1])]
            return mark + "".join(lines).encode()
        before = reader.line_num
    if not columns:
        raise ConfigError("the first line must be code,value")
    end = _end_of(lines[0])
    if not _end_of(lines[-1]):
        lines[-1] += end or "\n"
    return mark + "".join([*lines, _line([code, value, *[""] * (columns - 2)]), end or "\n"]).encode()


def enter(site: Path, table: str, code: str, value: str, *, replace: bool = False) -> tuple[Path, bytes]:
    """Put a code into ``mapping/<table>.csv``, in one step; the file, and what it was before. Raises ConfigError."""
    path = site / FOLDER / f"{table}.csv"
    known = sorted(file.stem for file in (site / FOLDER).glob("*.csv"))
    if not re.match(NAME_PATTERN, table) or table not in known:
        if path.with_suffix(".yaml").is_file():
            raise ConfigError(f"{FOLDER}/{table}.yaml is edited by hand: add the line, then hcsyncd reload")
        raise ConfigError(f"there is no mapping table {table}; known: {', '.join(known) or 'none'}")
    try:
        before = path.read_bytes()
        after = with_entry(before, code, value, replace=replace)
        write(path, after)
    except OSError as error:
        raise ConfigError(f"cannot change {path}: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{FOLDER}/{table}.csv cannot be read: {error}; hcsyncd check says where") from error
    except ConfigError as error:
        raise ConfigError(f"{FOLDER}/{table}.csv: {error}") from error
    return path, before


def write(path: Path, content: bytes) -> None:
    """Have a file hold these bytes, whole at every moment, with the rights it has."""
    unfinished = path.with_name(f".{path.name}.new")
    try:
        with unfinished.open("wb") as file:
            os.fchmod(file.fileno(), path.stat().st_mode & 0o7777)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _line(cells: list[str]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow(cells)
    return out.getvalue().removesuffix("\r\n")


def _end_of(line: str) -> str:
    return line[len(line.rstrip("\r\n")) :]
