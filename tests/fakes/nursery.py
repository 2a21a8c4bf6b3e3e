"""Brings up daemons fast: a process that has imported the engine once forks one for each that is asked for.

Run as ``python -m tests.fakes.nursery``: orders come on standard input and answers leave on standard output, one JSON
object a line. It ends with its standard input.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.fakes.daemon import DaemonProcess
from tests.fakes.faulty import Faults

ROOT = Path(__file__).parents[2]
LOOK_SECS = 0.005


class Nursery:
    """The test's end."""

    def __init__(self) -> None:
        paths = os.pathsep.join([str(ROOT / "engine"), str(ROOT)])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fakes.nursery"],
            env={**os.environ, "PYTHONPATH": paths},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        )

    def fork(self, site: Path, log: Path, environment: Mapping[str, str], faults: Faults) -> Child:
        order = {"site": str(site), "log": str(log), "environment": dict(environment), "faults": faults.as_json()}
        return Child(self, int(self.ask(order)["pid"]))

    def ask(self, order: Mapping[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


class Child:
    """A daemon that was forked: what `subprocess.Popen` says of a process, as far as it is needed."""

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._nursery = nursery

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._nursery.ask({"look": self.pid})["code"]
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        limit = 3600.0 if timeout is None else timeout
        deadline = time.monotonic() + limit
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("daemon", limit)
            time.sleep(LOOK_SECS)
        return code

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)

    def terminate(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGTERM)


class ForkedDaemon(DaemonProcess):
    """A daemon out of a nursery, with the faults that it is to suffer from within."""

    def __init__(self, nursery: Nursery, site: Path, faults: Faults | None = None, **environment: str) -> None:
        super().__init__(site, **environment)
        self.faults = faults or Faults()
        self._nursery = nursery

    def _launch(self) -> Child:
        return self._nursery.fork(self.site, self._log, self._environment, self.faults)

    @property
    def has_ended(self) -> bool:
        assert self._process is not None
        return self._process.poll() is not None


def _live(order: Mapping[str, Any]) -> None:
    """The forked process: a daemon from its command line on."""
    from hcsyncd.cli.main import cli

    log = os.open(order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    for descriptor, place in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(descriptor, place)
    os.environ.clear()
    os.environ.update(order["environment"])
    Faults.from_json(order["faults"]).install()
    code: object = 0
    try:
        cli(["run", "--site", order["site"]], prog_name="hcsyncd")
    except SystemExit as end:
        code = end.code
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0)


def _look(pid: int) -> int | None:
    """How a child ended, as `subprocess` tells it; None while it runs."""
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def main() -> None:
    import_module("hcsyncd.cli.run")  # what every daemon needs, imported once

    for line in sys.stdin:
        order = json.loads(line)
        if "look" in order:
            answer: dict[str, Any] = {"code": _look(order["look"])}
        else:
            pid = os.fork()
            if pid == 0:
                _live(order)
            answer = {"pid": pid}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
