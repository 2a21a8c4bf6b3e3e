"""``routes.yaml``: which source's messages go where, and by which transform."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hcsyncd.config.finding import Place, Report
from hcsyncd.config.model import Route, RouteOptions
from hcsyncd.config.option_reader import OptionReader, scalars
from hcsyncd.config.site_files import SiteFiles
from hcsyncd.config.yaml_tree import Entry, Listing, Node, Table

FILE = "routes.yaml"
NAMES = ("name", "from", "to", "filter", "transform")
_FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")


@dataclass(frozen=True, slots=True)
class Name:
    """A name and where it stands."""

    text: str
    place: Place


@dataclass(frozen=True, slots=True)
class RouteEntry:
    """A route as written: its table for the places, the names that can be read even in a faulty one, and what could be
    read of it. ``route`` None: see the findings."""

    table: Table
    named: Mapping[str, tuple[Name, ...]]
    route: Route | None

    def names(self, key: str) -> tuple[Name, ...]:
        """The texts of an option that is a text or a list of texts."""
        return self.named.get(key, ())

    def entry(self, *keys: str) -> Entry | None:
        """What stands under ``keys``; None when it is not written."""
        node: Node = self.table
        found: Entry | None = None
        for key in keys:
            found = node.entries.get(key) if isinstance(node, Table) else None
            if found is None:
                return None
            node = found.value
        return found


def read_routes(files: SiteFiles, reader: OptionReader, report: Report) -> list[RouteEntry]:
    """The routes in the order of the file."""
    if not files.exists(FILE):
        report.error(Place(FILE), "missing-file", "a site needs a routes.yaml", "hcsyncd init DIR makes a site")
        return []
    table = files.table(FILE, "`routes` to a list")
    if table is None:
        return []
    for key, entry in table.entries.items():
        if key != "routes":
            report.error(entry.key_place, "unknown-option", key, "routes.yaml holds one list, `routes`")
    listed = table.entries.get("routes")
    if listed is None:
        report.error(
            Place(FILE), "missing-option", "routes is required", "`routes:` and a list of routes; `routes: []` for none"
        )
        return []
    if not isinstance(listed.value, Listing):
        report.fault(
            listed.key_place,
            "bad-value",
            "routes must be a list",
            "write `- name: ...` below it; `routes: []` for none",
        )
        return []
    routes = [_read_route(item, reader, report) for item in listed.value.items]
    return [route for route in routes if route is not None]


def _read_route(item: Node, reader: OptionReader, report: Report) -> RouteEntry | None:
    if not isinstance(item, Table):
        report.fault(item.place, "bad-value", "a route must be a mapping", "`- name: ...`, with from and to below")
        return None
    options = reader.read(RouteOptions, item)
    named = {
        key: tuple(Name(reader.text(scalar), scalar.place) for scalar in scalars(entry.value))
        for key, entry in item.entries.items()
        if key in NAMES
    }
    for key in ("filter", "transform"):
        for name in named.get(key, ()):
            if name.text and not _FUNCTION.fullmatch(name.text):
                hint = "adt.to_event is the function to_event of transforms/adt.py"
                report.fault(name.place, "bad-value", f"{key} must be file.function, not {name.text}", hint)
    if options is None:
        return RouteEntry(item, named, None)
    places = {key: (entry.value.place.line, entry.value.place.column) for key, entry in item.entries.items()}
    return RouteEntry(item, named, Route(options, Path(FILE), item.place.line, places))
