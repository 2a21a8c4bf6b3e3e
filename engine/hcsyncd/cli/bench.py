"""`hcsyncd bench`: how fast the engine is on this machine, as ratios from one run."""

from __future__ import annotations

from pathlib import Path

import click

from hcsyncd.cli.display import json_option, note, show_json, show_table, size
from hcsyncd.cli.measuring.rounds import Figure, Plan, measure
from hcsyncd.cli.measuring.tools import NeutralTools, OwnTools, Tools
from hcsyncd.cli.moments import span

COLUMNS = ("measure", "connections", "messages/s", "ratio", "p50", "p99", "CPU s/10,000", "memory")


@click.command(name="bench")
@click.option(
    "--connections",
    multiple=True,
    type=click.IntRange(1, 1000),
    default=(64,),
    show_default=True,
    help="May be repeated.",
)
@click.option("--messages", default=5000, show_default=True, type=click.IntRange(100), help="In each round.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1, 100), help="Figures are their medians.")
@click.option(
    "--tools",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="A folder with mllp_load and mllp_sink, built. Default: our own client and sink.",
)
@json_option
def command(*, connections: tuple[int, ...], messages: int, rounds: int, folder: Path | None, as_json: bool) -> None:
    """Measure the engine on this machine: a daemon of its own, in a temporary folder, at full durability.

    The yardstick is the sender against the sink, with nothing between. Intake is received, stored and acknowledged;
    relay is intake, two fields changed, sent on by MLLP and its outcome stored. Ratios are to this run's yardstick.

    \b
    Example:
      hcsyncd bench --connections 1 --connections 64
    """
    tools: Tools = NeutralTools(folder) if folder else OwnTools()
    note(f"yardstick: {tools.name}; {rounds} rounds of {messages} messages")
    figures = measure(Plan(connections, messages, rounds), tools, lambda figure: note(f"  {figure.what}: done"))
    if as_json:
        show_json({"tools": tools.name, "figures": [figure.as_json() for figure in figures]})
    else:
        show_table(COLUMNS, map(_row, figures), right=COLUMNS[1:])


def _row(figure: Figure) -> tuple[object, ...]:
    return (
        figure.what,
        figure.connections,
        f"{figure.rate:,.0f}",
        f"{figure.ratio:.3f}",
        span(figure.p50),
        span(figure.p99),
        f"{figure.cpu:.2f}" if figure.cpu else "",
        size(figure.resident_bytes) if figure.resident_bytes else "",
    )
