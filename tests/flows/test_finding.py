"""Messages are found by what they say, and what waits says why, in the whole daemon."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.daemon import DaemonProcess, write_site
from tests.fakes.mllp_sender import MllpSender

SITE = {
    "channels/adt_in.yaml": """\
        source: {kind: mllp, port: 0}
        keys: {mrn: PID-3.1, visit: PV1-19.1}
        """,
    "channels/copies_out.yaml": """\
        destination: {kind: folder, folder: copies}
        format: hl7
        keys: {name: PID-5.1}
        """,
    "channels/board_out.yaml": """\
        destination: {kind: mllp, host: 127.0.0.1, port: 9}
        """,
    "routes.yaml": """\
        routes:
          - {name: copies, from: adt_in, to: [copies_out, board_out]}
        """,
}


def adt(control_id: str, mrn: str = "MARK4711", kind: str = "ADT^A01") -> bytes:
    return (
        f"MSH|^~\\&|EHR|H|RX|L|2026||{kind}|{control_id}|P|2.5\rPID|1||{mrn}^^^H^MR~0815||DOE^JOHN\r"
        f"PV1|1|I|||||||||||||||||V{control_id}\r"
    ).encode()


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[DaemonProcess]:
    daemon = DaemonProcess(write_site(tmp_path, SITE)).start()
    yield daemon
    daemon.stop()


def ids(daemon: DaemonProcess, **wanted: Any) -> list[int]:
    return [row["id"] for row in daemon.call("messages.list", **wanted)]


def test_messages_are_found_and_explained(daemon: DaemonProcess) -> None:
    with MllpSender(daemon.address("adt_in")) as sender:
        for control_id in ("1", "2"):
            assert b"MSA|AA" in sender.send(adt(control_id))
        sender.send(adt("3", mrn="77"))
    daemon.until_counts(routed=3)
    assert ids(daemon, keys=[["mrn", "MARK4711"]]) == [2, 1]
    assert ids(daemon, keys=[["mrn", "0815"], ["visit", "V3"]]) == [3]
    assert ids(daemon, keys=[["name", "DOE"]]) == [3, 2, 1]
    assert ids(daemon, text="mark4711") == [2, 1]
    assert daemon.hcsyncd("find", "V2").stdout.startswith("By key visit")
    deadline = time.monotonic() + 10
    while "board_out did not take it" not in daemon.hcsyncd("why", "1").stdout:
        assert time.monotonic() < deadline
    behind = daemon.hcsyncd("why", "3").stdout
    assert "it is behind 2 deliveries in its lane; board_out is down" in behind
    daemon.hcsyncd("hold", "delivery", "board_out", "--reason", "upgrade")
    assert "delivery to board_out is held by" in daemon.hcsyncd("why", "3").stdout
    assert "MARK4711" not in daemon.log


def test_a_key_that_is_declared_later_is_read_in_what_is_stored(daemon: DaemonProcess) -> None:
    with MllpSender(daemon.address("adt_in")) as sender:
        sender.send(adt("1"))
    daemon.until_counts(routed=1)
    channel = daemon.site / "channels/adt_in.yaml"
    channel.write_text("source: {kind: mllp, port: 0}\nkeys: {mrn: PID-3.1, kind: MSH-9.2}\n")
    assert daemon.hcsyncd("reload").returncode == 0
    assert ids(daemon, keys=[["kind", "A01"]]) == []
    daemon.call("search.reindex")
    deadline = time.monotonic() + 10
    while not daemon.call("search.reindexing")["reindexing"]["ended_at"]:
        assert time.monotonic() < deadline
    assert ids(daemon, keys=[["kind", "A01"]]) == [1]
    assert ids(daemon, keys=[["visit", "V1"]]) == []


def test_a_tap_shows_both_ends(daemon: DaemonProcess) -> None:
    tap = daemon.call("tap.start", points=["adt_in", "copies_out"])["tap"]
    with MllpSender(daemon.address("adt_in")) as sender:
        sender.send(adt("1"))
    passed: list[dict[str, Any]] = []
    deadline = time.monotonic() + 10
    while len(passed) < 2:
        assert time.monotonic() < deadline
        passed += daemon.call("tap.next", tap=tap)["passed"]
    assert [(one["point"], one["what"]) for one in passed] == [("adt_in", "arrived"), ("copies_out", "sent")]
    assert "MARK4711" not in str(passed)
