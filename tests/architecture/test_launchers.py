"""Every way to start hcsyncd starts the same."""

import os
import shlex
import subprocess
import sys

import pytest

import hcsyncd
from hcsyncd.cli.run import command as run_command
from hcsyncd.config.model import DaemonOptions
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


def test_the_service_unit_fits_the_daemon() -> None:
    lines = (ROOT / "systemd" / "hcsyncd.service").read_text().splitlines()
    unit = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    program, verb, *arguments = shlex.split(unit["ExecStart"])
    assert program.endswith("/bin/hcsyncd")
    assert verb == run_command.name
    assert all(option in run_command.params[0].opts for option in arguments[::2])
    assert (unit["Type"], unit["ExecReload"]) == ("notify", "/bin/kill -HUP $MAINPID")
    assert float(unit["TimeoutStopSec"]) > DaemonOptions().drain_secs, "a stop would be cut off before it has drained"
    assert unit["SystemCallErrorNumber"] == "EPERM", "a library that tries a call that is not allowed ends the daemon"
