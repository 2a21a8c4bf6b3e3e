"""Retention in the whole daemon: what goes while messages come, what stays, and what a sender sees of it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tests.fakes.daemon import DAEMON, DaemonProcess
from tests.fakes.mllp_peer import adt
from tests.fakes.mllp_receiver import MllpReceiver
from tests.fakes.mllp_sender import MllpSender, msa
from tests.flows.conftest import Start, relay

SECOND = 1 / 86_400  # days
FORGETS = DAEMON + (
    f"retention: {{bodies: {{days: {SECOND:.9f}}}, answers: {{days: {SECOND:.9f}}},"
    " every_secs: 0.1, reserve_bytes: 0}\n"
)
LONG = "X" * 40_000


def send(daemon: DaemonProcess, *payloads: bytes) -> list[tuple[str, str]]:
    with MllpSender(daemon.address("adt_in")) as sender:
        return [msa(sender.send(payload)) for payload in payloads]


def shown(daemon: DaemonProcess, message_id: int) -> Any:
    return daemon.call("messages.show", id=message_id)


def until_removed(daemon: DaemonProcess, message_id: int) -> None:
    deadline = time.monotonic() + 20
    while not shown(daemon, message_id)["message"]["body_removed_at"]:
        assert time.monotonic() < deadline, daemon.log[-2000:]
        time.sleep(0.05)


def until_smaller(file: Path, size: int) -> None:
    deadline = time.monotonic() + 20
    while file.stat().st_size > size:
        assert time.monotonic() < deadline, f"{file.stat().st_size} and not {size}"
        time.sleep(0.05)


def test_bodies_go_while_the_daemon_runs_and_the_file_with_them(start: Start, receiver: MllpReceiver) -> None:
    kept = relay(receiver.port) | {"hcsyncd.yaml": DAEMON}
    daemon = start(kept)
    numbers = range(60)
    send(daemon, *(adt(f"M{number}", LONG) for number in numbers))
    daemon.until_counts(done=60)
    file = daemon.site / "var" / "store.db"
    assert daemon.stop() == 0
    full = file.stat().st_size
    assert full > 60 * len(LONG)
    daemon = start(kept | {"hcsyncd.yaml": FORGETS})
    send(daemon, adt("N1"))
    until_smaller(file, full // 4)
    until_removed(daemon, 60)
    daemon.until_counts(done=61)
    assert "retention_ran" in daemon.log
    assert "space_returned" in daemon.log
    # What was known of a message is still known: its sender is answered, and nothing is sent twice.
    assert send(daemon, adt("M3", LONG), adt("N2")) == [("AA", "M3"), ("AA", "N2")]
    daemon.until_counts(done=62)
    assert receiver.control_ids == [*(f"M{number}" for number in numbers), "N1", "N2"]
    assert "removed by retention on" in daemon.hcsyncd("messages", "show", "1").stdout


def test_what_waits_or_is_dead_keeps_its_body_and_goes_out_later(start: Start) -> None:
    verdicts = {"D1": "AE"}
    receiver = MllpReceiver(lambda payload: verdicts.get(payload.split(b"|")[9].decode(), "AA"))
    daemon = start(relay(receiver.port, retry="{attempts: 1}") | {"hcsyncd.yaml": FORGETS})
    send(daemon, adt("D1", LONG), adt("S1", LONG), adt("S2"))
    daemon.until_counts(done=2, dead=1)
    until_removed(daemon, 2)
    assert shown(daemon, 1)["message"]["body_removed_at"] == 0
    daemon.kill()
    daemon = start()
    verdicts.clear()
    replayed = daemon.hcsyncd("dead", "replay", "1", "--yes")
    assert replayed.returncode == 0, replayed.stderr
    receiver.until(4)
    assert receiver.control_ids[-1] == "D1"
    receiver.close()


def test_retention_follows_a_reload(start: Start, receiver: MllpReceiver) -> None:
    daemon = start(relay(receiver.port) | {"hcsyncd.yaml": DAEMON + "retention: {every_secs: 0.1}\n"})
    send(daemon, adt("M1"), adt("M2"))
    daemon.until_counts(done=2)
    channel = daemon.site / "channels" / "adt_in.yaml"
    channel.write_text(f"source: {{kind: mllp, port: 0}}\nretention: {{bodies: {{days: {SECOND:.9f}}}}}\n")
    assert daemon.hcsyncd("reload").returncode == 0
    until_removed(daemon, 1)
    status = daemon.call("retention.status")
    bodies = next(row for row in status["kept"] if (row["channel"], row["data"]) == ("adt_in", "bodies"))
    assert (bodies["messages"], bodies["max_count"]) == (1, None)
