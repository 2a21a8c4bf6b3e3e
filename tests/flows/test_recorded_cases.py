"""A stored message becomes a case without its patient, and the case passes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fakes.daemon import DAEMON, DaemonProcess
from tests.fakes.mllp_receiver import MllpReceiver
from tests.fakes.mllp_sender import MllpSender
from tests.flows.conftest import Start, relay

MARKED = (
    b"MSH|^~\\&|PAS|HOSP|ENGINE|HOSP|20260302101112||ADT^A01^ADT_A01|MARK1|P|2.5\r"
    b"EVN|A01|20260302101112\r"
    b"PID|1||MARK2^^^HOSP^MR||Markson^Mark||19480302|M|||Markstreet 7^^Marktown||077-MARK\r"
    b"PV1|1|I|W1^R1^B1||||MARK3^Markdoc\r"
    b"NTE|1||Mark is well\r"
    b"ZMK|MARK4|Markfree\r"
)
TRANSFORMS = """\
from hcsyncd import Drop, Out, Reject, transform


@transform
def to_event(document, context):
    if document["PV1-2"] == "O":
        return Drop("outpatients * are not wanted")
    if document["PV1-2"] == "B":
        raise Reject("not [here]")
    return Out({
        "patient": document["PID-3.1"],
        "name": document["PID-5"],
        "note": document["NTE-3"],
        "ward": context.lookup("wards", document["PV1-3.1"]),
        "arrived": context.received_at,
        "number": context.message_id,
        "born": document["PID-7"],
    })
"""
ROUTES = """\
routes:
  - {name: relay, from: adt_in, when: {type: 'ADT^*', PV1-2: [I, B]}, to: relay_out}
  - {name: events, from: adt_in, when: {type: 'ADT^*'}, transform: t.to_event, to: events_out}
"""


@pytest.fixture
def daemon(start: Start, receiver: MllpReceiver) -> DaemonProcess:
    files = {
        **relay(receiver.port),
        "hcsyncd.yaml": DAEMON,
        "channels/events_out.yaml": "destination: {kind: folder, folder: out}\nformat: json\n",
        "transforms/t.py": TRANSFORMS,
        "mapping/wards.csv": "code,value\nW1,Ward 1\n",
        "routes.yaml": ROUTES,
    }
    started = start(files)
    with MllpSender(started.address("adt_in")) as sender:
        for body in (
            MARKED,
            MARKED.replace(b"|I|W1", b"|O|W1").replace(b"MARK1|", b"MARK5|"),
            MARKED.replace(b"|I|W1", b"|B|W1").replace(b"MARK1|", b"MARK6|"),
            MARKED.replace(b"|I|W1", b"|I|W9").replace(b"MARK1|", b"MARK7|"),
            MARKED.replace(b"ADT^A01", b"ORU^R01").replace(b"MARK1|", b"MARK8|"),
        ):
            sender.send(body)
    receiver.until(3)
    return started


def cases(daemon: DaemonProcess) -> Path:
    return daemon.site / "channels/adt_in.test.yaml"


def test_a_recorded_case_holds_no_mark_and_passes_at_once(daemon: DaemonProcess) -> None:
    for number, name in enumerate(("an inpatient", "an outpatient", "a birth", "a new ward", "a result"), 1):
        done = daemon.hcsyncd("test", "--record", str(number), "--name", name)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "1 passed, 0 failed" in done.stdout
    text = cases(daemon).read_text()
    assert "mark" not in text.lower()
    assert "19480302" not in text
    assert "20260302" not in text
    assert "outpatients [*] are not wanted" in text
    assert "rejected: not [[]here]" in text
    assert "parked: wards/W9" in text
    assert "unrouted: true" in text
    again = daemon.hcsyncd("test")
    assert (again.returncode, "5 passed, 0 failed" in again.stdout) == (0, True), again.stdout + again.stderr
    assert daemon.hcsyncd("check", "--strict").returncode == 0
    log = daemon.log.lower()
    assert "markson" not in log


def test_a_recorded_case_holds_what_the_running_configuration_makes(daemon: DaemonProcess) -> None:
    recorded = daemon.call("cases.record", id=1)
    (relayed, event) = recorded["outcome"]["expect"]
    assert relayed == {"to": "relay_out", "body": recorded["message"]}
    assert event["json"]["ward"] == "Ward 1"
    assert event["json"]["born"].startswith("1948")
    (daemon.site / "mapping/wards.csv").write_text("code,value\nW1,Another\n")
    failed = daemon.hcsyncd("test", "--record", "1", "--name", "not as it runs")
    assert failed.returncode == 1
    assert "expected 'Ward 1'" in failed.stdout


def test_a_case_is_added_below_those_that_people_wrote(daemon: DaemonProcess) -> None:
    written = "# ours\ncases:\n\n- name: by hand  # kept\n  message: |\n    MSH|^~\\&|A|||||||X^Y|1\n  unrouted: true\n"
    cases(daemon).write_text(written)
    assert daemon.hcsyncd("test", "--record", "1", "--name", "recorded").returncode == 0
    text = cases(daemon).read_text()
    assert text.startswith(written)
    assert "2 passed" in daemon.hcsyncd("test").stdout
    twice = daemon.hcsyncd("test", "--record", "1", "--name", "recorded")
    assert twice.returncode == 2
    assert "duplicate-name" in twice.stderr
    assert cases(daemon).read_text() == text
    cases(daemon).write_text("cases: []\n")
    other = daemon.hcsyncd("test", "--record", "1", "--name", "recorded")
    assert other.returncode == 2
    assert "- name: recorded" in other.stderr
    assert cases(daemon).read_text() == "cases: []\n"


def test_what_cannot_be_recorded_is_refused(daemon: DaemonProcess) -> None:
    assert daemon.hcsyncd("test", "--record", "99", "--name", "n").returncode == 4
    assert daemon.hcsyncd("test", "--record", "1").returncode == 2
    assert daemon.hcsyncd("test", "--name", "n").returncode == 2
    refused = daemon.hcsyncd("test", "--record", "1", "--name", "n", "--channel", "nowhere")
    assert (refused.returncode, "no source channel nowhere" in refused.stderr) == (4, True)
    assert not cases(daemon).exists()


def test_recording_is_a_look_into_a_message(daemon: DaemonProcess) -> None:
    daemon.call("cases.record", id=1)
    used = [json.loads(line) for line in daemon.log.splitlines() if '"control_used"' in line]
    assert [(one["verb"], one["access"]) for one in used] == [("cases.record", "sees")]
