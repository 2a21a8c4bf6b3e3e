"""`hcsyncd messages`: what came in, what became of it, and how to send it again."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import click

from hcsyncd.cli.diff_view import show_comparisons
from hcsyncd.cli.display import json_option, note, show_json, show_line, show_table
from hcsyncd.cli.field_view import MASKED
from hcsyncd.cli.message_view import LIST_COLUMNS, decoded, list_row, show_message, why_line
from hcsyncd.cli.moments import local
from hcsyncd.cli.replay import messages_replay
from hcsyncd.cli.selection import MESSAGE_ID, selected, selection_options
from hcsyncd.cli.site import ask, site_option
from hcsyncd.cli.trace_view import show_trace

OPEN_STATES = frozenset({"received", "routed", "dead", "ready", "sending", "waiting", "unsure", "parked"})


@click.group(name="messages")
def command() -> None:
    """List, show, compare, trace and replay messages.

    \b
    Example:
      hcsyncd messages list --since 2h --state dead
      hcsyncd messages trace 17
    """


@command.command(name="list")
@selection_options()
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="At most so many.")
@click.option("--oldest-first", is_flag=True, help="Begin with the oldest instead of the newest.")
@click.option("--behind", type=MESSAGE_ID, metavar="ID", help="Go on behind this message, as an earlier list ended.")
@click.option("--look", type=click.IntRange(1), metavar="N", help="Look through so many messages at most.")
@click.option("--why", is_flag=True, help="Say of each why it waits; so do lists of open states.")
@json_option
@site_option
def list_messages(
    *,
    site: Path,
    as_json: bool,
    limit: int,
    oldest_first: bool,
    behind: int | None,
    look: int | None,
    why: bool,
    **options: Any,
) -> None:
    """List messages, the newest first.

    Ids, control ids, business keys and traces are looked up; anything else is looked for message by message, the
    newest first, as far as --look goes.

    \b
    Example:
      hcsyncd messages list --since 2h --type 'ADT^*' --destination relay_out
      hcsyncd messages list --key mrn=123456
      hcsyncd messages list --text 'hip replacement' --since 7d
    """
    wanted = {**selected(options), "limit": limit, "newest_first": not oldest_first, "after_id": behind or 0}
    why = why or options["state"] in OPEN_STATES
    found = ask(site, "messages.search", {**wanted, "look": look or 0, "why": why})
    if as_json:
        show_json([{**row, "why": found["why"][str(row["id"])]} for row in found["rows"]] if why else found["rows"])
    elif found["rows"]:
        _show_list(found, time.time_ns() // 1000, why=why)
    else:
        show_line("No messages.")
    for hint in found["hints"]:
        note(hint)
    if len(found["rows"]) == limit:
        note(f"({limit} are shown; --limit N shows more)")
    elif found["looked_to"]:
        note(
            f"(looked through {found['messages']} messages, as far as message {found['looked_to']} of"
            f" {local(found['looked_to_at'])}; --behind {found['looked_to']} goes on)"
        )


def _show_list(found: dict[str, Any], now: int, *, why: bool) -> None:
    rows = [list_row(row) for row in found["rows"]]
    columns: tuple[str, ...] = LIST_COLUMNS
    if why:
        columns = (*columns, "why")
        whys = (found["why"][str(row["id"])] for row in found["rows"])
        rows = [(*row, why_line(one, now)) for row, one in zip(rows, whys, strict=True)]
    show_table(columns, rows, right=("id", "bytes"))


@command.command()
@click.argument("message_id", metavar="ID", type=MESSAGE_ID)
@click.option("--values", is_flag=True, help="Show the values of the fields, and the business keys.")
@click.option("--body", is_flag=True, help="Show the bytes that came and those that were sent.")
@click.option("--raw", is_flag=True, help="Write the bytes that came, and nothing else.")
@json_option
@site_option
def show(*, site: Path, as_json: bool, message_id: int, values: bool, body: bool, raw: bool) -> None:
    """Show one message: its keys and state, its deliveries with every try, its fields, and the replies that were given.

    Fields are shown with their names and with their values masked, unless --values or --body is given.

    \b
    Example:
      hcsyncd messages show 17 --values
      hcsyncd messages show 17 --raw > message.hl7
    """
    shown = ask(site, "messages.show", {"id": message_id, "body": body or raw, "values": values})
    shown["replays"] = ask(site, "replays.of", {"id": message_id})
    if raw:
        if "body" not in shown:
            raise click.ClickException(f"Retention has removed the body of message {message_id}.")
        sys.stdout.buffer.write(decoded(shown["body"]))
    elif as_json:
        show_json(shown)
    else:
        show_message(shown, time.time_ns() // 1000)
        if not (values or body) and shown.get("read", {}).get("fields"):
            note(MASKED)


@command.command()
@click.argument("message_id", metavar="ID", type=MESSAGE_ID)
@click.argument("other", metavar="[OTHER]", type=MESSAGE_ID, required=False)
@click.option("--delivery", type=MESSAGE_ID, metavar="ID", help="Compare with what was made for this delivery alone.")
@click.option("--values", is_flag=True, help="Show the values.")
@json_option
@site_option
def diff(*, site: Path, as_json: bool, message_id: int, other: int | None, delivery: int | None, values: bool) -> None:
    """Compare what arrived with what was sent, for each delivery, or with another message, field by field.

    \b
    Example:
      hcsyncd messages diff 17 --values
      hcsyncd messages diff 17 42
    """
    if other and delivery:
        raise click.UsageError("Give another message or --delivery ID, not both.")
    asked = {"id": message_id, "other": other or 0, "delivery": delivery or 0, "values": values}
    compared = ask(site, "messages.diff", asked)["comparisons"]
    if as_json:
        show_json(compared)
        return
    show_comparisons(compared)
    if not values:
        note(MASKED)


@command.command()
@click.argument("message_id", metavar="ID", type=MESSAGE_ID)
@json_option
@site_option
def trace(*, site: Path, as_json: bool, message_id: int) -> None:
    """Show the whole way from the first cause of a message to all of its effects, and what is still missing.

    \b
    Example:
      hcsyncd messages trace 17
    """
    traced = ask(site, "messages.trace", {"id": message_id})
    if as_json:
        show_json(traced)
    else:
        show_trace(traced, message_id, time.time_ns() // 1000)


command.add_command(messages_replay)
