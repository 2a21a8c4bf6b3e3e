"""The worker pool with real processes: batches, generations, bounds, and transforms that do their worst."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
import uvloop

from hcsyncd.errors import PluginError
from hcsyncd.events import WorkerLost, WorkerStarted
from hcsyncd.plugins.bounds import child_environment
from hcsyncd.plugins.job import Dropped, Failed, Job, Made, StepResult
from hcsyncd.plugins.loader import FaultyPlugins, Sources
from hcsyncd.plugins.pool import GRACE_SECS, WorkerPool
from tests.fakes.events import RecordedEvents
from tests.fakes.jobs import ADMISSION, make_job
from tests.fakes.transforms import write_transforms
from tests.fakes.waiting import until

MEBIBYTE = 1024 * 1024
FORMATS: Mapping[str, tuple[str, Mapping[str, object]]] = {"adt_in": ("hl7", {}), "files_in": ("hl7", {})}

SOURCE = """
import os
import signal
import sys
import time
from pathlib import Path

COUNTS = []

@transform
def relay(document, context):
    document["MSH-5"] = "LAB"
    return Out(document)

@transform
def number(document, context):
    return Out(str(context.message_id))

@transform
def process(document, context):
    return Out(f"{os.getpid()} {os.getppid()}")

@transform
def sleeps(document, context):
    time.sleep(60)

@transform
def loops(document, context):
    while True:
        pass

@transform
def swallows(document, context):
    while True:
        try:
            time.sleep(60)
        except Exception:
            pass

@transform
def stubborn(document, context):
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass

@transform
def deaf(document, context):
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    while True:
        time.sleep(60)

@transform
def hoards(document, context):
    return Out("x" * (4 * 1024 ** 3))

@transform
def exits(document, context):
    sys.exit(3)

@transform
def dies(document, context):
    os._exit(3)

@transform
def dies_on_13(document, context):
    if context.message_id == 13:
        os._exit(3)
    return Out(str(context.message_id))

@transform
def interrupts(document, context):
    raise KeyboardInterrupt

@transform
def prints(document, context):
    print("PRINTED")
    sys.stdout.write("WRITTEN")
    os.write(1, b"RAW")
    return Out(str(len(sys.stdin.read())))

@transform
def waits_for(document, context):
    while not Path(context.lookup("files", "go")).exists():
        time.sleep(0.002)
    return Out("went")

@transform
def big(document, context):
    return Out(document.to_bytes())
"""


class Yard:
    """A pool with a site's transforms, and the events it emits."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events = RecordedEvents()
        self.pools: list[WorkerPool] = []

    async def pool(
        self, count: int = 1, time_limit_secs: float = 5.0, source: str = SOURCE, grace_secs: float = GRACE_SECS
    ) -> WorkerPool:
        made = WorkerPool(count, time_limit_secs, 128 * MEBIBYTE, self.events, grace_secs)
        self.pools.append(made)
        await made.start()
        tables = {"files": {"go": str(self.folder / "go")}}
        await made.load(1, Sources.read(write_transforms(self.folder, t=source)), tables, FORMATS)
        return made


@pytest.fixture
async def yard(tmp_path: Path) -> AsyncIterator[Yard]:
    made = Yard(tmp_path)
    yield made
    for pool in made.pools:
        await pool.stop()


def bodies(results: list[tuple[StepResult, ...]]) -> list[str]:
    found = []
    for (result,) in results:
        assert isinstance(result, Made), result
        found.append(result.outs[0].body.decode())
    return found


def only_failure(results: list[tuple[StepResult, ...]]) -> Failed:
    ((result,),) = results
    assert isinstance(result, Failed), result
    return result


def batch(transform: str, *message_ids: int, channel: str = "adt_in") -> list[Job]:
    return [make_job(transform, message_id=number, channel=channel) for number in message_ids]


