"""What a reload would change, item by item, in words and as records."""

from __future__ import annotations

from pathlib import Path

import pytest

from hcsyncd.runtime.change import Change
from hcsyncd.runtime.preview import Item, Preview, Verdict, preview
from hcsyncd.runtime.site import check_site
from hcsyncd.store.ports import Queued
from tests.fakes.daemon import write_site

TRANSFORM = """\
from hcsyncd import Out, transform

LIMIT = 1


@transform
def f(document, context):
    return Out(document)
"""
OUT = "destination: {kind: http, url: 'http://127.0.0.1/x', bearer_token: '${secret:token}'}\nformat: json\n"
FILES = {
    "channels/adt_in.yaml": "source: {kind: mllp, port: 2575}\n",
    "channels/out.yaml": OUT,
    "routes.yaml": "routes:\n  - {name: events, from: adt_in, transform: t.f, to: out}\n",
    "transforms/t.py": TRANSFORM,
    "mapping/wards.csv": "code,value\nA,1\nB,2\nC,3\n",
    "secrets/token": "S3CRET-A",
}
NOTHING = Queued({}, {})


def change(tmp_path: Path, **after: str) -> Change:
    sites = []
    for name, files in (("old", FILES), ("new", FILES | after)):
        folder = write_site(tmp_path / name, {file: text for file, text in files.items() if text})
        (folder / "secrets/token").chmod(0o600)
        checked = check_site(folder, {})
        assert checked.site, checked.findings
        sites.append(checked.site)
    return Change(*sites)


def looked(found: Change, queued: Queued = NOTHING, connections: int = 0) -> Preview:
    return preview(1, found, queued, lambda _channel: connections, ())


def words(tmp_path: Path, **after: str) -> list[str]:
    return [item.words() for item in looked(change(tmp_path, **after)).items]


def test_nothing(tmp_path: Path) -> None:
    found = looked(change(tmp_path))
    assert (found.is_live, found.items) == (True, ())


@pytest.mark.parametrize(
    ("file", "text", "wanted"),
    [
        (
            "routes.yaml",
            f"# said otherwise\n{FILES['routes.yaml']}",
            ["files : changed; the files differ in comments or layout alone"],
        ),
        (
            "channels/adt_in.yaml",
            "source: {kind: mllp, port: 2576}\nacknowledge: processed\n",
            ["channel adt_in: rebuilt (source.port: 2575 -> 2576; acknowledge: stored -> processed)"],
        ),
        (
            "mapping/wards.csv",
            "code,value\nA,1\nB,9\nD,4\n",
            ["mapping wards: changed (B: 2 -> 9; C: 3, gone; D: 4); 1 row added, 1 row removed, 1 row changed"],
        ),
        ("mapping/more.csv", "code,value\nA,1\n", ["mapping more: added; 1 rows"]),
        ("hcsyncd.yaml", "drain_secs: 9\n", None),
        (
            "transforms/t.py",
            TRANSFORM.replace("Out(document)", "Out({})") + "\n\ndef g():\n    pass\n",
            ["transform t.f: changed; route events uses it", "transform t.g: added"],
        ),
        (
            "transforms/t.py",
            TRANSFORM.replace("LIMIT = 1", "LIMIT = 2"),
            ["transform t: changed; what stands in transforms/t.py outside of functions"],
        ),
        (
            "transforms/t.py",
            f"# a comment\n{TRANSFORM}",
            ["files : changed; the files differ in comments or layout alone"],
        ),
    ],
)
def test_each_kind(tmp_path: Path, file: str, text: str, wanted: list[str] | None) -> None:
    found = words(tmp_path, **{file: text})
    if wanted is None:
        assert len(found) == 1
        assert found[0].startswith("daemon hcsyncd.yaml: changed (")
        assert found[0].endswith("takes effect at the next start")
    else:
        assert found == wanted


def test_a_secret_is_told_as_another_and_never_shown(tmp_path: Path) -> None:
    found = change(tmp_path, **{"secrets/token": "S3CRET-B"})
    assert [item.words() for item in looked(found).items] == [
        "channel out: rebuilt (destination.bearer_token: secret -> another secret)"
    ]
    assert "S3CRET" not in repr(looked(found))
    assert found.old.digest != found.new.digest


def test_a_channel_and_a_route_say_what_waits_under_them(tmp_path: Path) -> None:
    found = change(
        tmp_path,
        **{
            "channels/adt_in.yaml": "source: {kind: mllp, port: 2576}\n",
            "channels/out.yaml": "",
            "channels/other.yaml": "destination: {kind: http, url: 'http://127.0.0.1/y'}\nformat: json\n",
            "routes.yaml": FILES["routes.yaml"].replace("to: out", "to: other"),
        },
    )
    queued = Queued(
        {"adt_in": 4},
        {("events", "out", "ready"): 3, ("events", "out", "waiting"): 1, ("gone", "out", "dead"): 2},
    )
    items = {(item.kind, item.name): item for item in looked(found, queued, connections=5).items}
    assert items["channel", "adt_in"].words().endswith("4 messages wait for their routes; 5 connections would be cut")
    assert items["channel", "out"] == Item(
        "channel",
        "out",
        Verdict.REMOVED,
        deliveries=4,
        unsettled=2,
        notes=("what is queued for it is still delivered",),
    )
    route = items["route", "events"]
    assert (route.messages, route.deliveries, route.unsettled) == (4, 4, 0)
    assert "to: [out] -> [other]" in route.words()
