from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import pytest

from hcsyncd.connectors.folder_scan import Listing, Scanner, ScanRules, is_marker, marker_name
from tests.fakes.clock import FakeClock


def make_scanner(
    folder: Path, clock: FakeClock, *, stable: float = 10, marker: str = "", order: Literal["name", "mtime"] = "name"
) -> Scanner:
    return Scanner(folder, ScanRules(("*",), (), stable, marker, order), clock)


def names(listing: Listing) -> list[str]:
    return [sighting.name for sighting in listing.ready]


def test_file_is_ripe_after_it_was_the_same_for_long_enough(tmp_path: Path) -> None:
    clock = FakeClock()
    scanner = make_scanner(tmp_path, clock)
    (tmp_path / "f").write_bytes(b"1")
    assert scanner.scan() == Listing((), 10)
    clock.advance(9)
    assert scanner.scan() == Listing((), 1)
    clock.advance(1)
    assert names(scanner.scan()) == ["f"]


@pytest.mark.parametrize("change", ["size", "mtime", "another file"])
def test_change_starts_the_wait_again(tmp_path: Path, change: str) -> None:
    clock = FakeClock()
    scanner = make_scanner(tmp_path, clock)
    file = tmp_path / "f"
    file.write_bytes(b"1")
    status = file.stat()
    scanner.scan()
    clock.advance(10)
    match change:
        case "size":
            file.write_bytes(b"12")
            os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
        case "mtime":
            os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
        case _:
            (tmp_path / "g").write_bytes(b"1")
            os.utime(tmp_path / "g", ns=(status.st_atime_ns, status.st_mtime_ns))
            (tmp_path / "g").replace(file)
    assert scanner.scan() == Listing((), 10)


def test_first_sight_is_enough_without_a_wait(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"1")
    assert names(make_scanner(tmp_path, FakeClock(), stable=0).scan()) == ["f"]


def test_wall_clock_jump_ripens_nothing(tmp_path: Path) -> None:
    clock = FakeClock()
    scanner = make_scanner(tmp_path, clock)
    (tmp_path / "f").write_bytes(b"1")
    scanner.scan()
    clock.jump(3600)
    assert scanner.scan() == Listing((), 10)


def test_what_is_gone_is_forgotten(tmp_path: Path) -> None:
    clock = FakeClock()
    scanner = make_scanner(tmp_path, clock)
    file = tmp_path / "f"
    file.write_bytes(b"1")
    scanner.scan()
    aside = tmp_path.parent / f"{tmp_path.name}-aside"
    file.rename(aside)
    clock.advance(10)
    assert scanner.scan() == Listing((), None)
    aside.rename(file)
    assert scanner.scan() == Listing((), 10)


def test_marker_is_no_file_and_needs_no_wait(tmp_path: Path) -> None:
    scanner = make_scanner(tmp_path, FakeClock(), marker="{stem}.ok")
    for name in ["a.csv", "a.ok", "b.csv", "c.ok"]:
        (tmp_path / name).write_bytes(b"1")
    assert scanner.scan() == Listing(scanner.scan().ready, None)
    assert names(scanner.scan()) == ["a.csv"]


def test_order(tmp_path: Path) -> None:
    for age, name in enumerate(["c", "a", "b", "B"]):
        (tmp_path / name).write_bytes(b"1")
        os.utime(tmp_path / name, ns=(age, age))
    assert names(make_scanner(tmp_path, FakeClock(), stable=0).scan()) == ["B", "a", "b", "c"]
    assert names(make_scanner(tmp_path, FakeClock(), stable=0, order="mtime").scan()) == ["c", "a", "b", "B"]


@pytest.mark.parametrize(
    ("pattern", "name", "marker"),
    [("{name}.done", "a.csv", "a.csv.done"), ("{stem}.ok", "a.b.csv", "a.b.ok"), ("done-{name}", "a", "done-a")],
)
def test_marker_names(pattern: str, name: str, marker: str) -> None:
    assert marker_name(pattern, name) == marker
    assert is_marker(pattern, marker)
    assert not is_marker(pattern, name)
