"""A message as a person reads it: its facts, its deliveries and their attempts, its bytes, its trace."""

from __future__ import annotations

import base64
import re
from typing import Any

from rich.text import Text

from hcsyncd.cli.display import Branch, safe, show_facts, show_heading, show_line, show_table, size, styled
from hcsyncd.cli.moments import age, local, span
from hcsyncd.clock import MICROSECONDS

Json = dict[str, Any]

LIST_COLUMNS = ("id", "received", "channel", "type", "control id", "state", "cause", "bytes")
_LINE_END = re.compile("\r\n|\r|\n")


def list_row(row: Json) -> tuple[object, ...]:
    keys = row["keys"]
    state = row["state"] if row["replay_of"] is None else f"{row['state']} (replay of {row['replay_of']})"
    received = local(row["received_at"])
    return row["id"], received, row["channel"], keys["type"], keys["control_id"], state, row["cause"], row["bytes"]


def decoded(encoded: str) -> bytes:
    """Bytes as they travelled in JSON."""
    return base64.b64decode(encoded)


def lines_of(body: bytes) -> list[str]:
    """A body for reading: HL7 a segment a line, whatever its line ends; what is no text is written as escapes."""
    text = body.decode("utf-8", "backslashreplace")
    return [safe(line) for line in _LINE_END.split(text.rstrip("\r\n"))]


def show_message(shown: Json, now: int) -> None:
    message = shown["message"]
    show_heading(f"Message {message['id']}")
    show_facts(_message_facts(message, now), indent=2)
    if shown["deliveries"]:
        show_line()
        show_heading("Deliveries")
        _show_deliveries(shown["deliveries"], now)
    if shown["attempts"]:
        show_line()
        show_heading("Attempts")
        _show_attempts(shown["attempts"])
    _show_bytes("Reply", shown["replies"]["at_once"])
    _show_bytes("Application reply", shown["replies"]["application"])
    if "body" in shown:
        _show_bytes("Body", shown["body"])
        for delivery, body in shown["sent"].items():
            _show_bytes(f"Body of delivery {delivery}", body)


def _message_facts(message: Json, now: int) -> list[tuple[str, object]]:
    keys = message["keys"]
    state = f"{message['state']}: {message['cause']}" if message["cause"] else message["state"]
    received = f"{local(message['received_at'], milliseconds=True)} ({age(message['received_at'], now)})"
    facts = [
        ("state", state),
        ("why", message["text"]),
        ("channel", message["channel"]),
        ("peer", message["peer"]),
        ("received", received),
        ("type", keys["type"]),
        ("control id", keys["control_id"]),
        ("sender", keys["sender"]),
        ("receiver", keys["receiver"]),
        ("size", size(message["bytes"])),
        ("acknowledgement", message["reply_state"].replace("_", " ")),
        ("trace", message["trace"]),
        ("caused by", message["parent"]),
        ("replay of", message["replay_of"]),
    ]
    return facts + [(f"wire.{name}", value) for name, value in message["facts"].items()]


def _show_deliveries(deliveries: list[Json], now: int) -> None:
    rows = [
        (
            row["id"],
            row["route"],
            row["destination"],
            row["state"],
            row["attempt"],
            _next(row, now),
            row["type"] or row["content_type"],
            size(row["bytes"]) if row["made"] else "not made",
            row["key"],
            ": ".join(part for part in (row["cause"], row["text"]) if part),
        )
        for row in deliveries
    ]
    columns = ("id", "route", "to", "state", "tries", "when", "type", "size", "key", "cause")
    show_table(columns, rows, right=("id", "tries", "size"))


def _next(row: Json, now: int) -> str:
    if row["settled_at"]:
        return local(row["settled_at"])
    return f"next try {age(row['due_at'], now)}" if row["due_at"] else "open"


def _show_attempts(attempts: list[Json]) -> None:
    rows = [
        (
            row["delivery_id"],
            row["number"],
            local(row["started_at"], milliseconds=True),
            span((row["ended_at"] - row["started_at"]) / MICROSECONDS),
            row["state"],
            ": ".join(part for part in (row["cause"], row["text"]) if part),
            " | ".join(lines_of(decoded(row["answer"]))),
        )
        for row in attempts
    ]
    show_table(
        ("delivery", "try", "started", "took", "then", "what happened", "answer"), rows, right=("delivery", "try")
    )


def _show_bytes(title: str, encoded: str) -> None:
    if not encoded:
        return
    show_line()
    show_heading(title)
    for line in lines_of(decoded(encoded)):
        show_line(f"  {line}")


def trace_tree(traced: Json, message_id: int) -> list[Branch]:
    """The way from cause to effects: messages, below them their deliveries with each try, and the messages they caused.
    Times are counted from the first arrival."""
    start = min((row["received_at"] for row in traced["messages"]), default=0)
    branches: dict[int, Branch] = {}
    roots: list[Branch] = []
    for message in sorted(traced["messages"], key=lambda row: int(row["id"])):
        branch = Branch(_message_line(message, start, is_asked_for=message["id"] == message_id))
        branches[message["id"]] = branch
        parent = branches.get(message["parent"])
        (parent.below if parent else roots).append(branch)
        for delivery in traced["deliveries"]:
            if delivery["message_id"] == message["id"]:
                branch.below.append(_delivery_branch(delivery, traced["attempts"], start))
    return roots


def _delivery_branch(delivery: Json, attempts: list[Json], start: int) -> Branch:
    line = Text(f"delivery {delivery['id']}  {delivery['route']} -> {delivery['destination']}  ")
    line.append_text(styled(delivery["state"]))
    if not delivery["made"]:
        line.append(safe(f"  {delivery['cause']}: {delivery['text']}"))
    branch = Branch(line)
    for attempt in attempts:
        if attempt["delivery_id"] == delivery["id"]:
            took = span((attempt["ended_at"] - attempt["started_at"]) / MICROSECONDS)
            said = ": ".join(part for part in (attempt["cause"], attempt["text"]) if part)
            tried = Text(f"try {attempt['number']}  {_after(attempt['started_at'], start)}, took {took}  ")
            branch.below.append(Branch(tried.append_text(styled(attempt["state"])).append(safe(f"  {said}".rstrip()))))
    return branch


def _message_line(message: Json, start: int, *, is_asked_for: bool) -> Text:
    keys = message["keys"]
    said = f"message {message['id']}  {message['channel']}  {keys['type']}  {keys['control_id']}".rstrip()
    line = Text(safe(said), style="bold" if is_asked_for else "")
    if message["replay_of"] is not None:
        line.append(f"  replay of {message['replay_of']}")
    at = local(message["received_at"], milliseconds=True) if message["received_at"] == start else ""
    line.append(f"  {at or _after(message['received_at'], start)}  ")
    line.append_text(styled(message["state"]))
    return line.append(safe(f": {message['cause']}: {message['text']}" if message["cause"] else ""))


def _after(moment: int, start: int) -> str:
    return f"+{span(max(moment - start, 0) / MICROSECONDS)}"
