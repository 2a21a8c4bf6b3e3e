"""Faults that a daemon suffers from within: put in place in its process before it starts, with nothing in the engine
that knows of them. Switches are files, so that a test turns a fault on and off while the daemon runs.
"""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import apsw

from hcsyncd.events import ConnectionClosed, ConnectionOpened, ControlAsked, Event

_OF_THE_TEST = (ConnectionClosed, ConnectionOpened, ControlAsked)  # they come when the test likes
STATEMENT, SYNC, WRITE, EVENT = "statement", "sync", "write", "event"


@dataclass(frozen=True, slots=True)
class Faults:
    """What is to go wrong. An empty path: not this."""

    die_at: int = 0  # at which edge the process kills itself, counted while the file `armed` is there
    die_where: str = ""  # or: at the first edge of this name
    armed: str = ""
    edges: tuple[str, ...] = (STATEMENT, SYNC, EVENT)  # which kinds of edge are counted
    record: str = ""  # the edges passed while armed, one a line
    wall: str = ""  # a file that holds the seconds by which the wall clock is wrong
    disk: str = ""  # a file that holds what is wrong with the store's disk: "full", "read-only", "failing", or nothing

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Faults:
        return cls(**{**fields, "edges": tuple(fields["edges"])})

    def install(self) -> None:
        if self.wall:
            _shift_wall(Path(self.wall))
        if self.armed:
            _watch_edges(Edges(self))
        if self.disk:
            _SHIMS.append(FaultyDisk(Path(self.disk)))


_SHIMS: list[apsw.VFS] = []  # SQLite uses them as long as the process lives


def _shift_wall(amount: Path) -> None:
    real, real_ns = time.time, time.time_ns
    time.time = lambda: real() + _number(amount)
    time.time_ns = lambda: real_ns() + int(_number(amount) * 1e9)


def _number(file: Path) -> float:
    try:
        return float(file.read_text() or 0)
    except FileNotFoundError:
        return 0.0


# kill -9 at an edge


class Edges:
    """Counts what a process passes, and ends it at the edge it is to end at."""

    def __init__(self, faults: Faults) -> None:
        self._armed = faults.armed
        self._die_at = faults.die_at
        self._die_where = faults.die_where
        self._numbers = itertools.count(1)
        self._record = os.open(faults.record, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.kinds = frozenset(faults.edges)

    def pass_by(self, kind: str, what: str) -> None:
        if kind not in self.kinds or not os.path.exists(self._armed):  # noqa: PTH110 - at each statement: cheap
            return
        os.write(self._record, f"{what}\n".encode())
        if next(self._numbers) == self._die_at or what == self._die_where:
            os.kill(os.getpid(), signal.SIGKILL)


def _watch_edges(edges: Edges) -> None:
    def on_connection(connection: apsw.Connection) -> None:
        if connection.open_flags & apsw.SQLITE_OPEN_READWRITE:
            connection.set_exec_trace(lambda _cursor, sql, _values: _statement(edges, sql))

    apsw.connection_hooks.append(on_connection)
    if edges.kinds & {SYNC, WRITE}:
        _SHIMS.append(WatchedDisk(edges))
    if EVENT in edges.kinds:
        _watch_events(edges)


def _statement(edges: Edges, sql: str) -> bool:
    edges.pass_by(STATEMENT, f"before {_title(sql)}")
    return True


def _title(sql: str) -> str:
    """The name of a query, or the first words of a statement that has none."""
    return _names().get(sql) or " ".join(sql.split()[:2])


@cache
def _names() -> Mapping[str, str]:
    from hcsyncd.store.queries import QUERIES
    from hcsyncd.store.transaction import LENGTHS

    return {query.for_rows(length): name for name, query in QUERIES.items() for length in LENGTHS}


def _watch_events(edges: Edges) -> None:
    """Events are told between a commit and what follows from it: the reply, the next stage."""
    import hcsyncd.daemon
    from hcsyncd.observe.bus import EventBus

    def told(event: Event) -> None:
        if not isinstance(event, _OF_THE_TEST):
            edges.pass_by(EVENT, f"after {type(event).__name__}")

    class WatchedBus(EventBus):
        def __init__(self) -> None:
            super().__init__(told)

    vars(hcsyncd.daemon)["EventBus"] = WatchedBus


class _WatchedFile(apsw.VFSFile):
    def __init__(self, base: str, name: str | apsw.URIFilename | None, flags: list[int], edges: Edges) -> None:
        super().__init__(base, name, flags)
        self._edges = edges
        self._kind = "log" if flags[0] & apsw.SQLITE_OPEN_WAL else "store"

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's name
        self._edges.pass_by(WRITE, f"before writing to the {self._kind}")
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        self._edges.pass_by(SYNC, f"before syncing the {self._kind}")
        super().xSync(flags)
        self._edges.pass_by(SYNC, f"after syncing the {self._kind}")


class WatchedDisk(apsw.VFS):
    """Tells the edges at which bytes go to the disk."""

    def __init__(self, edges: Edges) -> None:
        super().__init__("watched", "unix", makedefault=True)
        self._edges = edges

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        return _WatchedFile("unix", name, flags, self._edges)


# A disk that fails


class _FaultyFile(apsw.VFSFile):
    def __init__(self, name: str | apsw.URIFilename | None, flags: list[int], check: Callable[[], None]) -> None:
        super().__init__("unix", name, flags)
        self._check = check

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's name
        self._check()
        super().xWrite(data, offset)

    def xTruncate(self, size: int) -> None:  # noqa: N802 - SQLite's name
        self._check()
        super().xTruncate(size)


class FaultyDisk(apsw.VFS):
    """Refuses each write, as a file says."""

    def __init__(self, state: Path) -> None:
        super().__init__("faulty", "unix", makedefault=True)
        self._state = state

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        return _FaultyFile(name, flags, self._check)

    def _check(self) -> None:
        match self._state.read_text() if self._state.exists() else "":
            case "full":
                raise apsw.FullError("the disk is full")
            case "read-only":
                raise apsw.ReadOnlyError("the disk is mounted read-only")
            case "failing":
                raise apsw.IOError("the disk does not answer")
            case _:
                return
