"""`hcsyncd audit`: who saw, sent, replayed and changed what, and the proof that nobody edited it since."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from hcsyncd.cli.display import json_option, note, show_json, show_line, show_table
from hcsyncd.cli.moments import Moment, local
from hcsyncd.cli.selection import KEY, MESSAGE_ID
from hcsyncd.cli.site import ask, site_option
from hcsyncd.cli.storing.audit import carry_out
from hcsyncd.errors import DaemonAbsent

Json = dict[str, Any]
PAGE = 1000
_COLUMNS = ("entry", "at", "user", "process", "command", "outcome", "what")


@click.group(name="audit")
def command() -> None:
    """Show and prove who saw, sent, replayed and changed what. Works with and without a running daemon.

    \b
    Example:
      hcsyncd audit list --user anna --since yesterday
      hcsyncd audit verify
    """


def _carry_out(site: Path, verb: str, asked: Json) -> Any:
    """By the daemon, or where none runs, on its store."""
    try:
        return ask(site, verb, asked, timeout=600.0)
    except DaemonAbsent:
        return carry_out(site, verb, asked)


@command.command(name="list")
@click.option("--user", default="", metavar="NAME", help="By this user, a login name or a number.")
@click.option("--verb", default="", metavar="PATTERN", help="Of this command, as messages.show or 'dead.*'.")
@click.option("--message", "ids", multiple=True, type=MESSAGE_ID, metavar="ID", help="That names this message.")
@click.option(
    "--key",
    "keys",
    multiple=True,
    type=KEY,
    metavar="NAME=VALUE",
    help="About messages with this business key, as mrn=123456, or asked for by it: it is kept as a pseudonym.",
)
@click.option("--since", type=Moment(), metavar="TIME", help="Since: 2h, 14:30, 2026-11-22.")
@click.option("--until", type=Moment(), metavar="TIME", help="Before.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000), help="At most so many.")
@json_option
@site_option
def list_entries(*, site: Path, as_json: bool, limit: int, **options: Any) -> None:
    """List entries, the newest first. Reading the log is itself noted in it.

    \b
    Example:
      hcsyncd audit list --message 17
      hcsyncd audit list --key mrn=4711 --since 30d
    """
    entries = _carry_out(site, "audit.list", {**_given(options), "limit": limit})
    if as_json:
        show_json(entries)
        return
    if not entries:
        show_line("No entries.")
        return
    show_table(_COLUMNS, [_row(entry) for entry in entries], right=("entry", "process"))
    if len(entries) == limit:
        note("\nthere may be more: --limit N, or a narrower --since")


def _given(options: Json) -> Json:
    return {name: value for name, value in options.items() if value not in ("", None, ())}


def _row(entry: Json) -> tuple[object, ...]:
    outcome = "" if entry["outcome"] == "given" else entry["outcome"]
    return (
        entry["number"],
        local(entry["at"]),
        entry["user"],
        entry["process_id"],
        entry["verb"],
        outcome,
        _words(entry["what"]),
    )


def _words(what: str) -> str:
    """``name=value`` for each, as short as it can be read."""
    asked = json.loads(what)
    return " ".join(f"{name}={_word(value)}" for name, value in asked.items())


def _word(value: object) -> str:
    if isinstance(value, str):
        return value if value and " " not in value else json.dumps(value, ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@command.command()
@click.option(
    "--anchor",
    "anchors",
    multiple=True,
    metavar="ENTRY:HASH",
    help="A head of the log that was kept elsewhere, as `audit_anchored` in a collected log.",
)
@json_option
@site_option
def verify(*, site: Path, as_json: bool, anchors: tuple[str, ...]) -> None:
    """Read the whole log and find any edit, gap, move or insertion; with an anchor, also what was cut off at its end.
    Exits 1 when the log is not as it was written, and names the first bad entry.

    \b
    Example:
      hcsyncd audit verify
      hcsyncd audit verify --anchor 1203:9f86d081884c7d65...
    """
    verified = _carry_out(site, "audit.verify", {"anchors": anchors})
    findings = verified["findings"]
    if as_json:
        show_json(verified)
    elif findings:
        show_line(f"The audit log is not as it was written; first at entry {findings[0]['number']}:")
        show_table(
            ("entry", "finding", "says"),
            [(one["number"], one["code"], one["text"]) for one in findings],
            right=("entry",),
        )
    else:
        show_line(f"{verified['entries']} entries, each as it was written")
    if not as_json and verified["head"]:
        note(f"head {verified['head']}")
    if findings:
        raise click.exceptions.Exit(1)


@command.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--since", type=Moment(), metavar="TIME", help="Since: 2h, 14:30, 2026-11-22.")
@click.option("--until", type=Moment(), metavar="TIME", help="Before.")
@json_option
@site_option
def export(*, site: Path, as_json: bool, file: Path, **options: Any) -> None:
    """Write entries to a file, one JSON object a line, the oldest first. Never overwrites.

    \b
    Example:
      hcsyncd audit export audit-2026-11.jsonl --since 2026-11-01
    """
    try:
        stream = file.open("x", encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"cannot write {file}: {error.strerror}") from error
    count = 0
    with stream:
        for entry in _all(site, _given(options)):
            stream.write(json.dumps(entry, ensure_ascii=False) + "\n")
            count += 1
    if as_json:
        show_json({"file": str(file), "entries": count})
    else:
        show_line(f"{count} entries are in {file}")


def _all(site: Path, wanted: Json) -> Iterator[Json]:
    after = 0
    while True:
        page = _carry_out(site, "audit.list", {**wanted, "after": after, "limit": PAGE, "newest_first": False})
        yield from page
        if len(page) < PAGE:
            return
        after = page[-1]["number"]
