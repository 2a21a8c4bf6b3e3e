"""The folder source when something goes wrong: crashes, refusals, files and folders that will not do."""

from __future__ import annotations

import asyncio
import errno
import os
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from hcsyncd.connectors.folder_source import FolderSource
from hcsyncd.errors import SourceError, StoreError
from hcsyncd.events import FileRefused, FileTaken
from hcsyncd.message import ReceiptOutcome, ReplyState
from tests.fakes.folder_feed import Runner, abandon, archived, claimed, left, make_source, places, started
from tests.fakes.intake import RecordingIntake
from tests.fakes.seats import RecordedEvents
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
def running(folder: Path, events: RecordedEvents, intake: RecordingIntake) -> Runner:
    def run(**options: Any) -> AbstractAsyncContextManager[FolderSource]:
        return started(make_source(folder, events, **options), intake)

    return run


async def test_crash_in_the_middle_is_gone_on_with_under_the_same_keys(
    folder: Path, events: RecordedEvents, intake: RecordingIntake
) -> None:
    (folder / "f").write_bytes(b"one\ntwo\nthree")
    (folder / "g").write_bytes(b"four")
    intake.hold = True
    crashed = make_source(folder, events)
    await crashed.start()
    task = asyncio.create_task(crashed.run(intake))
    await until(lambda: len(intake.held) == 3, "the file is handed in")
    await abandon(crashed, task)
    assert claimed(folder) == ["f"]
    assert left(folder) == ["g"]
    later = RecordingIntake(reply=lambda _arrival: b"")
    async with started(make_source(folder, events), later):
        await until(lambda: len(events.of(FileTaken)) == 2, "both files are taken")
    assert later.bodies == [b"one", b"two", b"three", b"four"]
    assert [a.key for a in later.arrivals[:3]] == [a.key for a in intake.arrivals]
    assert archived(folder) == ["f", "g"]


async def test_crash_between_claim_and_move_leaves_nothing_behind(
    running: Runner, folder: Path, events: RecordedEvents, intake: RecordingIntake
) -> None:
    (folder / ".hcsyncd" / "adt_in" / "taking" / "1").mkdir(parents=True)
    async with running():
        (folder / "f").write_bytes(b"1")
        await until(lambda: events.of(FileTaken), "the file is taken")
    assert places(folder) == []


async def test_marker_left_by_a_crash_is_removed(folder: Path, events: RecordedEvents, intake: RecordingIntake) -> None:
    place = folder / ".hcsyncd" / "adt_in" / "taking" / "1"
    place.mkdir(parents=True)
    (place / "f.csv").write_bytes(b"1")
    (folder / "f.csv.done").write_bytes(b"")
    async with started(make_source(folder, events, done_marker="{name}.done"), intake):
        await until(lambda: events.of(FileTaken), "the file is taken")
    assert left(folder) == []


async def test_delete_removes_the_file(
    running: Runner, folder: Path, events: RecordedEvents, intake: RecordingIntake
) -> None:
    (folder / "f").write_bytes(b"1")
    async with running(after="delete"):
        await until(lambda: events.of(FileTaken), "the file is taken")
    assert left(folder) == []
    assert not (folder / "archive").exists()
    assert claimed(folder) == []


@pytest.mark.parametrize("fault", ["refused", "store"])
async def test_refusal_keeps_the_file_claimed_and_tries_again(
    running: Runner, folder: Path, events: RecordedEvents, intake: RecordingIntake, fault: str
) -> None:
    (folder / "f").write_bytes(b"one\ntwo")
    (folder / "g").write_bytes(b"three")
    if fault == "refused":
        intake.outcome, intake.retry_after = ReceiptOutcome.REFUSED, 0.02
    else:
        intake.error = StoreError("the store is away")
    async with running():
        await until(lambda: len(intake.arrivals) >= 2, "it was tried twice")
        assert claimed(folder) == ["f"]
        assert b"three" not in intake.bodies
        if fault == "refused":
            assert b"two" not in intake.bodies
        intake.arrivals.clear()
        intake.outcome, intake.retry_after, intake.error = ReceiptOutcome.ACCEPTED, None, None
        await until(lambda: len(events.of(FileTaken)) == 2, "both are taken")
    assert intake.bodies[-3:] == [b"one", b"two", b"three"]
    assert archived(folder) == ["f", "g"]


async def test_rejected_messages_are_counted_and_the_file_is_archived(
    running: Runner, folder: Path, events: RecordedEvents, intake: RecordingIntake
) -> None:
    intake.outcome = ReceiptOutcome.REJECTED
    (folder / "f").write_bytes(b"one\ntwo")
    async with running():
        await until(lambda: events.of(FileTaken), "the file is taken")
    assert events.of(FileTaken) == [FileTaken("adt_in", "f", 2, 7, rejected=2)]
    assert archived(folder) == ["f"]


async def test_replies_are_owed_to_nobody(
    running: Runner, folder: Path, events: RecordedEvents, intake: RecordingIntake
) -> None:
    intake.reply = lambda _arrival: b"ACK"
    (folder / "f").write_bytes(b"one")
    async with running():
        await until(lambda: events.of(FileTaken), "the file is taken")
    assert intake.states == [ReplyState.NOT_OWED]


