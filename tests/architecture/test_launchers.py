"""Every way to start hcsyncd starts the same."""

import os
import subprocess
import sys

import pytest

import hcsyncd
from tests.fakes.tree import ROOT

LAUNCHERS = {
    "checkout": [str(ROOT / "bin" / "hcsyncd")],
    "module": [sys.executable, "-m", "hcsyncd"],
}


@pytest.mark.parametrize("launcher", sorted(LAUNCHERS))
def test_every_launcher_prints_the_version(launcher: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "engine")} if launcher == "module" else os.environ
    result = subprocess.run(
        [*LAUNCHERS[launcher], "version"], env=environment, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert hcsyncd.__version__ in result.stdout.split()
