"""The daemon's end of one worker process: frames out and in, the deadline, and how the process ended."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Sequence
from typing import cast

from hcsyncd.plugins.bounds import child_environment
from hcsyncd.plugins.job import Job, StepResult
from hcsyncd.plugins.wire import (
    EXIT_MEMORY,
    EXIT_TIMEOUT,
    LENGTH_BYTES,
    Load,
    Loaded,
    Results,
    Run,
    answer_decoder,
    frame,
)

LOAD_SECS = 30.0  # for a process to come up and import a site's transforms
LAST_LOOK_SECS = 0.1

TIMEOUT, MEMORY, EXIT = "timeout", "memory", "exit"


class Batch:
    """Jobs on their way through a worker. ``answered`` is done when every job has its results, or when the worker was
    lost: then with as many results as there were, and ``lost`` says why there are no more."""

    __slots__ = ("alone", "answered", "background", "generation", "jobs", "lost", "results")

    def __init__(self, generation: int, jobs: Sequence[Job], *, alone: bool = False, background: bool = False) -> None:
        self.generation = generation
        self.jobs = jobs
        self.alone = alone  # nothing else is handed to the worker beside it
        self.background = background  # it waits until nothing else does
        self.results: list[tuple[StepResult, ...]] = []
        self.lost = ""
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def finish(self) -> None:
        """Wake the caller, unless it has given up waiting."""
        if not self.answered.done():
            self.answered.set_result(None)


class WorkerLink(asyncio.Protocol):
    """One worker process. It is killed when nothing is heard of it for ``patience_secs`` while it runs a batch.
    ``on_free`` is called whenever a batch is done; ``lost`` is done when the process has closed its connection, and
    `close` is to be called then."""

    def __init__(self, patience_secs: float, on_free: Callable[[], None]) -> None:
        self.in_hand: deque[Batch] = deque()
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.completed = 0  # batches answered in full
        self.was_busy = False  # had a batch in hand when it was lost
        self._patience_secs = patience_secs
        self._on_free = on_free
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._loads: deque[asyncio.Future[Loaded]] = deque()
        self._deadline: asyncio.TimerHandle | None = None
        self._killed_for = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._transport: asyncio.Transport | None = None

    async def open(self, memory_limit_bytes: int, time_limit_secs: float) -> None:
        """Start the process and wait for its first word. Raises OSError when the system will not start it, or the
        process ends at once (ConnectionError) or says nothing (TimeoutError)."""
        ours, theirs = socket.socketpair()
        with theirs:
            await self._loop.create_unix_connection(lambda: self, sock=ours)
            self._process = _spawn(theirs, time_limit_secs, memory_limit_bytes)
        await self._loaded()

    @property
    def process_id(self) -> int:
        return self._process.pid if self._process else 0

    async def load(self, load: Load) -> Loaded:
        """Raises ConnectionError when the process ends over it, TimeoutError when it takes too long."""
        self.tell(frame(load))
        return await self._loaded()

    def run(self, batch: Batch) -> None:
        """Hand a batch over; it is run behind those in hand."""
        self.in_hand.append(batch)
        self.tell(frame(Run(batch.generation, list(batch.jobs))))
        if len(self.in_hand) == 1:
            self._wait()

    def tell(self, content: bytearray) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(content)

    def kill(self, reason: str = "") -> None:
        """End the process now; ``reason`` is what `close` will say."""
        self._killed_for = self._killed_for or reason
        if self._process is not None:
            self._process.kill()
        if self._transport is not None:
            self._transport.abort()

    async def close(self) -> str:
        """Reap a process whose connection is gone, and say why it ended: timeout, memory or exit."""
        self.kill()
        if self._process is None:
            return EXIT
        status = await asyncio.to_thread(self._process.wait)
        if self._killed_for:
            return self._killed_for
        return {EXIT_TIMEOUT: TIMEOUT, EXIT_MEMORY: MEMORY}.get(status, EXIT)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one too, but not by its class

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        start, have = 0, len(buffer)
        while have - start >= LENGTH_BYTES:
            end = start + LENGTH_BYTES + int.from_bytes(buffer[start : start + LENGTH_BYTES], "big")
            if end > have:
                break
            self._answered(answer_decoder.decode(memoryview(buffer)[start + LENGTH_BYTES : end]))
            start = end
        if start:
            del buffer[:start]

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._stop_waiting()
        self.was_busy = bool(self.in_hand)
        for answer in self._loads:
            if not answer.done():
                answer.set_exception(ConnectionResetError("the worker process ended"))
        if not self.lost.done():
            self.lost.set_result(None)

    async def _loaded(self) -> Loaded:
        if self.lost.done():
            raise ConnectionResetError("the worker process ended")
        answer: asyncio.Future[Loaded] = self._loop.create_future()
        self._loads.append(answer)
        async with asyncio.timeout(LOAD_SECS):
            return await answer

    def _answered(self, answer: Loaded | Results) -> None:
        if isinstance(answer, Loaded):
            waiter = self._loads.popleft()
            if not waiter.done():
                waiter.set_result(answer)
            if self.in_hand:
                self._wait()
            return
        batch = self.in_hand[0]
        batch.results += answer.results
        if len(batch.results) < len(batch.jobs):
            self._wait()
            return
        self.in_hand.popleft()
        self.completed += 1
        if self.in_hand:
            self._wait()
        else:
            self._stop_waiting()
        batch.finish()
        self._on_free()

    def _wait(self) -> None:
        """Expect the next frame in time, or give it the time of a load that stands before it."""
        self._stop_waiting()
        patience_secs = LOAD_SECS if self._loads else self._patience_secs
        self._deadline = self._loop.call_later(patience_secs, self._look_again)

    def _look_again(self) -> None:
        # A loop that was held up runs its timers before it reads its sockets: the answer may be there already.
        self._deadline = self._loop.call_later(LAST_LOOK_SECS, self.kill, TIMEOUT)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def _spawn(connection: socket.socket, time_limit_secs: float, memory_limit_bytes: int) -> subprocess.Popen[bytes]:
    # Not asyncio's own: its child watchers and its kill may reap one process twice, and lose the exit status.
    command = [
        sys.executable,
        "-P",  # the working folder is no place to import from
        "-m",
        "hcsyncd.plugins.worker",
        str(connection.fileno()),
        repr(time_limit_secs),
        str(memory_limit_bytes),
    ]
    return subprocess.Popen(  # noqa: S603 - our own interpreter and module
        command,
        pass_fds=[connection.fileno()],
        stdin=subprocess.DEVNULL,
        env=child_environment(),
        start_new_session=True,  # a Ctrl-C at the daemon's terminal is the daemon's alone
    )
