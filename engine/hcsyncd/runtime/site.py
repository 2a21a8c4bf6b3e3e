"""A site on disk is checked as a whole and becomes a generation: typed configuration with everything made that needs no
socket, no store and no process of its own."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hcsyncd.config.finding import Finding, Level, suggestion
from hcsyncd.config.kinds import Direction
from hcsyncd.config.load import load_site
from hcsyncd.config.model import Route, Site
from hcsyncd.connectors.connector import Role
from hcsyncd.connectors.registry import CONNECTORS, find
from hcsyncd.flow.route import Routes
from hcsyncd.formats.format import Format
from hcsyncd.formats.registry import build_format
from hcsyncd.options import Options
from hcsyncd.plugins.inspection import Inspection, inspect_plugins
from hcsyncd.plugins.loader import Sources

TRANSFORMS = "transforms"


@dataclass(frozen=True, slots=True)
class Checked:
    """A site as a check found it. ``site`` is None when there are errors."""

    site: Site | None
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.level is Level.ERROR)


@dataclass(frozen=True, slots=True)
class Generation:
    """One configuration, ready to go live."""

    number: int
    site: Site
    formats: Mapping[str, Format]  # by channel
    routes: Routes


def check_site(folder: Path, environment: Mapping[str, str] | None = None, secrets: Path | None = None) -> Checked:
    """Read and check a site: configuration, routes, tables, and the transforms that routes name.

    The transform files are imported in a process of their own. Never raises for what is in the folder. ``secrets``:
    another site's folder, whose secrets these files mean.
    """
    surroundings = os.environ if environment is None else environment
    loaded = load_site(folder, _options_of, _kinds_of, surroundings, secrets)
    if not folder.is_dir():
        return Checked(None, loaded.findings)
    inspection = inspect_plugins(folder / TRANSFORMS)
    findings = [*loaded.findings, *_plugin_findings(inspection), *_missing_functions(loaded.routes, inspection, folder)]
    findings.sort(key=lambda finding: finding.order)
    broken = any(finding.level is Level.ERROR for finding in findings)
    return Checked(None if broken else loaded.site, tuple(findings))


def transform_sources(site: Site) -> Sources:
    """The site's transforms as they were read with it, however the files have changed since."""
    below = f"{TRANSFORMS}/"
    files = {name.removeprefix(below): content for name, content in site.files.items() if name.startswith(below)}
    return Sources(str(site.folder / TRANSFORMS), files)


def build_generation(number: int, site: Site) -> Generation:
    """Make the parts of a generation that are pure."""
    formats = {
        name: build_format(channel.format.kind, channel.format.options) for name, channel in site.channels.items()
    }
    return Generation(number, site, formats, Routes(site.routes, site.channels))


def _options_of(kind: str, direction: Direction) -> type[Options] | None:
    connector = find(kind, Role(direction))
    return connector.options if connector else None


def _kinds_of(direction: Direction) -> Sequence[str]:
    return [connector.kind for connector in CONNECTORS if connector.role == direction]


def _plugin_findings(inspection: Inspection) -> list[Finding]:
    return [
        Finding(fault.file, fault.line, fault.column, Level.ERROR, fault.code, fault.text, fault.hint)
        for fault in inspection.faults
    ]


def _missing_functions(routes: Sequence[Route], inspection: Inspection, folder: Path) -> list[Finding]:
    """Names of functions that routes use and no transform file has."""
    findings = []
    for route in routes:
        for role in ("filter", "transform"):
            name = getattr(route.options, role)
            if not name or inspection.functions.get(name) == role or _is_excused(name, inspection, folder):
                continue
            known = [function for function, its_role in inspection.functions.items() if its_role == role]
            text = f"route {route.name}: there is no {role} {name}"
            if name in inspection.functions:
                text += f"; it is marked as a {inspection.functions[name]}"
            line, column = route.places.get(role, (route.line, 1))
            findings.append(
                Finding(str(route.file), line, column, Level.ERROR, "unknown-function", text, suggestion(name, known))
            )
    return findings


def _is_excused(name: str, inspection: Inspection, folder: Path) -> bool:
    """Whether the function may well be there: one faulty file leaves unknown what all the others hold."""
    module = folder / TRANSFORMS / name.rpartition(".")[0].replace(".", "/")
    return bool(inspection.faults) and (module.with_suffix(".py").is_file() or (module / "__init__.py").is_file())
