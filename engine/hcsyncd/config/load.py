"""A folder becomes a `Site`, or findings: all of them at once, sorted by file and line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hcsyncd.config.channels import ChannelReader
from hcsyncd.config.finding import Finding, Place, Report
from hcsyncd.config.kinds import ConnectorKinds, FindConnector
from hcsyncd.config.lint import Linter
from hcsyncd.config.model import DaemonOptions, Route, Site
from hcsyncd.config.option_reader import OptionReader
from hcsyncd.config.references import References
from hcsyncd.config.routes import read_routes
from hcsyncd.config.site_files import SiteFiles
from hcsyncd.config.tables import read_tables
from hcsyncd.formats.registry import FORMATS

DAEMON_FILE = "hcsyncd.yaml"


@dataclass(frozen=True, slots=True)
class Loaded:
    """``site`` is None when any finding is an error; warnings leave it usable. ``routes`` are those that could be read
    in any case, for whoever checks the functions that they name."""

    site: Site | None
    findings: tuple[Finding, ...]
    routes: tuple[Route, ...] = ()


@dataclass(frozen=True, slots=True)
class LoadedDaemon:
    """`hcsyncd.yaml` alone. ``options`` is None when any finding is an error."""

    options: DaemonOptions | None
    findings: tuple[Finding, ...]


def load_daemon(folder: Path, environment: Mapping[str, str]) -> LoadedDaemon:
    """Read `hcsyncd.yaml` alone: where a daemon is must be known also while the rest of its site is being edited."""
    report = Report()
    reader = OptionReader(References(folder, environment, report).resolve, report)
    options = _read_daemon(SiteFiles(folder, report), reader)
    return LoadedDaemon(None if report.has_errors else options, report.findings())


def load_site(
    folder: Path,
    find_connector: FindConnector,
    connector_kinds: ConnectorKinds,
    environment: Mapping[str, str],
    secrets: Path | None = None,
) -> Loaded:
    """Read a site and check it as a whole. Never raises for what is in the folder; whether the functions that routes
    name exist is checked by whoever loads the transforms. ``secrets``: another site's folder, whose secrets these files
    mean."""
    report = Report()
    if not folder.is_dir():
        report.error(Place(str(folder)), "missing-file", "there is no such folder", "hcsyncd init DIR makes a site")
        return Loaded(None, report.findings())
    files = SiteFiles(folder, report)
    references = References(secrets or folder, environment, report)
    reader = OptionReader(references.resolve, report)
    daemon = _read_daemon(files, reader)
    channels = ChannelReader(files, reader, report, (find_connector, connector_kinds), FORMATS).read_all()
    routes = read_routes(files, reader, report)
    tables = read_tables(files, report)
    files.note_transforms()
    Linter(channels, routes, FORMATS, report).check(daemon)
    readable = tuple(entry.route for entry in routes if entry.route)
    if report.has_errors or daemon is None:
        return Loaded(None, report.findings(), readable)
    site = Site(
        folder=folder,
        daemon=daemon,
        channels={name: known.channel for name, known in channels.items() if known.channel},
        routes=readable,
        tables=tables,
        digest=files.digest(references.used),
        transforms=files.digest({}, "transforms/"),
        files=files.read,
    )
    return Loaded(site, report.findings(), readable)


def _read_daemon(files: SiteFiles, reader: OptionReader) -> DaemonOptions | None:
    if not files.exists(DAEMON_FILE):
        return DaemonOptions()
    table = files.table(DAEMON_FILE, "the daemon's options; every line is optional", may_be_empty=True)
    return None if table is None else reader.read(DaemonOptions, table)
