"""`hcsyncd bench` measures a real daemon; how fast it is, is not tested."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from hcsyncd.cli.main import cli
from tests.fakes.command import ENVIRONMENT


@pytest.fixture(autouse=True)
def _found_by_child_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", ENVIRONMENT["PYTHONPATH"])


@pytest.mark.timeout(180)  # two daemons and three loads, each a process of its own
def test_bench_measures_yardstick_intake_and_relay() -> None:
    done = CliRunner().invoke(cli, ["bench", "--connections", "2", "--messages", "100", "--rounds", "1", "--json"])
    assert done.exit_code == 0, done.output
    shown = json.loads(done.stdout)
    assert shown["tools"] == "hcsyncd send and its own sink"
    assert [figure["what"] for figure in shown["figures"]] == [
        "yardstick",
        "intake",
        "relay, window 1",
        "relay, window 16",
    ]
    for figure in shown["figures"]:
        assert figure["connections"] == 2
        assert figure["rate"] > 0
        assert figure["ratio"] > 0
    assert shown["figures"][2]["resident_bytes"] > 10_000_000


def test_tools_that_are_not_built_are_named(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["bench", "--tools", str(tmp_path)])
    assert done.exit_code == 1
    assert "mllp_load; build it first: cc -O2" in done.stderr
