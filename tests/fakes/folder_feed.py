"""A folder source in a test: built, started, abandoned, and what it left in its folder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from hcsyncd.clock import Clock
from hcsyncd.connectors.folder_source import FolderSource, FolderSourceOptions
from hcsyncd.errors import FormatError
from tests.fakes.intake import RecordingIntake
from tests.fakes.seats import OpaqueFormat, RecordedEvents, make_seat

Runner = Callable[..., AbstractAsyncContextManager[FolderSource]]


class LineFormat(OpaqueFormat):
    """Each line is a message; one that starts with an exclamation mark cannot be read."""

    def split(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        rest = b""
        for chunk in chunks:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if line.startswith(b"!"):
                    raise FormatError("bad-line", "a line starts with !")
                yield line
        if rest:
            yield rest


def make_source(
    place: Path, events: RecordedEvents, channel: str = "adt_in", clock: Clock | None = None, **options: object
) -> FolderSource:
    chosen = {"folder": place.name, "poll_secs": 0.02, "stable_secs": 0, "watch": False, **options}
    seat = make_seat(place.parent, events, channel=channel, format_=LineFormat(), clock=clock)
    return FolderSource(FolderSourceOptions.model_validate(chosen), seat)


@asynccontextmanager
async def started(source: FolderSource, intake: RecordingIntake) -> AsyncIterator[FolderSource]:
    await source.start()
    task = asyncio.create_task(source.run(intake))
    try:
        yield source
    finally:
        intake.release()
        await source.stop()
        await task


async def abandon(source: FolderSource, task: asyncio.Task[None]) -> None:
    """Leave a source as a killed process leaves it: nothing is settled, only the lock goes."""
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def archived(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "archive").glob("*/*"))


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_file())


def places(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob(".hcsyncd/*/taking/*"))


def claimed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob(".hcsyncd/*/taking/*/*"))
