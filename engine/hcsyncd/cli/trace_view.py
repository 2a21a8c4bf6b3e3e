"""The way from a first cause to every effect as a tree, with the times between, and what has not happened yet."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from hcsyncd.cli.attempt_view import Run, runs
from hcsyncd.cli.display import Branch, safe, show_heading, show_line, show_tree, styled
from hcsyncd.cli.message_view import why_line
from hcsyncd.cli.moments import local, span
from hcsyncd.clock import MICROSECONDS

Json = dict[str, Any]


def show_trace(traced: Json, message_id: int, now: int) -> None:
    for root in trace_tree(traced, message_id):
        show_tree(root)
    if not traced["missing"]:
        show_line("Nothing is missing: everything is at its end.")
        return
    show_line()
    show_heading("Still missing")
    for one in traced["missing"]:
        show_line(f"  {one['what']}: {why_line(one['why'], now)}")
        if one["why"]["command"]:
            show_line(f"    {one['why']['command']}")


def trace_tree(traced: Json, message_id: int) -> list[Branch]:
    """Messages, below them their deliveries with their tries, and the messages they caused. A message's time is told
    from its cause, a delivery's and a try's from its message."""
    by_delivery: dict[int, list[Run]] = {}
    for run in runs(traced["attempts"]):
        by_delivery.setdefault(run.delivery, []).append(run)
    arrived = {message["id"]: message["received_at"] for message in traced["messages"]}
    branches: dict[int, Branch] = {}
    roots: list[Branch] = []
    for message in sorted(traced["messages"], key=lambda row: int(row["id"])):
        since = arrived.get(message["parent"], message["received_at"])
        branch = Branch(_message_line(message, since, is_asked_for=message["id"] == message_id))
        branches[message["id"]] = branch
        parent = branches.get(message["parent"])
        (parent.below if parent else roots).append(branch)
        for delivery in traced["deliveries"]:
            if delivery["message_id"] == message["id"]:
                tries = by_delivery.get(delivery["id"], [])
                branch.below.append(_delivery_branch(delivery, tries, message["received_at"]))
    return roots


def _delivery_branch(delivery: Json, tries: list[Run], start: int) -> Branch:
    line = Text(f"delivery {delivery['id']}  {delivery['route']} -> {delivery['destination']}  ")
    line.append_text(styled(delivery["state"]))
    if delivery["settled_at"] and delivery["made"]:
        line.append(f"  {_after(delivery['settled_at'], start)}")
    if not delivery["made"]:
        line.append(safe(f"  {delivery['cause']}: {delivery['text']}"))
    branch = Branch(line)
    for run in tries:
        took = span(run.took / MICROSECONDS)
        when = f"{_after(run.started_at, start)}, took {took}"
        if run.count > 1:
            when = f"{_after(run.started_at, start)} to {_after(run.ended_at, start)}"
        tried = Text(f"try {run.numbers}  {when}  ")
        branch.below.append(Branch(tried.append_text(styled(run.state)).append(safe(f"  {run.said}".rstrip()))))
    return branch


def _message_line(message: Json, since: int, *, is_asked_for: bool) -> Text:
    keys = message["keys"]
    said = f"message {message['id']}  {message['channel']}  {keys['type']}  {keys['control_id']}".rstrip()
    line = Text(safe(said), style="bold" if is_asked_for else "")
    if message["replay_of"] is not None:
        line.append(f"  replay of {message['replay_of']}")
    is_first = message["received_at"] == since
    at = local(message["received_at"], milliseconds=True) if is_first else _after(message["received_at"], since)
    line.append(f"  {at}  ")
    line.append_text(styled(message["state"]))
    return line.append(safe(f": {message['cause']}: {message['text']}" if message["cause"] else ""))


def _after(moment: int, start: int) -> str:
    return f"+{span(max(moment - start, 0) / MICROSECONDS)}"
