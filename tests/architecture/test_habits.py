"""Habits that no linter keeps: names, imports at the top, no type-ignore, nothing of one machine in the tree."""

import ast
import re
from pathlib import Path

import pytest

from tests.fakes.tree import ROOT, label, parsed, project_files, python_files

NAMES_THAT_SAY_NOTHING = re.compile(r"(^|_)(utils?|helpers?|common|managers?|misc)(_|$)")
CLASSES_THAT_SAY_NOTHING = re.compile(r"(Utils?|Helpers?|Common|Managers?)$")
# Put together here, so that this file is not found by its own test.
OF_ONE_MACHINE = re.compile(
    "|".join(
        re.escape(left + right)
        for left, right in (
            ("/ro", "ot/"),
            ("/wo", "rk/"),
            ("py", "pi.org"),
            ("python", "hosted.org"),
            ("registry.npm", "js.org"),
            ("--index", "-url"),
            ("--extra-index", "-url"),
            ("--find", "-links"),
        )
    )
)
LEFT_OPEN = re.compile(r"\b(TO" + "DO|FIX" + "ME|XX" + r"X)\b")


def test_names_say_what_a_thing_is() -> None:
    files = [label(path) for path in project_files() if NAMES_THAT_SAY_NOTHING.search(path.stem)]
    folders = {label(path.parent) for path in project_files() if NAMES_THAT_SAY_NOTHING.search(path.parent.name)}
    classes = [
        f"{label(path)}:{node.name}"
        for path in python_files()
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ClassDef) and CLASSES_THAT_SAY_NOTHING.search(node.name)
    ]
    assert (files, folders, classes) == ([], set(), [])


def test_imports_stand_at_the_top() -> None:
    found = {
        f"{label(path)}:{inner.lineno}"
        for path in python_files("engine", "tools", "transforms")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(node)
        if isinstance(inner, ast.Import | ast.ImportFrom)
    }
    assert found == set()


def test_the_engine_ignores_no_type() -> None:
    found = [
        f"{label(path)}:{number}"
        for path in python_files("engine", "transforms")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"#\s*type:\s*ignore", line)
    ]
    assert found == []


@pytest.mark.parametrize("pattern", [OF_ONE_MACHINE, LEFT_OPEN], ids=["of one machine", "left open"])
def test_the_tree_holds_nothing_that_is(pattern: re.Pattern[str]) -> None:
    found = [
        f"{label(path)}:{number}: {hit.group()}"
        for path in project_files()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if (hit := pattern.search(line))
    ]
    assert found == []


def test_test_files_have_names_of_their_own() -> None:
    names = [path.name for path in python_files("tests") if path.name.startswith("test_")]
    assert sorted(names) == sorted(set(names))
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_every_requirement_is_pinned_and_hashed() -> None:
    for path in (ROOT / "requirements.txt", ROOT / "requirements-dev.txt"):
        entries = re.sub(r"\\\n", " ", path.read_text())
        required = [line for line in entries.splitlines() if line and not line.lstrip().startswith("#")]
        assert required
        assert [line for line in required if not re.match(r"[a-z0-9.\[\]-]+==\S+ .*--hash=sha256:", line)] == []


def test_scripts_can_be_run() -> None:
    scripts = [ROOT / ".ci" / "run", ROOT / "bin" / "hcsyncd", ROOT / "tools" / "lock"]
    assert [label(script) for script in scripts if not _runs(script)] == []


def _runs(script: Path) -> bool:
    return script.is_file() and bool(script.stat().st_mode & 0o100) and script.read_bytes().startswith(b"#!")
