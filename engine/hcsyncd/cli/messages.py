"""`hcsyncd messages`: what came in, what became of it, and how to send it again."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import click

from hcsyncd.cli.display import json_option, note, show_json, show_line, show_table, show_tree
from hcsyncd.cli.message_view import LIST_COLUMNS, decoded, list_row, show_message, trace_tree
from hcsyncd.cli.repair import body_options, repaired_body, replay_in_pages
from hcsyncd.cli.selection import MESSAGE_ID, confirm, pages, selected, selection_options
from hcsyncd.cli.site import ask, site_option


@click.group(name="messages")
def command() -> None:
    """List, show, trace and replay messages.

    \b
    Example:
      hcsyncd messages list --since 2h --state dead
      hcsyncd messages trace 17
    """


@command.command(name="list")
@selection_options()
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="At most so many.")
@click.option("--oldest-first", is_flag=True, help="Begin with the oldest instead of the newest.")
@json_option
@site_option
def list_messages(*, site: Path, as_json: bool, limit: int, oldest_first: bool, **options: Any) -> None:
    """List messages, the newest first.

    \b
    Example:
      hcsyncd messages list --since 2h --type 'ADT^*' --destination relay_out
    """
    rows = ask(site, "messages.list", {**selected(options), "limit": limit, "newest_first": not oldest_first})
    if as_json:
        show_json(rows)
        return
    if not rows:
        show_line("No messages.")
        return
    show_table(LIST_COLUMNS, map(list_row, rows), right=("id", "bytes"))
    if len(rows) == limit:
        note(f"({limit} are shown; --limit N shows more)")


@command.command()
@click.argument("message_id", metavar="ID", type=MESSAGE_ID)
@click.option("--body", is_flag=True, help="Show the bytes that came and those that were sent.")
@click.option("--raw", is_flag=True, help="Write the bytes that came, and nothing else.")
@json_option
@site_option
def show(*, site: Path, as_json: bool, message_id: int, body: bool, raw: bool) -> None:
    """Show one message: its keys and state, its deliveries with every try, and the replies that were given.

    \b
    Example:
      hcsyncd messages show 17 --body
      hcsyncd messages show 17 --raw > message.hl7
    """
    shown = ask(site, "messages.show", {"id": message_id, "body": body or raw})
    if raw:
        sys.stdout.buffer.write(decoded(shown["body"]))
    elif as_json:
        show_json(shown)
    else:
        show_message(shown, time.time_ns() // 1000)


@command.command()
@click.argument("message_id", metavar="ID", type=MESSAGE_ID)
@json_option
@site_option
def trace(*, site: Path, as_json: bool, message_id: int) -> None:
    """Show the whole way from the first cause of a message to all of its effects.

    \b
    Example:
      hcsyncd messages trace 17
    """
    traced = ask(site, "messages.trace", {"id": message_id})
    if as_json:
        show_json(traced)
        return
    for root in trace_tree(traced, message_id):
        show_tree(root)


@command.command()
@click.argument("ids", metavar="[ID]...", nargs=-1, type=MESSAGE_ID)
@selection_options("route")
@click.option("--to", default="", metavar="NAME", help="Send the copies to this destination only.")
@click.option("--route", default="", metavar="NAME", help="Send the copies by this route only.")
@body_options
@click.option("--dry-run", is_flag=True, help="List what would be replayed, and do nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@site_option
def replay(
    *,
    site: Path,
    as_json: bool,
    ids: tuple[int, ...],
    to: str,
    route: str,
    body: Path | None,
    edit: bool,
    dry_run: bool,
    yes: bool,
    **options: Any,
) -> None:
    """Send messages again, in the order they came: those of the given IDs, or those that a filter means.

    A filter means arrivals alone: copies that earlier replays made are left out. Each goes through its routes as a
    new message that means the same: destinations get the same idempotency key.

    \b
    Example:
      hcsyncd messages replay 17 18
      hcsyncd messages replay --channel adt_in --since 2h --to relay_out --dry-run
    """
    wanted = selected(options)
    if bool(ids) == bool(wanted):
        raise click.UsageError("Say which messages: either IDs, or a filter (--channel, --since, --state ...).")
    rows = list(pages(site, "messages.list", wanted or {"ids": ids}, lambda row: int(row["id"])))
    if not ids:  # else a second replay of the same filter would send everything twice
        rows = [row for row in rows if row["replay_of"] is None]
    missing = set(ids) - {row["id"] for row in rows}
    if missing:
        raise click.UsageError(f"There is no message {', '.join(map(str, sorted(missing)))}.")
    if dry_run:
        if as_json:
            show_json(rows)
        else:
            show_table(LIST_COLUMNS, map(list_row, rows), right=("id", "bytes"))
        return
    new_body = repaired_body(site, [row["id"] for row in rows], body, edit=edit)
    if rows:
        narrowed = f"{f' by {route}' if route else ''}{f' to {to} only' if to else ''}"
        confirm(f"Replay {len(rows)} message{'s' * (len(rows) != 1)}{narrowed}?", yes=yes)
    done = replay_in_pages(site, "messages.replay", [row["id"] for row in rows], route, to, new_body)
    if as_json:
        show_json(done)
        return
    show_table(("message", "replayed as"), done["copies"], right=("message", "replayed as"))
    note(f"{len(done['copies'])} replayed")
