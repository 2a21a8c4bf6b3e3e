"""`hcsyncd why`: why something waits."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from hcsyncd.cli.display import json_option, note, show_json, show_line, show_table
from hcsyncd.cli.message_view import why_line
from hcsyncd.cli.moments import age
from hcsyncd.cli.selection import MESSAGE_ID
from hcsyncd.cli.site import ask, site_option

Json = dict[str, Any]
SHOWN_COMMANDS = 5
_COLUMNS = ("message", "delivery", "way", "since", "state", "why")


@click.command(name="why")
@click.argument("message_id", metavar="[ID]", type=MESSAGE_ID, required=False)
@click.option("--delivery", type=MESSAGE_ID, metavar="ID", help="One delivery, by its id.")
@click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(1, 1000), help="Without ID: at most so many."
)
@json_option
@site_option
def command(*, site: Path, as_json: bool, message_id: int | None, delivery: int | None, limit: int) -> None:
    """Say why a message, and each of its deliveries, is not at its end; without ID, for all that is open.

    \b
    Example:
      hcsyncd why 17
      hcsyncd why
    """
    if message_id and delivery:
        raise click.UsageError("Give a message's ID or --delivery ID, not both.")
    found = ask(site, "why", {"id": message_id or 0, "delivery": delivery or 0, "limit": limit})
    if as_json:
        show_json(found)
        return
    now = time.time_ns() // 1000
    rows = [_message_row(one, now) for one in found["messages"]] + [
        _delivery_row(one, now) for one in found["deliveries"]
    ]
    if not rows:
        show_line("Nothing waits.")
        return
    show_table(_COLUMNS, rows, right=("message", "delivery"))
    commands = dict.fromkeys(one["why"]["command"] for one in [*found["messages"], *found["deliveries"]])
    texts = [text for text in commands if text and text != f"hcsyncd why {message_id}"]
    for text in texts[:SHOWN_COMMANDS]:
        note(text)
    if len(texts) > SHOWN_COMMANDS:
        note(f"and {len(texts) - SHOWN_COMMANDS} more of the kind: hcsyncd why ID says each")


def _message_row(one: Json, now: int) -> tuple[object, ...]:
    row = one["message"]
    return row["id"], "", row["channel"], age(row["received_at"], now), row["state"], why_line(one["why"], now)


def _delivery_row(one: Json, now: int) -> tuple[object, ...]:
    row = one["delivery"]
    way = f"{row['route']} -> {row['destination']}"
    return row["message_id"], row["id"], way, age(row["created_at"], now), row["state"], why_line(one["why"], now)
