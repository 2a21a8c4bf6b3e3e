"""`hcsyncd replays`: plans that wait to be applied, replays that run, and what came of those that are over."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from hcsyncd.cli.display import json_option, note, show_json, show_line, show_table
from hcsyncd.cli.list_first import ListFirst
from hcsyncd.cli.replay import apply_and_follow, ask_whether
from hcsyncd.cli.replay_view import LIST_COLUMNS, in_words, items_of, list_row, pending, show_report
from hcsyncd.cli.site import ask, site_option
from hcsyncd.errors import CommandRefused

REPLAY_ID = click.IntRange(1, 2**63 - 1)
VERDICTS = ("send", "changed", "suppressed", "blocked")


@click.group(name="replays", cls=ListFirst)
def command() -> None:
    """List replays, show one with its outcome, apply a plan, hold, resume and cancel.

    \b
    Example:
      hcsyncd replays
      hcsyncd replays show 3
      hcsyncd replays apply 3
    """


@command.command(name="list")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000), help="At most so many.")
@json_option
@site_option
def list_replays(*, site: Path, as_json: bool, limit: int) -> None:
    """List replays, the newest first.

    \b
    Example:
      hcsyncd replays list
    """
    rows = ask(site, "replays.list", {"limit": limit})
    if as_json:
        show_json(rows)
        return
    if not rows:
        show_line("No replays.")
        return
    now = time.time_ns() // 1000
    show_table(LIST_COLUMNS, [list_row(row, now) for row in rows], right=("replay",))


@command.command()
@click.argument("replay_id", metavar="N", type=REPLAY_ID)
@click.option("--only", type=click.Choice(VERDICTS), help="Items with this verdict of the plan.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(0), help="At most so many items.")
@json_option
@site_option
def show(*, site: Path, as_json: bool, replay_id: int, only: str | None, limit: int) -> None:
    """Show a replay: who wanted it and why, what was planned, and what came of each item.

    \b
    Example:
      hcsyncd replays show 3
      hcsyncd replays show 3 --only blocked
    """
    shown = ask(site, "replays.show", {"id": replay_id})
    items = (item for item in items_of(site, replay_id) if only in (None, item["verdict"]))
    if as_json:
        show_json({**shown, "items": list(items)})
    else:
        show_report(shown, items, limit)


@command.command()
@click.argument("replay_id", metavar="N", type=REPLAY_ID)
@click.option("--yes", count=True, help="Do not ask. A new intent wants it twice.")
@json_option
@site_option
def apply(*, site: Path, as_json: bool, replay_id: int, yes: int) -> None:
    """Send what a plan says, and nothing else. A plan can be applied once.

    \b
    Example:
      hcsyncd replays apply 3
    """
    shown = ask(site, "replays.show", {"id": replay_id})
    if shown["replay"]["state"] == "planned":  # else the daemon says why it cannot be
        note(f"replay {replay_id}: {in_words(shown)}")
        if not pending(shown):
            raise CommandRefused("replay", f"there is nothing in replay {replay_id} to be sent: plan another")
        ask_whether(shown, yes)
    shown = apply_and_follow(site, shown)
    items = items_of(site, replay_id)
    if as_json:
        show_json({**shown, "items": list(items)})
    else:
        show_report(shown, items, 50)


@command.command()
@click.argument("replay_id", metavar="N", type=REPLAY_ID)
@click.option("--reason", default="", metavar="TEXT", help="Why; kept with the replay.")
@json_option
@site_option
def hold(**options: Any) -> None:
    """Let a running replay stand still; what is under way ends as it does.

    \b
    Example:
      hcsyncd replays hold 3 --reason 'the laboratory asks for a pause'
    """
    _change("replays.hold", **options)


@command.command()
@click.argument("replay_id", metavar="N", type=REPLAY_ID)
@json_option
@site_option
def resume(**options: Any) -> None:
    """Let a replay that is held go on where it was.

    \b
    Example:
      hcsyncd replays resume 3
    """
    _change("replays.resume", **options)


@command.command()
@click.argument("replay_id", metavar="N", type=REPLAY_ID)
@click.option("--reason", default="", metavar="TEXT", help="Why; kept with the replay.")
@json_option
@site_option
def cancel(**options: Any) -> None:
    """Give a plan or a replay up. What it has sent stays sent.

    \b
    Example:
      hcsyncd replays cancel 3 --reason 'wrong day'
    """
    _change("replays.cancel", **options)


def _change(verb: str, *, site: Path, as_json: bool, replay_id: int, reason: str = "") -> None:
    row = ask(site, verb, {"id": replay_id, "reason": reason})
    if as_json:
        show_json(row)
    else:
        show_line(f"replay {replay_id} is {row['state']}")
