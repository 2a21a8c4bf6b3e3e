"""`hcsyncd rollback`: the files of an older configuration come back, and the daemon takes them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from hcsyncd.cli.display import json_option, note, safe, show_json, show_line
from hcsyncd.cli.message_view import decoded
from hcsyncd.cli.reload import RELOAD_SECS, show_reloaded
from hcsyncd.cli.selection import confirm
from hcsyncd.cli.site import ask, site_option
from hcsyncd.errors import CommandRefused, ControlError
from hcsyncd.runtime.rollback import Rewriting

UNANSWERED = frozenset({"timeout", "connection"})  # whether the daemon has taken the files is not known


@click.command(name="rollback")
@click.argument("number", metavar="[GENERATION]", required=False, type=click.IntRange(1, 2**63 - 1))
@click.option("--reason", required=True, metavar="TEXT", help="Why, for the history.")
@click.option("--dry-run", is_flag=True, help="Say what would be done to which file, and do nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@site_option
def command(*, site: Path, as_json: bool, number: int | None, reason: str, dry_run: bool, yes: bool) -> None:
    """Put the files of an older generation back into the site's folder, and reload. Without a number: those of the
    generation before, or, when the running one was brought back by itself, those that run.

    The files that are there now are kept in the history first; files that the generation did not have are moved to
    .aside/ in the site. When the daemon refuses them, everything is put back.

    \b
    Example:
      hcsyncd rollback --reason "the laboratory rejects the new messages"
      hcsyncd rollback 6 --reason "back to Friday" --dry-run
    """
    target = number or _one_before(site)
    shown = ask(site, "configuration.show", {"number": target, "content": True})
    files = {name: decoded(content) for name, content in shown["files"].items()}
    label = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-before-{target}"
    rewriting = Rewriting(Path(shown["site"]), files, label)
    changes = rewriting.changes()
    if not as_json:
        for change in changes:
            show_line(safe(change))
    if dry_run:
        if as_json:
            show_json({"generation": target, "files": changes})
        return
    confirm(f"Put the files of generation {target} back and reload?", yes=yes)
    saved = ask(site, "configuration.save", {"reason": f"on disk before the rollback to generation {target}"})["number"]
    if saved:
        note(f"what is on disk now is kept as generation {saved}")
    reloaded = _roll_back(site, rewriting, f"rollback to generation {target}: {reason}")
    if as_json:
        show_json({**reloaded, "files": changes, "saved": saved})
        return
    show_reloaded(reloaded)


def _roll_back(site: Path, rewriting: Rewriting, reason: str) -> dict[str, Any]:
    rewriting.apply()
    try:
        reloaded: dict[str, Any] = ask(site, "reload", {"reason": reason}, timeout=RELOAD_SECS)
    except CommandRefused as error:
        if error.reason not in UNANSWERED:
            rewriting.undo()
            note("the files are as they were")
        raise
    except ControlError:
        rewriting.undo()
        raise
    return reloaded


def _one_before(site: Path) -> int:
    status = ask(site, "status")["daemon"]
    running = int(status["generation"])
    if status["given_up"]:
        return running
    rows = ask(site, "configuration.history", {"limit": 1000})
    digest = next((row["digest"] for row in rows if row["number"] == running), "")
    before = [row for row in rows if row["outcome"] == "superseded" and row["digest"] != digest]
    if not before:
        raise click.UsageError("There is no generation before this one in the history.")
    return int(before[0]["number"])
