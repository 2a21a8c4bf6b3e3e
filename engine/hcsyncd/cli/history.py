"""`hcsyncd history`: every configuration that was live, with who brought it, when and why, and its files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from hcsyncd.cli.display import json_option, note, safe, show_facts, show_heading, show_json, show_line, show_table
from hcsyncd.cli.message_view import decoded
from hcsyncd.cli.moments import local
from hcsyncd.cli.site import ask, site_option

COLUMNS = ("generation", "began", "ended", "outcome", "by", "reason", "changes")
FEW = 2  # changes that a list shows
NUMBER = click.IntRange(1, 2**63 - 1)


@click.group(name="history", invoke_without_command=True)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="At most so many.")
@json_option
@site_option
@click.pass_context
def command(context: click.Context, *, site: Path, as_json: bool, limit: int) -> None:
    """List the configurations that were live, the newest first: when, by whom, why, and what changed.

    \b
    Example:
      hcsyncd history
      hcsyncd history show 7 --file routes.yaml
      hcsyncd history diff 6 7
    """
    if context.invoked_subcommand is not None:
        return
    rows = ask(site, "configuration.history", {"limit": limit})
    if as_json:
        show_json(rows)
        return
    show_table(COLUMNS, map(_row, rows), right=("generation",))
    if len(rows) == limit:
        note(f"({limit} are shown; --limit N shows more)")


def _row(row: dict[str, Any]) -> tuple[object, ...]:
    changes = row["changes"]
    few = "; ".join(changes[:FEW]) + (f"; {len(changes) - FEW} more" if len(changes) > FEW else "")
    why = f"{row['outcome']}: {row['why']}" if row["why"] else row["outcome"]
    return row["number"], local(row["began_at"]), local(row["ended_at"]), why, row["author"], row["reason"], few


@command.command()
@click.argument("number", metavar="GENERATION", type=NUMBER)
@click.option("--file", "name", default="", metavar="NAME", help="Write this file as it was, and nothing else.")
@json_option
@site_option
def show(*, site: Path, as_json: bool, number: int, name: str) -> None:
    """Show one generation: its facts, its changes and its files.

    \b
    Example:
      hcsyncd history show 7
      hcsyncd history show 7 --file transforms/events.py
    """
    shown = ask(site, "configuration.show", {"number": number, "content": bool(name)})
    if name:
        if name not in shown["files"]:
            known = ", ".join(sorted(shown["files"]))
            raise click.UsageError(f"Generation {number} has no file {name}. It has {known}.")
        sys.stdout.buffer.write(decoded(shown["files"][name]))
    elif as_json:
        show_json(shown)
    else:
        _show(shown)


def _show(shown: dict[str, Any]) -> None:
    row = shown["generation"]
    show_heading(f"Generation {row['number']}")
    facts = [
        ("outcome", row["outcome"]),
        ("why", row["why"]),
        ("began", local(row["began_at"])),
        ("ended", local(row["ended_at"])),
        ("by", row["author"]),
        ("reason", row["reason"]),
        ("digest", row["digest"]),
        *(("change", change) for change in row["changes"]),
    ]
    show_facts(facts, indent=2)
    show_line()
    show_table(("file", "bytes"), sorted(shown["files"].items()), right=("bytes",))


@command.command()
@click.argument("number", metavar="GENERATION", type=NUMBER)
@click.argument("other", metavar="GENERATION", type=NUMBER)
@json_option
@site_option
def diff(*, site: Path, as_json: bool, number: int, other: int) -> None:
    """Show how the files of two generations differ, as a unified diff.

    \b
    Example:
      hcsyncd history diff 6 7
    """
    found = ask(site, "configuration.diff", {"number": number, "other": other})
    if as_json:
        show_json(found)
        return
    for line in found["diff"]:
        show_line("\t".join(map(safe, line.split("\t"))))
    if not found["changes"]:
        note(f"generations {number} and {other} have the same files")
