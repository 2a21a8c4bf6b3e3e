"""`hcsyncd alerts`: what holds that somebody should look after, what held, and whether word of it gets through."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from hcsyncd.cli.display import json_option, note, show_json, show_line, show_table
from hcsyncd.cli.list_first import ListFirst
from hcsyncd.cli.moments import age, local, span
from hcsyncd.cli.site import ask, site_option
from hcsyncd.clock import MICROSECONDS

Json = dict[str, Any]
COLUMNS = ("alert", "kind", "subject", "since", "owner", "seen by", "says")


@click.group(name="alerts", cls=ListFirst)
def command() -> None:
    """Show alerts: conditions that are told of once, reminded of, and told of once more when they are gone.

    \b
    Example:
      hcsyncd alerts list
      hcsyncd alerts acknowledge 4 --note 'the laboratory restarts its server'
    """


def alert_row(alert: Json, now: int) -> tuple[object, ...]:
    """One line of a table with COLUMNS."""
    return (
        alert["id"] or "",
        alert["kind"],
        alert["subject"],
        age(alert["raised_at"], now),
        alert["owner"],
        alert["acknowledged_by"],
        alert["text"],
    )


@command.command(name="list")
@json_option
@site_option
def list_open(*, site: Path, as_json: bool) -> None:
    """List the open alerts, the oldest first. Exits 1 when there are any.

    \b
    Example:
      hcsyncd alerts list
    """
    alerts = ask(site, "alerts.list")
    if as_json:
        show_json(alerts)
    elif not alerts:
        show_line("No open alerts.")
    else:
        now = time.time_ns() // 1000
        show_table(COLUMNS, [alert_row(alert, now) for alert in alerts], right=("alert",))
        note("\nhcsyncd alerts acknowledge ID --note TEXT says that somebody looks after one")
    if alerts:
        raise click.exceptions.Exit(1)


@command.command()
@click.option("--kind", default="", metavar="NAME", help="Of this kind, as queue-age.")
@click.option("--subject", default="", metavar="NAME", help="Of this channel, file or sink.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="At most so many.")
@json_option
@site_option
def history(*, site: Path, as_json: bool, kind: str, subject: str, limit: int) -> None:
    """List alerts that were raised, open and cleared, the newest first.

    \b
    Example:
      hcsyncd alerts history --kind silent-feed
    """
    alerts = ask(site, "alerts.history", {"kind": kind, "subject": subject, "limit": limit})
    if as_json:
        show_json(alerts)
        return
    rows = [
        (
            alert["id"],
            alert["kind"],
            alert["subject"],
            local(alert["raised_at"]),
            _lasted(alert),
            alert["reminders"] or "",
            alert["acknowledged_by"],
            alert["note"],
            alert["text"],
        )
        for alert in alerts
    ]
    columns = ("alert", "kind", "subject", "raised", "lasted", "reminders", "seen by", "note", "said")
    show_table(columns, rows, right=("alert", "reminders"))


def _lasted(alert: Json) -> str:
    if not alert["cleared_at"]:
        return "open"
    return span(max(0, alert["cleared_at"] - alert["raised_at"]) / MICROSECONDS)


@command.command()
@click.argument("alert_id", metavar="ID", type=click.IntRange(1, 2**63 - 1))
@click.option("--note", "text", default="", metavar="TEXT", help="What is being done; kept with the alert.")
@json_option
@site_option
def acknowledge(*, site: Path, as_json: bool, alert_id: int, text: str) -> None:
    """Say that somebody looks after an open alert: it stays open, and nobody is reminded of it any more.

    Acknowledging a clock-jump says that the clock is right: alerts and retention believe it from then on.

    \b
    Example:
      hcsyncd alerts acknowledge 4 --note 'the laboratory restarts its server'
    """
    alert = ask(site, "alerts.acknowledge", {"id": alert_id, "note": text})
    if as_json:
        show_json(alert)
    else:
        show_line(
            f"alert {alert['id']} ({alert['kind']} {alert['subject']}) is acknowledged by {alert['acknowledged_by']}"
        )


@command.command()
@json_option
@site_option
def test(*, site: Path, as_json: bool) -> None:
    """Send a test to every sink that is configured, now. Exits 1 when one does not take it.

    \b
    Example:
      hcsyncd alerts test
    """
    told = ask(site, "alerts.test", timeout=120.0)
    if as_json:
        show_json(told)
    elif not told:
        show_line("No sink is configured (alerts: webhook, email in hcsyncd.yaml): alerts go to the log alone.")
    else:
        show_table(("sink", "result", "says"), [(sink, "failed" if why else "ok", why) for sink, why in told.items()])
    if any(told.values()):
        raise click.exceptions.Exit(1)
