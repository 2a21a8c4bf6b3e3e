"""The demo, with the real daemon: what it shows adds up, and it leaves nothing behind."""

import io
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from rich.console import Console

from hcsyncd.simulators import demo
from hcsyncd.simulators.hospital import SITE_PARTS, copy_site
from tests.fakes.tree import ROOT


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, to see that nothing stays in it."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def processes_in(folder: Path) -> list[str]:
    """The command lines of processes that work for this folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it ended meanwhile
        if str(folder) in command:
            found.append(command)
    return found


def shown(site: Path) -> tuple[int, str]:
    out = io.StringIO()
    code = demo.run(site, Console(file=out, width=110), play_secs=0.5)
    return code, out.getvalue()


def test_the_demo_shows_a_day_that_adds_up(temporary: Path) -> None:
    code, text = shown(ROOT)
    assert code == 0, text
    assert "adds up" in text
    assert "no-msh" in text
    assert "mapping/bed_board.csv has no entry for NEU1" in text
    assert "0 tasks left" in text
    assert "is now done" in text
    assert "-arrives-" in text  # a ward list file, named by its transform
    assert "One message's whole trace" in text
    assert "Nothing is left behind" in text
    assert list(temporary.iterdir()) == []
    assert processes_in(temporary) == []


def test_a_site_that_does_not_start_is_shown_with_the_reason(temporary: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    copy_site(ROOT, site)
    (site / "routes.yaml").write_text("routes:\n  - name: broken\n    from: nowhere\n    to: events_out\n")
    code, text = shown(site)
    assert code == 1
    assert "routes.yaml:3" in text
    assert list(temporary.iterdir()) == []


def test_an_interrupted_demo_leaves_nothing_behind(temporary: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "hcsyncd", "demo"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "engine")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + 20
    while not list(temporary.glob("*/daemon.log")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate(timeout=30)
    assert process.returncode == 130, text
    assert "Traceback" not in text
    assert list(temporary.iterdir()) == []
    assert processes_in(temporary) == []


def test_only_a_site_is_copied(tmp_path: Path) -> None:
    copy_site(ROOT, tmp_path / "copy")
    assert sorted(path.name for path in (tmp_path / "copy").iterdir()) == sorted(SITE_PARTS)
