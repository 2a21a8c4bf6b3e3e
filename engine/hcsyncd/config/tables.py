"""``mapping/``: lookup tables, each named by its file, read into code -> value.

``<name>.csv``   UTF-8, comma-separated (RFC 4180), first line ``code,value``; further columns are for people
``<name>.yaml``  a flat mapping of codes to values, taken as texts

Codes and values are kept to the letter, blanks included. No ``${...}`` is resolved in tables.
"""

from __future__ import annotations

import csv
import io
import re

from hcsyncd.config.finding import Place, Report
from hcsyncd.config.site_files import SiteFiles
from hcsyncd.config.spec import NAME_PATTERN
from hcsyncd.config.yaml_tree import Scalar

FOLDER = "mapping"
HEADER = ["code", "value"]


def read_tables(files: SiteFiles, report: Report) -> dict[str, dict[str, str]]:
    """Every table by name. What is faulty in one is left out of it."""
    tables: dict[str, dict[str, str]] = {}
    for name in files.names(FOLDER):
        file = f"{FOLDER}/{name}"
        stem, _, suffix = name.rpartition(".")
        if name.startswith("README") or files.is_folder(file):
            continue
        if suffix not in {"csv", "yaml"}:
            report.warn(
                Place(file), "ignored-file", f"{file} is not read", "tables are files named <name>.csv or <name>.yaml"
            )
            continue
        if not re.match(NAME_PATTERN, stem):
            hint = "use lower-case letters, digits and _, starting with a letter"
            report.error(Place(file), "bad-name", f"{stem} is no name for a table", hint)
            continue
        if stem in tables:
            report.error(Place(file), "duplicate-name", f"there is a {FOLDER}/{stem}.csv too", "keep one of the two")
            continue
        tables[stem] = _read_csv(file, files, report) if suffix == "csv" else _read_yaml(file, files, report)
    return tables


def _read_yaml(file: str, files: SiteFiles, report: Report) -> dict[str, str]:
    table = files.table(file, "codes to values")
    found: dict[str, str] = {}
    for code, entry in table.entries.items() if table else ():
        if not isinstance(entry.value, Scalar):
            report.fault(entry.value.place, "bad-table", f"the value of {code} must be a text", "tables are flat")
        elif entry.value.value is None and not entry.value.text:
            report.fault(entry.key_place, "bad-table", f"{code} has no value", 'write "" for an empty one')
        else:
            found[code] = entry.value.text
    return found


def _read_csv(file: str, files: SiteFiles, report: Report) -> dict[str, str]:
    text = files.text(file)
    if text is None:
        return {}
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    found: dict[str, str] = {}
    lines: dict[str, int] = {}
    line = 1
    try:
        header = next(rows, [])
        if [name.strip() for name in header[:2]] != HEADER:
            hint = "separate columns with commas" if header and ";" in header[0] else "further columns are for people"
            report.error(Place(file), "bad-table", "the first line must be code,value", hint)
            return {}
        line = rows.line_num + 1
        for row in rows:
            if row:
                _take_row(row, Place(file, line), (found, lines), report)
            line = rows.line_num + 1
    except csv.Error as error:
        report.error(
            Place(file, line), "bad-table", f"this is no CSV: {error}", "double the quotes inside a quoted value"
        )
    return found


def _take_row(row: list[str], place: Place, taken: tuple[dict[str, str], dict[str, int]], report: Report) -> None:
    found, lines = taken
    code = row[0]
    if len(row) < 2:
        report.error(place, "bad-table", "this line has no value", "code,value")
    elif not code:
        report.error(place, "bad-table", "this line has no code", "code,value")
    elif code in found:
        report.error(place, "duplicate-code", f"code {code} stands here twice", f"first on line {lines[code]}")
    else:
        found[code] = row[1]
        lines[code] = place.line
