"""`hcsyncd top`: the channels as they work, once a second."""

from __future__ import annotations

import contextlib
import select
import sys
import termios
import time
import tty
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from hcsyncd.cli.display import is_terminal, json_option, safe, show_json, show_line, show_table, styled
from hcsyncd.cli.moments import age
from hcsyncd.cli.site import ask, site_option

Json = dict[str, Any]
COLUMNS = ("channel", "role", "health", "a second", "total", "queued", "oldest", "dead", "unsure", "parked", "says")
SPARED = ("role", "total", "oldest", "unsure", "parked", "says")  # of a narrow terminal, in this order
SAYS_WIDTH = 12  # of ``says``, which may be cut off
NUMBERS = ("a second", "total", "queued", "dead", "unsure", "parked")


@dataclass(frozen=True, slots=True)
class Look:
    """What the daemon said at one moment."""

    at: float  # monotonic
    now: int  # microseconds
    status: Json
    channels: list[Json]

    @classmethod
    def take(cls, site: Path) -> Look:
        return cls(time.monotonic(), time.time_ns() // 1000, ask(site, "status"), ask(site, "channels"))

    def total(self, channel: Json) -> int:
        """Messages that arrived by a source, deliveries that were sent by a destination."""
        counts: dict[str, int] = channel["counts"]
        return sum(counts.values()) if channel["role"] == "source" else counts.get("sent", 0)


@click.command(name="top")
@click.option("--interval", default=1.0, show_default=True, type=click.FloatRange(0.2), help="Seconds between looks.")
@json_option
@site_option
def command(*, site: Path, as_json: bool, interval: float) -> None:
    """Watch the channels: rates, queues, errors, and what needs a person. q or Ctrl-C ends it; without a terminal it is
    one table.

    \b
    Example:
      hcsyncd top
    """
    look = Look.take(site)
    if as_json:
        show_json({"status": look.status, "channels": look.channels})
        return
    if not is_terminal() or not sys.stdin.isatty():
        for line in heading(look):
            show_line(line)
        show_table(COLUMNS, rows(look, None), right=NUMBERS)
        return
    _watch(site, look, interval)


def _watch(site: Path, look: Look, interval: float) -> None:
    earlier: Look | None = None
    first = _screen(look, None)
    with contextlib.suppress(KeyboardInterrupt), _keys(), Live(first, screen=True, auto_refresh=False) as live:
        while not _is_ended(interval):
            earlier, look = look, Look.take(site)
            live.update(_screen(look, earlier), refresh=True)


@contextlib.contextmanager
def _keys() -> Iterator[None]:
    """Keys are given at once and not echoed; the terminal is put back as it was."""
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _is_ended(secs: float) -> bool:
    """Wait for a key; whether it was q."""
    ready, _, _ = select.select([sys.stdin], [], [], secs)
    return bool(ready) and sys.stdin.read(1) in "qQ"


def _screen(look: Look, earlier: Look | None) -> Group:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    cells = [[safe(str(cell)) for cell in row] for row in rows(look, earlier)]
    columns = fitting(cells, Console().width)
    for column in columns:
        table.add_column(column, justify="right" if column in NUMBERS else "left", no_wrap=column != "says")
    height = Console().height
    lines = heading(look)
    for row in cells[: max(1, height - len(lines) - 3)]:
        table.add_row(*(styled(row[COLUMNS.index(column)]) for column in columns))
    return Group(*(Text(line) for line in lines), "", table)


def fitting(cells: Sequence[Sequence[str]], width: int) -> list[str]:
    """The columns that a terminal has room for: a number that is cut off would be another number."""
    widths = {
        name: max(map(len, column)) for name, column in zip(COLUMNS, zip(COLUMNS, *cells, strict=True), strict=True)
    }
    widths["says"] = min(widths["says"], SAYS_WIDTH)
    shown = list(COLUMNS)
    for name in SPARED:
        if sum(widths[column] + 2 for column in shown) <= width + 2:
            break
        shown.remove(name)
    return shown


def heading(look: Look) -> list[str]:
    """A few lines on the daemon as a whole."""
    daemon, counts = look.status["daemon"], look.status["counts"]
    state = "not ready: " + "; ".join(daemon["not_ready"]) if daemon["not_ready"] else "ready"
    messages, deliveries = counts["messages"], counts["deliveries"]
    to_send = sum(deliveries.get(name, 0) for name in ("ready", "sending", "waiting"))
    numbers = {
        "messages": sum(messages.values()),
        "to be routed": messages.get("received", 0),
        "to be sent": to_send,
        "dead": messages.get("dead", 0),
        "unsure": deliveries.get("unsure", 0),
        "parked": deliveries.get("parked", 0),
    }
    lines = [
        f"hcsyncd {daemon['version']}  {state}  generation {daemon['generation']}  {time.strftime('%H:%M:%S')}",
        ", ".join(f"{count} {what}" for what, count in numbers.items()),
    ]
    return lines + [f"alert: {safe(alert_line(alert))}" for alert in look.status.get("alerts", [])]


def alert_line(alert: Json) -> str:
    return " ".join(str(alert[name]) for name in ("kind", "subject", "text") if alert.get(name))


def rows(look: Look, earlier: Look | None) -> list[tuple[object, ...]]:
    """One row a channel: sources, then destinations."""
    before = {channel["name"]: earlier.total(channel) for channel in earlier.channels} if earlier else {}
    found: list[tuple[object, ...]] = []
    for channel in sorted(look.channels, key=lambda channel: (channel["role"] != "source", channel["name"])):
        total = look.total(channel)
        rate = ""
        if earlier and channel["name"] in before:
            rate = f"{(total - before[channel['name']]) / max(look.at - earlier.at, 0.001):.1f}"
        counts = channel["counts"]
        is_source = channel["role"] == "source"
        found.append(
            (
                channel["name"],
                channel["role"],
                channel["health"],
                rate,
                total,
                counts.get("received", 0) if is_source else channel["queued"],
                age(channel["oldest_at"], look.now),
                counts.get("dead", 0) or "",
                counts.get("unsure", 0) or "",
                counts.get("parked", 0) or "",
                _says(channel, look.now),
            )
        )
    return found


def _says(channel: Json, now: int) -> str:
    holds = [f"{hold['kind']} held by {hold['by']}: {hold['reason']}" for hold in channel.get("holds", ())]
    next_try = f"next try {age(channel['next_try_at'], now)}" if channel["next_try_at"] else ""
    lanes = f"{channel['held_lanes']} held lanes" if channel["held_lanes"] else ""
    return "; ".join(filter(None, (*holds, lanes, channel["error"], next_try)))