@pytest.mark.parametrize(
    ("content", "before", "reason"),
    [(b"one\ntwo\n!three\nfour", 2, "bad-line"), (b"!", 0, "bad-line"), (b"", 0, "no-message")],
)
async def test_file_that_will_not_do_is_a_dead_letter_and_goes_to_failed(
    running: Runner,
    folder: Path,
    events: RecordedEvents,
    intake: RecordingIntake,
    content: bytes,
    before: int,
    reason: str,
) -> None:
    (folder / "a").write_bytes(content + (b"\n" if content else b""))
    (folder / "b").write_bytes(b"good")
    async with running():
        await until(lambda: events.of(FileTaken), "the good file is taken")
    ((arrival, given_reason, text),) = intake.rejected
    assert given_reason == reason
    assert "file a" in text
    assert (f"{before} messages before" in text) == bool(before)
    assert arrival.body == (content + b"\n" if content else b"")
    assert intake.bodies == [*[b"one", b"two"][:before], b"good"]
    assert (folder / "failed" / "a").read_bytes() == arrival.body
    (event,) = events.of(FileRefused)
    assert (event.file, event.reason, event.moved_to) == ("a", reason, str(folder / "failed" / "a"))


async def test_unreadable_file_stays_claimed_while_its_dead_letter_cannot_be_stored(
    running: Runner, folder: Path, events: RecordedEvents, intake: RecordingIntake
) -> None:
    intake.error = StoreError("the store is away")
    (folder / "f").write_bytes(b"!\n")
    async with running():
        await until(lambda: intake.rejected, "it was tried")
        assert claimed(folder) == ["f"]
        intake.error = None
        await until(lambda: events.of(FileRefused), "it is refused")
    assert (folder / "failed" / "f").exists()


async def test_message_over_the_cap_is_refused_in_bounded_memory(
    running: Runner, folder: Path, events: RecordedEvents, intake: RecordingIntake
) -> None:
    with (folder / "endless").open("wb") as file:
        file.truncate(64 * 1024 * 1024)
    async with running(max_message_bytes=1000):
        await until(lambda: events.of(FileRefused), "the file is refused")
    assert events.of(FileRefused)[0].reason == "oversize"
    assert len(intake.rejected[0][0].body) == 64 * 1024
    assert (folder / "failed" / "endless").stat().st_size == 64 * 1024 * 1024


async def test_file_written_to_after_the_claim_is_waited_for(
    running: Runner, folder: Path, events: RecordedEvents, intake: RecordingIntake
) -> None:
    with (folder / "f").open("wb", buffering=0) as file:
        file.write(b"one\n")
        intake.hold = True
        async with running():
            await until(lambda: claimed(folder) == ["f"], "the file is claimed")
            await until(lambda: intake.held, "its first message is handed in")
            file.write(b"two\n")
            intake.hold = False
            intake.release()
            await until(lambda: intake.bodies[-2:] == [b"one", b"two"], "the file is read again")
            await until(lambda: events.of(FileTaken), "the file is taken")


async def test_names_that_are_no_utf8_can_be_stored(
    running: Runner, folder: Path, events: RecordedEvents, intake: RecordingIntake
) -> None:
    (folder / os.fsdecode(b"caf\xe9")).write_bytes(b"1")
    async with running():
        await until(lambda: events.of(FileTaken), "the file is taken")
    assert intake.arrivals[0].facts["file"] == "caf\ufffd"
    intake.arrivals[0].facts["file"].encode()


async def test_stop_receipts_what_is_in_hand_and_the_next_start_goes_on(
    folder: Path, events: RecordedEvents, intake: RecordingIntake
) -> None:
    intake.hold = True
    (folder / "f").write_bytes(b"\n".join(b"%d" % number for number in range(40)))
    source = make_source(folder, events, max_pending=10)
    await source.start()
    task = asyncio.create_task(source.run(intake))
    await until(lambda: len(intake.held) == 10, "the first ones are handed in")
    stop = asyncio.create_task(source.stop())
    await asyncio.sleep(0.02)
    assert not stop.done()
    intake.hold = False
    intake.release()
    await stop
    await task
    await source.stop()
    assert claimed(folder) == ["f"]
    assert len(intake.bodies) < 40
    intake.arrivals.clear()
    async with started(make_source(folder, events), intake):
        await until(lambda: events.of(FileTaken), "the file is taken")
    assert intake.bodies == [b"%d" % number for number in range(40)]


async def test_folder_that_is_not_there_or_not_usable(folder: Path, events: RecordedEvents) -> None:
    (folder / "file").write_bytes(b"")
    (folder / "blocked").mkdir()
    (folder / "blocked" / ".hcsyncd").write_bytes(b"")
    for name in ("none", "file", "blocked"):
        with pytest.raises(SourceError, match=name):
            await make_source(folder / name, events, create=name == "blocked").start()
    deep = make_source(folder, events, folder="in/deep/new")
    await deep.start()
    assert (folder / "deep" / "new").is_dir()
    await deep.stop()


async def test_folder_that_goes_away_fails_the_source(
    folder: Path, events: RecordedEvents, intake: RecordingIntake
) -> None:
    source = make_source(folder, events)
    await source.start()
    task = asyncio.create_task(source.run(intake))
    (folder.parent / "in").rename(folder.parent / "gone")
    with pytest.raises(SourceError, match="in"):
        await task
    await source.stop()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
async def test_file_that_cannot_be_opened_goes_to_failed(
    running: Runner, folder: Path, events: RecordedEvents, intake: RecordingIntake
) -> None:
    (folder / "f").write_bytes(b"1")
    (folder / "f").chmod(0)
    async with running():
        await until(lambda: events.of(FileRefused), "it is refused")
    assert events.of(FileRefused)[0].reason == "file-unreadable"
    assert os.strerror(errno.EACCES) in intake.rejected[0][2]