async def test_results_stand_in_the_order_of_jobs_and_steps(yard: Yard) -> None:
    pool = await yard.pool()
    jobs = [make_job("t.number", "t.relay", message_id=number) for number in range(200)]
    results = await pool.run(1, jobs)
    for number, (first, second) in enumerate(results):
        assert isinstance(first, Made)
        assert isinstance(second, Made)
        assert first.outs[0].body == str(number).encode()
        assert second.outs[0].body == ADMISSION.replace(b"HCSYNCD", b"LAB")
    assert len(results) == 200
    assert await pool.run(1, []) == []


async def test_many_callers_share_the_workers(yard: Yard) -> None:
    pool = await yard.pool(count=2)
    runs = [pool.run(1, batch("t.number", *range(start, start + 10))) for start in range(0, 300, 10)]
    results = await asyncio.gather(*runs)
    assert [number for run in results for number in bodies(run)] == [str(number) for number in range(300)]


async def test_work_is_spread_over_processes_of_their_own(yard: Yard) -> None:
    pool = await yard.pool(count=2)
    (yard.folder / "go").touch()
    seen: set[str] = set()
    async with asyncio.timeout(10):
        while len(seen) < 2:
            runs = await asyncio.gather(*(pool.run(1, batch("t.process", 1)) for _ in range(4)))
            seen |= {text for run in runs for text in bodies(run)}
    assert {text.split()[1] for text in seen} == {str(os.getpid())}
    assert {int(text.split()[0]) for text in seen} == {event.process_id for event in yard.events.of(WorkerStarted)}


async def test_channels_take_turns(yard: Yard) -> None:
    pool = await yard.pool()
    blocking = [asyncio.create_task(pool.run(1, batch("t.waits_for", 1))) for _ in range(2)]
    await asyncio.sleep(0)
    order: list[str] = []

    async def run(channel: str, number: int) -> None:
        await pool.run(1, batch("t.number", number, channel=channel))
        order.append(channel)

    waiting = [asyncio.create_task(run("adt_in", number)) for number in range(5)]
    waiting.append(asyncio.create_task(run("files_in", 9)))
    await asyncio.sleep(0)
    assert (pool.busy, pool.waiting) == (1, 6)
    (yard.folder / "go").touch()
    await asyncio.gather(*blocking, *waiting)
    assert order.index("files_in") == 1
    assert (pool.busy, pool.waiting) == (0, 0)


async def test_generations_live_side_by_side_until_forgotten(yard: Yard) -> None:
    pool = await yard.pool(source="@transform\ndef f(document, context):\n    return Out('old')\n")
    folder = write_transforms(yard.folder, t="@transform\ndef f(document, context):\n    return Out('new')\n")
    await pool.load(2, Sources.read(folder), {}, FORMATS)
    job = make_job("t.f")
    assert bodies(await pool.run(1, [job])) == ["old"]
    assert bodies(await pool.run(2, [job])) == ["new"]
    await pool.forget(1)
    assert only_failure(await pool.run(1, [job])) == Failed("plugin", "generation 1 is not loaded")
    assert bodies(await pool.run(2, [job])) == ["new"]


async def test_a_new_worker_runs_what_was_loaded_and_not_what_the_files_say_now(yard: Yard) -> None:
    source = "import os\n@transform\ndef f(document, context):\n    return Out('loaded')\n"
    pool = await yard.pool(source=source)
    write_transforms(yard.folder, t=source.replace("loaded", "edited"))
    os.kill(yard.events.of(WorkerStarted)[0].process_id, signal.SIGKILL)
    await yard.events.first(WorkerStarted, 2)
    assert bodies(await pool.run(1, [make_job("t.f")])) == ["loaded"]


async def test_faulty_files_are_refused_and_the_generation_that_runs_stays(yard: Yard) -> None:
    pool = await yard.pool()
    with pytest.raises(FaultyPlugins) as caught:
        await pool.load(2, Sources.read(write_transforms(yard.folder, bad="def f(:\n")), {}, FORMATS)
    assert [fault.file for fault in caught.value.faults] == ["transforms/bad.py"]
    assert only_failure(await pool.run(2, [make_job("t.number")])).cause == "plugin"
    assert bodies(await pool.run(1, batch("t.number", 5))) == ["5"]
    assert yard.events.of(WorkerLost) == []


