"""Folder source: takes whole files out of a folder, hands their messages in, and archives them after the receipts."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import field_validator

from hcsyncd.clock import MICROSECONDS
from hcsyncd.connectors.connector import Connector, Intake, Role, Seat
from hcsyncd.connectors.folder_claim import Claim, ClaimFolder
from hcsyncd.connectors.folder_feed import ComeAgainError, FileFeed, shown
from hcsyncd.connectors.folder_read import MessageReader
from hcsyncd.connectors.folder_scan import Scanner, ScanRules, marker_name
from hcsyncd.connectors.folder_watch import FolderWatch
from hcsyncd.errors import FormatError, SourceError
from hcsyncd.events import FileRefused, FileTaken, WatchFailed
from hcsyncd.options import Options, option

UNREADABLE_BYTES = 64 * 1024  # of a file that will not do: the head is kept as a dead letter, all of it in `failed`
NOTICES_SECS = 0.05  # notices of one burst share one scan

UNFINISHED_NAMES = ["*.tmp", "*.temp", "*.part", "*.partial", "*.filepart", "*.crdownload", "*.swp", "*~", "~*"]


class FolderSourceOptions(Options):
    """Takes every message of every file that is put into a folder. Files whose name starts with a dot, links and
    folders are left alone."""

    folder: Path = option(..., "The folder; relative to the site.", example="in/adt")
    create: bool = option(
        default=True,
        doc="Make the folder when it is not there. false for a mount point, where that means it is not mounted.",
    )
    include: list[str] = option(["*"], "Names to take, as patterns with `*`, `?` and `[a-z]`.", min_length=1)
    exclude: list[str] = option(UNFINISHED_NAMES, "Names to leave alone, although they are included.")
    poll_secs: float = option(2.0, "The folder is scanned this often.", unit="seconds", gt=0)
    watch: bool = option(
        default=True, doc="Let the system's notices start a scan at once. Where there are none, polling finds all."
    )
    stable_secs: float = option(
        2.0,
        "A file is taken when its size and time have not changed for so long. 0: at first sight, for senders that"
        " rename a finished file into the folder.",
        unit="seconds",
        ge=0,
    )
    done_marker: str = option(
        "",
        "Take a file as soon as another one of this name is there, and remove that one: `{name}.done`, `{stem}.ok`."
        " Empty: go by stable_secs.",
    )
    order: Literal["name", "mtime"] = option("name", "The order in which files are taken.")
    after: Literal["archive", "delete"] = option("archive", "What becomes of a file whose messages are all stored.")
    archive: Path = option(Path("archive"), "Folder for files that were taken, by day; relative to the folder.")
    failed: Path = option(Path("failed"), "Folder for files that cannot be read or split; relative to the folder.")
    max_pending: int = option(256, "Messages of a file handed in before their receipts.", ge=1)
    max_message_bytes: int = option(64 * 1024 * 1024, "A file with a longer message is refused.", unit="bytes", ge=1)

    @field_validator("done_marker")
    @classmethod
    def _names_a_file(cls, pattern: str) -> str:
        if pattern and (pattern.count("{name}") + pattern.count("{stem}") != 1 or "/" in pattern):
            raise ValueError("must hold {name} or {stem} once, and no folder: `{name}.done`")
        if pattern in {"{name}", "{stem}"}:
            raise ValueError("must differ from the name of the file: `{name}.done`")
        return pattern


class FolderSource:
    """One file at a time, so that messages are stored in the order of the files; within a file many are under way."""

    def __init__(self, options: FolderSourceOptions, seat: Seat) -> None:
        self._options = options
        self._seat = seat
        self._folder = seat.site / options.folder
        self._claims = ClaimFolder(self._folder, seat.channel)
        rules = ScanRules(
            tuple(options.include), tuple(options.exclude), options.stable_secs, options.done_marker, options.order
        )
        self._scanner = Scanner(self._folder, rules, seat.clock)
        self._watch: FolderWatch | None = None
        self._unmovable: set[str] = set()  # told of once, while they are there
        self._notice = asyncio.Event()
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()
        self._running = False

    @property
    def address(self) -> str:
        return str(self._folder)

    async def start(self) -> None:
        """See `connectors.connector.Source.start`."""
        await asyncio.to_thread(self._open)
        if self._options.watch:
            loop = asyncio.get_running_loop()

            def notice() -> None:
                if not loop.is_closed():
                    loop.call_soon_threadsafe(self._notice.set)

            watch = FolderWatch(self._folder, notice)
            try:
                await asyncio.to_thread(watch.start)
            except OSError as error:
                self._seat.emit(WatchFailed(self._seat.channel, self.address, error.strerror or str(error)))
            else:
                self._watch = watch

    def _open(self) -> None:
        try:
            if self._options.create:
                self._folder.mkdir(parents=True, exist_ok=True)
            if not self._folder.is_dir():
                raise SourceError(f"there is no folder {self._folder}: make it, mount it, or set `create: true`")
        except OSError as error:
            raise SourceError(f"cannot use folder {self._folder}: {error.strerror}") from error
        self._claims.open()

    async def run(self, intake: Intake) -> None:
        """See `connectors.connector.Source.run`. Raises SourceError when the folder as a whole cannot be used."""
        self._running = True
        try:
            await self._settle_markers()
            while not self._stopping.is_set():
                await self._round(intake)
        except OSError as error:
            raise SourceError(f"cannot take files from {self._folder}: {error.strerror} ({error.filename})") from error
        finally:
            await self._release()
            self._ended.set()

    async def stop(self) -> None:
        """See `connectors.connector.Source.stop`. A file in hand stays claimed, and the next start goes on with it."""
        self._stopping.set()
        self._notice.set()
        if self._running:
            await self._ended.wait()
        await self._release()

    async def _release(self) -> None:
        watch, self._watch = self._watch, None
        self._claims.close()
        if watch is not None:
            await asyncio.to_thread(watch.stop)

    async def _round(self, intake: Intake) -> None:
        """Take what is claimed, then what is ripe, and wait."""
        self._notice.clear()
        try:
            for claim in await asyncio.to_thread(self._claims.claimed):
                await self._take(claim, intake)
            listing = await asyncio.to_thread(self._scanner.scan)
            self._unmovable &= {sighting.name for sighting in listing.ready}
            for sighting in listing.ready:
                if self._stopping.is_set():
                    return
                try:
                    claim_or_none = await asyncio.to_thread(self._claims.claim, sighting)
                except PermissionError as error:
                    self._cannot_move(sighting.name, error)
                    continue
                if claim_or_none is not None:
                    await self._remove_marker(sighting.name)
                    await self._take(claim_or_none, intake)
        except ComeAgainError as refusal:
            wait = self._options.poll_secs if refusal.after_secs is None else refusal.after_secs
            await _wait(self._stopping, wait)
            return
        pause = self._options.poll_secs
        if listing.ripe_in_secs is not None:
            pause = min(pause, listing.ripe_in_secs)
        if await _wait(self._notice, pause):
            await _wait(self._stopping, NOTICES_SECS)

    async def _take(self, claim: Claim, intake: Intake) -> None:
        """Hand one claimed file in and settle it. Raises ComeAgainError when it has to stay claimed."""
        if self._stopping.is_set():
            return
        reader = MessageReader(claim.path, self._seat.format, self._options.max_message_bytes)
        feed = FileFeed(claim, intake, self._seat, self.address, self._stopping)
        try:
            identity = feed.identity = await asyncio.to_thread(claim.identify)
            await feed.hand_in(reader, self._options.max_pending)
            await asyncio.to_thread(claim.check_unchanged, identity)
        except BlockingIOError as error:
            raise ComeAgainError(None) from error
        except FileNotFoundError:
            self._seat.emit(FileRefused(self._seat.channel, shown(claim.name), "vanished", ""))
        except FormatError as error:
            await self._refuse(feed, reader, error.reason, str(error))
        except OSError as error:
            await self._refuse(feed, reader, "file-unreadable", f"cannot be read: {error.strerror}")
        else:
            await self._settle(feed)

    async def _settle(self, feed: FileFeed) -> None:
        if self._options.after == "delete":
            await asyncio.to_thread(self._claims.delete, feed.claim)
        else:
            day = datetime.fromtimestamp(self._seat.clock.now() / MICROSECONDS, UTC).strftime("%Y-%m-%d")
            await asyncio.to_thread(self._claims.move, feed.claim, self._folder / self._options.archive / day)
        name = shown(feed.claim.name)
        self._seat.emit(FileTaken(self._seat.channel, name, feed.handed_in, feed.identity.bytes, feed.rejected))

    async def _refuse(self, feed: FileFeed, reader: MessageReader, reason: str, text: str) -> None:
        """A dead letter with the file's head, and the whole file to `failed`: nothing is lost, and a person is told."""
        head = await asyncio.to_thread(reader.head, UNREADABLE_BYTES)
        await feed.hand_in_unreadable(head, reason, text)
        moved_to = await asyncio.to_thread(self._claims.move, feed.claim, self._folder / self._options.failed)
        self._seat.emit(FileRefused(self._seat.channel, shown(feed.claim.name), reason, shown(str(moved_to))))

    def _cannot_move(self, name: str, error: OSError) -> None:
        if name not in self._unmovable:
            self._unmovable.add(name)
            reason = f"cannot be moved: {error.strerror}"
            place = shown(str(self._folder / name))
            self._seat.emit(FileRefused(self._seat.channel, shown(name), reason, place))

    async def _remove_marker(self, name: str) -> None:
        if self._options.done_marker:
            marker = self._folder / marker_name(self._options.done_marker, name)
            await asyncio.to_thread(marker.unlink, missing_ok=True)

    async def _settle_markers(self) -> None:
        """After a crash between a claim and the removal of its marker: the marker of a file that is no longer there
        would let the next file of that name in before it is whole."""
        for claim in await asyncio.to_thread(self._claims.claimed):
            if not (self._folder / claim.name).exists():
                await self._remove_marker(claim.name)


async def _wait(event: asyncio.Event, secs: float) -> bool:
    """Whether the event came within ``secs``."""
    try:
        async with asyncio.timeout(secs):
            await event.wait()
    except TimeoutError:
        return False
    return True


CONNECTOR = Connector(
    kind="folder",
    role=Role.SOURCE,
    summary="Takes files out of a folder, splits batches, and archives what is stored.",
    options=FolderSourceOptions,
    build=FolderSource,
)
