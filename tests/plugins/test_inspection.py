"""Transforms are looked at in a process of its own, which may come to any end."""

from __future__ import annotations

from pathlib import Path

import pytest

from hcsyncd.plugins.inspection import inspect_plugins
from tests.fakes.transforms import write_transforms

GOOD = """
@transform
def f(document, context):
    return Out("x")


@filter
def g(document, context):
    return True
"""


def test_functions_are_listed_with_their_roles(tmp_path: Path) -> None:
    found = inspect_plugins(write_transforms(tmp_path, good=GOOD))
    assert (found.functions, found.faults) == ({"good.f": "transform", "good.g": "filter"}, [])


def test_no_folder_has_no_functions(tmp_path: Path) -> None:
    found = inspect_plugins(tmp_path / "transforms")
    assert (found.functions, found.faults) == ({}, [])


def test_faults_of_all_files_come_back(tmp_path: Path) -> None:
    found = inspect_plugins(write_transforms(tmp_path, a="def f(:\n", b="import nothing_like_it\n", good=GOOD))
    assert [(fault.file, fault.code) for fault in found.faults] == [
        ("transforms/a.py", "plugin-syntax"),
        ("transforms/b.py", "plugin-import"),
    ]
    assert found.functions == {}


def test_what_a_file_prints_does_not_confuse(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    noise = "import os\nprint('{\"type\":\"found\"}')\nos.write(1, b'raw\\n')\nos.write(2, b'raw\\n')\n"
    found = inspect_plugins(write_transforms(tmp_path, good=noise + GOOD))
    assert (len(found.functions), found.faults) == (2, [])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("source", "code", "text"),
    [
        ("import os\nos._exit(3)\n", "plugin-exit", "ends the process with status 3"),
        ("import os\nos.abort()\n", "plugin-exit", "ends the process by signal 6"),
        ("while True:\n    pass\n", "plugin-timeout", "takes longer than 1.5 s"),
        ("import sys\nsys.exit()\n", "plugin-exit", "ends its process when it is imported"),
        ("x = bytearray(8 * 1024 ** 3)\n", "plugin-import", "MemoryError"),
    ],
)
def test_a_file_that_does_its_worst_is_named(tmp_path: Path, source: str, code: str, text: str) -> None:
    found = inspect_plugins(write_transforms(tmp_path, a=GOOD, bad=source, z=GOOD), time_limit_secs=1.5)
    (fault,) = found.faults
    assert (fault.file, fault.code) == ("transforms/bad.py", code)
    assert text in fault.text


def test_a_thread_that_a_file_starts_holds_nothing_up(tmp_path: Path) -> None:
    source = "import threading, time\nthreading.Thread(target=time.sleep, args=(600,)).start()\n"
    assert len(inspect_plugins(write_transforms(tmp_path, good=source + GOOD)).functions) == 2
