"""Disks that are full, read-only or failing while the daemon runs: nothing is acknowledged that is not kept, what is
kept goes on, and all is well again as soon as the disk is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.fakes.fault_table import Row
from tests.fakes.faulty import Faults
from tests.fakes.road import Road
from tests.fakes.small_disk import remount, small_disk
from tests.faults.conftest import Travel

SENDERS = 3
MORE = 40
SETTINGS = "http: {port: 0}\nworkers: {count: 1}\ndrain_secs: 5\n"


def go_through(way: Road, break_it: Callable[[], object], mend_it: Callable[[], object]) -> dict[str, dict[str, int]]:
    """A disk breaks under load and is mended; the last counts."""
    way.begin(SENDERS)
    way.until_acknowledged(MORE)
    break_it()
    way.until(lambda: way.words("store_failed")["store_failed"], "the failure is told")
    # Whatever was on its way to an answer when the disk broke has it by now: from here on nobody is told yes.
    way.until(lambda: sum(sender.resent for sender in way.senders) > SENDERS, "nobody is answered")
    acknowledged = way.acknowledged
    tries = sum(sender.resent for sender in way.senders)
    way.until(lambda: sum(sender.resent for sender in way.senders) > tries + 5 * SENDERS, "tries without an answer")
    assert way.acknowledged == acknowledged, "acknowledged, and not kept"
    assert way.status()["counts"]["messages"], "reading goes on"
    mend_it()
    way.until_acknowledged(MORE)
    return way.finish()


@pytest.mark.parametrize(
    ("place", "state", "advice"),
    [(4.1, "full", "the disk is full"), (5.1, "read-only", "cannot be written"), (5.2, "failing", "look at the disk")],
)
def test_a_disk_that_refuses_each_write_for_a_while(
    road: Travel, tmp_path: Path, tell: Callable[[Row], None], place: float, state: str, advice: str
) -> None:
    switch = tmp_path / "disk"
    way = road(faults=Faults(disk=str(switch)))
    counts = go_through(way, lambda: switch.write_text(state), lambda: switch.write_text(""))
    row = way.account(
        counts,
        place=place,
        fault=f"disk {state} and back",
        made=f"SQLite is told that the disk is {state}, under load",
        word=f"`store_failed` once: `{advice} ...`; `store_recovered` once",
        recovery="by itself, as soon as the disk takes writes again; senders resend",
    )
    failures = [event["error"] for event in way.events if event["event"] == "store_failed"]
    assert advice in failures[0]
    assert way.words("store_failed", "store_recovered") == {"store_failed": 1, "store_recovered": 1}
    tell(row)


def test_a_small_disk_that_is_really_full(road: Travel, tell: Callable[[Row], None]) -> None:
    way = road(files={"hcsyncd.yaml": SETTINGS + "min_free_bytes: 0\n"})
    disk = way.folder / "var"
    ballast = disk / "ballast"

    def fill() -> None:
        with ballast.open("wb", buffering=0) as file, suppress(OSError):
            while file.write(bytes(4096)):
                pass

    with small_disk(disk, 6):
        counts = go_through(way, fill, ballast.unlink)
        row = way.account(
            counts,
            place=4.2,
            fault="disk really full and back",
            made="a disk of 6 MB with no bound on free space, filled to the last byte under load, then emptied",
            word="`store_failed` once, with what to do; `store_recovered` once",
            recovery="by itself, as soon as there is space; senders resend",
        )
    assert way.words("store_failed", "store_recovered") == {"store_failed": 1, "store_recovered": 1}
    tell(row)


def test_a_disk_that_is_nearly_full_closes_intake_in_time(road: Travel, tell: Callable[[Row], None]) -> None:
    """The bound on free space: senders are told no before the disk is full, and delivery goes on."""
    way = road(files={"hcsyncd.yaml": SETTINGS + "min_free_bytes: 8000000\n"})
    disk = way.folder / "var"
    ballast = disk / "ballast"
    with small_disk(disk, 32):
        way.begin(SENDERS)
        way.until_acknowledged(MORE)
        ballast.write_bytes(bytes(22_000_000))
        way.until(lambda: "disk-low" in str(way.status()["daemon"]["not_ready"]), "not ready")
        way.until(lambda: sum(sender.resent for sender in way.senders) > 20, "senders are told no")
        ballast.unlink()
        way.until_acknowledged(MORE)
        counts = way.finish()
        row = way.account(
            counts,
            place=4.3,
            fault="disk nearly full and back",
            made="a disk of 32 MB, `min_free_bytes` of 8 MB, filled up to less",
            word="`disk_low` once, `status` and `/readyz` say `intake is closed: disk-low`; `disk_recovered` once",
            recovery="by itself; senders were answered AR and come again",
        )
    assert way.words("disk_low", "disk_recovered", "store_failed") == {
        "disk_low": 1,
        "disk_recovered": 1,
        "store_failed": 0,
    }
    tell(row)


def test_a_disk_mounted_read_only_while_it_runs(road: Travel, tell: Callable[[Row], None]) -> None:
    """As the system does it to a disk with errors. It can only be done to a disk on which nobody holds a file open for
    writing, so it is done to a store that is to be started on it."""
    way = road(files={"hcsyncd.yaml": SETTINGS + "min_free_bytes: 0\n"})
    disk = way.folder / "var"
    with small_disk(disk, 16):
        way.begin(SENDERS)
        way.until_acknowledged(MORE)
        way.daemon.kill()
        remount(disk, "ro")
        refused = way.daemon.hcsyncd("run")
        assert refused.returncode == 1
        assert f"cannot write in the store folder {disk} (Read-only file system)" in refused.stderr
        remount(disk, "rw")
        way.daemon.start()
        way.until_acknowledged(MORE)
        row = way.account(
            way.finish(),
            place=5.3,
            fault="disk mounted read-only at the start",
            made="killed, the disk remounted read-only, started, remounted for writing",
            word="exit code 1: `cannot write in the store folder ... (Read-only file system): ...`",
            recovery="the service manager starts it again until the disk is back",
        )
    tell(row)
