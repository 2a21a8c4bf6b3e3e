from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from pydantic import ValidationError

from hcsyncd.connectors.folder_source import FolderSource, FolderSourceOptions
from hcsyncd.errors import SourceError
from hcsyncd.events import FileTaken
from hcsyncd.formats.hl7.format import Hl7Format, Hl7Options
from hcsyncd.message import ReceiptOutcome
from tests.fakes.clock import FakeClock
from tests.fakes.folder_feed import Runner, archived, claimed, left, make_source, started
from tests.fakes.intake import RecordingIntake
from tests.fakes.seats import RecordedEvents, make_seat
from tests.fakes.waiting import until


@pytest.fixture
def events() -> RecordedEvents:
    return RecordedEvents()


@pytest.fixture
def intake() -> RecordingIntake:
    return RecordingIntake(reply=lambda _arrival: b"")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    return folder


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system."""
    memory = Path("/dev/shm")  # a file system of its own on every Linux
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system to write to")
    with TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


@pytest.fixture
def running(folder: Path, events: RecordedEvents, intake: RecordingIntake) -> Runner:
    def run(**options: Any) -> AbstractAsyncContextManager[FolderSource]:
        return started(make_source(folder, events, **options), intake)

    return run


@pytest.mark.parametrize("watch", [False, True])
async def test_file_is_split_handed_in_and_archived(
    running: Runner, folder: Path, events: RecordedEvents, intake: RecordingIntake, watch: bool
) -> None:
    (folder / "day.hl7").write_bytes(b"one\ntwo\nthree")
    async with running(watch=watch):
        await until(lambda: events.of(FileTaken), "the file is taken")
    assert intake.bodies == [b"one", b"two", b"three"]
    assert events.of(FileTaken) == [FileTaken("adt_in", "day.hl7", 3, 13)]
    assert archived(folder) == ["day.hl7"]
    assert left(folder) == []
    assert claimed(folder) == []
    assert [arrival.facts["file_index"] for arrival in intake.arrivals] == ["1", "2", "3"]
    assert {arrival.facts["file"] for arrival in intake.arrivals} == {"day.hl7"}
    assert {arrival.peer for arrival in intake.arrivals} == {str(folder)}
    assert len({arrival.key for arrival in intake.arrivals}) == 3


async def test_batch_envelope_of_hl7_is_split(folder: Path, events: RecordedEvents, intake: RecordingIntake) -> None:
    messages = [b"MSH|^~\\&|A|B|C|D|20260101||ADT^A01|%d|P|2.5\rPID|1||%d\r" % (n, n) for n in range(3)]
    (folder / "batch.hl7").write_bytes(b"FHS|^~\\&|A\rBHS|^~\\&|A\r" + b"".join(messages) + b"BTS|3\rFTS|1\r")
    seat = make_seat(folder.parent, events, format_=Hl7Format(Hl7Options()))
    options = FolderSourceOptions.model_validate({"folder": "in", "poll_secs": 0.02, "stable_secs": 0})
    async with started(FolderSource(options, seat), intake):
        await until(lambda: events.of(FileTaken), "the file is taken")
    assert [body.split(b"\r")[1] for body in intake.bodies] == [b"PID|1||0", b"PID|1||1", b"PID|1||2"]


async def test_file_is_archived_only_after_all_receipts(
    running: Runner, folder: Path, events: RecordedEvents, intake: RecordingIntake
) -> None:
    intake.hold = True
    (folder / "f").write_bytes(b"one\ntwo")
    async with running():
        await until(lambda: len(intake.held) == 2, "both are handed in")
        intake.release(1)
        await asyncio.sleep(0.05)
        assert archived(folder) == []
        assert claimed(folder) == ["f"]
        intake.release()
        await until(lambda: archived(folder) == ["f"], "the file is archived")


async def test_number_in_flight_is_bounded(
    running: Runner, folder: Path, events: RecordedEvents, intake: RecordingIntake
) -> None:
    intake.hold = True
    (folder / "f").write_bytes(b"\n".join(b"%d" % number for number in range(50)))
    async with running(max_pending=10):
        most = 0
        while not events.of(FileTaken):
            await until(lambda: intake.held or events.of(FileTaken), "more is handed in")
            most = max(most, len(intake.held))
            intake.release()
            await asyncio.sleep(0)
    assert most == 10
    assert intake.bodies == [b"%d" % number for number in range(50)]


async def test_files_are_taken_in_order(
    running: Runner, folder: Path, events: RecordedEvents, intake: RecordingIntake
) -> None:
    for age, name in enumerate(["c", "a", "b"]):
        (folder / name).write_bytes(name.encode())
        os.utime(folder / name, ns=(age, age))
    async with running(order="name"):
        await until(lambda: len(events.of(FileTaken)) == 3, "all are taken")
    assert intake.bodies == [b"a", b"b", b"c"]
    for path in (folder / "archive").glob("*/*"):
        path.rename(folder / path.name)
    async with running(order="mtime"):
        await until(lambda: len(events.of(FileTaken)) == 6, "all are taken")
    assert intake.bodies[3:] == [b"c", b"a", b"b"]


async def test_slow_writer_is_waited_for(folder: Path, events: RecordedEvents, intake: RecordingIntake) -> None:
    clock = FakeClock()
    source = make_source(folder, events, clock=clock, stable_secs=30)
    async with started(source, intake):
        with (folder / "slow").open("wb", buffering=0) as file:
            for number in range(5):
                file.write(b"%d\n" % number)
                clock.advance(20)
                await asyncio.sleep(0.03)
                assert intake.arrivals == []

        def taken_later() -> bool:
            clock.advance(1)
            return bool(events.of(FileTaken))

        await until(taken_later, "the file is taken")
    assert intake.bodies == [b"0", b"1", b"2", b"3", b"4"]


async def test_done_marker_decides(
    running: Runner, folder: Path, events: RecordedEvents, intake: RecordingIntake
) -> None:
    (folder / "first.csv").write_bytes(b"1")
    (folder / "second.csv").write_bytes(b"2")
    (folder / "second.csv.done").write_bytes(b"")
    async with running(done_marker="{name}.done", stable_secs=0):
        await until(lambda: events.of(FileTaken), "the second is taken")
        await asyncio.sleep(0.06)
        assert left(folder) == ["first.csv"]
        (folder / "first.csv.done").write_bytes(b"")
        await until(lambda: len(events.of(FileTaken)) == 2, "the first is taken")
    assert intake.bodies == [b"2", b"1"]
    assert left(folder) == []


async def test_only_wanted_names_are_taken(
    running: Runner, folder: Path, events: RecordedEvents, intake: RecordingIntake, tmp_path: Path
) -> None:
    for name in ["a.hl7", "b.HL7", "c.hl7.tmp", ".d.hl7", "e.txt", "test.hl7"]:
        (folder / name).write_bytes(name.encode())
    (tmp_path / "outside").write_bytes(b"outside")
    (folder / "link.hl7").symlink_to(tmp_path / "outside")
    (folder / "folder.hl7").mkdir()
    async with running(include=["*.hl7", "*.hl7.tmp"], exclude=["*.tmp", "test*"]):
        await until(lambda: events.of(FileTaken), "the one is taken")
        await asyncio.sleep(0.06)
    assert intake.bodies == [b"a.hl7"]
    assert left(folder) == [".d.hl7", "b.HL7", "c.hl7.tmp", "e.txt", "link.hl7", "test.hl7"]


async def test_notice_starts_a_scan_at_once(
    running: Runner, folder: Path, events: RecordedEvents, intake: RecordingIntake
) -> None:
    async with running(watch=True, poll_secs=600, stable_secs=0):
        (folder / "written").write_bytes(b"1")
        await until(lambda: len(events.of(FileTaken)) == 1, "the written file is taken")
        (folder.parent / "moved").write_bytes(b"2")
        (folder.parent / "moved").rename(folder / "moved")
        await until(lambda: len(events.of(FileTaken)) == 2, "the file that was moved in is taken")
    assert intake.bodies == [b"1", b"2"]


async def test_same_name_again_is_a_new_file_with_new_keys(
    running: Runner, folder: Path, events: RecordedEvents, intake: RecordingIntake
) -> None:
    async with running():
        (folder / "census").write_bytes(b"same")
        await until(lambda: len(events.of(FileTaken)) == 1, "the file is taken")
        (folder / "census").write_bytes(b"same")
        await until(lambda: len(events.of(FileTaken)) == 2, "the file is taken again")
    first, second = intake.arrivals
    assert first.key != second.key
    assert archived(folder) == ["census", "census.2"]


async def test_same_file_come_back_has_the_same_keys(
    running: Runner, folder: Path, events: RecordedEvents, intake: RecordingIntake
) -> None:
    async with running():
        (folder / "f.txt").write_bytes(b"one\ntwo")
        await until(lambda: len(events.of(FileTaken)) == 1, "the file is taken")
        intake.outcome = ReceiptOutcome.DUPLICATE
        next((folder / "archive").glob("*/f.txt")).rename(folder / "f.txt")
        await until(lambda: len(events.of(FileTaken)) == 2, "the file is taken again")
    keys = [arrival.key for arrival in intake.arrivals]
    assert keys[:2] == keys[2:]
    assert "" not in keys


async def test_two_channels_share_a_folder(folder: Path, events: RecordedEvents, intake: RecordingIntake) -> None:
    (folder / "a.adt").write_bytes(b"adt")
    (folder / "o.oru").write_bytes(b"oru")
    other = RecordingIntake(reply=lambda _arrival: b"")
    async with (
        started(make_source(folder, events, "adt_in", include=["*.adt"]), intake),
        started(make_source(folder, events, "oru_in", include=["*.oru"]), other),
    ):
        await until(lambda: len(events.of(FileTaken)) == 2, "both are taken")
    assert (intake.bodies, other.bodies) == ([b"adt"], [b"oru"])


async def test_second_source_of_one_channel_does_not_start(
    running: Runner, folder: Path, events: RecordedEvents
) -> None:
    async with running():
        second = make_source(folder, events)
        with pytest.raises(SourceError, match="another process"):
            await second.start()
        await second.stop()


async def test_archive_on_another_file_system(
    running: Runner, folder: Path, events: RecordedEvents, elsewhere: Path
) -> None:
    archive = elsewhere / "archive"
    (folder / "f").write_bytes(b"1")
    async with running(archive=str(archive)):
        await until(lambda: events.of(FileTaken), "the file is taken")
    (copy,) = archive.glob("*/f")
    assert copy.read_bytes() == b"1"
    assert claimed(folder) == []


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"folder": "in", "done_marker": "done"},
        {"folder": "in", "done_marker": "{name}"},
        {"folder": "in", "include": []},
    ],
)
def test_bad_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        FolderSourceOptions.model_validate(options)
