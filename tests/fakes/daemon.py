"""The whole daemon as a process of its own, on a site in a temporary folder, with every port free to choose."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any, Protocol

from hcsyncd.errors import CommandRefused, DaemonAbsent
from hcsyncd.runtime.control import call, socket_path

ENGINE = Path(__file__).parents[2] / "engine"
START_SECS = 40.0
END_SECS = 30.0

DAEMON = """\
http: {port: 0}
workers: {count: 1}
drain_secs: 5
"""


def write_site(folder: Path, files: Mapping[str, str]) -> Path:
    """Write a site's files; `hcsyncd.yaml` has test defaults."""
    for name, content in {"hcsyncd.yaml": DAEMON, **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(content))
    return folder


class Process(Protocol):
    """What is needed of the process: `subprocess.Popen` has it, and so has a child of another process of ours."""

    @property
    def pid(self) -> int: ...

    @property
    def returncode(self) -> int | Any: ...  # Popen's is declared so

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def kill(self) -> None: ...

    def terminate(self) -> None: ...


class DaemonProcess:
    """Start it, ask it, hurt it. What it logs is kept in ``log``."""

    def __init__(self, site: Path, **environment: str) -> None:
        self.site = site
        self.socket = socket_path(site / "var")
        self._log = site / "daemon.log"
        self._environment = {**os.environ, "PYTHONPATH": str(ENGINE), **environment}
        self._process: Process | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def has_started(self) -> bool:
        """Whether it was started at all, if it lives or not."""
        return self._process is not None

    @property
    def log(self) -> str:
        return self._log.read_text()

    def start(self) -> DaemonProcess:
        """Start and wait until it is ready. AssertionError with its log when it is not."""
        self._process = self._launch()
        deadline = time.monotonic() + START_SECS
        while time.monotonic() < deadline:
            assert self._process.poll() is None, f"the daemon ended with {self._process.returncode}:\n{self.log}"
            try:
                call(self.socket, "status")
            except (DaemonAbsent, CommandRefused):
                time.sleep(0.02)
            else:
                return self
        raise AssertionError(f"the daemon is not ready after {START_SECS} s:\n{self.log}")

    def _launch(self) -> Process:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "hcsyncd", "run", "--site", str(self.site)],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def call(self, verb: str, **args: Any) -> Any:
        return call(self.socket, verb, args)

    def hcsyncd(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of ours on the same site, to its end."""
        return subprocess.run(
            [sys.executable, "-m", "hcsyncd", *arguments, "--site", str(self.site)],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=END_SECS,
            check=False,
        )

    def metrics(self) -> str:
        """The text of a scrape."""
        with urllib.request.urlopen(f"http://{self.call('status')['daemon']['http']}/metrics", timeout=10) as answer:
            return str(answer.read().decode())

    def channel(self, name: str) -> dict[str, Any]:
        """How a channel fares."""
        found: dict[str, dict[str, Any]] = {status["name"]: status for status in self.call("channels")}
        return found[name]

    def until_up(self, channel: str, secs: float = 20.0) -> None:
        """Wait until a channel is well."""
        deadline = time.monotonic() + secs
        while (row := self.channel(channel))["health"] != "up":
            assert time.monotonic() < deadline, f"{row}:\n{self.log[-3000:]}"
            time.sleep(0.02)

    def where(self, channel: str) -> str:
        """Where a source listens, as it says it itself."""
        found = {status["name"]: status["address"] for status in self.call("channels")}
        return str(found[channel])

    def address(self, channel: str) -> tuple[str, int]:
        """The same, as a socket wants it."""
        host, _, port = self.where(channel).rpartition(":")
        return host, int(port)

    def counts(self) -> dict[str, int]:
        """Messages by state, without the states that nobody is in."""
        return {state: count for state, count in self.call("status")["counts"]["messages"].items() if count}

    def until_counts(self, secs: float = 20.0, **wanted: int) -> None:
        """Wait until the messages stand so."""
        deadline = time.monotonic() + secs
        while (counts := self.counts()) != wanted:
            assert time.monotonic() < deadline, f"{counts} and not {wanted}:\n{self.log[-3000:]}"
            time.sleep(0.02)

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        """kill -9: nothing is drained, nothing is closed."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def wait(self) -> int:
        """Wait for its end; the exit code."""
        assert self._process is not None
        return self._process.wait(END_SECS)

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.terminate()
        try:
            return self.wait()
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the daemon did not stop:\n{self.log}") from None
