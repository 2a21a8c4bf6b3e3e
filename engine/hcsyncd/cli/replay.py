"""The replays of messages and of dead letters: planned by the daemon, shown, confirmed, applied just so, followed."""

from __future__ import annotations

import base64
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from hcsyncd.cli.display import json_option, note, show_json
from hcsyncd.cli.failure import EXIT_FAILED
from hcsyncd.cli.repair import body_options, can_edit, repaired_body
from hcsyncd.cli.replay_view import GOES, counted, in_words, items_of, pending, show_report
from hcsyncd.cli.selection import MESSAGE_ID, confirm, selected, selection_options
from hcsyncd.cli.site import ask, site_option
from hcsyncd.errors import CommandRefused

Json = dict[str, Any]
AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])

FIRST_LOOK_SECS, LONGEST_LOOK_SECS = 0.05, 1.0
PATIENCE_SECS = 5.0  # without progress, after which the command leaves a replay to the daemon
SHOWN_ITEMS = 50


class _Generation(click.ParamType[int | str]):
    """A configuration: its number, the one that made it then, or today's."""

    name = "generation"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        if value in ("then", "now"):
            return str(value)
        if not str(value).isdecimal() or not int(value):
            self.fail(f"{value!r} is no generation: a number (see `hcsyncd history`), then or now", param, ctx)
        return int(value)


class _Rate(click.ParamType[float]):
    """Deliveries a second: 20 or 20/s."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            rate = float(str(value).removesuffix("/s"))
        except ValueError:
            rate = -1.0
        if not 0 <= rate < 1e9:
            self.fail(f"{value!r} is no rate: write it like 20/s", param, ctx)
        return rate


def _manner(function: AnyFunction) -> AnyFunction:
    """Gives a command the options that say how a replay goes."""
    for decorate in reversed(
        (
            click.option("--to", default="", metavar="NAME", help="To this destination only."),
            body_options,
            click.option(
                "--generation",
                type=_Generation(),
                default="now",
                metavar="N|then|now",
                help="Made by this configuration: a number, the one that made it then, or today's (the default).",
            ),
            click.option("--again", is_flag=True, help="Also what was sent before, under the same key."),
            click.option(
                "--new-intent", is_flag=True, help="Under new idempotency keys: a new business effect. Asks twice."
            ),
            click.option("--rate", type=_Rate(), default=0.0, metavar="N/s", help="At most so many a second."),
            click.option("--window", default="", metavar="22:00-06:00", help="Only in these hours, local time."),
            click.option("--reason", default="", metavar="TEXT", help="Why; kept with the replay."),
            click.option("--plan", "plan_only", is_flag=True, help="Say what would happen, keep the plan, do nothing."),
            click.option("--yes", count=True, help="Do not ask. A new intent wants it twice."),
            json_option,
            site_option,
        )
    ):
        function = decorate(function)
    return function


@click.command(name="replay")
@click.argument("ids", metavar="[ID]...", nargs=-1, type=MESSAGE_ID)
@selection_options("route")
@click.option("--taken-by", default="", metavar="ROUTE", help="Taken by this route then.")
@click.option("--route", default="", metavar="NAME", help="By this route only.")
@_manner
def messages_replay(*, site: Path, ids: tuple[int, ...], route: str, taken_by: str, **options: Any) -> None:
    """Send messages again, in the order they came: those of the given IDs, or those that a filter means.

    First comes a plan: for each message and way whether it would be sent, is suppressed because it was sent before
    under the same idempotency key, would not be what was sent then, or is blocked. Then just that plan is applied.
    A filter means arrivals alone: copies that earlier replays made are left out.

    \b
    Example:
      hcsyncd messages replay 17 18 --again --to relay_out
      hcsyncd messages replay --channel adt_in --since 2h --plan
      hcsyncd messages replay 17 --edit --new-intent --reason 'wrong ward'
    """
    wanted = selected(options)
    if taken_by:
        wanted["route"] = taken_by
    if bool(ids) == bool(wanted):
        raise click.UsageError("Say which messages: either IDs, or a filter (--channel, --since, --state ...).")
    _replay(site, {"wanted": {"ids": ids} if ids else wanted, "route": route}, ids, options)


@click.command(name="replay")
@click.argument("ids", metavar="[ID]...", nargs=-1, type=MESSAGE_ID)
@selection_options("state")
@click.option("--all", "everything", is_flag=True, help="All dead letters.")
@_manner
def dead_replay(*, site: Path, ids: tuple[int, ...], everything: bool, **options: Any) -> None:
    """Put dead letters on the road again, in the order they came: those of the message IDs, of a filter, or all.

    What was ready to be sent goes out as it was; what failed before that is made anew, as its route is today. A plan
    comes first, and just that plan is applied.

    \b
    Example:
      hcsyncd dead replay 17
      hcsyncd dead replay 17 --edit
      hcsyncd dead replay --cause connect-refused --destination relay_out --rate 20/s
    """
    wanted = selected(options)
    narrows = {name: value for name, value in wanted.items() if not (ids and name in ("route", "destination"))}
    if sum((bool(ids), bool(narrows), everything)) != 1:
        raise click.UsageError(
            "Say which dead letters: message IDs, or a filter (--cause, --destination ...), or --all."
        )
    if ids:
        wanted["ids"] = ids
    _replay(site, {"wanted": wanted, "dead": True}, ids, options)


def _replay(site: Path, what: Json, ids: tuple[int, ...], options: Json) -> None:
    """Plan, ask, apply that plan, and tell what came of it."""
    plan_only, yes = options["plan_only"], options["yes"]
    if options["new_intent"] and not options["reason"].strip():
        raise click.UsageError("A new intent is a new business effect: say why, with --reason TEXT.")
    if not plan_only and not yes and not sys.stdin.isatty():
        raise click.UsageError("There is no terminal to ask on: give --yes, or --plan to see what would happen.")
    if options["edit"] and not can_edit():
        raise click.UsageError("There is no terminal to edit on: name an $EDITOR that needs none, or give --body FILE.")
    body = repaired_body(site, ids, options["body"], edit=options["edit"])
    names = ("to", "generation", "again", "new_intent", "rate", "window", "reason")
    args = {**what, **{name: options[name] for name in names}}
    if body is not None:
        args["body"] = base64.b64encode(body).decode()
    replay_id = int(ask(site, "replays.plan", args)["id"])
    shown = _until_planned(site, replay_id)
    if not plan_only and any(counted(shown)[verdict] for verdict in GOES):
        note(f"replay {replay_id}: {in_words(shown)}")
        _ask_whether(site, shown, yes)
        shown = apply_and_follow(site, shown)
    elif not plan_only:
        reason = "nothing to be sent" if shown["tallies"] else "nothing is meant by that"
        ask(site, "replays.cancel", {"id": replay_id, "reason": reason})
        shown = ask(site, "replays.show", {"id": replay_id})
    _tell(site, shown, as_json=options["as_json"])
    _advise(shown, plan_only=plan_only)
    if plan_only:
        return
    if shown["replay"]["state"] == "cancelled" and counted(shown)["blocked"]:
        raise click.exceptions.Exit(EXIT_FAILED)


def _advise(shown: Json, *, plan_only: bool) -> None:
    """What a person does next."""
    replay, counts = shown["replay"], counted(shown)
    if not counts:
        note("nothing is meant by that: no message, or no dead letter, is as the filter says")
    if counts["suppressed"]:
        note("what is suppressed was sent before: --again sends it again under the same keys")
    if plan_only and any(counts[verdict] for verdict in GOES):
        note(f"nothing is done yet: hcsyncd replays apply {replay['id']}, or hcsyncd replays cancel {replay['id']}")
    elif plan_only:
        note(f"there is nothing in it to be sent: hcsyncd replays cancel {replay['id']}")


def _until_planned(site: Path, replay_id: int) -> Json:
    """Wait for the plan. It is the daemon that makes it: whoever leaves can come back to it."""
    pause = FIRST_LOOK_SECS
    try:
        while True:
            shown: Json = ask(site, "replays.show", {"id": replay_id})
            if shown["replay"]["state"] != "planning":
                break
            progress(f"planning replay {replay_id}: {in_words(shown)}")
            time.sleep(pause)
            pause = min(pause * 1.5, LONGEST_LOOK_SECS)
    except KeyboardInterrupt:
        note(f"\nreplay {replay_id} is still being planned: hcsyncd replays show {replay_id}, or cancel {replay_id}")
        raise
    finally:
        progress("")
    if shown["replay"]["state"] != "planned":
        text = f"replay {replay_id} is {shown['replay']['state']}: {shown['replay']['note']}"
        raise CommandRefused("replay", text)
    return shown


def _ask_whether(site: Path, shown: Json, yes: int) -> None:
    """A plan that is turned down is given up, so that it stands in no other's way."""
    try:
        ask_whether(shown, yes)
    except (click.exceptions.Exit, click.UsageError, click.Abort):
        ask(site, "replays.cancel", {"id": shown["replay"]["id"], "reason": "not confirmed"})
        raise


