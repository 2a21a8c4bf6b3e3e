"""`hcsyncd status`: is it well, what waits, and what needs a person."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from hcsyncd.cli.alerts import COLUMNS as ALERT_COLUMNS, alert_row
from hcsyncd.cli.channels import CHANNEL_COLUMNS, channel_row
from hcsyncd.cli.display import json_option, show_facts, show_heading, show_json, show_line, show_table, size
from hcsyncd.cli.moments import age, local
from hcsyncd.cli.site import ask, site_option

Json = dict[str, Any]


@click.command(name="status")
@json_option
@site_option
def command(*, site: Path, as_json: bool) -> None:
    """Show how the daemon and its channels fare. Exits 1 when it is not ready.

    \b
    Example:
      hcsyncd status
    """
    status = ask(site, "status")
    if as_json:
        show_json(status)
    else:
        _show(status, time.time_ns() // 1000)
    if status["daemon"]["not_ready"]:
        raise click.exceptions.Exit(1)


def _show(status: Json, now: int) -> None:
    daemon, counts = status["daemon"], status["counts"]
    show_heading(f"hcsyncd {daemon['version']}")
    facts = [
        ("state", "ready" if not daemon["not_ready"] else "not ready"),
        *(("because", reason) for reason in daemon["not_ready"]),
        ("site", daemon["site"]),
        ("process", daemon["pid"]),
        ("started", f"{local(daemon['started_at'])} ({age(daemon['started_at'], now)})"),
        ("configuration", f"generation {daemon['generation']}, {age(daemon['activated_at'], now)}"),
        ("watched", f"for errors, until {local(daemon['watched_until'])}" if daemon["watched_until"] else ""),
        ("beware", daemon["given_up"]),
        ("workers", daemon["workers"]),
        ("memory", size(daemon["memory_bytes"])),
        ("disk free", size(daemon["free_bytes"])),
        ("metrics", f"http://{daemon['http']}/metrics" if daemon["http"] else ""),
    ]
    show_facts(facts, indent=2)
    for title in ("messages", "deliveries", "replays"):
        if states := counts.get(title):
            show_line()
            show_heading(f"{title.capitalize()} ({sum(states.values())})")
            show_facts(sorted(states.items()), indent=2)
    if status["channels"]:
        show_line()
        show_heading("Channels")
        rows = [channel_row(channel, now) for channel in status["channels"]]
        show_table(CHANNEL_COLUMNS, rows, right=("queued",))
    _show_waiting(counts.get("deliveries", {}))
    if status["alerts"]:
        show_line()
        show_heading(f"Alerts ({len(status['alerts'])})")
        show_table(ALERT_COLUMNS, [alert_row(alert, now) for alert in status["alerts"]], right=("alert",))
    dead = counts.get("messages", {}).get("dead", 0) + counts.get("replays", {}).get("dead", 0)
    if dead:
        show_line()
        show_line(f"{dead} message{'s' * (dead != 1)} with dead letters: hcsyncd dead list")


def _show_waiting(deliveries: Json) -> None:
    """What waits for a person, and the command to type."""
    for state, one, many, command in (
        ("parked", "waits for a mapping", "wait for a mapping", "hcsyncd tasks"),
        ("unsure", "is unsure", "are unsure", "hcsyncd unsure"),
    ):
        if count := deliveries.get(state, 0):
            show_line()
            show_line(f"{count} {f'delivery {one}' if count == 1 else f'deliveries {many}'}: {command}")
