"""`hcsyncd version`."""

from __future__ import annotations

import platform

import apsw
import click

from hcsyncd import __version__
from hcsyncd.cli.display import json_option, show_json, show_line


@click.command(name="version")
@json_option
def command(*, as_json: bool) -> None:
    """Print the version, and those of what it runs on.

    \b
    Example:
      hcsyncd version --json
    """
    parts = {"hcsyncd": __version__, "python": platform.python_version(), "sqlite": apsw.sqlite_lib_version()}
    if as_json:
        show_json(parts)
    else:
        show_line(f"hcsyncd {parts['hcsyncd']} (Python {parts['python']}, SQLite {parts['sqlite']})")
