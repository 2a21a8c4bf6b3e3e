"""Two bodies side by side, field by field."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hcsyncd.cli.display import note, show_heading, show_line, show_table
from hcsyncd.cli.field_view import named

Json = dict[str, Any]


def show_comparisons(comparisons: Iterable[Json]) -> None:
    for number, compared in enumerate(comparisons):
        if number:
            show_line()
        show_heading(f"{compared['one']} and {compared['other']}")
        for problem in compared["problems"]:
            note(problem)
        if "changes" in compared:
            _show_changes(compared)
        else:
            _show_origins(compared)


def _show_changes(compared: Json) -> None:
    """Bodies of one format: what differs."""
    if compared["same"]:
        show_line("  They are the same, byte for byte.")
        return
    form, version = compared["formats"][1], compared["version"]
    rows = [
        (f"  {change['path']}", named(change["path"], form, version), _value(change["was"]), _value(change["now"]))
        for change in compared["changes"]
        if change["path"]
    ]
    if rows:
        show_table(("  path", "name", compared["one"], compared["other"]), rows)
    else:
        show_line("  They hold the same values, and are written differently: line ends, blanks, or the order of keys.")


def _show_origins(compared: Json) -> None:
    """Bodies of two formats: the fields of the second, and where their values stand in the first."""
    one, other = compared["formats"]
    show_line(f"  {one or 'unknown'} became {other or 'unknown'}: its fields, and where their values stood.")
    rows = [
        (f"  {field['path']}", field["value"], field["from"], named(field["from"], one, compared["version_of_one"]))
        for field in compared["fields"]
    ]
    show_table(("  path", "value", "from", "name"), rows)


def _value(value: str | None) -> str:
    return "(nothing)" if value is None else value
