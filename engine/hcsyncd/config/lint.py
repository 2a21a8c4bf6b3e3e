"""What can only be judged when the whole site is known: names that must exist, paths that must be readable, addresses
that two listeners want."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hcsyncd.config.channels import ChannelFile
from hcsyncd.config.finding import Place, Report, closest, suggestion
from hcsyncd.config.keeping import contradiction, kept
from hcsyncd.config.kinds import Direction
from hcsyncd.config.model import DaemonOptions
from hcsyncd.config.routes import FILE as ROUTES_FILE, RouteEntry
from hcsyncd.config.search import lint_keys
from hcsyncd.config.yaml_tree import Scalar, Table
from hcsyncd.errors import FormatError
from hcsyncd.formats.format import Format, FormatKind

PEEKED_KEYS = ("type", "sender", "receiver", "control_id")
WIRE_PREFIX = "wire."
ANY_HOST = frozenset({"", "0.0.0.0", "::", "*"})  # noqa: S104 - compared with, not bound to


@dataclass(slots=True)
class Linter:
    """Checks across the files of one site."""

    channels: Mapping[str, ChannelFile]
    routes: list[RouteEntry]
    formats: Mapping[str, FormatKind]
    report: Report
    _meant: set[str] = field(default_factory=set)  # channels that misspelt names were most likely to be

    def check(self, daemon: DaemonOptions | None) -> None:
        self._route_names()
        for route in self.routes:
            self._ends(route, "from", "source")
            self._ends(route, "to", "destination")
            self._conditions(route)
            self._lanes(route)
        lint_keys(self.channels.values(), self.formats, self.report)
        self._unused()
        self._asking()
        self._addresses(daemon)
        self._keeping(daemon or DaemonOptions())

    def _route_names(self) -> None:
        lines: dict[str, int] = {}
        for route in self.routes:
            for name in route.names("name"):
                if name.text in lines:
                    hint = f"first on line {lines[name.text]}"
                    self.report.fault(name.place, "duplicate-name", f"there are two routes {name.text}", hint)
                lines.setdefault(name.text, name.place.line)

    def _ends(self, route: RouteEntry, key: str, direction: Direction) -> None:
        seen: set[str] = set()
        for name in route.names(key):
            known = self.channels.get(name.text)
            if name.text in seen:
                self.report.fault(name.place, "duplicate-entry", f"{name.text} stands twice in {key}", "delete one")
            elif known is None:
                fitting = [other.name for other in self.channels.values() if other.direction in {direction, None}]
                self._meant.add(closest(name.text, fitting))
                self.report.fault(
                    name.place, "unknown-channel", f"there is no channel {name.text}", suggestion(name.text, fitting)
                )
            elif known.direction not in {direction, None}:
                text = f"{name.text} is a {known.direction}; `{key}` takes a {direction}"
                self.report.fault(name.place, "wrong-direction", text, f"see {known.file}")
            seen.add(name.text)

    def _sources(self, route: RouteEntry) -> list[tuple[str, Format]]:
        """The formats in which messages arrive at the route, by source; unreadable ones left out."""
        found: list[tuple[str, Format]] = []
        for name in route.names("from"):
            known = self.channels.get(name.text)
            if known and known.format and known.direction == "source":
                found.append((name.text, self.formats[known.format.kind].build(known.format.options)))
        return found

    def _conditions(self, route: RouteEntry) -> None:
        sources = self._sources(route)
        for key in route.route.options.when if route.route else ():
            written = route.entry("when", key)
            if written is None or key in PEEKED_KEYS:
                continue
            if not key.startswith(WIRE_PREFIX):
                self._path(key, sources, written.key_place, "condition")
            elif key == WIRE_PREFIX:
                hint = "wire.tls_client, for example"
                self.report.fault(written.key_place, "unknown-key", "wire. needs the name of a fact", hint)

    def _lanes(self, route: RouteEntry) -> None:
        if route.route is None:
            return
        sources = self._sources(route)
        own = route.entry("lane")
        if route.route.options.lane is not None and own:
            if route.route.options.lane:
                self._path(route.route.options.lane, sources, own.value.place, "lane")
            return
        for name in route.route.options.to:
            known = self.channels.get(name)
            lane = known.table.entries.get("lane") if known and known.table else None
            if known and known.channel and lane and known.channel.options.lane:
                self._path(known.channel.options.lane, sources, lane.value.place, f"lane, for route {route.route.name}")

    def _path(self, path: str, sources: list[tuple[str, Format]], place: Place, use: str) -> None:
        for source, form in sources:
            try:
                form.check_path(path)
            except FormatError as error:
                near = closest(path, PEEKED_KEYS) if use == "condition" else ""
                if near:
                    self.report.fault(place, "unknown-key", f"{path} is no key of a message", f"did you mean {near}?")
                else:
                    text = f"{path} cannot be read in {form.name} messages of {source} ({use})"
                    self.report.fault(place, "bad-path", text, str(error))
                return

    def _asking(self) -> None:
        for known in self.channels.values():
            channel, entry = known.channel, known.table.entries.get("after_crash") if known.table else None
            if channel is None or channel.destination is None or entry is None or channel.options.after_crash != "ask":
                continue
            if not getattr(channel.destination.options, "can_ask", False):
                text = f"{known.name} cannot be asked what it has"
                hint = "http can with `ask`, folder can; else `hold` waits for a person, `resend` sends again"
                self.report.fault(entry.value.place, "cannot-ask", text, hint)

    def _unused(self) -> None:
        if not self.routes and self.report.has_errors_in(ROUTES_FILE):
            return  # what would use them could not be read
        used = self._meant | {name.text for route in self.routes for key in ("from", "to") for name in route.names(key)}
        for known in self.channels.values():
            if known.name not in used and known.channel and known.channel.options.enabled:
                self.report.warn(
                    Place(known.file),
                    "unused-channel",
                    f"no route uses {known.name}",
                    "enabled: false puts it out of service",
                )

    def _addresses(self, daemon: DaemonOptions | None) -> None:
        taken: list[tuple[str, int, str]] = []
        if daemon and daemon.http.enabled:
            taken.append((daemon.http.host, daemon.http.port, "the operators' HTTP listener"))
        for known in self.channels.values():
            channel = known.channel
            if channel is None or channel.source is None or not channel.options.enabled:
                continue
            options: Any = channel.source.options
            host, port = getattr(options, "host", None), getattr(options, "port", None)
            if not isinstance(host, str) or not isinstance(port, int) or port == 0:
                continue
            place = _port_place(known)
            for other_host, other_port, owner in taken:
                if port == other_port and (host == other_host or {host, other_host} & ANY_HOST):
                    self.report.fault(
                        place, "address-taken", f"{host}:{port} is taken by {owner}", "give one of them another port"
                    )
                    break
            else:
                taken.append((host, port, f"channel {known.name}"))

    def _keeping(self, daemon: DaemonOptions) -> None:
        hint = "bound the bodies, no later than the metadata"
        if text := contradiction(kept(daemon.retention, daemon.retention)):
            self.report.warn(Place("hcsyncd.yaml"), "ineffective-retention", text, hint)
        for known in self.channels.values():
            own = known.table.entries.get("retention") if known.table else None
            if (
                own
                and known.channel
                and (text := contradiction(kept(known.channel.options.retention, daemon.retention)))
            ):
                self.report.warn(own.key_place, "ineffective-retention", text, hint)


def _port_place(known: ChannelFile) -> Place:
    """Where the port is written; the source's key when it is the default one."""
    entry = known.table.entries["source"] if known.table else None
    if entry is None:
        return Place(known.file)
    port = entry.value.entries.get("port") if isinstance(entry.value, Table) else None
    return port.value.place if port and isinstance(port.value, Scalar) else entry.key_place
