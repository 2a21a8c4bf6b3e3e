"""`hcsyncd unsure`: deliveries whose answer was lost, and the ways to find out what became of them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from hcsyncd.cli.display import json_option, note, show_json, show_line, show_table
from hcsyncd.cli.failure import EXIT_FAILED
from hcsyncd.cli.list_first import ListFirst
from hcsyncd.cli.moments import age, due
from hcsyncd.cli.selection import MESSAGE_ID, pages, selected, selection_options
from hcsyncd.cli.site import ask as ask_daemon, site_option

Json = dict[str, Any]
ASKED_AT_ONCE = 20  # messages in one call, as each of them may take as long as the other side does
ASK_SECS = 900.0


@click.group(name="unsure", cls=ListFirst)
def command() -> None:
    """List deliveries whose answer was lost; settle them by asking the other side, or by your own word.

    \b
    Example:
      hcsyncd unsure
      hcsyncd unsure ask --all
      hcsyncd unsure settle 17 --sent --reason 'the bed board shows it'
    """


@command.command(name="list")
@selection_options("state")
@json_option
@site_option
def list_unsure(*, site: Path, as_json: bool, **options: Any) -> None:
    """List unsure deliveries in the order of their messages.

    \b
    Example:
      hcsyncd unsure list --destination relay_out
    """
    letters = _meant(site, selected(options))
    if as_json:
        show_json(letters)
        return
    if not letters:
        show_line("No unsure deliveries.")
        return
    now = time.time_ns() // 1000
    columns = ("message", "delivery", "way", "sent", "control id", "owner", "due", "why")
    show_table(columns, [_row(letter, now) for letter in letters], right=("message", "delivery"))
    note("hcsyncd unsure ask ID asks the other side; hcsyncd unsure settle ID --sent or --not-sent takes your word")


def _meant(site: Path, wanted: Json) -> list[Json]:
    return list(pages(site, "unsure.list", wanted, lambda letter: int(letter["message"]["id"])))


def _row(letter: Json, now: int) -> tuple[object, ...]:
    message, delivery = letter["message"], letter["delivery"]
    return (
        message["id"],
        delivery["id"],
        f"{delivery['route']} -> {delivery['destination']}",
        age(letter["since"], now),
        message["keys"]["control_id"],
        letter["owner"],
        due(letter, now),
        f"{delivery['cause']}: {delivery['text']}",
    )


@command.command()
@click.argument("ids", metavar="[ID]...", nargs=-1, type=MESSAGE_ID)
@selection_options("state")
@click.option("--all", "everything", is_flag=True, help="All unsure deliveries.")
@json_option
@site_option
def ask(*, site: Path, as_json: bool, ids: tuple[int, ...], everything: bool, **options: Any) -> None:
    """Ask the other side of unsure deliveries, by the IDs of their messages: what is there is settled as sent, what is
    not is sent again under the same key.

    Exits 1 when it could not be told of some. What an mllp destination has it cannot be asked.

    \b
    Example:
      hcsyncd unsure ask 17
      hcsyncd unsure ask --destination events_out
    """
    wanted = selected(options)
    if sum((bool(ids), bool(wanted), everything)) != 1:
        raise click.UsageError("Say which: message IDs, or a filter (--destination ...), or --all.")
    letters = _meant(site, {"ids": ids} if ids else wanted)
    meant = sorted({int(letter["message"]["id"]) for letter in letters})
    missing = set(ids) - set(meant)
    if missing:
        raise click.UsageError(f"Message {', '.join(map(str, sorted(missing)))} has no unsure delivery.")
    narrowed: Json = {name: wanted[name] for name in ("route", "destination") if name in wanted}
    settled: list[Json] = []
    for start in range(0, len(meant), ASKED_AT_ONCE):
        some = {**narrowed, "ids": meant[start : start + ASKED_AT_ONCE], "limit": 10_000}
        settled += ask_daemon(site, "unsure.ask", some, timeout=ASK_SECS)
    if as_json:
        show_json(settled)
    elif not settled:
        show_line("No unsure deliveries.")
    else:
        columns = ("message", "delivery", "destination", "verdict", "says")
        rows = [
            (one["message_id"], one["delivery_id"], one["destination"], one["verdict"], one["text"]) for one in settled
        ]
        show_table(columns, rows, right=("message", "delivery"))
    if any(one["verdict"] == "unknown" for one in settled):
        raise click.exceptions.Exit(EXIT_FAILED)


@command.command()
@click.argument("message_id", metavar="ID", type=MESSAGE_ID)
@click.option("--sent", is_flag=True, help="The other side has it.")
@click.option("--not-sent", is_flag=True, help="It has not: send it again, under the same key.")
@click.option("--reason", required=True, metavar="TEXT", help="How you know; kept with the delivery.")
@click.option("--route", default="", metavar="NAME", help="Where the message has several: the one by this route.")
@click.option("--destination", default="", metavar="NAME", help="Where it has several: the one to this channel.")
@json_option
@site_option
def settle(
    *,
    site: Path,
    as_json: bool,
    message_id: int,
    sent: bool,
    not_sent: bool,
    reason: str,
    route: str,
    destination: str,
) -> None:
    """Settle a message's unsure delivery by your own word.

    \b
    Example:
      hcsyncd unsure settle 17 --sent --reason 'the bed board shows it'
      hcsyncd unsure settle 17 --not-sent --reason 'not in their log'
    """
    if sent == not_sent:
        raise click.UsageError("Say what you know: --sent or --not-sent.")
    if not reason.strip():
        raise click.UsageError("Say how you know, with --reason TEXT.")
    args = {"id": message_id, "sent": sent, "reason": reason, "route": route, "destination": destination}
    settled = ask_daemon(site, "unsure.settle", args)
    if as_json:
        show_json(settled)
    else:
        show_line(f"delivery {settled['delivery_id']}: {settled['text']}")
