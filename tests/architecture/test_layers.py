"""The import contract of pyproject.toml: each floor imports only from floors below it."""

import subprocess
import sys
from pathlib import Path

from tests.fakes.tree import ROOT


def test_each_floor_imports_only_from_floors_below_it() -> None:
    command = Path(sys.executable).parent / "lint-imports"
    result = subprocess.run(
        [command, "--no-cache"], cwd=ROOT, env={"PYTHONPATH": "engine"}, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
