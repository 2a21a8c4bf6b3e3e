"""A message as a person reads it: its facts, its deliveries and their attempts, its bytes, its trace."""

from __future__ import annotations

import base64
import re
from typing import Any

from hcsyncd.cli.attempt_view import runs
from hcsyncd.cli.display import safe, show_facts, show_heading, show_line, show_table, size
from hcsyncd.cli.field_view import show_fields
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
    keys = [(f"key.{key['name']}", key["value"]) for key in shown.get("keys", ())]
    show_facts([*_message_facts(message, now), *_replay_facts(shown), *keys], indent=2)
    if shown["deliveries"]:
        show_line()
        show_heading("Deliveries")
        _show_deliveries(shown["deliveries"], now)
    if shown["attempts"]:
        show_line()
        show_heading("Attempts")
        _show_attempts(shown["attempts"])
    if shown["missing"]:
        show_line()
        show_heading("Still to come")
        _show_missing(shown["missing"], now)
    if "read" in shown:
        show_line()
        show_fields(shown["read"])
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
        ("body", _removed(message["body_removed_at"])),
        ("answers", _removed(message["answers_removed_at"])),
        ("acknowledgement", message["reply_state"].replace("_", " ")),
        ("trace", message["trace"]),
        ("caused by", message["parent"]),
        ("replay of", message["replay_of"]),
    ]
    return facts + [(f"wire.{name}", value) for name, value in message["facts"].items()]


def _replay_facts(shown: Json) -> list[tuple[str, object]]:
    """The replays that have it: as what is sent again, or as the copy."""
    facts: list[tuple[str, object]] = []
    for link in shown.get("replays", ()):
        is_copy = link["copy_id"] == shown["message"]["id"]
        other = f", from message {link['message_id']}" if is_copy else ""
        copy = f", as message {link['copy_id']}" if link["copy_id"] and not is_copy else ""
        facts.append((f"replay {link['replay_id']}", f"{link['state']}{copy}{other}"))
    return facts


def _removed(moment: int) -> str:
    return f"removed by retention on {local(moment)}" if moment else ""


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
            run.delivery,
            run.numbers,
            local(run.started_at, milliseconds=True),
            span(run.took / MICROSECONDS) if run.count == 1 else f"until {local(run.ended_at)}",
            run.state,
            run.said,
            " | ".join(lines_of(decoded(run.answer))),
        )
        for run in runs(attempts)
    ]
    show_table(
        ("delivery", "try", "started", "took", "then", "what happened", "answer"), rows, right=("delivery", "try")
    )


def _show_missing(missing: list[Json], now: int) -> None:
    for one in missing:
        show_line(f"  {one['what']}: {why_line(one['why'], now)}")
        if one["why"]["command"]:
            show_line(f"    {one['why']['command']}")


def why_line(why: Json, now: int) -> str:
    """Why something waits, with its times."""
    since = f", since {local(why['since'])}" if why["since"] else ""
    next_try = f"; next try {age(why['next_at'], now)}" if why["next_at"] else ""
    return safe(f"{why['text']}{since}{next_try}")


def _show_bytes(title: str, encoded: str) -> None:
    if not encoded:
        return
    show_line()
    show_heading(title)
    for line in lines_of(decoded(encoded)):
        show_line(f"  {line}")
