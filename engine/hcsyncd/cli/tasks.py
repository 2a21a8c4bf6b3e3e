"""`hcsyncd tasks`: codes that lookup tables do not know, and the deliveries that are parked for them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from hcsyncd.cli.display import json_option, note, show_facts, show_heading, show_json, show_line, show_table
from hcsyncd.cli.list_first import ListFirst
from hcsyncd.cli.moments import Due, age, due, local
from hcsyncd.cli.selection import confirm
from hcsyncd.cli.site import ask, site_option

Json = dict[str, Any]
TASK_ID = click.IntRange(1, 2**63 - 1)
LONG_SECS = 600.0


@click.group(name="tasks", cls=ListFirst)
def command() -> None:
    """List codes without a mapping, with what waits for them; enter them with `hcsyncd mapping add`.

    \b
    Example:
      hcsyncd tasks
      hcsyncd tasks show 3
      hcsyncd mapping add bed_board NEU1 NE --reason 'ward opened on Monday'
    """


@command.command(name="list")
@click.option("--closed", is_flag=True, help="Those that nothing waits for any more.")
@json_option
@site_option
def list_tasks(*, site: Path, as_json: bool, closed: bool) -> None:
    """List the tasks, the oldest first.

    \b
    Example:
      hcsyncd tasks list
    """
    views = ask(site, "tasks.list", {"closed": closed})
    if as_json:
        show_json(views)
        return
    if not views:
        show_line("No codes wait for a mapping.")
        return
    now = time.time_ns() // 1000
    show_table(
        ("task", "table", "code", "parked", "since", "owner", "due"),
        [_row(view, now) for view in views],
        right=("task", "parked"),
    )
    if not closed:
        note("hcsyncd mapping add TABLE CODE VALUE --reason TEXT lets them go on; hcsyncd tasks show ID lists them")


def _row(view: Json, now: int) -> tuple[object, ...]:
    task = view["task"]
    return (
        task["id"],
        task["table"],
        task["code"],
        task["parked"],
        age(task["opened_at"], now),
        view["owner"],
        "closed" if task["closed_at"] else due(view, now),
    )


@command.command()
@click.argument("task_id", metavar="ID", type=TASK_ID)
@json_option
@site_option
def show(*, site: Path, as_json: bool, task_id: int) -> None:
    """Show a task and the first deliveries that wait under it.

    \b
    Example:
      hcsyncd tasks show 3
    """
    shown = ask(site, "tasks.show", {"id": task_id})
    if as_json:
        show_json(shown)
        return
    view, now = shown["task"], time.time_ns() // 1000
    task = view["task"]
    show_heading(f"Task {task['id']}: {task['table']} has no entry for {task['code']}")
    show_facts(
        [
            ("parked", task["parked"]),
            ("since", f"{local(task['opened_at'])} ({age(task['opened_at'], now)})"),
            ("owner", view["owner"]),
            ("due", "" if task["closed_at"] else f"{local(view['due_at'])} ({due(view, now)})"),
            ("assigned by", task["assigned_by"]),
            ("note", task["note"]),
            ("closed", local(task["closed_at"])),
            ("settled by", task["settled_by"]),
            ("reason", task["reason"]),
        ],
        indent=2,
    )
    if shown["parked"]:
        show_line()
        rows = [_parked_row(one, now) for one in shown["parked"]]
        show_table(
            ("message", "received", "channel", "type", "control id", "way", "delivery"), rows, right=("message",)
        )
        note(f"\nhcsyncd mapping add {task['table']} {task['code']} VALUE --reason TEXT lets them go on")


def _parked_row(one: Json, now: int) -> tuple[object, ...]:
    message, delivery = one["message"], one["delivery"]
    return (
        message["id"],
        age(message["received_at"], now),
        message["channel"],
        message["keys"]["type"],
        message["keys"]["control_id"],
        f"{delivery['route']} -> {delivery['destination']}",
        delivery["id"],
    )


@command.command()
@click.argument("task_id", metavar="ID", type=TASK_ID)
@click.option("--owner", required=True, metavar="NAME", help="Who is to enter the mapping.")
@click.option("--due", "due_at", type=Due(), default=0, metavar="TIME", help="Until when: 4h, 14:30, 2026-11-22.")
@click.option("--note", "text", default="", metavar="TEXT", help="What they should know.")
@json_option
@site_option
def assign(*, site: Path, as_json: bool, task_id: int, owner: str, due_at: int, text: str) -> None:
    """Say who is to enter a mapping.

    \b
    Example:
      hcsyncd tasks assign 3 --owner 'master data' --due 4h
    """
    view = ask(site, "tasks.assign", {"id": task_id, "owner": owner, "due_at": due_at, "note": text})
    if as_json:
        show_json(view)
    else:
        show_line(f"task {task_id} is {view['owner']}'s, due {local(view['due_at'])}")


@command.command()
@click.argument("task_id", metavar="ID", type=TASK_ID)
@json_option
@site_option
def retry(*, site: Path, as_json: bool, task_id: int) -> None:
    """Make what waits under a task anew by the live configuration, as after its transform has learnt to do without.

    \b
    Example:
      hcsyncd tasks retry 3
    """
    tried = ask(site, "tasks.retry", {"id": task_id}, timeout=LONG_SECS)
    if as_json:
        show_json(tried)
    else:
        show_line(f"{tried['tried']} tried, {tried['parked']} wait still")


@command.command()
@click.argument("task_id", metavar="ID", type=TASK_ID)
@click.option("--reason", required=True, metavar="TEXT", help="Why they are not to be sent; kept with them.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@site_option
def discard(*, site: Path, as_json: bool, task_id: int, reason: str, yes: bool) -> None:
    """Settle what waits under a task without sending it. Nothing is deleted.

    \b
    Example:
      hcsyncd tasks discard 3 --reason 'a ward of the training system'
    """
    if not reason.strip():
        raise click.UsageError("Say why, with --reason TEXT.")
    parked = ask(site, "tasks.show", {"id": task_id})["task"]["task"]["parked"]
    confirm(f"Discard {parked} parked deliver{'ies' if parked != 1 else 'y'}?", yes=yes)
    done = ask(site, "tasks.discard", {"id": task_id, "reason": reason}, timeout=LONG_SECS)
    if as_json:
        show_json(done)
    else:
        show_line(f"{done['discarded']} discarded")
