"""The reference site's own Python: what its cases do not reach."""

import ast
import sys
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from tests.fakes.tree import label, parsed, python_files
from transforms.moment import iso

TRANSFORMS = python_files("transforms")


@pytest.mark.parametrize(
    ("timestamp", "expected"),
    [
        ("20260302081500", "2026-03-02T08:15:00"),
        ("202603020815", "2026-03-02T08:15:00"),
        ("2026030208", "2026-03-02T08:00:00"),
        ("20260302081500.123+0100", "2026-03-02T08:15:00.123+01:00"),
        ("20260302081500-0530", "2026-03-02T08:15:00-05:30"),
        ("20260302", "2026-03-02"),
        ("202603", "2026-03"),
        ("2026", "2026"),
        ("20260302+0100", "2026-03-02"),  # a day has no offset in ISO 8601
        ('""', ""),
        ("", ""),
        ("tomorrow", ""),
        ("2026030208150", ""),
    ],
)
def test_timestamps(timestamp: str, expected: str) -> None:
    assert iso(timestamp) == expected


@given(st.text())
def test_a_timestamp_is_read_or_left_out(timestamp: str) -> None:
    assert iso(timestamp) == "" or iso(timestamp)[:4] == timestamp[:4]


@pytest.mark.parametrize("path", TRANSFORMS, ids=label)
def test_transforms_use_hcsyncd_one_another_and_the_standard_library(path: Path) -> None:
    used: set[str] = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            used.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            used.add(node.module or "")
    assert {name for name in used if name != "hcsyncd" and name.split(".")[0] not in sys.stdlib_module_names} == set()
