"""A store that cannot be used is refused at the start: one sentence that says why and what to do, exit code 1, and not
a byte of it is changed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest

from hcsyncd.store.store import FILE, PAGE_BYTES
from tests.fakes.fault_table import Row
from tests.fakes.road import Road
from tests.faults.conftest import Travel

Spoil = Callable[[Path], None]


def cut_off_the_head(file: Path) -> None:
    overwrite(file, 0, os.urandom(100))


def spoil_a_page_in_the_middle(file: Path) -> None:
    pages = file.stat().st_size // PAGE_BYTES
    assert pages > 8
    overwrite(file, pages // 2 * PAGE_BYTES, os.urandom(PAGE_BYTES))


def spoil_every_page_but_the_first(file: Path) -> None:
    overwrite(file, PAGE_BYTES, os.urandom(file.stat().st_size - PAGE_BYTES))


def cut_off_the_end(file: Path) -> None:
    with file.open("r+b") as content:
        content.truncate(file.stat().st_size // 2 // PAGE_BYTES * PAGE_BYTES)


def make_it_newer(file: Path) -> None:
    connection = apsw.Connection(str(file))
    connection.execute("INSERT INTO migration (number, name, applied_at) VALUES (9999, 'of the future', 0)")
    connection.close()


def make_it_another_programs(file: Path) -> None:
    file.unlink()
    connection = apsw.Connection(str(file))
    connection.execute("CREATE TABLE patients (name TEXT)")
    connection.close()


def make_it_a_text(file: Path) -> None:
    file.write_text("a letter\n" * 1000)


def overwrite(file: Path, offset: int, content: bytes) -> None:
    with file.open("r+b") as opened:
        opened.seek(offset)
        opened.write(content)


def digests(folder: Path) -> dict[str, str]:
    """Of the store's own files that hold something; SQLite's index of the log is made anew whenever it is wanted."""
    files = sorted(path for path in folder.glob(f"{FILE}*") if not path.name.endswith("-shm") and path.stat().st_size)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@contextmanager
def filled(road: Travel, *, killed: bool) -> Iterator[tuple[Road, Path]]:
    """A road whose store holds something and whose daemon is gone, in good order or not."""
    way = road()
    way.begin(2, limit=40)
    way.until(lambda: way.acknowledged >= 80, "all acknowledged")
    way.until(lambda: way.is_settled, "settled")
    for sender in way.senders:
        sender.finish()
    way.watch.end()
    assert way.daemon.stop() == 0
    if killed:  # with a log behind it that holds a little
        way.daemon.start()
        way.daemon.kill()
    yield way, way.folder / "var" / FILE


@pytest.mark.parametrize(
    ("place", "what", "spoil", "killed", "text"),
    [
        (
            6.01,
            "head overwritten",
            cut_off_the_head,
            False,
            "its head is damaged: move it away, or bring back a backup",
        ),
        (6.02, "a page in the middle overwritten, after a kill", spoil_a_page_in_the_middle, True, "is damaged"),
        (6.03, "every page overwritten but the first", spoil_every_page_but_the_first, False, "damaged"),
        (6.04, "second half cut off, after a kill", cut_off_the_end, True, "damaged"),
        (6.05, "from a newer version", make_it_newer, False, "made by a newer hcsyncd (its form is number 9999"),
        (6.06, "another program's database", make_it_another_programs, False, "another program's database"),
        (6.07, "no database at all", make_it_a_text, False, "the file is no hcsyncd store"),
    ],
)
def test_a_store_that_cannot_be_used_is_refused_and_left_as_it_is(
    road: Travel,
    tell: Callable[[Row], None],
    place: float,
    what: str,
    spoil: Spoil,
    killed: bool,
    text: str,
) -> None:
    with filled(road, killed=killed) as (way, file):
        spoil(file)
        before = digests(file.parent)
        for _ in range(1 + killed):  # a service manager tries again, and the log must still be there to look at
            refused = way.daemon.hcsyncd("run")
            assert refused.returncode == 1
            assert text in refused.stderr
            assert refused.stderr.startswith("hcsyncd: ")
            assert "Traceback" not in refused.stderr
            assert digests(file.parent) == before
        tell(
            Row(
                place=place,
                fault=f"store: {what}",
                made="the file is changed between two runs",
                word=f"exit code 1: `... {text} ...`",
                recovery="a person's: a backup, the right version, the right folder; the file is as it was",
                counted=False,
            )
        )


def test_a_store_that_another_program_holds_is_refused_and_taken_when_it_is_free(
    road: Travel, tell: Callable[[Row], None]
) -> None:
    with filled(road, killed=False) as (way, file):
        other = apsw.Connection(str(file))
        other.execute("PRAGMA locking_mode = EXCLUSIVE").fetchall()
        other.execute("BEGIN IMMEDIATE")
        other.execute("CREATE TABLE scratch (x)")
        refused = way.daemon.hcsyncd("run")
        other.execute("ROLLBACK")
        other.close()
        assert refused.returncode == 1
        assert "another program holds the store: end it, only the daemon may write here" in refused.stderr
        way.daemon.start()
        counts = way.status()["counts"]
        assert way.daemon.stop() == 0
        tell(
            way.account(
                counts,
                place=6.1,
                fault="store: locked by another program",
                made="another program has it open with an exclusive lock",
                word="exit code 1: `another program holds the store: end it, only the daemon may write here`",
                recovery="the service manager starts it again until the store is free",
            )
        )


def test_a_log_that_is_damaged_gives_what_stands_before_the_damage(road: Travel, tell: Callable[[Row], None]) -> None:
    """SQLite takes a log up to the first frame that is not right, as it must after a power cut."""
    with filled(road, killed=False) as (way, file):
        log = file.with_name(f"{FILE}-wal")
        log.write_bytes(os.urandom(40_000))
        way.daemon.start()
        counts = way.status()["counts"]
        assert way.daemon.stop() == 0
        tell(
            way.account(
                counts,
                place=6.2,
                fault="store: a log of garbage",
                made="the write-ahead log is replaced by random bytes, after an orderly end",
                word="none: garbage is no log; what was moved into the store is there",
                recovery="by itself",
            )
        )
