"""A reload under traffic: what changed is built beside and swapped, what did not keeps its connections, any failure
leaves everything as it was."""

from __future__ import annotations

import signal
import time

import pytest

from hcsyncd.errors import CommandRefused
from tests.fakes.mllp_peer import adt
from tests.fakes.mllp_receiver import MllpReceiver
from tests.fakes.mllp_sender import MllpSender, msa
from tests.flows.conftest import MLLP_IN, Start, relay


def test_an_unchanged_listener_keeps_its_connections(start: Start, receiver: MllpReceiver) -> None:
    other = MllpReceiver()
    daemon = start(relay(receiver.port))
    try:
        with MllpSender(daemon.address("adt_in")) as sender:
            sender.send(adt("M1"))
            receiver.until(1)
            destination = daemon.site / "channels/relay_out.yaml"
            destination.write_text(destination.read_text().replace(str(receiver.port), str(other.port)))
            changes = daemon.call("reload")["changes"]
            assert changes == ["channel relay_out: connector or format changed; it is built anew"]
            assert msa(sender.send(adt("M2"))) == ("AA", "M2")
            other.until(1)
        assert (receiver.control_ids, other.control_ids) == (["M1"], ["M2"])
    finally:
        other.close()


def test_rules_of_a_listener_change_under_its_connections(start: Start, receiver: MllpReceiver) -> None:
    daemon = start(relay(receiver.port))
    with MllpSender(daemon.address("adt_in")) as sender:
        assert msa(sender.send(adt("M1"))) == ("AA", "M1")
        rules = "duplicates: {changed_content: accept}\n"
        (daemon.site / "channels/adt_in.yaml").write_text(MLLP_IN + rules)
        assert daemon.call("reload")["changes"] == ["channel adt_in: rules changed; its connections stay"]
        assert msa(sender.send(adt("M1", "OTHER^ONE"))) == ("AA", "M1")


def test_nothing_changed_is_no_new_generation(start: Start, receiver: MllpReceiver) -> None:
    daemon = start(relay(receiver.port))
    assert daemon.call("reload") == {"generation": 1, "changes": [], "warnings": []}


def test_a_broken_site_is_refused_with_its_places_and_what_runs_goes_on(start: Start, receiver: MllpReceiver) -> None:
    daemon = start(relay(receiver.port))
    routes = daemon.site / "routes.yaml"
    good = routes.read_text()
    routes.write_text(good.replace("to: relay_out", "to: relay_owt"))
    with pytest.raises(CommandRefused) as refusal:
        daemon.call("reload")
    (finding,) = refusal.value.details
    assert isinstance(finding, dict)
    assert (finding["file"], finding["line"], finding["code"]) == ("routes.yaml", 2, "unknown-channel")
    assert "relay_out" in finding["hint"]
    with MllpSender(daemon.address("adt_in")) as sender:
        sender.send(adt("M1"))
    daemon.until_counts(done=1)
    assert daemon.call("status")["daemon"]["generation"] == 1
    assert "generation_refused" in daemon.log


def test_a_source_that_cannot_start_flips_everything_back(start: Start, receiver: MllpReceiver) -> None:
    daemon = start(relay(receiver.port))
    before = daemon.address("adt_in")
    taken = MllpReceiver()
    try:
        (daemon.site / "channels/more_in.yaml").write_text(f"source: {{kind: mllp, port: {taken.port}}}\n")
        (daemon.site / "channels/adt_in.yaml").write_text("source: {kind: mllp, port: 0, max_connections: 3}\n")
        routes = daemon.site / "routes.yaml"
        routes.write_text(routes.read_text().replace("from: adt_in", "from: [adt_in, more_in]"))
        with pytest.raises(CommandRefused, match=str(taken.port)):
            daemon.call("reload")
    finally:
        taken.close()
    deadline = time.monotonic() + 10
    while True:  # the old listener comes back, on a port of its own choosing
        try:
            with MllpSender(daemon.address("adt_in")) as sender:
                assert msa(sender.send(adt("M1"))) == ("AA", "M1")
            break
        except (ConnectionError, ValueError):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    daemon.until_counts(done=1)
    assert {channel["name"] for channel in daemon.call("channels")} == {"adt_in", "relay_out"}
    assert before


def test_what_is_queued_for_a_removed_destination_is_still_delivered(start: Start) -> None:
    absent = MllpReceiver()
    port = absent.port
    absent.close()
    kept = MllpReceiver()
    daemon = start(relay(port, retry="{first_secs: 0.05, factor: 1}"))
    try:
        with MllpSender(daemon.address("adt_in")) as sender:
            sender.send(adt("M1"))
            daemon.until_counts(routed=1)
            (daemon.site / "channels/relay_out.yaml").unlink()
            (daemon.site / "channels/new_out.yaml").write_text(
                f"destination: {{kind: mllp, host: 127.0.0.1, port: {kept.port}}}\n"
            )
            (daemon.site / "routes.yaml").write_text("routes:\n  - {name: relay, from: adt_in, to: new_out}\n")
            assert len(daemon.call("reload")["changes"]) == 3
            sender.send(adt("M2"))
            kept.until(1)
            back = MllpReceiver(port=port)
            try:
                back.until(1)
                assert (back.control_ids, kept.control_ids) == (["M1"], ["M2"])
            finally:
                back.close()
    finally:
        kept.close()


