"""A replay as a person reads it: what it was asked for, how its items stand, and each of them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from hcsyncd.cli.display import show_facts, show_heading, show_line, show_table
from hcsyncd.cli.moments import age, local
from hcsyncd.cli.site import ask

Json = dict[str, Any]
PAGE = 1000
OPEN = ("planning", "planned", "running", "held")
GOES = ("send", "changed")
ITEM_COLUMNS = ("message", "way", "verdict", "now", "copy", "delivery", "why")
LIST_COLUMNS = ("replay", "state", "planned", "by", "asked", "reason")


def standing(item: Json, replay_state: str) -> str:
    """Where an item, or a tally of them, stands, in one word."""
    if item["state"] != "applied":
        if item["state"] == "pending":
            return "to be sent" if replay_state in OPEN else "not sent"
        return str(item["state"])
    state = str(item["delivery_state"] or "removed")
    return {"dead": "dead again", "ready": "waiting", "sending": "waiting"}.get(state, state)


def counted(shown: Json) -> Counter[str]:
    """How many items the plan gave each verdict."""
    counts: Counter[str] = Counter()
    for tally in shown["tallies"]:
        counts[tally["verdict"]] += tally["count"]
    return counts


def pending(shown: Json) -> int:
    return sum(tally["count"] for tally in shown["tallies"] if tally["state"] == "pending")


def in_words(shown: Json) -> str:
    """A plan's counts: 12 would be sent, 3 of them changed; 2 suppressed, 1 blocked."""
    counts = counted(shown)
    goes = sum(counts[verdict] for verdict in GOES)
    changed = f", {counts['changed']} of them changed" if counts["changed"] else ""
    return f"{goes} to be sent{changed}; {counts['suppressed']} suppressed, {counts['blocked']} blocked"


def items_of(site: Path, replay_id: int) -> Iterator[Json]:
    """Every item in order, however many there are."""
    after = 0
    while True:
        rows = ask(site, "replays.items", {"id": replay_id, "after_id": after, "limit": PAGE})
        yield from rows
        if len(rows) < PAGE:
            return
        after = rows[-1]["id"]


def list_row(row: Json, now: int) -> tuple[object, ...]:
    return row["id"], row["state"], age(row["created_at"], now), row["author"], _asked(row["asked"]), row["reason"]


def show_report(shown: Json, items: Iterable[Json], limit: int) -> None:
    """The replay, its counts, and its first items."""
    replay = shown["replay"]
    show_heading(f"Replay {replay['id']}")
    show_facts(_facts(replay), indent=2)
    if shown["tallies"]:
        show_line()
        rows: Counter[tuple[str, str]] = Counter()
        for tally in shown["tallies"]:
            rows[tally["verdict"], standing(tally, replay["state"])] += tally["count"]
        show_table(
            ("planned", "now", "count"), [(*key, count) for key, count in sorted(rows.items())], right=("count",)
        )
    first = list(islice(items, limit + 1))
    if first:
        show_line()
        show_table(ITEM_COLUMNS, [_item(item, replay["state"]) for item in first[:limit]], right=("message", "copy"))
    if len(first) > limit:
        show_line(f"({limit} are shown; --limit N shows more)")


def _item(item: Json, replay_state: str) -> tuple[object, ...]:
    way = f"{item['route']} -> {item['destination']}" if item["route"] or item["destination"] else "any"
    why = ": ".join(part for part in (item["cause"], item["text"]) if part)
    return (
        item["message_id"],
        way,
        item["verdict"],
        standing(item, replay_state),
        item["copy_id"] or "",
        item["delivery_id"] or "",
        why,
    )


def _facts(replay: Json) -> list[tuple[str, object]]:
    now = time.time_ns() // 1000
    expires = f"{local(replay['expires_at'])} ({age(replay['expires_at'], now)})"
    return [
        ("state", replay["state"]),
        ("note", replay["note"]),
        ("waits for", replay["waits_for"]),
        ("asked", _asked(replay["asked"])),
        ("edited body", f"{replay['edited_bytes']} B" if replay["edited_bytes"] else ""),
        ("reason", replay["reason"]),
        ("planned", f"{local(replay['planned_at'] or replay['created_at'])} by {replay['author']}"),
        ("expires", expires if replay["state"] == "planned" else ""),
        ("applied", f"{local(replay['applied_at'])} by {replay['applied_by']}" if replay["applied_at"] else ""),
        ("ended", local(replay["ended_at"])),
        ("digest", replay["digest"][:12]),
    ]


def _asked(asked: Json) -> str:
    """What was asked for, as a person would type it."""
    words = ["dead letters" if asked.get("dead") else "messages"]
    for name, value in asked.get("wanted", {}).items():
        if name == "ids":
            words.append(" ".join(map(str, value[:10])) + (f" and {len(value) - 10} more" if len(value) > 10 else ""))
        elif name in ("since", "until"):
            words.append(f"{name} {local(value)}")
        else:
            words.append(f"{name.replace('_', ' ')} {value}")
    manner = ("route", "to", "generation", "rate", "window")
    words += [f"{name} {asked[name]}" for name in manner if asked.get(name) not in (None, "now")]
    words += [name.replace("_", " ") for name in ("again", "new_intent") if asked.get(name)]
    return ", ".join(words)
