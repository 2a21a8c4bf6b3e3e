"""What sends and what receives: the neutral tools written in C where they are built, else our own client and sink."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hcsyncd.errors import ControlError

LIMIT_SECS = 180.0  # for one load; one that takes longer is stuck
START_SECS = 10.0


@dataclass(frozen=True, slots=True)
class Load:
    """How one load went: messages accepted, wall seconds, latencies in seconds."""

    accepted: int
    seconds: float
    p50: float
    p99: float


class Tools(Protocol):
    """A pair of sender and sink."""

    @property
    def name(self) -> str: ...

    def load(self, port: int, connections: int, total: int, template: Path, prefix: str) -> Load:
        """Send ``total`` messages, each with a control id of its own that begins with ``prefix``."""
        ...

    def sink(self, folder: Path) -> AbstractContextManager[int]:
        """Receive, in the block, on the port that it is given."""
        ...


class NeutralTools:
    """``mllp_load`` and ``mllp_sink``, built in a folder."""

    name = "mllp_load and mllp_sink"

    def __init__(self, folder: Path) -> None:
        self._load, self._sink = folder / "mllp_load", folder / "mllp_sink"
        for tool in (self._load, self._sink):
            if not tool.is_file():
                raise ControlError(f"there is no {tool}; build it first: cc -O2 -pthread -o {tool} {tool.name}.c")

    def load(self, port: int, connections: int, total: int, template: Path, prefix: str) -> Load:
        shown = _run([str(self._load), "127.0.0.1", str(port), str(connections), str(total), str(template), prefix])
        found = dict(re.findall(r"(\w+)=([\d.]+)", shown))
        return Load(int(found["aa"]), float(found["secs"]), float(found["p50"]) / 1000, float(found["p99"]) / 1000)

    @contextmanager
    def sink(self, folder: Path) -> Iterator[int]:
        port = _free_port()
        with running([str(self._sink), str(port), str(folder / "sink.log")]):
            _wait_for(port)
            yield port


class OwnTools:
    """`hcsyncd send` and a sink, in processes of their own. Slower than the neutral tools: ratios are then higher."""

    name = "hcsyncd send and its own sink"

    # ARG002: our own sender gives each message an id of its own, and needs no prefix.
    def load(self, port: int, connections: int, total: int, template: Path, prefix: str) -> Load:  # noqa: ARG002
        target = ["--to", f"mllp://127.0.0.1:{port}", "--connections", str(connections), "--count", str(total)]
        command = [sys.executable, "-m", "hcsyncd", "send", str(template), *target, "--fresh-ids", "--json"]
        shown = json.loads(_run(command))
        latency = shown["latency"]
        return Load(shown["outcomes"]["accepted"], shown["seconds"], latency["p50"], latency["p99"])

    @contextmanager
    def sink(self, folder: Path) -> Iterator[int]:  # noqa: ARG002 - nothing is logged
        with running([sys.executable, "-m", "hcsyncd.cli.measuring.sink"]) as process:
            assert process.stdout is not None
            yield int(process.stdout.readline())


@contextmanager
def running(command: list[str], log: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    """A process that is ended with the block. In a session of its own: Ctrl-C is ours to handle."""
    with (log or Path("/dev/null")).open("w") as errors:
        process = subprocess.Popen(  # noqa: S603 - our own command line
            command, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.communicate(timeout=START_SECS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - our own command line
            command, capture_output=True, text=True, timeout=LIMIT_SECS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ControlError(f"{Path(command[0]).name} did not end within {LIMIT_SECS:g} s") from error
    if done.returncode:
        raise ControlError(f"{Path(command[0]).name} failed: {(done.stderr or done.stdout).strip()[-500:]}")
    return done.stdout


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(port: int) -> None:
    give_up = time.monotonic() + START_SECS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
        except OSError:
            if time.monotonic() > give_up:
                raise ControlError(f"the sink does not listen on port {port}") from None
            time.sleep(0.02)
        else:
            return
