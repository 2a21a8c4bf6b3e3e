"""The daemon under test: a site in a temporary folder, a process of its own, and what the kernel counts of it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hcsyncd.cli.measuring.tools import running
from hcsyncd.cli.site import ask
from hcsyncd.errors import CommandRefused, ControlError, DaemonAbsent

READY_SECS = 30.0
DRAIN_SECS = 180.0
POLL_SECS = 0.02

DAEMON = "http:\n  enabled: false\nlog:\n  level: warning\n"
SOURCE = "source:\n  kind: mllp\n  host: 127.0.0.1\n  port: 0\nformat: hl7\n"
DESTINATION = "destination:\n  kind: mllp\n  host: 127.0.0.1\n  port: {port}\nformat: hl7\nwindow: {window}\n"
INTAKE_ROUTES = "routes:\n  - name: none\n    from: adt_in\n    when:\n      type: NONE\n    to: relay_out\n"
RELAY_ROUTES = "routes:\n  - name: relay\n    from: adt_in\n    transform: relay.readdress\n    to: relay_out\n"
TRANSFORM = '''"""The relay of the benchmark: two fields changed."""

from hcsyncd import Context, Hl7Document, Out, transform


@transform
def readdress(document: Hl7Document, context: Context) -> Out:
    document["MSH-5"] = "RELAY"
    document["PV1-3.1"] = "WARD"
    return Out(document)
'''


class Subject:
    """A running daemon."""

    def __init__(self, site: Path, process: subprocess.Popen[str]) -> None:
        self._site = site
        self._process = process
        self._at_start = 0.0
        self.port = self._wait_until_ready()
        self._at_start = self.cpu_seconds()

    def counts(self) -> dict[str, dict[str, int]]:
        counts: dict[str, dict[str, int]] = ask(self._site, "status")["counts"]
        return counts

    def wait_until_done(self, messages: int) -> None:
        """Return when so many messages have been stored in all, and nothing of any is left to do."""
        give_up = time.monotonic() + DRAIN_SECS
        while True:
            counts = self.counts()
            left = counts["messages"]["received"] + counts["messages"]["routed"]
            if sum(counts["messages"].values()) >= messages and not left:
                return
            if time.monotonic() > give_up:
                raise ControlError(f"{left} messages are not through after {DRAIN_SECS:g} s")
            time.sleep(POLL_SECS)

    def cpu_seconds(self) -> float:
        """Used by the daemon and its worker processes since they were ready."""
        ticks = 0
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                ticks += _ticks(entry, self._process.pid)
        return ticks / os.sysconf("SC_CLK_TCK") - self._at_start

    def resident_bytes(self) -> int:
        """The most memory that the daemon process has held so far (proc(5): VmHWM)."""
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        return 0

    def _wait_until_ready(self) -> int:
        give_up = time.monotonic() + READY_SECS
        while True:
            try:
                status: dict[str, Any] = ask(self._site, "status")
            except (DaemonAbsent, CommandRefused) as error:
                if self._process.poll() is not None or time.monotonic() > give_up:
                    raise ControlError(f"the daemon did not start: {_tail(self._site)}") from error
            else:
                source = next(channel for channel in status["channels"] if channel["role"] == "source")
                if not status["daemon"]["not_ready"] and ":" in source["address"]:
                    return int(source["address"].rpartition(":")[2])
            time.sleep(POLL_SECS)


@contextmanager
def subject(folder: Path, routes: str, sink_port: int, window: int = 1) -> Iterator[Subject]:
    """A daemon with one source and one destination, on a fresh store in ``folder``."""
    site = folder / "site"
    files = {
        "hcsyncd.yaml": DAEMON,
        "channels/adt_in.yaml": SOURCE,
        "channels/relay_out.yaml": DESTINATION.format(port=sink_port, window=window),
        "routes.yaml": routes,
        "transforms/relay.py": TRANSFORM,
    }
    for name, text in files.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(text)
    with running([sys.executable, "-m", "hcsyncd", "run", "--site", str(site)], site / "log") as process:
        yield Subject(site, process)


def _ticks(entry: Path, pid: int) -> int:
    """Processor ticks of a process that is ``pid`` or its child, else 0 (proc(5): stat fields 4, 14, 15)."""
    try:
        fields = (entry / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(fields[11]) + int(fields[12]) if pid in (int(entry.name), int(fields[1])) else 0


def _tail(site: Path) -> str:
    log = site / "log"
    return log.read_text().strip()[-800:] if log.is_file() else "it said nothing"
