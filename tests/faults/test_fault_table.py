"""The table of faults is written from what was measured, and from nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.fakes.fault_table import Row
from tests.fakes.tree import ROOT


def write(page: Path, *rows: Row) -> subprocess.CompletedProcess[str]:
    measured = page.with_name("rows.jsonl")
    measured.touch()
    for row in rows:
        row.append_to(measured)
    return subprocess.run(
        [sys.executable, ROOT / "tools/fault_table.py", measured, "--page", page],
        capture_output=True,
        text=True,
        check=False,
    )


def test_rows_stand_in_their_order_and_the_last_of_a_fault_counts(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- measured: begin -->\nold\n<!-- measured: end -->\nafter\n")
    first = Row(2, "flood", "with water", "`wet`", "it dries", sent=1)
    second = Row(1, "fire", "with a match", "`hot`", "it cools", sent=5, looks=7)
    assert write(page, first, second, Row(2, "flood", "with water", "`wet`", "it dries", sent=3)).returncode == 0
    lines = page.read_text().splitlines()
    assert (lines[0], lines[-1]) == ("before", "after")
    rows = [line for line in lines if line.startswith(("| fire", "| flood"))]
    assert rows == [
        "| fire | 1 | 5 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 7 |",
        "| flood | 1 | 3 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 |",
        "| fire | with a match | `hot` | it cools |",
        "| flood | with water | `wet` | it dries |",
    ]


def test_nothing_measured_leaves_the_page_as_it_is(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- measured: begin -->\nold\n<!-- measured: end -->\n")
    refused = write(page)
    assert refused.returncode == 2
    assert "holds no row" in refused.stderr
    assert "old" in page.read_text()


def test_the_shipped_page_has_a_measured_table_without_losses() -> None:
    page = (ROOT / "docs/reliability.md").read_text()
    measured = page.partition("<!-- measured: begin -->")[2].partition("<!-- measured: end -->")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in measured.splitlines() if line.startswith("| ")]
    head = rows[0]
    counted = [dict(zip(head, row, strict=True)) for row in rows[1:] if len(row) == len(head)]
    assert len(counted) > 30
    losses = {(row["lost"], row["doubled"], row["disordered"]) for row in counted}
    assert losses == {("0", "0", "0"), ("-", "-", "-")}, "a dash: refused, so that there was nothing to count"
