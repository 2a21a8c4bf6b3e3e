"""`hcsyncd mapping`: a code entered into a lookup table, and put to work at once."""

from __future__ import annotations

from pathlib import Path

import click

from hcsyncd.cli.display import json_option, show_json, show_line
from hcsyncd.cli.site import ask, site_option
from hcsyncd.config.table_edit import enter, write
from hcsyncd.errors import CommandRefused, DaemonAbsent

RELOAD_SECS = 300.0


@click.group(name="mapping")
def command() -> None:
    """Enter codes into the lookup tables of mapping/.

    \b
    Example:
      hcsyncd mapping add bed_board NEU1 NE --reason 'ward opened on Monday'
    """


@command.command()
@click.argument("table")
@click.argument("code")
@click.argument("value")
@click.option("--reason", required=True, metavar="TEXT", help="Why; kept with the configuration and the task.")
@click.option("--replace", is_flag=True, help="Give a code that is there another value.")
@json_option
@site_option
def add(*, site: Path, as_json: bool, table: str, code: str, value: str, reason: str, replace: bool) -> None:
    """Add a line to mapping/TABLE.csv and reload the site: what is parked for the code goes on, in order.

    The rest of the file stays as it is. A reload takes the whole site as its files are now; where it is refused, the
    table is put back as it was.

    \b
    Example:
      hcsyncd mapping add bed_board NEU1 NE --reason 'ward opened on Monday'
    """
    if not reason.strip():
        raise click.UsageError("Say why, with --reason TEXT.")
    path, before = enter(site, table, code, value, replace=replace)
    try:
        entered = ask(site, "mapping.enter", {"table": table, "code": code, "reason": reason}, timeout=RELOAD_SECS)
    except CommandRefused:
        write(path, before)
        raise
    except DaemonAbsent:
        show_line(f"{code} stands in mapping/{path.name}; no daemon runs: it takes it at its next start")
        raise
    if as_json:
        show_json(entered)
        return
    for change in entered["reloaded"]["changes"]:
        show_line(change)
    parked = entered["parked"]
    if parked:
        show_line(f"task {entered['task']}: {parked} parked deliver{'ies go' if parked != 1 else 'y goes'} on")
    else:
        show_line("nothing waited for it" if entered["reloaded"]["changes"] else f"{code} stands there already")
