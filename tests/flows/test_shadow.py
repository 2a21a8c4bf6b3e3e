"""Stored traffic through what runs and what is on disk, from the command line to the workers and back."""

from __future__ import annotations

import json
import signal
import time

import pytest

from tests.fakes.command import start_command
from tests.fakes.daemon import DAEMON, DaemonProcess
from tests.fakes.mllp_peer import adt
from tests.fakes.mllp_receiver import MllpReceiver
from tests.fakes.mllp_sender import MllpSender
from tests.flows.conftest import Start, relay

TRANSFORM = """\
from hcsyncd import Drop, Out, Reject, transform


@transform
def to_lab(document, context):
    {first}
    document["MSH-5"] = "LAB"
    document["PV1-3.1"] = context.lookup("wards", document["PV1-3.1"])
    return Out(document)
"""
RUNNING = TRANSFORM.format(first='document["PV1-3.2"] = "R"')


def site(port: int) -> dict[str, str]:
    return {
        **relay(port),
        "transforms/t.py": RUNNING,
        "mapping/wards.csv": "code,value\nW1,Ward 1\n",
        "routes.yaml": "routes:\n  - {name: relay, from: adt_in, transform: t.to_lab, to: relay_out}\n",
    }


@pytest.fixture
def daemon(start: Start, receiver: MllpReceiver) -> DaemonProcess:
    started = start(site(receiver.port))
    with MllpSender(started.address("adt_in")) as sender:
        for number in range(12):
            sender.send(adt(f"M{number}"))
    started.until_counts(done=12)
    started.call("messages.list")
    return started


def counts(daemon: DaemonProcess) -> object:
    return daemon.call("status")["counts"]


def test_what_is_the_same_differs_in_nothing(daemon: DaemonProcess) -> None:
    same = daemon.hcsyncd("shadow", "--since", "1h")
    assert (same.returncode, same.stdout) == (0, "0 messages looked at, 0 differ\n")
    assert "what is on disk is what runs" in same.stderr
    (daemon.site / "transforms/t.py").write_text(RUNNING + "# nothing of weight\n")
    same = daemon.hcsyncd("shadow", "--since", "1h")
    assert (same.returncode, same.stdout) == (0, "12 messages looked at, 0 differ\n")


def test_fields_that_differ_are_named_and_their_values_only_when_asked(daemon: DaemonProcess) -> None:
    before = counts(daemon)
    (daemon.site / "mapping/wards.csv").write_text("code,value\nW1,The first ward\n")
    found = daemon.hcsyncd("shadow", "--since", "1h")
    assert found.returncode == 1
    assert found.stdout == (
        "route relay to relay_out: 12 of 12 differ: PV1-3.1 (messages 1, 2, 3, 4, 5, ...)\n"
        "12 messages looked at, 12 differ\n"
    )
    shown = daemon.hcsyncd("shadow", "--since", "1h", "--limit", "2", "--values", "--json")
    (group,) = json.loads(shown.stdout)["groups"]
    assert group["examples"][0] == {"message_id": 1, "was": "Ward 1", "now": "The first ward"}
    assert (group["messages"], group["of"], group["what"]) == (2, 2, "PV1-3.1")
    assert counts(daemon) == before
    assert "ward" not in found.stdout.lower().replace("pv1", "")


def test_outcomes_that_differ_are_told_in_words(daemon: DaemonProcess) -> None:
    condition = 'if document["MSH-10"] in ("M1", "M2"):\n        return Drop("no")'
    (daemon.site / "transforms/t.py").write_text(TRANSFORM.format(first=condition))
    (daemon.site / "channels/new_out.yaml").write_text("destination: {kind: folder, folder: out}\nformat: hl7\n")
    routes = daemon.site / "routes.yaml"
    routes.write_text(routes.read_text() + "  - {name: also, from: adt_in, when: {control_id: M3}, to: new_out}\n")
    found = json.loads(daemon.hcsyncd("shadow", "--since", "1h", "--json").stdout)
    told = {(group["route"], group["what"]): group["messages"] for group in found["groups"]}
    assert told == {
        ("", "routed -> filtered"): 2,
        ("also", "is sent now"): 1,
        ("relay", "is no longer sent"): 2,
        ("relay", "PV1-3.2"): 10,
    }
    (daemon.site / "transforms/t.py").write_text(TRANSFORM.format(first='raise Reject("not these")'))
    found = json.loads(daemon.hcsyncd("shadow", "--since", "1h", "--json").stdout)
    assert ("relay", "sent -> dead (rejected)") in {(group["route"], group["what"]) for group in found["groups"]}


def test_replays_are_left_out_and_the_channel_narrows(daemon: DaemonProcess) -> None:
    assert daemon.hcsyncd("messages", "replay", "1", "2", "--yes").returncode == 0
    (daemon.site / "mapping/wards.csv").write_text("code,value\nW1,The first ward\n")
    found = daemon.hcsyncd("shadow", "--since", "1h", "--channel", "adt_in")
    assert "12 messages looked at, 12 differ" in found.stdout
    none = daemon.hcsyncd("shadow", "--since", "1h", "--channel", "other_in")
    assert "0 messages looked at, 0 differ" in none.stdout


def test_a_site_with_errors_is_refused_with_its_findings(daemon: DaemonProcess) -> None:
    (daemon.site / "routes.yaml").write_text("routes: 7\n")
    refused = daemon.hcsyncd("shadow", "--since", "1h")
    assert refused.returncode == 2
    assert "routes.yaml:1" in refused.stderr


def test_ctrl_c_ends_it_with_what_was_found(start: Start, receiver: MllpReceiver) -> None:
    daemon = start({**site(receiver.port), "hcsyncd.yaml": DAEMON + "log: {level: debug}\n"})
    with MllpSender(daemon.address("adt_in")) as sender:
        for number in range(40):
            sender.send(adt(f"M{number}"))
    daemon.until_counts(done=40)
    (daemon.site / "transforms/t.py").write_text(TRANSFORM.format(first="import time; time.sleep(0.1)"))
    command = start_command("shadow", "--since", "1h", "--site", str(daemon.site))
    try:
        deadline = time.monotonic() + 20
        while '"shadow.page"' not in daemon.log:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        command.send_signal(signal.SIGINT)
        out, errors = command.communicate(timeout=20)
    finally:
        command.kill()
        command.wait()
    assert command.returncode == 130, errors
    assert "Traceback" not in errors
    assert out.startswith("stopped; ")
    assert '"shadow.end"' in daemon.log
