"""A worker process: ``python -m hcsyncd.plugins.worker FD TIME_LIMIT_SECS MEMORY_LIMIT_BYTES``.

It serves the commands of `wire` on the inherited socket FD until the daemon closes its end. The time bound holds for
one step, the memory bound for what is taken beyond the interpreter itself.
"""

from __future__ import annotations

import gc
import io
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping

from hcsyncd.errors import HcsyncdError, PluginError
from hcsyncd.formats.format import Format
from hcsyncd.formats.registry import FORMATS
from hcsyncd.plugins.bounds import Alarm, bound_memory, forbid_forks
from hcsyncd.plugins.job import Failed, Job, Step, StepResult
from hcsyncd.plugins.loader import FaultyPlugins, Plugins, load_plugins, unload
from hcsyncd.plugins.step import Tables, failure, run_step
from hcsyncd.plugins.wire import (
    EXIT_MEMORY,
    FLUSH_SECS,
    LENGTH_BYTES,
    Answer,
    Forget,
    Load,
    Loaded,
    Results,
    Run,
    command_decoder,
    frame,
)


class Generation:
    """What a worker needs to run the steps of one generation."""

    def __init__(self, plugins: Plugins, tables: Tables, formats: Mapping[str, Format]) -> None:
        self._plugins = plugins
        self._tables = tables
        self._formats = formats

    @classmethod
    def load(cls, load: Load) -> Generation:
        """Raises FaultyPlugins, or another HcsyncdError for a format that cannot be built."""
        plugins = load_plugins(load.sources, load.generation)
        formats = {
            channel: FORMATS[kind].build(FORMATS[kind].options.model_validate(options))
            for channel, (kind, options) in load.formats.items()
        }
        return cls(plugins, load.tables, formats)

    def run(self, job: Job, step: Step, alarm: Alarm, now: float) -> StepResult:
        """Run a step under the alarm; ``now`` is the monotonic time. Nothing that the step raises gets out."""
        try:
            alarm.set(now)
            try:
                return run_step(self._plugins, self._formats[job.channel], job, step, self._tables)
            finally:
                alarm.clear()
        except BaseException as error:  # a KeyboardInterrupt that a transform raises ends its step, not us
            alarm.clear()
            return failure(error, self._plugins.sources, None, job.body)


class Worker:
    """Serves one daemon."""

    def __init__(self, connection: socket.socket, time_limit_secs: float) -> None:
        self._connection = connection
        self._alarm = Alarm(time_limit_secs)
        self._generations: dict[int, Generation] = {}

    def serve(self) -> None:
        """Until the daemon closes its end of the socket."""
        self._send(Loaded(0, []))
        for payload in self._frames():
            match command_decoder.decode(payload):
                case Run() as run:
                    self._run(run)
                case Load() as load:
                    self._send(self._load(load))
                case Forget(generation):
                    self._generations.pop(generation, None)
                    unload(generation)
                    _tidy()

    def _frames(self) -> Iterator[bytes]:
        with self._connection.makefile("rb", buffering=1 << 16) as stream:
            while len(head := stream.read(LENGTH_BYTES)) == LENGTH_BYTES:
                yield stream.read(int.from_bytes(head, "big"))

    def _send(self, answer: Answer) -> None:
        self._connection.sendall(frame(answer))

    def _load(self, load: Load) -> Loaded:
        try:
            self._generations[load.generation] = Generation.load(load)
        except FaultyPlugins as error:
            return Loaded(load.generation, list(error.faults))
        except (HcsyncdError, ValueError, KeyError) as error:
            return Loaded(load.generation, [], f"{type(error).__name__}: {error}")
        _tidy()
        return Loaded(load.generation, [])

    def _run(self, run: Run) -> None:
        generation = self._generations.get(run.generation)
        if generation is None:
            missing = Failed(PluginError.code, f"generation {run.generation} is not loaded")
            self._send(Results([(missing,) * len(job.steps) for job in run.jobs]))
            return
        self._alarm.start()
        try:
            self._run_in(generation, run.jobs)
        finally:
            self._alarm.stop()

    def _run_in(self, generation: Generation, jobs: list[Job]) -> None:
        flushed_at = time.monotonic()
        done: list[tuple[StepResult, ...]] = []
        for job in jobs:
            results: list[StepResult] = []
            for step in job.steps:
                now = time.monotonic()
                if now - flushed_at > FLUSH_SECS:  # even with nothing done: the daemon's patience is for one step
                    self._send(Results(done))
                    flushed_at = now = time.monotonic()  # the daemon may have taken its time to listen
                    done = []
                results.append(generation.run(job, step, self._alarm, now))
            done.append(tuple(results))
        if done:
            self._send(Results(done))


def _tidy() -> None:
    """Free what an old generation held, and spare the collector what the live ones hold."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def main(arguments: list[str]) -> int:
    """Set the process up and serve; the exit status says how it ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the daemon decides when its workers end
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    descriptor, time_limit_secs, memory_limit_bytes = int(arguments[0]), float(arguments[1]), int(arguments[2])
    os.dup2(2, 1)  # what a transform prints goes to the log
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    try:
        with socket.socket(fileno=descriptor) as connection:
            bound_memory(memory_limit_bytes)
            forbid_forks()
            Worker(connection, time_limit_secs).serve()
    except MemoryError:
        os._exit(EXIT_MEMORY)
    except ConnectionError:
        return 0  # the daemon is gone
    return 0


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))  # threads that a transform has started must not hold the process back
