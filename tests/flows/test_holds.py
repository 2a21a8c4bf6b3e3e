"""Holds on the whole daemon: each part of the road stands still alone, through reloads and restarts, and goes on in
order."""

from __future__ import annotations

import pytest

from hcsyncd.errors import CommandRefused
from tests.fakes.mllp_peer import adt
from tests.fakes.mllp_receiver import MllpReceiver
from tests.fakes.mllp_sender import MllpSender, msa
from tests.flows.conftest import Start, relay


def test_delivery_is_held_while_receiving_goes_on_and_resumes_in_order(start: Start, receiver: MllpReceiver) -> None:
    daemon = start(relay(receiver.port))
    done = daemon.hcsyncd("hold", "delivery", "relay_out", "--reason", "the bed board is down")
    assert done.returncode == 0, done.stderr
    assert "the bed board is down" in done.stdout
    with MllpSender(daemon.address("adt_in")) as sender:
        assert [msa(sender.send(adt(f"M{n}"))) for n in range(5)] == [("AA", f"M{n}") for n in range(5)]
        daemon.until_counts(routed=5)
        row = daemon.channel("relay_out")
        assert (row["health"], row["queued"]) == ("held", 5)
        assert receiver.payloads == []
        assert 'hcsyncd_channel_held{channel="relay_out",hold="delivery"} 1.0' in daemon.metrics()
        resumed = daemon.hcsyncd("resume", "delivery", "--all")
        assert resumed.stdout == "delivery of relay_out goes on\n"
        receiver.until(5)
    daemon.until_counts(done=5)
    assert receiver.control_ids == [f"M{n}" for n in range(5)]
    assert daemon.channel("relay_out")["health"] == "up"
    assert 'hcsyncd_channel_held{channel="relay_out",hold="delivery"} 0.0' in daemon.metrics()


def test_receiving_is_held_while_delivery_goes_on(start: Start, receiver: MllpReceiver) -> None:
    daemon = start(relay(receiver.port))
    host, port = daemon.address("adt_in")
    (daemon.site / "channels/adt_in.yaml").write_text(f"source: {{kind: mllp, port: {port}}}\n")
    daemon.call("reload")
    daemon.call("hold.set", hold="delivery", channels=["relay_out"], reason="first")
    with MllpSender((host, port)) as sender:
        assert msa(sender.send(adt("M1"))) == ("AA", "M1")
    daemon.call("hold.set", hold="receiving", channels=["adt_in"], reason="the EHR is being updated")
    with pytest.raises(ConnectionRefusedError):
        MllpSender((host, port)).__enter__()
    row = daemon.channel("adt_in")
    assert (row["health"], row["error"]) == ("held", "")
    assert daemon.call("status")["daemon"]["not_ready"] == []
    daemon.call("hold.lift", hold="delivery", channels=["relay_out"])
    receiver.until(1)
    daemon.until_counts(done=1)
    assert daemon.call("hold.lift", hold="receiving", channels=["adt_in"]) == {"resumed": {"adt_in": ""}}
    with MllpSender((host, port)) as sender:
        assert msa(sender.send(adt("M2"))) == ("AA", "M2")
    receiver.until(2)


def test_routing_is_held_while_arrivals_are_stored_and_acknowledged(start: Start, receiver: MllpReceiver) -> None:
    daemon = start(relay(receiver.port))
    daemon.call("hold.set", hold="routing", reason="all of them")
    with MllpSender(daemon.address("adt_in")) as sender:
        for number in range(5):
            assert msa(sender.send(adt(f"M{number}"))) == ("AA", f"M{number}")
    assert daemon.counts() == {"received": 5}
    daemon.call("hold.lift", hold="routing")
    receiver.until(5)
    assert receiver.control_ids == [f"M{n}" for n in range(5)]


def test_holds_outlive_a_kill_and_a_reload(start: Start, receiver: MllpReceiver) -> None:
    daemon = start(relay(receiver.port))
    for kind, channel in (("delivery", "relay_out"), ("routing", "adt_in"), ("receiving", "adt_in")):
        daemon.call("hold.set", hold=kind, channels=[channel], reason=f"why {kind}")
    before = daemon.call("hold.list")
    daemon.kill()
    daemon = start()
    assert daemon.call("hold.list") == before
    assert daemon.channel("adt_in")["address"] == ""
    destination = daemon.site / "channels/relay_out.yaml"
    destination.write_text(destination.read_text() + "window: 3\n")
    source = daemon.site / "channels/adt_in.yaml"
    source.write_text("source: {kind: mllp, port: 0, max_connections: 7}\n")
    assert len(daemon.call("reload")["changes"]) == 2
    assert daemon.call("hold.list") == before
    assert daemon.channel("adt_in")["address"] == ""
    assert {daemon.channel(name)["health"] for name in ("adt_in", "relay_out")} == {"held"}
    daemon.call("hold.lift", hold="receiving")
    with MllpSender(daemon.address("adt_in")) as sender:
        assert msa(sender.send(adt("M1"))) == ("AA", "M1")
        assert daemon.counts() == {"received": 1}
        daemon.call("hold.lift", hold="routing")
        daemon.until_counts(routed=1)
        daemon.call("hold.lift", hold="delivery")
        receiver.until(1)
    daemon.until_counts(done=1)


def test_a_source_that_cannot_be_opened_again_says_so_and_is_tried_again(start: Start, receiver: MllpReceiver) -> None:
    daemon = start(relay(receiver.port))
    host, port = daemon.address("adt_in")
    (daemon.site / "channels/adt_in.yaml").write_text(f"source: {{kind: mllp, port: {port}}}\n")
    daemon.call("reload")
    daemon.call("hold.set", hold="receiving", channels=["adt_in"], reason="why")
    squatter = MllpReceiver(port=port)
    done = daemon.hcsyncd("resume", "receiving", "adt_in")
    squatter.close()
    assert done.returncode == 1
    assert "but not yet" in done.stdout
    daemon.until_up("adt_in")
    with MllpSender((host, port)) as sender:
        assert msa(sender.send(adt("M1"))) == ("AA", "M1")


def test_what_cannot_be_held_is_refused_with_what_can(start: Start, receiver: MllpReceiver) -> None:
    daemon = start(relay(receiver.port))
    with pytest.raises(CommandRefused, match="there is no destination adt_in; known: relay_out"):
        daemon.call("hold.set", hold="delivery", channels=["relay_out", "adt_in"], reason="why")
    with pytest.raises(CommandRefused, match="there is no source nope; known: adt_in"):
        daemon.call("hold.set", hold="receiving", channels=["nope"], reason="why")
    assert daemon.call("hold.list") == []
    with pytest.raises(CommandRefused, match="not held"):
        daemon.call("hold.lift", hold="delivery", channels=["relay_out"])
    assert daemon.hcsyncd("hold", "delivery", "relay_out", "--reason", " ").returncode == 2
    assert daemon.hcsyncd("hold", "delivery", "--reason", "why").returncode == 2


def test_a_sender_that_waits_for_delivery_is_answered_after_the_hold(start: Start, receiver: MllpReceiver) -> None:
    files = relay(receiver.port)
    files["channels/adt_in.yaml"] += "acknowledge: delivered\n"
    daemon = start(files)
    daemon.call("hold.set", hold="delivery", channels=["relay_out"], reason="why")
    with MllpSender(daemon.address("adt_in")) as sender:
        sender.put(adt("M1"))
        daemon.until_counts(routed=1)
        daemon.call("hold.lift", hold="delivery")
        assert msa(sender.answer()) == ("AA", "M1")