def test_sighup_reloads(start: Start, receiver: MllpReceiver) -> None:
    daemon = start(relay(receiver.port))
    (daemon.site / "routes.yaml").write_text("routes:\n  - {name: other, from: adt_in, to: relay_out}\n")
    daemon.signal(signal.SIGHUP)
    deadline = time.monotonic() + 10
    while daemon.call("status")["daemon"]["generation"] != 2:
        assert time.monotonic() < deadline, daemon.log
        time.sleep(0.02)


def test_no_message_is_lost_or_doubled_by_reloads_under_load(start: Start, receiver: MllpReceiver) -> None:
    daemon = start(relay(receiver.port))
    routes = daemon.site / "routes.yaml"
    with MllpSender(daemon.address("adt_in")) as sender:
        for number in range(60):
            assert msa(sender.send(adt(f"M{number}"))) == ("AA", f"M{number}")
            if number % 20 == 10:
                routes.write_text(f"routes:\n  - {{name: relay{number}, from: adt_in, to: relay_out}}\n")
                daemon.call("reload")
    daemon.until_counts(done=60)
    assert receiver.control_ids == [f"M{number}" for number in range(60)]


def test_a_destination_that_comes_back_before_its_queue_is_dry_goes_on_with_it(start: Start) -> None:
    absent = MllpReceiver()
    port = absent.port
    absent.close()
    files = relay(port, retry="{first_secs: 0.2, factor: 1}")
    daemon = start(files)
    channel, routes = daemon.site / "channels/relay_out.yaml", daemon.site / "routes.yaml"
    with MllpSender(daemon.address("adt_in")) as sender:
        sender.send(adt("M1"))
        sender.send(adt("M2"))
        daemon.until_counts(routed=2)
        before = channel.read_text(), routes.read_text()
        channel.unlink()
        routes.write_text("routes: []\n")
        daemon.call("reload")
        channel.write_text(before[0])
        routes.write_text(before[1])
        daemon.call("reload")
        sender.send(adt("M3"))
        back = MllpReceiver(port=port)
        try:
            daemon.until_counts(done=3)
            assert back.control_ids == ["M1", "M2", "M3"]
        finally:
            back.close()
    assert daemon.call("status")["daemon"]["generation"] == 3


def test_a_removed_destination_whose_lane_stands_behind_a_dead_letter_goes_on_when_it_is_settled(start: Start) -> None:
    receiver = MllpReceiver(lambda payload: "AE" if b"|M1|" in payload else "AA")
    daemon = start(relay(receiver.port, on_dead="hold"))
    try:
        with MllpSender(daemon.address("adt_in")) as sender:
            sender.send(adt("M1"))
            daemon.until_counts(dead=1)
            sender.send(adt("M2"))
            daemon.until_counts(dead=1, routed=1)
        (daemon.site / "channels/relay_out.yaml").unlink()
        (daemon.site / "routes.yaml").write_text("routes: []\n")
        daemon.call("reload")
        daemon.call("dead.discard", ids=[1], reason="an error of the sender")
        daemon.until_counts(closed=1, done=1)
        assert receiver.control_ids == ["M1", "M2"]
    finally:
        receiver.close()


def test_a_stop_cuts_off_a_reload_that_waits(start: Start) -> None:
    absent = MllpReceiver()
    absent.close()
    files = relay(absent.port) | {
        "channels/adt_in.yaml": MLLP_IN + "acknowledge: delivered\n",
        "hcsyncd.yaml": "http: {port: 0}\nworkers: {count: 1}\ndrain_secs: 2\n",
    }
    daemon = start(files)
    with MllpSender(daemon.address("adt_in")) as sender:
        sender.put(adt("M1"))
        daemon.until_counts(routed=1)
        (daemon.site / "channels/adt_in.yaml").rename(daemon.site / "channels/other_in.yaml")
        routes = daemon.site / "routes.yaml"
        routes.write_text(routes.read_text().replace("from: adt_in", "from: other_in"))
        daemon.signal(signal.SIGHUP)  # waits for the answer that the removed source owes its sender
        deadline = time.monotonic() + 20
        while daemon.log.count('"source_started"') < 2:
            assert time.monotonic() < deadline, daemon.log
            time.sleep(0.02)
        assert daemon.stop() == 0
    assert '"daemon_stopped"' in daemon.log.splitlines()[-1]
    assert daemon.log.count('"generation_activated"') == 1, "nothing comes to life behind a stop"
