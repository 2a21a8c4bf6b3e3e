"""`hcsyncd dead`: what needs a person, grouped by why, and the two ways out: send it again, or settle it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from hcsyncd.cli.display import json_option, note, show_facts, show_heading, show_json, show_line, show_table
from hcsyncd.cli.list_first import ListFirst
from hcsyncd.cli.message_view import show_message
from hcsyncd.cli.moments import Due, age, due
from hcsyncd.cli.replay import dead_replay
from hcsyncd.cli.selection import MESSAGE_ID, PAGE, confirm, pages, selected, selection_options
from hcsyncd.cli.site import ask, site_option

Json = dict[str, Any]
_COLUMNS = ("message", "received", "channel", "type", "control id", "way", "why")


@click.group(name="dead", cls=ListFirst)
def command() -> None:
    """List, show, assign, replay and discard dead letters: messages and deliveries that need a person.

    \b
    Example:
      hcsyncd dead list
      hcsyncd dead replay 17 --edit
    """


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
@click.option("--flat", is_flag=True, help="List every one instead of their groups.")
@click.option("--limit", default=200, show_default=True, type=click.IntRange(1, 10_000), help="With --flat: so many.")
@json_option
@site_option
def list_dead(*, site: Path, as_json: bool, flat: bool, limit: int, **options: Any) -> None:
    """List dead letters grouped by cause and way, with whose they are and until when; the most urgent first.

    \b
    Example:
      hcsyncd dead list
      hcsyncd dead list --flat --destination relay_out --since yesterday
    """
    wanted = selected(options)
    found = ask(site, "dead.letters", {**wanted, "limit": limit}) if flat else ask(site, "dead.groups", wanted)
    if as_json:
        show_json(found)
    elif not found:
        show_line("No dead letters.")
    elif flat:
        _show_letters(found, limit)
    else:
        _show_groups(found)


def _show_letters(letters: list[Json], limit: int) -> None:
    now = time.time_ns() // 1000
    rows = [(*_row(letter, now), letter["owner"], due(letter, now)) for letter in letters]
    show_table((*_COLUMNS, "owner", "due"), rows, right=("message",))
    note(f"\n{len(letters)} dead letter{'s' * (len(letters) != 1)}" + ", more with --limit N" * (len(letters) == limit))
    note("hcsyncd dead replay ID sends one again, hcsyncd dead discard ID --reason TEXT settles it")


def _show_groups(groups: list[Json]) -> None:
    now = time.time_ns() // 1000
    columns = ("dead", "cause", "way", "oldest", "owner", "due", "look at them with")
    show_table(columns, [_group_row(group, now) for group in groups], right=("dead",))
    total = sum(group["count"] for group in groups)
    late = sum(group["overdue"] for group in groups)
    note(f"\n{total} dead letter{'s' * (total != 1)}" + f", {late} overdue" * bool(late))
    note("mend the mapping, the transform or the other side, then: hcsyncd dead replay --cause CAUSE")
    note("hcsyncd dead assign --cause CAUSE --owner NAME gives them to somebody; --flat lists every one")


def _group_row(group: Json, now: int) -> tuple[object, ...]:
    narrowed = f"--cause {group['cause']}" if group["cause"] else str(group["message_id"])
    where = f"--route {group['route']} --destination {group['channel']}" if group["route"] else ""
    late = f"{group['overdue']} OVERDUE {age(group['due_at'], now)}" if group["overdue"] else age(group["due_at"], now)
    return (
        group["count"],
        group["cause"] or "none given",
        f"{group['route']} -> {group['channel']}" if group["route"] else f"{group['channel']}, at arrival",
        age(group["oldest_at"], now),
        group["owner"],
        late,
        f"hcsyncd dead show {narrowed} {where}".rstrip(),
    )


@command.command()
@click.argument("message_id", metavar="[ID]", type=MESSAGE_ID, required=False)
@selection_options("state")
@click.option("--body", is_flag=True, help="Show the bytes that came and those that were to be sent.")
@json_option
@site_option
def show(*, site: Path, as_json: bool, message_id: int | None, body: bool, **options: Any) -> None:
    """Show the message of a dead letter, with every try and every answer; with a filter, the latest that it means, and
    how many are the same.

    \b
    Example:
      hcsyncd dead show 17 --body
      hcsyncd dead show --cause transform-failed --route relay
    """
    wanted = selected(options)
    if (message_id is None) == (not wanted):
        raise click.UsageError("Say which: the ID of a message, or a filter (--cause, --destination ...).")
    example = ask(site, "dead.example", wanted or {"ids": [message_id]})
    shown = ask(site, "messages.show", {"id": example["letter"]["message"]["id"], "body": body})
    if as_json:
        show_json({**shown, "example": example})
        return
    now = time.time_ns() // 1000
    show_message(shown, now)
    show_line()
    _show_example(example, now)


def _show_example(example: Json, now: int) -> None:
    letter = example["letter"]
    failed = letter["delivery"] or letter["message"]
    show_heading("The dead letter")
    facts = [
        ("why", f"{failed['cause']}: {failed['text']}"),
        ("file", f"{example['file']}, line {example['line']}" if example["file"] else ""),
        ("owner", letter["owner"]),
        ("due", due(letter, now)),
        ("assigned by", letter["assigned_by"]),
        ("note", letter["note"]),
        ("the same", f"{example['more']} more" if example["more"] else "no other"),
    ]
    show_facts(facts, indent=2)
    message_id = letter["message"]["id"]
    note(f"\nhcsyncd dead replay {message_id} sends it again, when what is wrong is mended; --edit mends the message")
    note(f"hcsyncd dead discard {message_id} --reason TEXT settles it")


@command.command()
@click.argument("ids", metavar="[ID]...", nargs=-1, type=MESSAGE_ID)
@selection_options("state")
@click.option("--all", "everything", is_flag=True, help="All dead letters.")
@click.option("--owner", required=True, metavar="NAME", help="Who is to take care of them.")
@click.option("--due", "due_at", type=Due(), default=0, metavar="TIME", help="Until when: 4h, 14:30, 2026-11-22.")
@click.option("--note", "text", default="", metavar="TEXT", help="What they should know.")
@json_option
@site_option
def assign(
    *,
    site: Path,
    as_json: bool,
    ids: tuple[int, ...],
    everything: bool,
    owner: str,
    due_at: int,
    text: str,
    **options: Any,
) -> None:
    """Say who is to take care of dead letters, and until when. Without --due it is as hcsyncd.yaml says.

    \b
    Example:
      hcsyncd dead assign --cause ack-AR --destination relay_out --owner 'bed board team' --due 4h
    """
    if not owner.strip():
        raise click.UsageError("Say who, with --owner NAME.")
    letters = _meant(site, ids, options, everything=everything)
    way = {"route": options["route"], "destination": options["destination"]}
    care = {"owner": owner, "due_at": due_at, "note": text, **way}
    assigned = 0
    for start in range(0, len(_ids(letters)), PAGE):
        assigned += ask(site, "dead.assign", {"ids": _ids(letters)[start : start + PAGE], **care})["assigned"]
    if as_json:
        show_json({"assigned": assigned})
    else:
        show_line(f"{assigned} dead letter{'s' * (assigned != 1)} of {_count(letters)}: {owner}'s")


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
    if not letters:
        note("no dead letter is meant by that: hcsyncd dead list shows those there are")
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


command.add_command(dead_replay)
