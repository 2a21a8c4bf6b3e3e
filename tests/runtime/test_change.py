"""What a reload changes, in sets and in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from hcsyncd.runtime.change import Change
from hcsyncd.runtime.site import check_site
from tests.fakes.daemon import DAEMON, write_site

FILES = {
    "channels/adt_in.yaml": "source: {kind: mllp, port: 2575}\n",
    "channels/out.yaml": "destination: {kind: mllp, host: 127.0.0.1, port: 2576}\n",
    "routes.yaml": "routes:\n  - {name: relay, from: adt_in, to: out}\n",
}
MORE_IN = {
    "channels/more_in.yaml": "source: {kind: mllp, port: 2577}\n",
    "routes.yaml": "routes:\n  - {name: relay, from: [adt_in, more_in], to: out}\n",
}


def change(tmp_path: Path, **after: str) -> Change:
    """From `FILES` to the same with other or more files; an empty text takes a file away."""
    sites = []
    for name, files in (("old", FILES), ("new", FILES | after)):
        checked = check_site(write_site(tmp_path / name, {file: text for file, text in files.items() if text}), {})
        assert checked.site, checked.findings
        sites.append(checked.site)
    return Change(*sites)


def test_nothing(tmp_path: Path) -> None:
    assert change(tmp_path).words() == ()


def test_added_and_removed(tmp_path: Path) -> None:
    found = change(tmp_path, **MORE_IN)
    assert [channel.name for channel in found.added_sources] == ["more_in"]
    assert found.words() == ("channel more_in: added", "route relay: changed (source)")
    back = Change(found.new, found.old)
    assert back.removed_sources == ["more_in"]
    assert back.words()[0] == "channel more_in: removed; what is queued for it is still delivered"


@pytest.mark.parametrize(
    ("file", "text", "word", "rebuilt"),
    [
        ("channels/adt_in.yaml", "source: {kind: mllp, port: 2579}\n", "it is built anew", ["adt_in"]),
        ("channels/adt_in.yaml", "source: {kind: mllp, port: 2575}\nacknowledge: processed\n", "connections stay", []),
        ("channels/adt_in.yaml", "source: {kind: mllp, port: 2575}\nenabled: false\n", "adt_in: removed", []),
        ("channels/out.yaml", "destination: {kind: mllp, host: 127.0.0.1, port: 9}\n", "it is built anew", ["out"]),
        ("mapping/wards.csv", "code,value\nA,B\n", "mapping table wards: changed", []),
        ("transforms/more.py", "X = 1\n", "transforms: changed", []),
        ("hcsyncd.yaml", "http: {port: 1}\n", "take effect at the next start", []),
        ("hcsyncd.yaml", DAEMON + "retention: {attempts: 5}\n", "retention: changed", []),
    ],
)
def test_each_kind_of_change(tmp_path: Path, file: str, text: str, word: str, rebuilt: list[str]) -> None:
    found = change(tmp_path, **{file: text})
    assert len(found.words()) == 1
    assert word in found.words()[0]
    assert [channel.name for channel in (*found.rebuilt_sources, *found.rebuilt_destinations)] == rebuilt
