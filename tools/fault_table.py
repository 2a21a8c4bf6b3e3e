"""Writes the table of docs/reliability.md from the rows that the tests of faults have measured.

    HCSYNCD_FAULT_TABLE=rows.jsonl pytest tests/faults && python tools/fault_table.py rows.jsonl

`make faults` does both. A fault that was tried more than once has one row: its last one.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reliability.md"
BEGIN, END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"

Row = Mapping[str, Any]

COUNTS = (
    ("tries", "tries"),
    ("sent", "sent"),
    ("acknowledged", "acked"),
    ("stored", "stored"),
    ("delivered", "delivered"),
    ("repeats", "repeats"),
    ("filtered", "filtered"),
    ("parked", "parked"),
    ("dead", "dead"),
    ("open", "open"),
    ("lost", "lost"),
    ("doubled", "doubled"),
    ("disordered", "disordered"),
    ("looks", "looks"),
)
"""Fields of a row, and the columns that show them."""


def table(rows: Iterable[Row]) -> str:
    """Two tables: what was counted, and what it means to the operator."""
    measured = sorted({row["fault"]: row for row in rows}.values(), key=lambda row: float(row["place"]))
    names = [name for _, name in COUNTS]
    lines = ["| fault | " + " | ".join(names) + " |", "|---|" + "--:|" * len(names)]
    lines += [f"| {row['fault']} | " + " | ".join(_cell(row, field) for field, _ in COUNTS) + " |" for row in measured]
    lines += ["", "| fault | how it is made | the word to the operator | recovery |", "|---|---|---|---|"]
    lines += [f"| {row['fault']} | {row['made']} | {row['word']} | {row['recovery']} |" for row in measured]
    return "\n".join([*lines, "", _where(), ""])


def _cell(row: Row, field: str) -> str:
    return str(row[field]) if row["counted"] or field == "tries" else "-"


def _where() -> str:
    return f"Measured on Linux {platform.machine()} with Python {platform.python_version()} by `make faults`."


def replaced(page: str, content: str) -> str:
    """The page with what stands between its marks replaced. Raises ValueError for a page without marks."""
    head, _, rest = page.partition(BEGIN)
    _, mark, tail = rest.partition(END)
    if not mark:
        raise ValueError(f"the page has no {BEGIN.strip()} with {END.strip()} behind it")
    return head + BEGIN + content + END + tail


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path, help="what the tests have written")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page to write into")
    asked = parser.parse_args(arguments)
    rows = [json.loads(line) for line in asked.rows.read_text(encoding="utf-8").splitlines()]
    if not rows:
        parser.error(f"{asked.rows} holds no row: did the tests run?")
    page = replaced(asked.page.read_text(encoding="utf-8"), table(rows))
    asked.page.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
