"""`hcsyncd retention`: what is kept and for how long, what would go, and a run at once."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from hcsyncd.cli.display import json_option, note, show_facts, show_heading, show_json, show_line, show_table, size
from hcsyncd.cli.moments import age, span
from hcsyncd.cli.selection import confirm
from hcsyncd.cli.site import ask, site_option

Json = dict[str, Any]
_KEPT = ("channel", "data", "messages", "size", "kept for")
_GONE = ("channel", "data", "messages", "size")


@click.group(name="retention")
def command() -> None:
    """Show what is kept for how long, what would go, and remove it now.

    The bounds stand under `retention` in hcsyncd.yaml and in the files of source channels.

    \b
    Example:
      hcsyncd retention status
      hcsyncd retention plan
    """


@command.command()
@json_option
@site_option
def status(*, site: Path, as_json: bool) -> None:
    """Show how much each channel keeps, its bounds, and what the last run removed.

    \b
    Example:
      hcsyncd retention status
    """
    shown = ask(site, "retention.status")
    while not shown["counted"] and not as_json:
        note("counting ...")
        shown = ask(site, "retention.status")
    if as_json:
        show_json(shown)
    else:
        _show(shown, time.time_ns() // 1000)


@command.command()
@json_option
@site_option
def plan(*, site: Path, as_json: bool) -> None:
    """Show what a run would remove now, by channel and class of data. Nothing is removed.

    \b
    Example:
      hcsyncd retention plan
    """
    planned = ask(site, "retention.plan", {"limit_secs": 20})
    if as_json:
        show_json(planned)
        return
    if not planned["gone"]:
        show_line("Nothing would go." if planned["done"] else "Nothing was found yet; the store is large.")
        return
    show_table(_GONE, map(_gone, planned["gone"]), right=("messages", "size"))
    if not planned["done"]:
        note("(at least that: the store is large, and not all of it was looked at)")


@command.command(name="run")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@site_option
def run_now(*, site: Path, as_json: bool, yes: bool) -> None:
    """Remove what is due now, and give the disk space back. Also when the daemon doubts its clock: look at it before.

    \b
    Example:
      hcsyncd retention run
    """
    wait_secs = ask(site, "retention.status", {"limit_secs": 0.01})["clock_wait_secs"]
    doubt = " The clock has jumped ahead; what is due by it goes all the same." if wait_secs else ""
    confirm(f"Remove what is kept longer than it has to be?{doubt}", yes=yes)
    total: dict[tuple[str, str], list[int]] = {}
    attempts = returned = 0
    sweep, done = True, False
    while not done:
        run = ask(site, "retention.run", {"sweep": sweep, "sure": True})
        for gone in run["gone"]:
            sums = total.setdefault((gone["channel"], gone["data"]), [0, 0])
            sums[0] += gone["messages"]
            sums[1] += gone["bytes"]
        attempts, returned = attempts + run["attempts"], returned + run["returned_bytes"]
        sweep, done = False, run["done"]
    rows = [
        {"channel": channel, "data": data, "messages": messages, "bytes": count}
        for (channel, data), (messages, count) in total.items()
        if messages
    ]
    if as_json:
        show_json({"gone": rows, "attempts": attempts, "returned_bytes": returned})
        return
    if rows:
        show_table(_GONE, map(_gone, rows), right=("messages", "size"))
    else:
        show_line("Nothing was due.")
    if attempts:
        show_line(f"{attempts} attempts in the middle of many went too")
    if returned:
        show_line(f"{size(returned)} given back to the disk")


def _gone(row: Json) -> tuple[object, ...]:
    return row["channel"], row["data"], row["messages"], size(row["bytes"])


def _show(shown: Json, now: int) -> None:
    space, last = shown["space"], shown["last"]
    show_facts(
        [
            ("store file", size(space["bytes"])),
            ("of it free", f"{size(space['free_bytes'])} (up to {size(shown['reserve_bytes'])} stay)"),
            (
                "runs",
                f"every {span(shown['every_secs'])}" if shown["bounded"] else "never: everything is kept for ever",
            ),
            ("last run", age(last["ended_at"], now)),
            ("held", _doubt(shown["clock_wait_secs"])),
        ]
    )
    if shown["kept"]:
        show_line()
        rows = [
            (row["channel"], row["data"], row["messages"], size(row["bytes"]), _bounds(row)) for row in shown["kept"]
        ]
        show_table(_KEPT, rows, right=("messages", "size"))
    gone = [row for row in last["gone"] if row["messages"]]
    if gone:
        show_line()
        show_heading("Removed by the last run")
        show_table(_GONE, map(_gone, gone), right=("messages", "size"))


def _doubt(wait_secs: float) -> str:
    if not wait_secs:
        return ""
    return f"the clock has jumped ahead; nothing is removed for {span(wait_secs)}, or until `hcsyncd retention run`"


def _bounds(row: Json) -> str:
    bounds = [
        f"{row['days']:g} days" if row["days"] is not None else "",
        f"the newest {row['max_count']}" if row["max_count"] is not None else "",
        f"the newest {size(row['max_bytes'])}" if row["max_bytes"] is not None else "",
    ]
    return ", ".join(bound for bound in bounds if bound) or "ever"
