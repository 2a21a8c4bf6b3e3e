"""The measurements themselves: a yardstick, intake and relay, in rounds, as medians."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hcsyncd.cli.measuring.subject import INTAKE_ROUTES, RELAY_ROUTES, Subject, subject
from hcsyncd.cli.measuring.tools import Load, Tools
from hcsyncd.errors import ControlError

WINDOWS = (1, 16)  # deliveries of one lane under way at once
MESSAGE = """\
MSH|^~\\&|PAS|STMARY|HCSYNC|REGION|20260519083012.123+0000||ADT^A01^ADT_A01|MSG1|P|2.5.1|||AL|NE|USA|UNICODE UTF-8
EVN|A01|20260519083012|||U4711^Nurse^Nora^^^^^^STMARY
PID|1||PAT000123^^^STMARY^MR~999001234^^^NHS^NH||DOE^JOHN^ALEXANDER^^MR||19620314|M|||12 HIGH STREET^^SPRINGFIELD^IL\
^62701^USA^H||(217)555-0101^PRN^PH~(217)555-0102^WPN^PH|(217)555-0103|EN|M|CAT|ACC000987^^^STMARY^AN
PD1|||STMARY PRIMARY CARE^^10001|1234^Welby^Marcus^^^DR
NK1|1|DOE^JANE|SPO|12 HIGH STREET^^SPRINGFIELD^IL^62701|(217)555-0104||EC
PV1|1|I|ORTHO^201^A^STMARY^^BED^MAIN^2|U|||1234^Welby^Marcus^^^DR|5678^House^Gregory^^^DR|9012^Cuddy^Lisa^^^DR|ORT\
||||7|A0||1234^Welby^Marcus^^^DR|INP|VIS000555^^^STMARY^VN|SELF||||||||||||||||||||STMARY||ADM|||20260519083000
PV2|||^Total hip replacement||||||20260520|5||||||||||||N
DG1|1|I10|M16.11^Unilateral primary osteoarthritis, right hip^I10||20260519|A
"""


@dataclass(frozen=True, slots=True)
class Figure:
    """The median of one measurement's rounds. ``ratio`` is to the yardstick at the same number of connections."""

    what: str
    connections: int
    rate: float  # messages a second
    ratio: float
    p50: float  # seconds
    p99: float  # seconds
    cpu: float  # seconds a 10,000 messages, of the daemon with its workers; 0.0 for the yardstick
    resident_bytes: int  # the most so far, of the daemon process; 0 for the yardstick

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure."""

    connections: tuple[int, ...]
    messages: int  # a round
    rounds: int


def measure(plan: Plan, tools: Tools, on_figure: Callable[[Figure], None]) -> list[Figure]:
    """Measure everything, telling of each figure as it is there. Leaves nothing behind."""
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="hcsyncd-bench-") as name:
        folder = Path(name)
        template = folder / "message.hl7"
        template.write_text(MESSAGE.replace("\n", "\r"), newline="")
        for connections in plan.connections:
            course = _Course(plan, tools, template, connections)
            yardstick = course.yardstick(folder / f"y{connections}")
            intake = course.intake(folder / f"i{connections}", yardstick.rate)
            relays = (course.relay(folder / f"r{connections}-{window}", yardstick.rate, window) for window in WINDOWS)
            for figure in (yardstick, intake, *relays):
                figures.append(figure)
                on_figure(figure)
    return figures


@dataclass(frozen=True, slots=True)
class _Course:
    """The rounds at one number of connections."""

    plan: Plan
    tools: Tools
    template: Path
    connections: int

    @property
    def messages(self) -> int:
        """In a round: as many for each connection."""
        return max(self.plan.messages // self.connections, 1) * self.connections

    def yardstick(self, folder: Path) -> Figure:
        """The tools against one another: what the machine allows at this moment."""
        folder.mkdir()
        with self.tools.sink(folder) as port:
            loads = [self._load(port, f"Y{number}-") for number in range(self.plan.rounds)]
        rates = [load.accepted / load.seconds for load in loads]
        return self._figure("yardstick", loads, rates, statistics.median(rates), 0.0, 0)

    def intake(self, folder: Path, yardstick: float) -> Figure:
        """Received, stored with fsync, acknowledged; no route wants the message."""
        folder.mkdir()
        with subject(folder, INTAKE_ROUTES, sink_port=1) as daemon:
            loads = []
            for number in range(self.plan.rounds):
                loads.append(self._load(daemon.port, f"I{number}-"))
                daemon.wait_until_done(self.messages * (number + 1))
            rates = [load.accepted / load.seconds for load in loads]
            return self._figure("intake", loads, rates, yardstick, *self._cost(daemon))

    def relay(self, folder: Path, yardstick: float, window: int) -> Figure:
        """Received, stored, two fields changed, sent on by MLLP in one lane, outcome stored: until the last is through.
        ``window`` is how many deliveries may be under way at once."""
        folder.mkdir()
        with self.tools.sink(folder) as sink_port, subject(folder, RELAY_ROUTES, sink_port, window) as daemon:
            loads, rates = [], []
            for number in range(self.plan.rounds):
                started = time.perf_counter()
                loads.append(self._load(daemon.port, f"R{number}-"))
                daemon.wait_until_done(self.messages * (number + 1))
                rates.append(self.messages / (time.perf_counter() - started))
            counts = daemon.counts()
            if counts["deliveries"]["sent"] != self.messages * self.plan.rounds:
                raise ControlError(f"not every message was delivered: {counts['deliveries']}")
            return self._figure(f"relay, window {window}", loads, rates, yardstick, *self._cost(daemon))

    def _load(self, port: int, prefix: str) -> Load:
        load = self.tools.load(port, self.connections, self.messages, self.template, prefix)
        if load.accepted != self.messages:
            raise ControlError(f"only {load.accepted} of {self.messages} messages were accepted")
        return load

    def _cost(self, daemon: Subject) -> tuple[float, int]:
        messages = self.messages * self.plan.rounds
        return daemon.cpu_seconds() / messages * 10_000, daemon.resident_bytes()

    def _figure(
        self, what: str, loads: list[Load], rates: list[float], yardstick: float, cpu: float, resident_bytes: int
    ) -> Figure:
        rate = statistics.median(rates)
        p50 = statistics.median(load.p50 for load in loads)
        p99 = statistics.median(load.p99 for load in loads)
        return Figure(what, self.connections, rate, rate / yardstick, p50, p99, cpu, resident_bytes)
