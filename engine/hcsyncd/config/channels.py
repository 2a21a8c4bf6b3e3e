"""``channels/<name>.yaml``: one endpoint each, named by its file."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hcsyncd.config.finding import Place, Report, suggestion
from hcsyncd.config.kinds import IMPLIED_FORMAT, ConnectorKinds, Direction, FindConnector
from hcsyncd.config.model import DESTINATION_ONLY, SOURCE_ONLY, Channel, ChannelOptions, Part
from hcsyncd.config.option_reader import OptionReader
from hcsyncd.config.site_files import SiteFiles
from hcsyncd.config.spec import NAME_PATTERN, options_of
from hcsyncd.config.yaml_tree import Entry, Scalar, Table
from hcsyncd.formats.format import FormatKind
from hcsyncd.options import Options

FOLDER = "channels"
CASES_SUFFIX = ".test.yaml"
DIRECTIONS: tuple[Direction, ...] = ("source", "destination")


@dataclass(frozen=True, slots=True)
class ChannelFile:
    """A channel as written: its table for the places, and what could be read of it (None: see the findings)."""

    name: str
    file: str
    table: Table | None
    direction: Direction | None
    format: Part | None
    channel: Channel | None


class ChannelReader:
    """Reads the channel files of one site."""

    def __init__(
        self,
        files: SiteFiles,
        reader: OptionReader,
        report: Report,
        connectors: tuple[FindConnector, ConnectorKinds],
        formats: Mapping[str, FormatKind],
    ) -> None:
        self._files = files
        self._reader = reader
        self._report = report
        self._find, self._kinds = connectors
        self._formats = formats

    def read_all(self) -> dict[str, ChannelFile]:
        """Every channel by name, the faulty ones too: routes may name them without a second finding."""
        if not self._files.exists(FOLDER):
            self._report.error(
                Place(FOLDER), "missing-file", "a site needs a folder channels/", "hcsyncd init DIR makes a site"
            )
        found: dict[str, ChannelFile] = {}
        for name in self._files.names(FOLDER):
            file = f"{FOLDER}/{name}"
            if name.endswith(CASES_SUFFIX) or name.startswith("README"):
                continue
            if not name.endswith(".yaml"):  # samples for cases may lie here too
                if name.lower().endswith((".yml", ".yaml")):
                    hint = "channels are files named <name>.yaml"
                    self._report.warn(Place(file), "ignored-file", f"{file} is not read", hint)
                continue
            stem = name.removesuffix(".yaml")
            if not re.match(NAME_PATTERN, stem):
                hint = "use lower-case letters, digits and _, starting with a letter"
                self._report.error(Place(file), "bad-name", f"{stem} is no name for a channel", hint)
                continue
            found[stem] = self._read(stem, file)
        return found

    def _read(self, name: str, file: str) -> ChannelFile:
        table = self._files.table(file, "a channel's options: source or destination, format, ...")
        if table is None:
            return ChannelFile(name, file, None, None, None, None)
        direction = self._direction(table)
        beside = (*DIRECTIONS, "format")
        misplaced = self._misplaced(table, direction) if direction else ()
        options = self._reader.read(ChannelOptions, table.without(*beside, *misplaced), beside=beside)
        endpoint = None
        if direction:
            self._warn_of_ineffective(table, direction)
            endpoint = self._connector(table.entries[direction], direction)
        form = self._format(table, direction)
        channel = None
        if options and endpoint and form and direction:
            source, destination = (endpoint, None) if direction == "source" else (None, endpoint)
            channel = Channel(name, Path(file), form, options, source, destination)
        return ChannelFile(name, file, table, direction, form, channel)

    def _direction(self, table: Table) -> Direction | None:
        given = [direction for direction in DIRECTIONS if direction in table.entries]
        if not given:
            hint = "add `source:` or `destination:` with the kind of its connector"
            self._report.error(Place(table.place.file), "missing-option", "source or destination is required", hint)
            return None
        if len(given) == 2:
            second = max(table.entries[direction].key_place for direction in given)
            hint = "make two files of it"
            self._report.error(second, "two-endpoints", "a channel is a source or a destination, not both", hint)
            return None
        return given[0]

    def _warn_of_ineffective(self, table: Table, direction: Direction) -> None:
        for name in sorted(SOURCE_ONLY if direction == "destination" else DESTINATION_ONLY):
            if name in table.entries:
                place = table.entries[name].key_place
                self._report.warn(place, "ineffective-option", f"{name} does nothing at a {direction}", "delete it")

    def _misplaced(self, table: Table, direction: Direction) -> list[str]:
        """Options of the connector that stand beside it instead of below it."""
        connector = self._find(_kind_text(table.entries[direction]), direction)
        own = options_of(ChannelOptions)
        known = set(options_of(connector)) - set(own) if connector else set()
        misplaced = [key for key in table.entries if key in known]
        for key in misplaced:
            hint = f"indent it: it belongs below {direction}"
            self._report.error(table.entries[key].key_place, "unknown-option", key, hint)
        return misplaced

    def _connector(self, entry: Entry, direction: Direction) -> Part | None:
        return self._part(entry, "connector", self._kinds(direction), lambda kind: self._find(kind, direction))

    def _format(self, table: Table, direction: Direction | None) -> Part | None:
        entry = table.entries.get("format")
        if entry is not None:
            options = {kind: known.options for kind, known in self._formats.items()}
            return self._part(entry, "format", tuple(options), options.get)
        connector = _kind_text(table.entries[direction]) if direction else ""
        implied = self._formats.get(IMPLIED_FORMAT.get(connector, ""))
        if implied is not None:
            return Part(implied.kind, implied.options())
        if direction and connector in self._kinds(direction):  # of an unknown one nobody can say what it implies
            hint = f"one of {', '.join(self._formats)}; only mllp implies one: hl7"
            self._report.error(Place(table.place.file), "missing-option", "format is required", hint)
        return None

    def _part(
        self, entry: Entry, what: str, kinds: Sequence[str], find: Callable[[str], type[Options] | None]
    ) -> Part | None:
        """A kind by its name, or a mapping of ``kind`` and that kind's options."""
        table = entry.value if isinstance(entry.value, Table) else Table(entry.key_place, {})
        kind = table.entries["kind"].value if "kind" in table.entries else entry.value
        if isinstance(kind, Table) and "kind" not in table.entries:
            hint = f"one of {', '.join(sorted(kinds))}"
            self._report.error(entry.key_place, "missing-option", f"{entry.key}.kind is required", hint)
            return None
        if not isinstance(kind, Scalar) or not isinstance(kind.value, str):
            hint = f"`{entry.key}: {{kind: {min(kinds, default='...')}}}`, for example"
            place = entry.key_place if isinstance(kind, Scalar) and kind.value is None else kind.place
            self._report.fault(
                place, "bad-value", f"{entry.key} must be a kind of {what}, or a mapping with its kind", hint
            )
            return None
        name = self._reader.text(kind)
        options = find(name)
        if options is None:
            if not self._report.is_faulted(kind.place):
                self._report.error(
                    kind.place, "unknown-kind", f"there is no {what} {name!r} as {entry.key}", suggestion(name, kinds)
                )
            return None
        read = self._reader.read(options, table.without("kind"), at=entry.key_place, beside=("kind",))
        return Part(name, read) if read is not None else None


def _kind_text(entry: Entry) -> str:
    node = (
        entry.value.entries["kind"].value
        if isinstance(entry.value, Table) and "kind" in entry.value.entries
        else entry.value
    )
    return node.text if isinstance(node, Scalar) else ""