async def test_a_format_that_cannot_be_built_is_refused(yard: Yard) -> None:
    pool = await yard.pool()
    with pytest.raises(PluginError, match="no_such_kind"):
        await pool.load(2, Sources.read(yard.folder / "transforms"), {}, {"adt_in": ("no_such_kind", {})})
    with pytest.raises(PluginError, match="no_such_option"):
        await pool.load(2, Sources.read(yard.folder / "transforms"), {}, {"adt_in": ("hl7", {"no_such_option": 1})})


@pytest.mark.parametrize("name", ["sleeps", "loops", "swallows"])
async def test_a_slow_transform_fails_alone_and_keeps_its_worker(yard: Yard, name: str) -> None:
    pool = await yard.pool(time_limit_secs=0.15)
    results = await pool.run(1, [*batch("t.number", 1), *batch(f"t.{name}", 2), *batch("t.number", 3)])
    slow = only_failure(results[1:2])
    assert slow.cause == "transform-timeout"
    assert slow.text.startswith("transforms/t.py:")
    assert bodies([results[0], results[2]]) == ["1", "3"]
    assert yard.events.of(WorkerLost) == []


@pytest.mark.parametrize(("name", "grace_secs"), [("stubborn", GRACE_SECS), ("deaf", 0.2)])
async def test_a_transform_that_will_not_stop_costs_its_worker(yard: Yard, name: str, grace_secs: float) -> None:
    pool = await yard.pool(time_limit_secs=0.1, grace_secs=grace_secs)
    result = only_failure(await pool.run(1, batch(f"t.{name}", 1)))
    assert result.cause == "transform-timeout"
    assert result.text == f"t.{name}: overran its time limit of 0.1 s and did not stop when told to"
    assert {event.reason for event in yard.events.of(WorkerLost)} == {"timeout"}
    assert bodies(await pool.run(1, batch("t.number", 4))) == ["4"]


async def test_a_transform_that_takes_all_memory_fails_alone(yard: Yard) -> None:
    pool = await yard.pool()
    results = await pool.run(1, [*batch("t.hoards", 1), *batch("t.number", 2)])
    assert only_failure(results[:1]).cause == "transform-memory"
    assert bodies(results[1:]) == ["2"]


async def test_a_message_that_kills_its_worker_is_found_and_all_others_get_their_results(yard: Yard) -> None:
    pool = await yard.pool()
    results = await pool.run(1, batch("t.dies_on_13", *range(10, 20)))
    assert only_failure(results[3:4]) == Failed("worker-lost", "t.dies_on_13: ended its worker process")
    assert bodies(results[:3] + results[4:]) == ["10", "11", "12", "14", "15", "16", "17", "18", "19"]
    assert [event.reason for event in yard.events.of(WorkerLost)] == ["exit", "exit"]


async def test_only_the_guilty_step_of_a_message_fails(yard: Yard) -> None:
    pool = await yard.pool()
    ((first, second, third),) = await pool.run(1, [make_job("t.number", "t.dies", "t.number", message_id=6)])
    assert isinstance(second, Failed)
    assert second.cause == "worker-lost"
    assert bodies([(first,), (third,)]) == ["6", "6"]


async def test_batches_behind_a_deadly_one_are_run(yard: Yard) -> None:
    pool = await yard.pool(count=2)
    deadly = [pool.run(1, batch("t.dies", number)) for number in (1, 2)]
    harmless = [pool.run(1, batch("t.number", *range(start, start + 5))) for start in range(0, 50, 5)]
    results = await asyncio.gather(*deadly, *harmless)
    assert {only_failure(run).cause for run in results[:2]} == {"worker-lost"}
    assert [text for run in results[2:] for text in bodies(run)] == [str(number) for number in range(50)]


