"""Time and memory bounds of a process that runs a site's code."""

from __future__ import annotations

import math
import os
import resource
import signal
import sys
import time
from pathlib import Path
from types import FrameType

import hcsyncd
from hcsyncd.plugins.step import Overrun
from hcsyncd.plugins.wire import EXIT_TIMEOUT

LAST_WARNING_SECS = 0.5  # between the end of a step's time and the end of a worker whose step does not stop
LONGEST_TICK_SECS = 0.25
_FORKS = frozenset({"os.fork", "os.forkpty"})  # audit events


class Alarm:
    """Raises `Overrun` in a step that takes too long, and ends the process when the step goes on all the same.

    One timer ticks for a whole batch, and each tick asks how long the step has been running: to set a timer for each
    step would cost as much as a small transform. So a step may overrun its limit by a tick.
    """

    def __init__(self, limit_secs: float) -> None:
        self._limit_secs = limit_secs
        self._tick_secs = min(limit_secs / 8, LONGEST_TICK_SECS)
        self._deadline = math.inf
        self._has_rung = False
        signal.signal(signal.SIGALRM, self._tick)

    def start(self) -> None:
        """Before a batch."""
        signal.setitimer(signal.ITIMER_REAL, self._tick_secs, self._tick_secs)

    def stop(self) -> None:
        """After a batch."""
        signal.setitimer(signal.ITIMER_REAL, 0)

    def set(self, now: float) -> None:
        """A step begins; ``now`` is the monotonic time."""
        self._has_rung = False
        self._deadline = now + self._limit_secs

    def clear(self) -> None:
        """The step has ended."""
        self._deadline = math.inf

    def _tick(self, _number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if now < self._deadline:
            return
        if self._has_rung:
            os._exit(EXIT_TIMEOUT)
        self._has_rung = True
        self._deadline = now + LAST_WARNING_SECS
        raise Overrun


def bound_memory(limit_bytes: int) -> None:
    """Let this process take ``limit_bytes`` of address space beyond what the interpreter holds already."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + limit_bytes
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def forbid_forks() -> None:
    """Let no code of this process fork it: a copy would answer the daemon too, and its answers would be taken for those
    of other messages. Other programs can still be started."""
    sys.addaudithook(_refuse_fork)


def _refuse_fork(event: str, _: tuple[object, ...]) -> None:
    if event in _FORKS:
        raise PermissionError("a transform may not fork its worker process")


def child_environment() -> dict[str, str]:
    """The environment in which a child process finds this very package, installed or not."""
    paths = [str(Path(hcsyncd.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
