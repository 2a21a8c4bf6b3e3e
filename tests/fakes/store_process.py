"""Starts the programs that work a store in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def start(program: str, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Run ``tests/fakes/<program>.py`` on a store folder; its output is read as text."""
    return subprocess.Popen(
        [sys.executable, "-m", f"tests.fakes.{program}", str(folder), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "engine"), str(ROOT)])},
        text=True,
    )
