"""An older configuration's files put back: whole or not at all, and nothing else is touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from hcsyncd.errors import ConfigError
from hcsyncd.runtime.rollback import Rewriting

OLD = {"routes.yaml": b"old", "channels/a.yaml": b"old", "transforms/deep/t.py": b"old"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in {
        "routes.yaml": "new",
        "channels/a.yaml": "old",
        "channels/b.yaml": "new",
        "mapping/m.csv": "new",
        "notes.txt": "ours",
        "secrets/token": "ours",
        "channels/README.md": "ours",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    (tmp_path / "routes.yaml").chmod(0o640)
    return tmp_path


def content(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


def test_the_folder_holds_the_generation_and_what_it_did_not_have_stands_aside(folder: Path) -> None:
    rewriting = Rewriting(folder, OLD, "now")
    assert rewriting.changes() == (
        "channels/b.yaml: moved to .aside/now/",
        "mapping/m.csv: moved to .aside/now/",
        "routes.yaml: changed",
        "transforms/deep/t.py: written",
    )
    rewriting.apply()
    assert content(folder) == {
        "routes.yaml": "old",
        "channels/a.yaml": "old",
        "transforms/deep/t.py": "old",
        ".aside/now/channels/b.yaml": "new",
        ".aside/now/mapping/m.csv": "new",
        "notes.txt": "ours",
        "secrets/token": "ours",
        "channels/README.md": "ours",
    }
    assert (folder / "routes.yaml").stat().st_mode & 0o777 == 0o640


def test_it_can_be_taken_back(folder: Path) -> None:
    before = content(folder)
    rewriting = Rewriting(folder, OLD, "now")
    rewriting.apply()
    rewriting.undo()
    assert content(folder) == before


def test_a_failure_in_the_middle_leaves_everything_as_it_was(folder: Path) -> None:
    before = content(folder)
    (folder / "transforms").write_text("in the way of a folder")
    with pytest.raises(ConfigError, match="nothing was changed"):
        Rewriting(folder, OLD, "now").apply()
    assert content(folder) == {**before, "transforms": "in the way of a folder"}


def test_names_that_lead_out_of_the_folder_are_left_out(folder: Path) -> None:
    Rewriting(folder, {**OLD, "channels/../../stolen.yaml": b"x"}, "now").apply()
    assert not (folder.parent / "stolen.yaml").exists()
