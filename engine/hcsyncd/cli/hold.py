"""`hcsyncd hold`: stop a part of channels, for as long as a person wants it stopped."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from hcsyncd.cli.display import json_option, note, show_json, show_line, show_table
from hcsyncd.cli.moments import age
from hcsyncd.cli.site import ask, site_option

Json = dict[str, Any]
AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])

KINDS = ("receiving", "routing", "delivery")
STOP_SECS = 60.0  # closing a source waits for the answers in hand


@click.group(name="hold")
def command() -> None:
    """Stop receiving, routing or delivery of channels until they are resumed. Holds outlive restarts and reloads.

    \b
    Example:
      hcsyncd hold delivery relay_out --reason 'the bed board is down until noon'
      hcsyncd hold list
      hcsyncd resume delivery relay_out
    """


def _options(function: AnyFunction) -> AnyFunction:
    """Gives a command its channels, or all of them, and why."""
    function = click.option("--reason", required=True, metavar="TEXT", help="Why; kept and shown.")(function)
    function = click.option("--all", "everything", is_flag=True, help="All channels that it can be done to.")(function)
    return click.argument("channels", metavar="[CHANNEL]...", nargs=-1)(function)


@command.command()
@_options
@json_option
@site_option
def receiving(**options: Any) -> None:
    """Close sources: senders find nobody there and keep their messages. What came in before goes on.

    \b
    Example:
      hcsyncd hold receiving adt_in --reason 'the EHR is being updated'
    """
    _hold("receiving", **options)


@command.command()
@_options
@json_option
@site_option
def routing(**options: Any) -> None:
    """Store and acknowledge what arrives, and route none of it. Where a channel says `acknowledge: processed` or
    `delivered`, senders get no answer before it is resumed.

    \b
    Example:
      hcsyncd hold routing adt_in --reason 'new ward codes are being entered'
    """
    _hold("routing", **options)


@command.command()
@_options
@json_option
@site_option
def delivery(**options: Any) -> None:
    """Send nothing to destinations: what is bound for them is queued in order. A send that is under way ends as it
    does. Senders to channels that say `acknowledge: delivered` get no answer before it is resumed.

    \b
    Example:
      hcsyncd hold delivery relay_out --reason 'the bed board is down until noon'
    """
    _hold("delivery", **options)


@command.command(name="list")
@json_option
@site_option
def list_holds(*, site: Path, as_json: bool) -> None:
    """List what is held, by whom, since when and why.

    \b
    Example:
      hcsyncd hold list
    """
    holds = ask(site, "hold.list")
    if as_json:
        show_json(holds)
    elif not holds:
        show_line("Nothing is held.")
    else:
        show_holds(holds)


def show_holds(holds: list[Json]) -> None:
    """A table of holds."""
    now = time.time_ns() // 1000
    rows = [(hold["kind"], hold["channel"], hold["by"], age(hold["at"], now), hold["reason"]) for hold in holds]
    show_table(("held", "channel", "by", "since", "why"), rows)


def which(channels: tuple[str, ...], *, everything: bool) -> tuple[str, ...]:
    """The channels that are meant; none for all of them."""
    if bool(channels) == everything:
        raise click.UsageError("Say which channels: their names, or --all.")
    return channels


def _hold(kind: str, *, site: Path, as_json: bool, channels: tuple[str, ...], everything: bool, reason: str) -> None:
    if not reason.strip():
        raise click.UsageError("Say why, with --reason TEXT.")
    args = {"hold": kind, "channels": which(channels, everything=everything), "reason": reason}
    holds = ask(site, "hold.set", args, timeout=STOP_SECS)
    if as_json:
        show_json(holds)
        return
    show_holds(holds)
    note(f"hcsyncd resume {kind} {' '.join(channels) or '--all'} lets go on")
