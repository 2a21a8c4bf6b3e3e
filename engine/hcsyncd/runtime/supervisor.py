"""Keeps a source alive: started, run, and after a failure started again with back-off, while it shows as down."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from hcsyncd.connectors.connector import Intake, Source
from hcsyncd.errors import HcsyncdError, SourceError
from hcsyncd.events import Event, SourceFailed, SourceStarted, SourceStopped

FIRST_PAUSE_SECS = 0.5
PAUSE_CAP_SECS = 30.0
STOP_SECS = 30.0
CLOSED = ""  # no reason to start it again: it was closed on purpose
STEADY_SECS = 60.0  # a source that ran so long starts its back-off anew


class SourceRunner:
    """One source channel's source. A source object is started once: each start builds a new one."""

    def __init__(
        self,
        channel: str,
        build: Callable[[], Source],
        intake: Intake,
        emit: Callable[[Event], None],
        *,
        held: bool = False,
    ) -> None:
        self.channel = channel
        self.error = ""  # why it is down; "" while it is up
        self._build = build
        self._intake = intake
        self._emit = emit
        self._source: Source | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._going = asyncio.Event()  # cleared while a person holds the receiving
        if not held:
            self._going.set()

    @property
    def held(self) -> bool:
        """Whether a person holds the receiving."""
        return not self._going.is_set()

    @property
    def is_up(self) -> bool:
        return self._source is not None and not self.error

    @property
    def address(self) -> str:
        return self._source.address if self._source else ""

    @property
    def source(self) -> Source | None:
        """The source as it runs now."""
        return self._source

    async def start(self) -> None:
        """Start now, unless it is held. Raises SourceError when that cannot be done; `keep` then goes on trying, `stop`
        gives up."""
        if self.held:
            return
        await self._open()
        await self._close_if_held()

    async def _close_if_held(self) -> None:
        """A hold may have come while it was starting."""
        if self.held:
            await self._close()

    async def _open(self) -> None:
        source = self._build()
        try:
            await source.start()
        except (SourceError, OSError) as error:
            self.error = "" if self.held else str(error)
            with contextlib.suppress(HcsyncdError, OSError):
                await source.stop()
            raise SourceError(f"channel {self.channel}: {error}") from error
        self._source = source
        self.error = ""
        self._emit(SourceStarted(self.channel, source.address))

    def keep(self) -> None:
        """Run it from here on, and start it again whenever it fails."""
        self._task = asyncio.get_running_loop().create_task(self._keep())

    async def stop(self, limit_secs: float = STOP_SECS) -> None:
        """No new arrivals; those in hand are receipted and answered, as far as that is done within ``limit_secs``: a
        sender that waits for a delivery may wait long, and gets its answer when it comes again."""
        self._stopping.set()
        source = self._source
        if source is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limit_secs):
                    await source.stop()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if source is not None:
            self._source = None
            self._emit(SourceStopped(self.channel))

    async def hold(self) -> None:
        """Close it until `resume`: senders find nobody and keep their messages; those in hand are answered."""
        self._going.clear()
        self.error = ""
        await self._close()

    async def resume(self) -> None:
        """Start it again. Raises SourceError when it cannot start now; it is tried again as after any failure."""
        try:
            if self._source is None:
                await self._open()
        finally:
            self._going.set()

    async def _close(self) -> None:
        source, self._source = self._source, None
        if source is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_SECS):
                    await source.stop()
            self._emit(SourceStopped(self.channel))

    async def _keep(self) -> None:
        pause = FIRST_PAUSE_SECS
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            await self._going.wait()
            began = loop.time()
            error = await self._run_once()
            if self._stopping.is_set():
                return
            if error == CLOSED or self.held:
                continue
            if loop.time() - began > STEADY_SECS:
                pause = FIRST_PAUSE_SECS
            self.error = error
            self._emit(SourceFailed(self.channel, error, pause))
            await asyncio.sleep(pause)
            pause = min(pause * 2, PAUSE_CAP_SECS)

    async def _run_once(self) -> str:
        """Run until the source ends; why it did."""
        source: Source | None = None
        try:
            if self._source is None:
                await self.start()
            source = self._source
            if source is None:
                return CLOSED
            await source.run(self._intake)
        except SourceError as error:
            reason = str(error)
        except Exception as error:  # a connector's defect must not stop the other channels
            reason = f"{type(error).__name__} in the connector: {error}"
        else:
            reason = "the source ended by itself"
        if self._source is not source:
            return CLOSED
        self._source = None
        if source is not None and not self._stopping.is_set():
            with contextlib.suppress(HcsyncdError, OSError):
                await source.stop()
        return reason
