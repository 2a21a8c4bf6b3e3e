"""A body's fields as a person reads them: paths, the standard's names, values."""

from __future__ import annotations

from typing import Any

from hcsyncd.cli.display import show_heading, show_line, show_table
from hcsyncd.formats.hl7.dictionary import field_name, segment_name

Json = dict[str, Any]

MASKED = "values are masked: --values shows them"


def show_fields(read: Json) -> None:
    """HL7 a segment at a time, with names; other formats by their own paths."""
    if read["problem"]:
        show_line(f"No fields: {read['problem']}.")
        return
    show_heading(f"Fields ({' '.join(filter(None, (read['format'], read['version'])))})")
    if read["format"] != "hl7":
        show_table(("path", "value"), [(f"  {field['path']}", field["value"]) for field in read["fields"]])
        return
    version = read["version"]
    segment = ""
    rows: list[tuple[str, str, str]] = []
    for field in read["fields"]:
        place, _, _ = field["path"].partition("-")
        if place != segment:
            _show_segment(segment, rows)
            segment, rows = place, []
        rows.append((f"    {field['path']}", field_name(field["path"], version), field["value"]))
    _show_segment(segment, rows)


def _show_segment(segment: str, rows: list[tuple[str, str, str]]) -> None:
    if rows:
        show_line(f"  {segment}  {segment_name(segment[:3])}".rstrip())
        show_table(("    path", "name", "value"), rows)


def named(path: str, form: str, version: str) -> str:
    """The standard's name of what stands at a path; "" in formats without one."""
    return field_name(path, version) if form == "hl7" else ""
