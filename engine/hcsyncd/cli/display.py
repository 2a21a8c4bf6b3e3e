"""How results reach a person: tables and facts in colour on a terminal, plain columns elsewhere, JSON when asked for.

Texts that came from outside (control ids, peers' names, answers) are shown with their control characters written out:
nothing that was sent can command the operator's terminal.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

_GREEN = ("up", "sent", "done", "accepted", "passed", "ok", "ready")
_RED = ("down", "dead", "failed", "error", "refused", "lost", "unsure")
_YELLOW = ("held", "waiting", "sending", "parked", "unrouted", "warning", "owed")
_DIM = ("off", "filtered", "closed", "received", "routed", "not_owed")
_STYLES = {
    word: style
    for style, words in (("green", _GREEN), ("bold red", _RED), ("yellow", _YELLOW), ("dim", _DIM))
    for word in words
}

SHORT = 24  # characters
AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])


def json_option(function: AnyFunction) -> AnyFunction:
    """Gives a command its ``as_json: bool``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)


def safe(text: str) -> str:
    """``text`` with everything that is no printable character written as an escape."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def styled(text: str) -> Text:
    """A cell: states in their colour, everything else as it is."""
    return Text(text, style=_STYLES.get(text.split(":", 1)[0], ""))


def is_terminal() -> bool:
    return sys.stdout.isatty()


def show_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = ()) -> None:
    """``right`` names the columns that are numbers."""
    cells = [[safe(str(cell)) for cell in row] for row in rows]
    if not is_terminal() or not _fits(columns, cells):
        for line in plain_columns(columns, cells, right):
            click.echo(line)
        return
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for index, column in enumerate(columns):
        is_short = (
            max((len(row[index]) for row in cells), default=0) <= SHORT
        )  # a narrow terminal folds only the others
        justify: Literal["left", "right"] = "right" if column in right else "left"
        table.add_column(column, justify=justify, overflow="fold", no_wrap=is_short)
    for row in cells:
        table.add_row(*(styled(cell) for cell in row))
    Console().print(table)


def _fits(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether a terminal is wide enough to fold the long columns and still be read."""
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    return sum(min(width, SHORT) + 2 for width in widths) <= Console().width + 2


def plain_columns(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> Iterator[str]:
    """The lines of a table for a pipe: two spaces between columns, nothing cut off."""
    lines = [list(columns), *rows]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    for line in lines:
        padded = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, cell, width in zip(columns, line, widths, strict=True)
        ]
        yield "  ".join(padded).rstrip()


def show_facts(facts: Iterable[tuple[str, object]], *, indent: int = 0) -> None:
    """Labels and values, one a line; what is empty is left out."""
    shown = [(label, safe(str(value))) for label, value in facts if value not in ("", None)]
    width = max((len(label) for label, _ in shown), default=0)
    for label, value in shown:
        line = Text(f"{' ' * indent}{label.ljust(width)}  ", style="bold" if is_terminal() else "")
        line.append_text(styled(value) if is_terminal() else Text(value))
        show_line(line)


def show_heading(text: str) -> None:
    show_line(Text(safe(text), style="bold cyan"))


def show_line(text: Text | str = "") -> None:
    """One line, never wrapped nor cut; coloured on a terminal."""
    if isinstance(text, Text) and is_terminal():
        Console(soft_wrap=True).print(text)
    else:
        click.echo(str(text))


def note(text: str) -> None:
    """A word for the person, beside the result."""
    click.echo(text, err=True)


@dataclass(frozen=True, slots=True)
class Branch:
    """A line of a tree with what hangs below it."""

    text: Text
    below: list[Branch] = field(default_factory=list)


def show_tree(branch: Branch, lead: str = "", stem: str = "") -> None:
    show_line(Text(lead + stem).append_text(branch.text))
    inner = lead + {"": "", "├─ ": "│  ", "└─ ": "   "}[stem]
    for number, child in enumerate(branch.below, 1):
        show_tree(child, inner, "└─ " if number == len(branch.below) else "├─ ")


def size(count: int) -> str:
    """Bytes at a glance: 1100 B, 45.3 kB, 2.1 GB."""
    if count < 10_000:
        return f"{count} B"
    if count < 1_000_000:
        return f"{count / 1_000:.1f} kB"
    return f"{count / 1_000_000:.1f} MB" if count < 1_000_000_000 else f"{count / 1_000_000_000:.1f} GB"