async def test_a_worker_killed_from_outside_costs_no_message(yard: Yard) -> None:
    pool = await yard.pool()
    running = asyncio.create_task(pool.run(1, batch("t.waits_for", 1)))
    await asyncio.sleep(0)
    os.kill(yard.events.of(WorkerStarted)[0].process_id, signal.SIGKILL)
    lost = await yard.events.first(WorkerLost)
    assert (lost.worker, lost.reason) == (1, "exit")
    (yard.folder / "go").touch()
    assert bodies(await running) == ["went"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_workers_end_when_the_daemon_says_so_and_not_by_signals(yard: Yard, number: signal.Signals) -> None:
    pool = await yard.pool()
    os.kill(yard.events.of(WorkerStarted)[0].process_id, number)
    assert bodies(await pool.run(1, batch("t.number", 4))) == ["4"]
    assert yard.events.of(WorkerLost) == []


@pytest.mark.parametrize(("name", "text"), [("exits", "SystemExit"), ("interrupts", "KeyboardInterrupt")])
async def test_a_transform_cannot_end_its_worker_by_an_exception(yard: Yard, name: str, text: str) -> None:
    pool = await yard.pool()
    result = only_failure(await pool.run(1, batch(f"t.{name}", 1)))
    assert result.cause == "transform-failed"
    assert text in result.text
    assert bodies(await pool.run(1, batch("t.number", 4))) == ["4"]
    assert yard.events.of(WorkerLost) == []


async def test_what_a_transform_prints_goes_to_standard_error(yard: Yard, capfd: pytest.CaptureFixture[str]) -> None:
    pool = await yard.pool()
    assert bodies(await pool.run(1, batch("t.prints", 1))) == ["0"]
    await pool.stop()
    printed = capfd.readouterr()
    assert printed.out == ""
    assert "PRINTED\n" in printed.err
    assert "RAW" in printed.err


async def test_large_bodies_cross_whole(yard: Yard) -> None:
    pool = await yard.pool()
    body = ADMISSION + b"OBX|1|TX|||" + b"x" * (6 * MEBIBYTE) + b"\r"
    ((result,),) = await pool.run(1, [make_job("t.big", body=body)])
    assert isinstance(result, Made)
    assert result.outs[0].body == body


async def test_a_caller_that_gives_up_leaves_no_trace(yard: Yard) -> None:
    pool = await yard.pool()
    runs = [asyncio.create_task(pool.run(1, batch("t.waits_for", number))) for number in range(5)]
    await asyncio.sleep(0)
    for run in runs:
        run.cancel()
    await asyncio.gather(*runs, return_exceptions=True)
    (yard.folder / "go").touch()
    assert bodies(await pool.run(1, batch("t.number", 4))) == ["4"]
    assert pool.waiting == 0


async def test_a_stop_ends_the_processes_and_fails_who_waits(yard: Yard) -> None:
    pool = await yard.pool(count=2)
    runs = [asyncio.create_task(pool.run(1, batch("t.waits_for", number))) for number in range(8)]
    await asyncio.sleep(0)
    await pool.stop()
    for outcome in await asyncio.gather(*runs, return_exceptions=True):
        assert isinstance(outcome, PluginError)
    for started in yard.events.of(WorkerStarted):
        with pytest.raises(ProcessLookupError):
            os.kill(started.process_id, 0)
    with pytest.raises(PluginError, match="not running"):
        await pool.run(1, batch("t.number", 1))
    await pool.stop()


async def test_a_pool_whose_processes_cannot_come_up_says_so(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHOME", str(yard.folder))  # an interpreter without its library ends at once
    pool = WorkerPool(2, 5.0, 128 * MEBIBYTE, yard.events)
    with pytest.raises(PluginError, match="no worker process comes up"):
        await pool.start()
    # The error says it all; a process that the stop of the pool finds first is not told of by itself.
    assert {event.reason for event in yard.events.of(WorkerLost)} <= {"exit"}
    assert yard.events.of(WorkerStarted) == []
    await pool.stop()


DAEMON = """
import asyncio, pathlib, sys
from hcsyncd.events import WorkerStarted
from hcsyncd.plugins.job import Job, Step
from hcsyncd.plugins.loader import Sources
from hcsyncd.plugins.pool import WorkerPool
from hcsyncd.message import Keys

def emit(event):
    if isinstance(event, WorkerStarted):
        print(event.process_id, flush=True)

async def main():
    pool = WorkerPool(2, 0.3, 1 << 28, emit)
    await pool.start()
    await pool.load(1, Sources.read(pathlib.Path(sys.argv[1])), {}, {"adt_in": ("hl7", {})})
    job = Job(1, "adt_in", 0, Keys(), b"MSH|^~\\&|", (Step("r", "", "t.stubborn"),))
    asyncio.ensure_future(pool.run(1, [job]))
    await asyncio.sleep(0)
    print("up", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def workers_of_a_killed_daemon(transforms: Path) -> list[int]:
    command = [sys.executable, "-c", DAEMON, str(transforms)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=child_environment()) as daemon:
        assert daemon.stdout is not None
        workers = [int(line) for line in iter(daemon.stdout.readline, "up\n")]
        daemon.kill()
    return workers


async def test_workers_end_with_a_daemon_that_is_killed(tmp_path: Path) -> None:
    workers = workers_of_a_killed_daemon(write_transforms(tmp_path, t=SOURCE))
    assert len(workers) == 2
    await until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers), "workers are gone")


def test_it_works_on_uvloop(tmp_path: Path) -> None:
    async def scenario() -> list[str]:
        pool = WorkerPool(1, 5.0, 128 * MEBIBYTE, RecordedEvents())
        await pool.start()
        await pool.load(1, Sources.read(write_transforms(tmp_path, t=SOURCE)), {}, FORMATS)
        results = await pool.run(1, batch("t.dies_on_13", 12, 13, 14))
        await pool.stop()
        return bodies(results[:1] + results[2:])

    assert uvloop.run(scenario()) == ["12", "14"]


async def test_dropped_comes_back_as_said(yard: Yard) -> None:
    pool = await yard.pool(source="@filter\ndef never(document, context):\n    return False\n")
    assert await pool.run(1, [make_job(filter="t.never")]) == [(Dropped("filter t.never"),)]


async def test_the_background_waits_until_nothing_else_does(yard: Yard) -> None:
    pool = await yard.pool(1)
    ended: list[str] = []

    async def run(name: str, *, background: bool, transform: str = "t.number") -> None:
        await pool.run(1, batch(transform, 1), background=background)
        ended.append(name)

    first = asyncio.create_task(run("first", background=False, transform="t.waits_for"))
    await until(lambda: pool.busy == 1, "the worker is at a batch")
    behind = asyncio.create_task(run("behind", background=True))
    await asyncio.sleep(0)
    live = asyncio.create_task(run("live", background=False))
    await until(lambda: pool.waiting == 0, "the live batch is behind the one that runs")
    (yard.folder / "go").touch()
    await asyncio.gather(first, behind, live)
    assert ended == ["first", "live", "behind"]


async def test_the_background_takes_no_second_worker(yard: Yard) -> None:
    pool = await yard.pool(2)
    behind = [asyncio.create_task(pool.run(1, batch("t.waits_for", n), background=True)) for n in (1, 2)]
    await until(lambda: pool.busy, "one is at work")
    live = await pool.run(1, batch("t.number", 7))
    assert (bodies(live), pool.busy) == (["7"], 1)
    (yard.folder / "go").touch()
    assert [bodies(found) for found in await asyncio.gather(*behind)] == [["went"], ["went"]]


async def test_a_batch_of_the_background_survives_its_worker(yard: Yard) -> None:
    pool = await yard.pool()
    found = await pool.run(1, batch("t.dies_on_13", 12, 13, 14), background=True)
    assert isinstance(found[1][0], Failed)
    assert bodies([found[0], found[2]]) == ["12", "14"]
