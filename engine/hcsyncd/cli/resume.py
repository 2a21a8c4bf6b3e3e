"""`hcsyncd resume`: let go on what `hcsyncd hold` stopped."""

from __future__ import annotations

from pathlib import Path

import click

from hcsyncd.cli.display import json_option, show_json, show_line
from hcsyncd.cli.failure import EXIT_FAILED
from hcsyncd.cli.hold import KINDS, which
from hcsyncd.cli.site import ask, site_option


@click.command(name="resume")
@click.argument("kind", type=click.Choice(list(KINDS)))
@click.argument("channels", metavar="[CHANNEL]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All that are held so.")
@click.option("--reason", default="", metavar="TEXT", help="Why; it goes into the log.")
@json_option
@site_option
def command(*, site: Path, as_json: bool, kind: str, channels: tuple[str, ...], everything: bool, reason: str) -> None:
    """Let channels go on that `hcsyncd hold` stopped: what has waited goes first, in its order.

    Exits 1 when a source cannot be opened at once; the daemon goes on trying.

    \b
    Example:
      hcsyncd resume delivery relay_out
      hcsyncd resume receiving --all
    """
    args = {"hold": kind, "channels": which(channels, everything=everything), "reason": reason}
    resumed = ask(site, "hold.lift", args)["resumed"]
    if as_json:
        show_json({"resumed": resumed})
    elif not resumed:
        show_line("Nothing was held.")
    else:
        for channel, failure in resumed.items():
            show_line(f"{kind} of {channel} goes on" + (f", but not yet: {failure}" if failure else ""))
    if any(resumed.values()):
        raise click.exceptions.Exit(EXIT_FAILED)
