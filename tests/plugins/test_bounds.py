"""What a process that runs a site's code may not do."""

from __future__ import annotations

import subprocess
import sys

from hcsyncd.plugins.bounds import child_environment

PROGRAM = """
import os, pty, subprocess
from hcsyncd.plugins.bounds import forbid_forks
forbid_forks()
for fork in (os.fork, pty.fork):
    try:
        fork()
    except PermissionError as error:
        print(error, flush=True)
print(subprocess.run(["echo", "another program"], capture_output=True, text=True).stdout.strip())
"""


def test_it_may_not_fork_and_may_start_other_programs() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, env=child_environment()
    )
    assert done.stdout.splitlines() == ["a transform may not fork its worker process"] * 2 + ["another program"]
