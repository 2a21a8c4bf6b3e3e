"""`hcsyncd reload`: the running daemon takes the site as it is now, or stays as it was and says why."""

from __future__ import annotations

from pathlib import Path

import click

from hcsyncd.cli.display import json_option, show_json, show_line
from hcsyncd.cli.failure import as_line
from hcsyncd.cli.site import ask, site_option


@click.command(name="reload")
@json_option
@site_option
def command(*, site: Path, as_json: bool) -> None:
    """Make the running daemon take the site as it is now. On any error it stays as it was, and the findings are listed.

    \b
    Example:
      hcsyncd check && hcsyncd reload
    """
    reloaded = ask(site, "reload", timeout=300.0)
    if as_json:
        show_json(reloaded)
        return
    for finding in reloaded["warnings"]:
        show_line(as_line(finding))
    if not reloaded["changes"]:
        show_line(f"nothing has changed; generation {reloaded['generation']} goes on")
        return
    for change in reloaded["changes"]:
        show_line(change)
    show_line(f"generation {reloaded['generation']} is live")
