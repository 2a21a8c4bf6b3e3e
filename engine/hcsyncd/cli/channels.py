"""`hcsyncd channels`: the endpoints, how each fares, and what it has carried."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from hcsyncd.cli.display import json_option, show_json, show_table
from hcsyncd.cli.moments import age
from hcsyncd.cli.site import ask, site_option

Json = dict[str, Any]

CHANNEL_COLUMNS = ("channel", "role", "kind", "format", "health", "address", "queued", "oldest", "says")


def channel_row(channel: Json, now: int) -> tuple[object, ...]:
    """One line of a table with CHANNEL_COLUMNS."""
    is_destination = channel["role"] == "destination"
    says = channel["error"]
    if channel["next_try_at"]:
        says = f"{says}; next try {age(channel['next_try_at'], now)}".lstrip("; ")
    for hold in channel["holds"]:
        says = f"{hold['kind']} held by {hold['by']} {age(hold['at'], now)}: {hold['reason']}; {says}".rstrip("; ")
    if channel["held_lanes"]:
        says = f"{channel['held_lanes']} held lanes; {says}".rstrip("; ")
    return (
        channel["name"],
        channel["role"],
        channel["kind"],
        channel["format"],
        channel["health"],
        channel["address"],
        channel["queued"] if is_destination else "",
        age(channel["oldest_at"], now),
        says,
    )


@click.command(name="channels")
@json_option
@site_option
def command(*, site: Path, as_json: bool) -> None:
    """List the channels, with the counts of their messages or deliveries by state.

    \b
    Example:
      hcsyncd channels
    """
    channels = ask(site, "channels")
    if as_json:
        show_json(channels)
        return
    now = time.time_ns() // 1000
    rows = [
        (
            *channel_row(channel, now),
            ", ".join(f"{count} {state}" for state, count in sorted(channel["counts"].items())),
        )
        for channel in channels
    ]
    show_table((*CHANNEL_COLUMNS, "counts"), rows, right=("queued",))