def ask_whether(shown: Json, yes: int) -> None:
    """Ask before a plan is applied, and once more before a new business effect."""
    count = pending(shown)
    what = f"{count} deliver{'ies' if count != 1 else 'y'}"
    confirm(f"Send {what} again?", yes=yes > 0)
    if shown["replay"]["asked"].get("new_intent"):
        confirm(f"These get new idempotency keys: the receivers will do {what} once more. Really?", yes=yes > 1)


def apply_and_follow(site: Path, shown: Json) -> Json:
    """Apply the plan that was shown, and no other; wait for the end as long as there is progress."""
    replay_id = shown["replay"]["id"]
    ask(site, "replays.apply", {"id": replay_id, "digest": shown["replay"]["digest"]})
    pause = FIRST_LOOK_SECS
    seen, seen_at = None, time.monotonic()
    try:
        while True:
            shown = ask(site, "replays.show", {"id": replay_id})
            if shown["replay"]["state"] != "running":
                break
            if shown["tallies"] != seen:
                seen, seen_at = shown["tallies"], time.monotonic()
            if time.monotonic() - seen_at > PATIENCE_SECS:
                break
            progress(f"replay {replay_id}: {pending(shown)} to be sent {shown['replay']['waits_for']}")
            time.sleep(pause)
            pause = min(pause * 1.5, LONGEST_LOOK_SECS)
    except KeyboardInterrupt:
        note(f"\nreplay {replay_id} goes on: hcsyncd replays show {replay_id}, hold {replay_id} or cancel {replay_id}")
        raise
    finally:
        progress("")
    if shown["replay"]["state"] == "running":
        waits_for = shown["replay"]["waits_for"]
        why = f" and waits for {waits_for}" if waits_for else ""
        note(f"replay {replay_id} goes on in the daemon{why}: hcsyncd replays show {replay_id}")
    return shown


def progress(text: str) -> None:
    """One line that is written over, on a terminal; an empty text takes it away."""
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[K{text}", nl=False, err=True)


def _tell(site: Path, shown: Json, *, as_json: bool) -> None:
    items = items_of(site, shown["replay"]["id"])
    if as_json:
        show_json({**shown, "items": list(items)})
    else:
        show_report(shown, items, SHOWN_ITEMS)
