"""The generated pages: written, checked, and found out when they drift."""

from __future__ import annotations

from pathlib import Path

import pytest
from tools import docs

from hcsyncd import errors, events


def run(folder: Path, verb: str) -> int:
    return docs.main([verb, "--docs", str(folder)])


def test_what_was_written_has_not_drifted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "--check") == 1
    assert run(tmp_path, "--write") == 0
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")) == sorted(
        name for name, _ in docs.PAGES
    )
    capsys.readouterr()
    assert run(tmp_path, "--check") == 0
    assert capsys.readouterr().out == ""


def test_a_page_that_drifted_is_named_with_the_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path, "--write")
    page = tmp_path / "errors.md"
    page.write_text(page.read_text().replace("## unsure", "## not sure"))
    capsys.readouterr()
    assert run(tmp_path, "--check") == 1
    said = capsys.readouterr().out
    assert "errors.md has drifted" in said
    assert "-## not sure\n+## unsure\n" in said


def test_an_events_fields_are_explained_by_the_source() -> None:
    page = docs.events_page()
    assert "## DaemonStarted" in page
    assert "- `recovered_messages`: received before, not yet routed" in page
    names = {event.__name__ for event in events.Event.__subclasses__()}
    assert [name for name in names if page.count(f"\n## {name}\n") != 1] == []


def test_every_error_is_an_anchor() -> None:
    page = docs.errors_page()
    for error in errors.DeliveryError.__subclasses__():
        assert f"\n## {error.code}\n" in page
