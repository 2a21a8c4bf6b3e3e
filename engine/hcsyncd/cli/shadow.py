"""`hcsyncd shadow`: stored traffic through the running configuration and through the one on disk."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from hcsyncd.cli.display import is_terminal, json_option, note, safe, show_json, show_line
from hcsyncd.cli.failure import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_UNUSABLE, tell
from hcsyncd.cli.moments import Moment
from hcsyncd.cli.site import ask, site_option
from hcsyncd.errors import CommandRefused, ControlError

PAGE = 100  # messages
PAGE_SECS = 300.0
EXAMPLES = 5  # messages that are named for each difference
MAX_GROUPS = 500  # differences that are told apart

Json = dict[str, Any]
Key = tuple[str, str, str]  # route, destination, what


@dataclass(slots=True)
class Group:
    """Messages that differ in the same thing."""

    messages: int = 0
    last_id: int = 0
    examples: list[Json] = field(default_factory=list)

    def add(self, difference: Json) -> None:
        if difference["message_id"] != self.last_id:
            self.last_id = difference["message_id"]
            self.messages += 1
            if len(self.examples) < EXAMPLES:
                self.examples.append({name: difference[name] for name in ("message_id", "was", "now")})


@dataclass(slots=True)
class Findings:
    """What the pages said so far; memory does not grow with the number of messages."""

    looked: int = 0
    differ: int = 0
    by_route: dict[str, int] = field(default_factory=dict)
    groups: dict[Key, Group] = field(default_factory=dict)
    untold: int = 0  # differences beyond the groups that are kept
    stopped: bool = False

    def add(self, page: Json) -> None:
        self.looked += page["looked"]
        for route, count in page["by_route"].items():
            self.by_route[route] = self.by_route.get(route, 0) + count
        self.differ += len({difference["message_id"] for difference in page["differences"]})
        for difference in page["differences"]:
            key = (difference["route"], difference["destination"], difference["what"])
            group = self.groups.get(key)
            if group is None and len(self.groups) >= MAX_GROUPS:
                self.untold += 1
                continue
            self.groups.setdefault(key, Group()).add(difference)

    def as_json(self) -> Json:
        groups = [
            {
                "route": route,
                "destination": destination,
                "what": what,
                "messages": group.messages,
                "of": self.of(route),
                "examples": group.examples,
            }
            for (route, destination, what), group in self._sorted()
        ]
        return {
            "looked": self.looked,
            "differ": self.differ,
            "groups": groups,
            "untold": self.untold,
            "stopped": self.stopped,
        }

    def lines(self, *, values: bool) -> Iterator[str]:
        for (route, destination, what), group in self._sorted():
            where = f"route {route} to {destination}" if route else "messages"
            named = ", ".join(str(example["message_id"]) for example in group.examples)
            more = ", ..." if group.messages > len(group.examples) else ""
            yield f"{where}: {group.messages} of {self.of(route)} differ: {what} (messages {named}{more})"
            if values:
                for example in group.examples:
                    if example["was"] or example["now"]:
                        yield f"    {example['message_id']}: {example['was']!r} -> {example['now']!r}"

    def of(self, route: str) -> int:
        return self.by_route.get(route, 0) if route else self.looked

    def _sorted(self) -> list[tuple[Key, Group]]:
        return sorted(self.groups.items(), key=lambda item: (item[0][:2], -item[1].messages, item[0][2]))


@click.command(name="shadow")
@click.option("--since", type=Moment(), required=True, metavar="TIME", help="Received since: 7d, 14:30, 2026-11-22.")
@click.option("--until", type=Moment(), metavar="TIME", help="Received before.")
@click.option("--channel", default="", metavar="NAME", help="That came in by this channel.")
@click.option("--limit", type=click.IntRange(1), help="Look at so many messages at most. Without it: at all of them.")
@click.option("--values", is_flag=True, help="Show what the differing fields say; it is patients' data.")
@json_option
@site_option
def command(*, site: Path, as_json: bool, limit: int | None, values: bool, **options: Any) -> None:
    """Put stored arrivals through the configuration that runs and through the one on disk, and list in what the two
    differ: routes taken, failures, and fields of what would be sent. Nothing is stored or sent, and live messages go
    first. Ctrl-C stops it with what was found so far.

    Exits 1 when something differs, 2 when the site on disk has errors.

    \b
    Example:
      hcsyncd shadow --since 7d
      hcsyncd shadow --since 24h --channel adt_in --limit 1000 --values
    """
    wanted = {name: value for name, value in options.items() if value not in (None, "")}
    findings = _compare(site, {**wanted, "values": values}, limit)
    if as_json:
        show_json(findings.as_json())
    else:
        for line in findings.lines(values=values):
            show_line(safe(line))
        if findings.untold:
            show_line(f"and {findings.untold} differences of further kinds")
        stopped = "stopped; " if findings.stopped else ""
        show_line(f"{stopped}{findings.looked} messages looked at, {findings.differ} differ")
    if findings.stopped:
        raise click.exceptions.Exit(EXIT_INTERRUPTED)
    if findings.differ:
        raise click.exceptions.Exit(EXIT_FAILED)


def _compare(site: Path, wanted: Json, limit: int | None) -> Findings:
    findings = Findings()
    try:
        number = ask(site, "shadow.begin")["number"]
    except CommandRefused as error:
        if error.reason != "config":
            raise
        tell(error)
        raise click.exceptions.Exit(EXIT_UNUSABLE) from error
    if not number:
        note("what is on disk is what runs: there is nothing to compare")
        return findings
    try:
        for page in _pages(site, {**wanted, "number": number}, limit):
            findings.add(page)
            if is_terminal():
                click.echo(f"\r{findings.looked} looked at, {findings.differ} differ", nl=False, err=True)
    except KeyboardInterrupt:
        findings.stopped = True
    finally:
        with contextlib.suppress(ControlError):  # it ends by itself soon after
            ask(site, "shadow.end", {"number": number})
    if is_terminal():
        click.echo(err=True)
    return findings


def _pages(site: Path, wanted: Json, limit: int | None) -> Iterator[Json]:
    left, after, more = limit, 0, True
    while more and (left is None or left > 0):
        size = PAGE if left is None else min(PAGE, left)
        page = ask(site, "shadow.page", {**wanted, "after_id": after, "limit": size}, timeout=PAGE_SECS)
        yield page
        after, more = page["after_id"], page["more"]
        left = None if left is None else left - size
