"""`hcsyncd plan`: what a reload would change, before it does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hcsyncd.cli.display import json_option, note, safe, show_json, show_line
from hcsyncd.cli.failure import EXIT_UNUSABLE, as_line, tell
from hcsyncd.cli.site import ask, site_option
from hcsyncd.errors import CommandRefused

SHOWN_DIGITS = 12  # of a digest


@click.command(name="plan")
@json_option
@site_option
def command(*, site: Path, as_json: bool) -> None:
    """Show what a reload would change against what runs: channels, routes, transforms, mapping tables, what is queued
    under them, and the connections that would be cut. Changes nothing. Exits 2 when the site has errors.

    \b
    Example:
      hcsyncd plan
      hcsyncd reload --plan-digest 3fa2b1c9d0e1 --reason "ward W9 is new"
    """
    try:
        plan = ask(site, "configuration.plan")
    except CommandRefused as error:
        if error.reason != "config":
            raise
        tell(error)
        raise click.exceptions.Exit(EXIT_UNUSABLE) from error
    if as_json:
        show_json(plan)
        return
    show_plan(plan)


def show_plan(plan: dict[str, Any]) -> None:
    for finding in plan["warnings"]:
        note(as_line(finding))
    if plan["is_live"]:
        show_line(f"nothing to change: the files are what runs (generation {plan['generation']})")
        return
    for item in plan["items"]:
        show_line(safe(item["words"]))
    digest = plan["digest"][:SHOWN_DIGITS]
    note(f"against generation {plan['generation']}; to do just this: hcsyncd reload --plan-digest {digest}")
