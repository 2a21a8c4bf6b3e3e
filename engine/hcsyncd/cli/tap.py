"""`hcsyncd tap`: messages as they pass a source, a route or a destination."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from hcsyncd.cli.display import note, safe, show_line, styled
from hcsyncd.cli.moments import local
from hcsyncd.cli.selection import selected, selection_options
from hcsyncd.cli.site import ask, site_option

Json = dict[str, Any]
POLL_SECS = 0.5
FULL = 100  # a poll that gives so many is followed by the next at once


@click.command(name="tap")
@click.argument("points", metavar="[POINT]...", nargs=-1)
@selection_options("since", "until", "state", "cause", "route", "destination", "channel", "trace")
@click.option("--unmasked", is_flag=True, help="Show the values of the fields; kept in the audit log.")
@click.option("--count", type=click.IntRange(1), metavar="N", help="End after so many.")
@click.option("--for", "secs", type=click.FloatRange(0), metavar="SECS", help="End after so many seconds.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")
@site_option
def command(
    *,
    site: Path,
    as_json: bool,
    points: tuple[str, ...],
    unmasked: bool,
    count: int | None,
    secs: float | None,
    **options: Any,
) -> None:
    """Show messages as they pass: at a source as they arrive, at a route as deliveries are made, at a destination with
    each try. Without a POINT at every source and destination. Ctrl-C ends it.

    \b
    Example:
      hcsyncd tap adt_in
      hcsyncd tap relay_out --type 'ADT^A0*' --unmasked
    """
    options |= dict.fromkeys(("channel", "route", "destination", "cause", "state"), "")
    begun = ask(site, "tap.start", {**selected(options), "points": points, "unmasked": unmasked})
    note(f"tapping {', '.join(begun['points'])}; Ctrl-C ends it")
    try:
        passed = _follow(site, begun["tap"], count, secs, as_json=as_json)
    except KeyboardInterrupt:
        click.echo(err=True)  # behind the terminal's ^C
        return
    finally:
        ask(site, "tap.stop", {"tap": begun["tap"]})
    note(f"{passed} passed")


def _follow(site: Path, tap: str, count: int | None, secs: float | None, *, as_json: bool) -> int:
    end = None if secs is None else time.monotonic() + secs
    told = 0
    while True:
        passed = ask(site, "tap.next", {"tap": tap})["passed"]
        for one in passed:
            if as_json:
                click.echo(json.dumps(one, ensure_ascii=False))
            else:
                _show(one)
            told += 1
            if told == count:
                return told
        if end is not None and time.monotonic() >= end:
            return told
        if len(passed) < FULL:
            time.sleep(POLL_SECS)


def _show(passed: Json) -> None:
    message, delivery = passed["message"], passed["delivery"]
    line = Text(f"{local(passed['at'], milliseconds=True)}  {passed['point']}  ")
    line.append_text(styled(passed["what"]))
    keys = message["keys"]
    line.append(safe(f"  message {message['id']}  {keys['type']}  {keys['control_id']}"))
    if delivery:
        line.append(f"  delivery {delivery['id']}")
    if passed["cause"]:
        line.append(safe(f"  {passed['cause']}"))
    show_line(line)
    for text in field_lines(passed["read"]):
        show_line(f"    {safe(text)}")


def field_lines(read: Json) -> list[str]:
    """A body in a few lines: HL7 a segment a line, other formats a value a line."""
    if read["problem"]:
        return [f"({read['problem']})"]
    if read["format"] != "hl7":
        return [f"{field['path']} = {field['value']}" for field in read["fields"]]
    lines: dict[str, list[str]] = {}
    for field in read["fields"]:
        segment, _, place = field["path"].partition("-")
        lines.setdefault(segment, []).append(f"{place}={field['value']}")
    return [f"{segment}  {'  '.join(values)}" for segment, values in lines.items()]
