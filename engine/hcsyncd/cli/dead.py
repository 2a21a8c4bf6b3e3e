"""`hcsyncd dead`: what needs a person, grouped by why, and the two ways out: send it again, or settle it."""

from __future__ import annotations

import time
from itertools import groupby
from pathlib import Path
from typing import Any

import click

from hcsyncd.cli.display import json_option, note, show_heading, show_json, show_line, show_table
from hcsyncd.cli.message_view import show_message
from hcsyncd.cli.moments import age
from hcsyncd.cli.repair import body_options, repaired_body, replay_in_pages
from hcsyncd.cli.selection import MESSAGE_ID, PAGE, confirm, pages, selected, selection_options
from hcsyncd.cli.site import ask, site_option

Json = dict[str, Any]
_COLUMNS = ("message", "received", "channel", "type", "control id", "way", "why")


@click.group(name="dead")
def command() -> None:
    """List, show, replay and discard dead letters: messages and deliveries that need a person.

    \b
    Example:
      hcsyncd dead list
      hcsyncd dead replay 17 --edit
    """


def _cause(letter: Json) -> str:
    return str((letter["delivery"] or letter["message"])["cause"])


def _row(letter: Json, now: int) -> tuple[object, ...]:
    message, delivery = letter["message"], letter["delivery"]
    way = f"{delivery['route']} -> {delivery['destination']}" if delivery else "at arrival"
    keys = message["keys"]
    text = (delivery or message)["text"]
    return (
        message["id"],
        age(message["received_at"], now),
        message["channel"],
        keys["type"],
        keys["control_id"],
        way,
        text,
    )


@command.command(name="list")
@selection_options("state")
@click.option("--limit", default=200, show_default=True, type=click.IntRange(1, 10_000), help="At most so many.")
@json_option
@site_option
def list_dead(*, site: Path, as_json: bool, limit: int, **options: Any) -> None:
    """List dead letters by their cause, the newest first.

    \b
    Example:
      hcsyncd dead list --destination relay_out --since yesterday
    """
    letters = ask(site, "dead.list", {**selected(options), "limit": limit})
    if as_json:
        show_json(letters)
        return
    if not letters:
        show_line("No dead letters.")
        return
    now = time.time_ns() // 1000
    for number, (cause, group) in enumerate(groupby(sorted(letters, key=_cause), key=_cause)):
        if number:
            show_line()
        rows = [_row(letter, now) for letter in group]
        show_heading(f"{cause or 'no cause given'} ({len(rows)})")
        show_table(_COLUMNS, rows, right=("message",))
    note(f"\n{len(letters)} dead letter{'s' * (len(letters) != 1)}" + ", more with --limit N" * (len(letters) == limit))
    note("hcsyncd dead replay ID sends one again, hcsyncd dead discard ID --reason TEXT settles it")


@command.command()
@click.argument("message_id", metavar="ID", type=MESSAGE_ID)
@click.option("--body", is_flag=True, help="Show the bytes that came and those that were to be sent.")
@json_option
@site_option
def show(*, site: Path, as_json: bool, message_id: int, body: bool) -> None:
    """Show the message of a dead letter, with every try and every answer.

    \b
    Example:
      hcsyncd dead show 17 --body
    """
    shown = ask(site, "messages.show", {"id": message_id, "body": body})
    if as_json:
        show_json(shown)
    else:
        show_message(shown, time.time_ns() // 1000)


def _meant(site: Path, ids: tuple[int, ...], options: dict[str, Any], *, everything: bool) -> list[Json]:
    """The dead letters of the given messages, of a filter, or all of them; in the order of arrival."""
    wanted = selected(options)
    narrows = {name: value for name, value in wanted.items() if not (ids and name in ("route", "destination"))}
    if sum((bool(ids), bool(narrows), everything)) != 1:
        raise click.UsageError(
            "Say which dead letters: message IDs, or a filter (--cause, --destination ...), or --all."
        )
    wanted = {**wanted, "ids": ids} if ids else wanted
    letters = list(pages(site, "dead.list", wanted, lambda letter: int(letter["message"]["id"])))
    missing = set(ids) - {letter["message"]["id"] for letter in letters}
    if missing:
        raise click.UsageError(f"Message {', '.join(map(str, sorted(missing)))} has no such dead letter.")
    return letters


def _count(letters: list[Json]) -> str:
    count = len(_ids(letters))
    return f"{count} message{'s' * (count != 1)}"


def _ids(letters: list[Json]) -> list[int]:
    return list(dict.fromkeys(int(letter["message"]["id"]) for letter in letters))


@command.command()
@click.argument("ids", metavar="[ID]...", nargs=-1, type=MESSAGE_ID)
@selection_options("state")
@click.option("--all", "everything", is_flag=True, help="All dead letters.")
@body_options
@click.option("--dry-run", is_flag=True, help="List what would be sent again, and do nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@site_option
def replay(
    *,
    site: Path,
    as_json: bool,
    ids: tuple[int, ...],
    everything: bool,
    body: Path | None,
    edit: bool,
    dry_run: bool,
    yes: bool,
    **options: Any,
) -> None:
    """Put dead letters on the road again, in the order they came: those of the message IDs, of a filter, or all.

    What was ready to be sent goes out as it was; what failed before that goes through its route again, as it is today.

    \b
    Example:
      hcsyncd dead replay 17
      hcsyncd dead replay --cause connect-refused --destination relay_out
    """
    letters = _meant(site, ids, options, everything=everything)
    if dry_run:
        if as_json:
            show_json(letters)
        else:
            show_table(_COLUMNS, [_row(letter, time.time_ns() // 1000) for letter in letters], right=("message",))
        return
    new_body = repaired_body(site, _ids(letters), body, edit=edit)
    if letters:
        confirm(f"Replay the dead letters of {_count(letters)}?", yes=yes)
    done = replay_in_pages(site, "dead.replay", _ids(letters), options["route"], options["destination"], new_body)
    if as_json:
        show_json(done)
        return
    for original, copy in done["copies"]:
        show_line(f"message {original} is replayed as {copy}")
    for delivery in done.get("reopened", []):
        show_line(f"delivery {delivery} is sent again")
    note(f"{len(done['copies'])} replayed, {len(done.get('reopened', []))} sent again as they were")


@command.command()
@click.argument("ids", metavar="[ID]...", nargs=-1, type=MESSAGE_ID)
@selection_options("state")
@click.option("--all", "everything", is_flag=True, help="All dead letters.")
@click.option("--reason", required=True, metavar="TEXT", help="Why they are settled; kept with them.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@site_option
def discard(
    *, site: Path, as_json: bool, ids: tuple[int, ...], everything: bool, reason: str, yes: bool, **options: Any
) -> None:
    """Settle dead letters without sending them. Nothing is deleted: they stay to be read, with the reason.

    \b
    Example:
      hcsyncd dead discard 17 --reason 'test patient'
    """
    if not reason.strip():
        raise click.UsageError("Say why, with --reason TEXT.")
    letters = _meant(site, ids, options, everything=everything)
    if letters:
        confirm(f"Discard the dead letters of {_count(letters)}?", yes=yes)
    discarded = 0
    way = {"route": options["route"], "destination": options["destination"]}
    for start in range(0, len(_ids(letters)), PAGE):
        page = _ids(letters)[start : start + PAGE]
        discarded += ask(site, "dead.discard", {"ids": page, "reason": reason, **way})["discarded"]
    if as_json:
        show_json({"discarded": discarded})
    else:
        show_line(f"{discarded} discarded")
