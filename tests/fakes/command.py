"""The `hcsyncd` command as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import hcsyncd

ENGINE = Path(hcsyncd.__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(ENGINE), os.environ.get("PYTHONPATH"))))}
COMMAND = (sys.executable, "-m", "hcsyncd")


def run_command(*args: str, **how: Any) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    return subprocess.run(
        [*COMMAND, *args], env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False, **how
    )


def start_command(*args: str, **how: Any) -> subprocess.Popen[str]:
    """Start it; whoever starts it waits for it."""
    pipe = subprocess.PIPE
    return subprocess.Popen([*COMMAND, *args], env=ENVIRONMENT, stdout=pipe, stderr=pipe, text=True, **how)
