"""`hcsyncd reload`: the running daemon takes the site as it is now, or stays as it was and says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hcsyncd.cli.display import json_option, show_json, show_line
from hcsyncd.cli.failure import as_line
from hcsyncd.cli.site import ask, site_option

RELOAD_SECS = 300.0  # a source that is closed may have messages to hand on


@click.command(name="reload")
@click.option("--reason", default="", metavar="TEXT", help="Why, for the history.")
@click.option(
    "--plan-digest",
    "digest",
    default="",
    metavar="DIGEST",
    help="Only if the files are still those of the plan that was shown (hcsyncd plan).",
)
@json_option
@site_option
def command(*, site: Path, as_json: bool, reason: str, digest: str) -> None:
    """Make the running daemon take the site as it is now. On any error it stays as it was, and the findings are listed.

    Its first minutes are watched (`reload` in hcsyncd.yaml): where messages fail that went through before, the daemon
    goes back by itself and says so.

    \b
    Example:
      hcsyncd check && hcsyncd reload --reason "the laboratory has a new address"
    """
    reloaded = ask(site, "reload", {"reason": reason, "digest": digest}, timeout=RELOAD_SECS)
    if as_json:
        show_json(reloaded)
        return
    show_reloaded(reloaded)


def show_reloaded(reloaded: dict[str, Any]) -> None:
    for finding in reloaded["warnings"]:
        show_line(as_line(finding))
    if not reloaded["changes"]:
        show_line(f"nothing has changed; generation {reloaded['generation']} goes on")
        return
    for change in reloaded["changes"]:
        show_line(change)
    show_line(f"generation {reloaded['generation']} is live")
