"""`hcsyncd trace`: the tree from a first cause to every effect, by whatever a person has in hand."""

from __future__ import annotations

import time
from pathlib import Path

import click

from hcsyncd.cli.display import json_option, note, show_json, show_line
from hcsyncd.cli.site import ask, site_option
from hcsyncd.cli.trace_view import show_trace

SHOWN = 10


@click.command(name="trace")
@click.argument("word", metavar="ID|CONTROL-ID|KEY=VALUE")
@click.option("--limit", default=SHOWN, show_default=True, type=click.IntRange(1, 1000), help="Show so many traces.")
@json_option
@site_option
def command(*, site: Path, as_json: bool, word: str, limit: int) -> None:
    """Show the whole way from the first cause of a message to all of its effects, and what is still missing.

    \b
    Example:
      hcsyncd trace 17
      hcsyncd trace MSG00042
      hcsyncd trace mrn=123456
    """
    show_traces(site, word, limit, as_json=as_json)


def show_traces(site: Path, word: str, limit: int, *, as_json: bool) -> None:
    """Every trace of what a word may mean, the newest first."""
    found = ask(site, "trace", {"word": word})["traces"]
    traces = [{**one, **ask(site, "messages.trace", {"id": one["of"]})} for one in found[:limit]]
    if as_json:
        show_json(traces)
        return
    now = time.time_ns() // 1000
    for number, traced in enumerate(traces):
        if number:
            show_line()
        show_trace(traced, traced["of"], now)
    if len(found) > limit:
        note(f"({limit} of {len(found)} traces are shown; --limit N shows more)")
