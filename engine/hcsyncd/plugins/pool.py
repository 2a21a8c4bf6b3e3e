"""The worker processes, as the flow sees them: load a generation, run batches of jobs, forget the generation.

When a worker is lost, the jobs of the batch it was at are run again one step at a time, each alone in a worker: the
step that loses its worker again is the guilty one and fails, all others get their results.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from hcsyncd.errors import PluginError, TransformCrash, TransformMemory, TransformTimeout
from hcsyncd.events import Event, WorkerLost, WorkerStarted
from hcsyncd.plugins.job import Failed, Job, Step, StepResult
from hcsyncd.plugins.link import LOAD_SECS, MEMORY, TIMEOUT, Batch, WorkerLink
from hcsyncd.plugins.loader import FaultyPlugins, Sources
from hcsyncd.plugins.wire import Forget, Load, frame

FormatSpec = tuple[str, Mapping[str, Any]]  # a format's kind and its options

BATCHES_IN_HAND = 2  # at one worker: the one it runs and the one it goes on with
GRACE_SECS = 1.5
FREE_LOSSES = 3  # in a row, with nothing done between, before restarts are put off
FIRST_PAUSE_SECS = 0.1
LONGEST_PAUSE_SECS = 10.0


class WorkerPool:
    """Runs filters and transforms in worker processes, so that none of them can hurt the daemon."""

    def __init__(
        self,
        count: int,
        time_limit_secs: float,
        memory_limit_bytes: int,
        emit: Callable[[Event], None],
        grace_secs: float = GRACE_SECS,
    ) -> None:
        """``time_limit_secs`` holds for one step of one message, ``memory_limit_bytes`` for what the transforms of a
        worker take beyond the interpreter itself. A worker whose step does not stop at its time limit is killed after
        ``grace_secs``."""
        self._count = count
        self._time_limit_secs = time_limit_secs
        self._memory_limit_bytes = memory_limit_bytes
        self._patience_secs = time_limit_secs + grace_secs
        self._emit = emit
        self._queue = _Queue()
        self._links: list[WorkerLink] = []  # those that are up and have every generation
        self._loads: dict[int, Load] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._changed = asyncio.Condition()
        self._failed_starts = 0
        self._start_failure = ""

    @property
    def ready(self) -> int:
        """Workers that are up."""
        return len(self._links)

    @property
    def busy(self) -> int:
        """Workers with a batch in hand."""
        return sum(1 for link in self._links if link.in_hand)

    @property
    def waiting(self) -> int:
        """Batches that no worker has taken yet."""
        return len(self._queue)

    async def start(self) -> None:
        """Start the processes. Raises PluginError when the first one does not come up."""
        self._keepers = [
            asyncio.create_task(self._keep(number), name=f"worker {number}") for number in range(1, self._count + 1)
        ]
        try:
            await self._until_up(self._count)
        except BaseException:
            await self.stop()
            raise

    async def load(
        self,
        generation: int,
        sources: Sources,
        tables: Mapping[str, Mapping[str, str]],
        formats: Mapping[str, FormatSpec],
    ) -> None:
        """Load the plug-ins of a site's ``transforms/`` in every worker and in those that are started later.
        ``formats`` says how the bodies of each source channel are read. Raises FaultyPlugins, or PluginError when no
        worker can load it; nothing stays loaded then."""
        load = Load(
            generation,
            sources,
            {name: dict(table) for name, table in tables.items()},
            {channel: (kind, dict(options)) for channel, (kind, options) in formats.items()},
        )
        self._loads[generation] = load
        try:
            await asyncio.gather(*(_load(link, load) for link in self._links))
            await self._until_up(1)
        except BaseException:
            await self.forget(generation)
            raise

    async def run(
        self, generation: int, jobs: Sequence[Job], *, background: bool = False
    ) -> list[tuple[StepResult, ...]]:
        """Run a batch; for each job the results of its steps, in order. Whatever a plug-in does is a result and no
        error. Raises PluginError when the pool is stopped. The caller bounds how much it asks for at once; batches of
        different channels take turns. One in the ``background`` waits until no other batch does, and takes one worker
        at most, however many are free."""
        if not jobs:
            return []
        batch = Batch(generation, jobs, background=background)
        await self._answer(batch)
        for job in jobs[len(batch.results) :]:
            steps = [await self._run_alone(generation, job, step, background=background) for step in job.steps]
            batch.results.append(tuple(steps))
        return batch.results

    async def forget(self, generation: int) -> None:
        """Unload a generation that nobody will name again."""
        self._loads.pop(generation, None)
        for link in self._links:
            link.tell(frame(Forget(generation)))

    async def stop(self) -> None:
        """End the processes. Runs that are still waited for raise PluginError. Safe to call twice."""
        keepers, self._keepers = self._keepers, []
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)
        self._queue.close()

    async def _answer(self, batch: Batch) -> None:
        if not self._keepers:
            raise PluginError("the worker pool is not running")
        self._queue.put(batch)
        self._deal()
        await batch.answered

    async def _run_alone(self, generation: int, job: Job, step: Step, *, background: bool) -> StepResult:
        batch = Batch(generation, [replace(job, steps=(step,))], alone=True, background=background)
        await self._answer(batch)
        return batch.results[0][0] if batch.results else _blame(batch.lost, step, self._time_limit_secs)

    def _deal(self) -> None:
        """Hand waiting batches to the least busy workers."""
        for depth in range(BATCHES_IN_HAND):
            for link in self._links:
                if len(link.in_hand) > depth or (link.in_hand and link.in_hand[0].alone):
                    continue
                batch = self._queue.take(idle=not link.in_hand)
                if batch is None and not link.in_hand and not self._is_behind():
                    batch = self._queue.take_from_behind()
                if batch is not None:
                    link.run(batch)

    def _is_behind(self) -> bool:
        """Whether a worker is at a batch of the background."""
        return any(batch.background for link in self._links for batch in link.in_hand)

    async def _keep(self, number: int) -> None:
        """Keep one worker process running, as long as this task is not cancelled."""
        losses = 0
        while True:
            link = WorkerLink(self._patience_secs, self._deal)
            reason = ""
            try:
                if await self._bring_up(link, number):
                    await link.lost
            finally:
                if link in self._links:
                    self._links.remove(link)
                reason = await asyncio.shield(link.close())
                self._release(link, reason)
            self._emit(WorkerLost(number, link.process_id, reason))
            losses = 1 if link.completed else losses + 1
            if losses > FREE_LOSSES:
                await asyncio.sleep(min(FIRST_PAUSE_SECS * 2 ** (losses - FREE_LOSSES - 1), LONGEST_PAUSE_SECS))

    async def _bring_up(self, link: WorkerLink, number: int) -> bool:
        """Start a process and load every generation in it."""
        loaded: set[int] = set()
        try:
            await link.open(self._memory_limit_bytes, self._time_limit_secs)
            while missing := [load for generation, load in self._loads.items() if generation not in loaded]:
                await _load(link, missing[0])
                loaded.add(missing[0].generation)
        except (OSError, PluginError) as error:
            await self._note_start(failure=str(error))
            return False
        for generation in loaded - self._loads.keys():
            link.tell(frame(Forget(generation)))
        self._links.append(link)
        self._emit(WorkerStarted(number, link.process_id))
        await self._note_start()
        self._deal()
        return True

    async def _note_start(self, failure: str = "") -> None:
        async with self._changed:
            if failure:
                self._failed_starts += 1
                self._start_failure = failure
            self._changed.notify_all()

    async def _until_up(self, wanted: int) -> None:
        """Wait until so many workers are up, or as many starts have failed as there are workers."""
        self._failed_starts = 0
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._links) >= wanted or self._failed_starts >= self._count)
        if not self._links:
            raise PluginError(f"no worker process comes up: {self._start_failure}")

    def _release(self, link: WorkerLink, reason: str) -> None:
        """Give back what a lost worker had in hand: the batch it was at to its caller, the others to the queue."""
        if link.in_hand:
            current = link.in_hand.popleft()
            current.lost = reason
            current.finish()
            self._queue.put_back(link.in_hand)
            self._deal()


class _Queue:
    """Batches that wait for a worker: a lane for each channel, the lanes take turns; jobs to be run alone go first, and
    those of the background last."""

    def __init__(self) -> None:
        self._alone: deque[Batch] = deque()
        self._behind: deque[Batch] = deque()
        self._lanes: dict[str, deque[Batch]] = {}  # in the order of their turns; none is empty

    def __len__(self) -> int:
        return len(self._alone) + sum(map(len, self._lanes.values()))

    def put(self, batch: Batch) -> None:
        if batch.background:
            self._behind.append(batch)
        elif batch.alone:
            self._alone.append(batch)
        else:
            self._lanes.setdefault(batch.jobs[0].channel, deque()).append(batch)

    def put_back(self, batches: Sequence[Batch]) -> None:
        """Batches that were taken and not begun, in their order."""
        for batch in reversed(batches):
            if batch.background:
                self._behind.appendleft(batch)
                continue
            self._lanes.setdefault(batch.jobs[0].channel, deque()).appendleft(batch)

    def take(self, *, idle: bool) -> Batch | None:
        """The next batch for a worker. While jobs wait to be run alone, a worker that is not idle gets nothing, so
        that it soon is."""
        while self._alone:
            if not idle:
                return None
            batch = self._alone.popleft()
            if not batch.answered.done():
                return batch
        while self._lanes:
            channel = next(iter(self._lanes))
            lane = self._lanes.pop(channel)
            batch = lane.popleft()
            if lane:
                self._lanes[channel] = lane
            if not batch.answered.done():
                return batch
        return None

    def take_from_behind(self) -> Batch | None:
        """The next batch of the background, for a worker that is idle while nothing else waits."""
        while self._behind:
            batch = self._behind.popleft()
            if not batch.answered.done():
                return batch
        return None

    def close(self) -> None:
        """Fail everything that waits."""
        while batch := self.take(idle=True) or self.take_from_behind():
            batch.answered.set_exception(PluginError("the worker pool was stopped"))


async def _load(link: WorkerLink, load: Load) -> None:
    """Load a generation in one worker. Raises PluginError."""
    try:
        answer = await link.load(load)
    except TimeoutError as error:
        link.kill(TIMEOUT)
        raise PluginError(f"a worker process took longer than {LOAD_SECS:g} s to import the transforms") from error
    except ConnectionError as error:
        if link.was_busy:
            return  # it fell over a batch; the process that takes its place loads the generation too
        raise PluginError("a worker process ended while it imported the transforms") from error
    if answer.faults:
        raise FaultyPlugins(answer.faults)
    if answer.text:
        raise PluginError(answer.text)


def _blame(reason: str, step: Step, time_limit_secs: float) -> Failed:
    """What is said of a step that lost its worker twice."""
    name = step.transform or step.filter
    if reason == TIMEOUT:
        text = f"{name}: overran its time limit of {time_limit_secs:g} s and did not stop when told to"
        return Failed(TransformTimeout.code, text)
    if reason == MEMORY:
        return Failed(TransformMemory.code, f"{name}: took its worker process beyond its memory limit")
    return Failed(TransformCrash.code, f"{name}: ended its worker process")
