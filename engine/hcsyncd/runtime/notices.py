"""Word to whoever looks after an alert: each sink with a queue of its own, tried again with back-off, and bounded.

A sink that fails is told of in the log and is an alert itself; it stops neither the daemon nor another sink.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from hcsyncd.clock import Clock, isoformat
from hcsyncd.events import Event, NoticeDropped, NoticeFailed, NoticesRecovered
from hcsyncd.record import Record
from hcsyncd.store.ports import Alert

MAX_WAITING = 1000  # notices for one sink
MAX_AT_ONCE = 200
FIRST_PAUSE_SECS = 1.0
PAUSE_CAP_SECS = 300.0
LAST_WORD_SECS = 3.0  # how long a stop waits for what is still to be told


class Notice(Record, frozen=True):
    """One word about an alert."""

    what: str  # raised, reminded, cleared, test
    alert: Alert
    host: str
    site: str
    at: int

    def as_object(self) -> dict[str, Any]:
        """What goes over a wire: times in RFC 3339, no state that is for the daemon alone."""
        alert = self.alert
        return {
            "what": self.what,
            "at": isoformat(self.at),
            "host": self.host,
            "site": self.site,
            "id": alert.id,
            "kind": alert.kind,
            "subject": alert.subject,
            "owner": alert.owner,
            "text": alert.text,
            "raised_at": isoformat(alert.raised_at),
            "cleared_at": isoformat(alert.cleared_at) if alert.cleared_at else None,
            "reminders": alert.reminders,
        }

    @property
    def line(self) -> str:
        """One line for a person."""
        about = f" {self.alert.subject}" if self.alert.subject else ""
        return f"{self.what}: {self.alert.kind}{about}: {self.alert.text}"


class SinkError(Exception):
    """A sink did not take a notice. The text is for a person and holds no secret."""


class Sink(Protocol):
    """Somewhere that notices go."""

    name: str  # webhook, email
    gather_secs: float  # how long a notice waits for others to go with it

    async def send(self, notices: Sequence[Notice]) -> int:
        """Tell of them in their order; how many were taken, when not all. Raises SinkError when none was."""
        ...

    async def close(self) -> None: ...


class SinkQueue:
    """The way to one sink."""

    def __init__(self, sink: Sink, emit: Callable[[Event], None], clock: Clock) -> None:
        self.error = ""  # why it takes none, while it does not
        self._sink = sink
        self._emit = emit
        self._clock = clock
        self._waiting: deque[Notice] = deque()
        self._more = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._hurry = asyncio.Event()  # set by a stop: nothing is gathered any more
        self._failing_since = 0.0
        self._task: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        return self._sink.name

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    def put(self, notice: Notice) -> None:
        """Have it told. Never waits; the oldest is given up when too many wait."""
        if len(self._waiting) >= MAX_WAITING:
            lost = self._waiting.popleft()
            self._emit(NoticeDropped(self.name, lost.alert.kind, lost.alert.subject))
        self._waiting.append(notice)
        self._empty.clear()
        self._more.set()

    async def tell(self, notice: Notice) -> str:
        """Tell of one at once, for a test; why it was not taken, "" when it was."""
        try:
            await self._sink.send([notice])
        except SinkError as error:
            return str(error)
        return ""

    async def stop(self) -> None:
        """Give what waits a last moment, and close."""
        if self._task is not None:
            self._hurry.set()
            if not self.error:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._empty.wait(), LAST_WORD_SECS)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._sink.close()

    async def _run(self) -> None:
        pause = FIRST_PAUSE_SECS
        while True:
            await self._more.wait()
            if self._sink.gather_secs:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._hurry.wait(), self._sink.gather_secs)
            if await self._send():
                pause = FIRST_PAUSE_SECS
            else:
                await asyncio.sleep(pause)
                pause = min(pause * 2, PAUSE_CAP_SECS)

    async def _send(self) -> bool:
        """Whether everything that was tried was taken."""
        together = list(self._waiting)[:MAX_AT_ONCE]
        try:
            taken = await self._sink.send(together)
        except SinkError as error:
            self._fail(str(error))
            return False
        except Exception as error:  # a sink's defect must not end the alerts; its text might hold a secret
            self._fail(f"{type(error).__name__} in the sink")
            return False
        for notice in together[:taken]:
            if self._waiting and self._waiting[0] is notice:  # else it was given up meanwhile
                self._waiting.popleft()
        if not self._waiting:
            self._more.clear()
            self._empty.set()
        self._recover()
        return taken == len(together)

    def _fail(self, error: str) -> None:
        if not self.error:
            self._failing_since = self._clock.monotonic()
            self._emit(NoticeFailed(self.name, error))
        self.error = error

    def _recover(self) -> None:
        if self.error:
            self.error = ""
            self._emit(NoticesRecovered(self.name, self._clock.monotonic() - self._failing_since))
