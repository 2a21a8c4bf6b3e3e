"""``channels/<name>.test.yaml``: what a source's messages are expected to become, beside the channel they arrive at.

::

    cases:
      - name: an admission becomes an event
        message: |
          MSH|^~\\&|...
          PID|||123
        expect:
          - to: events_out
            json: {event: admission.created}
      - name: a test patient is left out
        message: {file: samples/test_patient.hl7}
        dropped: "test patient*"

A message is either text, in which every line end becomes a carriage return where the channel's format is HL7 (v2.5.1
§2.4: segments end so), or a file beside the test file, taken byte for byte. ``${...}`` is not resolved in cases.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, model_validator

from hcsyncd.config.channels import CASES_SUFFIX, FOLDER
from hcsyncd.config.finding import Finding, Place, Report, suggestion
from hcsyncd.config.model import Channel, OneOrMany, Site
from hcsyncd.config.option_reader import OptionReader
from hcsyncd.config.references import verbatim
from hcsyncd.config.site_files import SiteFiles
from hcsyncd.config.yaml_tree import Listing, Table
from hcsyncd.options import Options, option

OUTCOMES = ("expect", "dropped", "rejected", "failed", "parked", "unrouted")

AckCode = Literal["AA", "AE", "AR", "CA", "CE", "CR"]


def _as_text(value: Any) -> Any:
    """Codes are often digits; what is compared is the text of a message."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


FieldText = Annotated[str, BeforeValidator(_as_text, json_schema_input_type=str | int)]


class MessageFile(Options):
    """A message kept in a file of its own."""

    file: str = option(..., "The file, relative to the test file.", min_length=1)


class ExpectOptions(Options):
    """One envelope that is expected to leave. What is given must hold; what is left out is not looked at."""

    to: str = option(..., "The destination channel.")
    body: str | None = option(None, "The whole body as text. In HL7, line ends stand for carriage returns.")
    json_: Any = option(None, "The whole body as JSON, in any order of keys.", alias="json")
    contains: OneOrMany = option(default_factory=list, doc="Texts that the body holds.")
    fields: dict[str, FieldText | None] = option(
        default_factory=dict,
        doc="Paths in the terms of the destination's format, and the value at each; null: nothing is there.",
    )


class CaseOptions(Options):
    """One case of a test file."""

    name: str = option(..., "Unique in its file; says what is shown.", min_length=1)
    message: str | MessageFile = option(..., "The message as text, or `{file: path}`.")
    route: str = option("", "Look at this route alone. Empty: all routes of the channel.")
    expect: list[ExpectOptions] | None = option(
        None, "The envelopes that leave, all of them; `[]`: none.", example=[{"to": "events_out", "contains": "A01"}]
    )
    dropped: str | None = option(None, "Every route drops the message, for a reason like this pattern (`*`, `?`).")
    rejected: str | None = option(None, "A transform refuses the message, for a reason like this pattern.")
    failed: str | None = option(None, "A filter or transform fails with this error code, like `unmapped-code`.")
    parked: str | None = option(
        None,
        "A lookup finds no entry, and what the route was to send waits for it: `table/code`, or a pattern of that.",
        example="bed_board/NEU1",
    )
    unrouted: Literal[True] | None = option(None, "true: no route wants the message.")
    acknowledge: AckCode | None = option(None, "The acknowledgement code (MSA-1) that the sender gets.")

    @model_validator(mode="after")
    def _says_what_is_expected(self) -> CaseOptions:
        given = [name for name in OUTCOMES if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"a case has one outcome, not {' and '.join(given)}")
        if not given and self.acknowledge is None:
            raise ValueError(f"a case says what is expected: one of {', '.join(OUTCOMES)}, or acknowledge")
        return self


@dataclass(frozen=True, slots=True)
class Expectation:
    """One envelope that is expected to leave, ready to be compared."""

    to: str
    line: int
    body: bytes | None = field(default=None, repr=False)
    json: Any = field(default=None, repr=False)
    checks_json: bool = False  # json may be null on purpose
    contains: tuple[str, ...] = field(default=(), repr=False)
    fields: Mapping[str, str | None] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Case:
    """One case, with its message in bytes. Exactly one outcome is set, or only ``acknowledge``."""

    name: str
    channel: str
    file: str  # relative to the site
    line: int
    column: int
    message: bytes = field(repr=False)
    route: str = ""  # "": all routes of the channel
    expect: tuple[Expectation, ...] | None = None  # (): nothing leaves
    dropped: str | None = None  # pattern of the reason
    rejected: str | None = None  # pattern of the reason
    failed: str | None = None  # error code
    parked: str | None = None  # pattern of table/code
    unrouted: bool = False
    acknowledge: str = ""  # MSA-1; "": not looked at


@dataclass(frozen=True, slots=True)
class LoadedCases:
    """Every case that could be read, in the order of files and lines, and what is wrong with the others."""

    cases: tuple[Case, ...]
    findings: tuple[Finding, ...]
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)  # all that were read, by name


def load_cases(site: Site) -> LoadedCases:
    """Read every ``*.test.yaml`` beside the channels of a site."""
    report = Report()
    loader = _Loader(site, SiteFiles(site.folder, report), report)
    cases = [case for name in loader.files.names(FOLDER) if name.endswith(CASES_SUFFIX) for case in loader.read(name)]
    return LoadedCases(tuple(cases), report.findings(), loader.files.read)


