"""Which site a command means, and how it reaches the daemon that runs it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from hcsyncd.config.finding import Report
from hcsyncd.config.model import DaemonOptions
from hcsyncd.config.references import References
from hcsyncd.config.yaml_tree import Scalar, Table, read_yaml
from hcsyncd.errors import ConfigError
from hcsyncd.runtime.control import call, socket_path

SYSTEM_SITE = Path("/etc/hcsyncd")
MARK = "routes.yaml"

AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])


def find_site(given: str | None) -> Path:
    """The folder given, else the current one if it is a site, else ``$HCSYNCD_SITE``, else ``/etc/hcsyncd``."""
    if given:
        return _folder(Path(given), "--site")
    if (Path.cwd() / MARK).is_file():
        return Path.cwd()
    if named := os.environ.get("HCSYNCD_SITE"):
        return _folder(Path(named), "HCSYNCD_SITE")
    if (SYSTEM_SITE / MARK).is_file():
        return SYSTEM_SITE
    raise ConfigError(
        f"no site found: there is no {MARK} here nor in {SYSTEM_SITE};"
        " give --site DIR, or make a site with `hcsyncd init DIR`"
    )


def _folder(path: Path, source: str) -> Path:
    if not path.is_dir():
        raise ConfigError(f"{source}: there is no folder {path}")
    return path.absolute()


def _resolve(_context: click.Context, _parameter: click.Parameter, value: str | None) -> Path:
    return find_site(value)


def site_option(function: AnyFunction) -> AnyFunction:
    """Gives a command its ``site: Path``."""
    return click.option(
        "--site",
        metavar="DIR",
        callback=_resolve,
        help=f"The site's folder. Default: this one if it holds a {MARK}, else $HCSYNCD_SITE, else {SYSTEM_SITE}.",
    )(function)


def data_folder(site: Path) -> Path:
    """Where the site's daemon keeps its store and listens, read from ``hcsyncd.yaml`` alone: a daemon must be reachable
    also while the rest of the site is being edited."""
    file = site / "hcsyncd.yaml"
    default = site / DaemonOptions().data
    if not file.is_file():
        return default
    report = Report()
    try:
        tree = read_yaml(file.read_text(encoding="utf-8"), file.name, report)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {file}: {error}") from error
    entry = tree.entries.get("data") if isinstance(tree, Table) else None
    value = entry.value if entry else None
    data = References(site, os.environ, report).resolve(value).text if isinstance(value, Scalar) else ""
    if report.has_errors:
        raise ConfigError(f"{file} does not say where the daemon is", report.findings())
    return site / data if data else default


def ask(site: Path, verb: str, args: dict[str, Any] | None = None, timeout: float = 60.0) -> Any:
    """Have the site's daemon carry out a verb of `hcsyncd.runtime.verbs`; ``timeout`` in seconds. Raises DaemonAbsent
    and CommandRefused."""
    return call(socket_path(data_folder(site)), verb, args, timeout)