@dataclass(slots=True)
class _Loader:
    site: Site
    files: SiteFiles
    report: Report

    def read(self, file_name: str) -> list[Case]:
        file = f"{FOLDER}/{file_name}"
        channel = self._channel(file, file_name.removesuffix(CASES_SUFFIX))
        table = self.files.table(file, "`cases` to a list")
        for key, entry in table.entries.items() if table else ():
            if key != "cases":
                self.report.error(entry.key_place, "unknown-option", key, "a test file holds one list, `cases`")
        listed = table.entries.get("cases") if table else None
        if table and not listed:
            self.report.error(Place(file), "missing-option", "cases is required", "`cases:` and a list of cases")
        if listed is None or channel is None:
            return []
        if not isinstance(listed.value, Listing):
            self.report.fault(listed.key_place, "bad-value", "cases must be a list", "write `- name: ...` below it")
            return []
        return self._cases(listed.value, channel)

    def _channel(self, file: str, name: str) -> Channel | None:
        channel = self.site.channels.get(name)
        if channel is None:
            hint = suggestion(name, [known.name for known in self.site.channels.values() if known.source])
            self.report.error(Place(file), "unknown-channel", f"there is no channel {name}", hint)
        elif channel.source is None:
            self.report.error(Place(file), "wrong-direction", f"{name} is a destination", "cases stand beside a source")
            return None
        return channel

    def _cases(self, listed: Listing, channel: Channel) -> list[Case]:
        found: list[Case] = []
        lines: dict[str, int] = {}
        for item in listed.items:
            if not isinstance(item, Table):
                self.report.fault(item.place, "bad-value", "a case must be a mapping", "`- name: ...` and more below")
                continue
            case = self._case(item, channel)
            if case is None:
                continue
            if case.name in lines:
                place = item.entries["name"].value.place
                text = f"there are two cases {case.name!r}"
                self.report.error(place, "duplicate-name", text, f"first on line {lines[case.name]}")
            lines.setdefault(case.name, case.line)
            found.append(case)
        return found

    def _case(self, table: Table, channel: Channel) -> Case | None:
        options = OptionReader(verbatim, self.report).read(CaseOptions, table)
        if options is None:
            return None
        message = self._message(options.message, table, channel)
        known = self._known_ends(options, table, channel)
        if message is None or not known:
            return None
        expect = None
        if options.expect is not None:
            expect = tuple(
                self._expectation(wanted, place.line)
                for wanted, place in zip(options.expect, self._places(table), strict=True)
            )
        return Case(
            name=options.name,
            channel=channel.name,
            file=table.place.file,
            line=table.place.line,
            column=table.place.column,
            message=message,
            route=options.route,
            expect=expect,
            dropped=options.dropped,
            rejected=options.rejected,
            failed=options.failed,
            parked=options.parked,
            unrouted=options.unrouted is True,
            acknowledge=options.acknowledge or "",
        )

    def _message(self, message: str | MessageFile, table: Table, channel: Channel) -> bytes | None:
        if isinstance(message, str):
            return _body(message, channel)
        name = PurePosixPath(FOLDER, message.file).as_posix()
        if not self.files.exists(name):
            place = table.entries["message"].value.place
            self.report.error(place, "missing-file", f"{name} is not there", "it is looked for beside the test file")
            return None
        return self.files.content(name)

    def _known_ends(self, options: CaseOptions, table: Table, channel: Channel) -> bool:
        """Whether the route and the destinations that a case names are ones its messages can take."""
        routes = [route for route in self.site.routes if channel.name in route.options.source]
        if options.route:
            if options.route not in [route.name for route in routes]:
                hint = suggestion(options.route, [route.name for route in routes])
                text = f"no route {options.route} comes from {channel.name}"
                self.report.error(table.entries["route"].value.place, "unknown-route", text, hint)
                return False
            routes = [route for route in routes if route.name == options.route]
        reachable = sorted({name for route in routes for name in route.options.to})
        known = True
        for wanted, place in zip(options.expect or (), self._places(table), strict=True):
            if wanted.to not in reachable:
                text = f"no route leads from {channel.name} to {wanted.to}"
                self.report.error(place, "unknown-channel", text, suggestion(wanted.to, reachable))
                known = False
        return known

    def _places(self, table: Table) -> list[Place]:
        """Where the `to` of each expectation stands."""
        listed = table.entries["expect"].value if "expect" in table.entries else None
        items = listed.items if isinstance(listed, Listing) else ()
        return [item.entries["to"].value.place for item in items if isinstance(item, Table)]

    def _expectation(self, wanted: ExpectOptions, line: int) -> Expectation:
        destination = self.site.channels[wanted.to]
        return Expectation(
            to=wanted.to,
            line=line,
            body=None if wanted.body is None else _body(wanted.body, destination),
            json=wanted.json_,
            checks_json="json_" in wanted.model_fields_set,
            contains=tuple(wanted.contains),
            fields=wanted.fields,
        )


def _body(text: str, channel: Channel) -> bytes:
    """A text of a test file as it would travel: HL7 segments end in a carriage return (v2.5.1 §2.4)."""
    if channel.format.kind == "hl7":
        text = text.replace("\r\n", "\r").replace("\n", "\r")
    return text.encode()
