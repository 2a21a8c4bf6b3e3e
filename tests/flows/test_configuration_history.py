"""A configuration's whole life in a running daemon: planned, taken, kept with its files, rolled back, and given up by
itself when messages fail under it."""

from __future__ import annotations

import json
import shlex
import signal
import time
from typing import Any

import pytest

from hcsyncd.errors import CommandRefused
from tests.fakes.daemon import DaemonProcess
from tests.fakes.mllp_peer import adt
from tests.fakes.mllp_receiver import MllpReceiver
from tests.fakes.mllp_sender import MllpSender
from tests.flows.conftest import Start, relay

WATCHED = "http: {port: 0}\nworkers: {count: 1}\ndrain_secs: 5\nreload: {min_messages: 5, max_error_share: 0.3}\n"
GOOD = "from hcsyncd import Out, transform\n\n\n@transform\ndef pass_on(document, context):\n    return Out(document)\n"
BAD = GOOD.replace("return Out(document)", 'return Out(context.lookup("nowhere", "X"))')
BROKEN = GOOD.replace("return Out(document)", 'raise ValueError("no")')


def site(port: int, **more: str) -> dict[str, str]:
    return {
        **relay(port),
        "hcsyncd.yaml": WATCHED,
        "transforms/t.py": GOOD,
        "mapping/wards.csv": "code,value\nW1,Ward 1\nW2,Ward 2\n",
        "routes.yaml": "routes:\n  - {name: relay, from: adt_in, transform: t.pass_on, to: relay_out}\n",
        **more,
    }


def files_of(daemon: DaemonProcess) -> dict[str, str]:
    names = ("routes.yaml", "transforms/t.py", "channels/adt_in.yaml", "channels/relay_out.yaml", "mapping/wards.csv")
    return {name: (daemon.site / name).read_text() for name in names if (daemon.site / name).exists()}


def generation(daemon: DaemonProcess) -> int:
    number: int = daemon.call("status")["daemon"]["generation"]
    return number


def history(daemon: DaemonProcess) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = daemon.call("configuration.history")
    return rows


def until_generation(daemon: DaemonProcess, number: int) -> None:
    deadline = time.monotonic() + 15
    while generation(daemon) != number:
        assert time.monotonic() < deadline, daemon.log[-3000:]
        time.sleep(0.02)


def until_given_up(daemon: DaemonProcess, number: int) -> None:
    deadline = time.monotonic() + 15
    while not any(row["number"] == number and row["outcome"] == "reverted" for row in history(daemon)):
        assert time.monotonic() < deadline, daemon.log[-3000:]
        time.sleep(0.02)


def test_every_generation_is_kept_and_numbers_go_on_over_restarts(start: Start, receiver: MllpReceiver) -> None:
    daemon = start(site(receiver.port))
    with MllpSender(daemon.address("adt_in")) as sender:
        sender.send(adt("M1"))
    daemon.until_counts(done=1)
    (daemon.site / "mapping/wards.csv").write_text("code,value\nW1,Ward One\nW3,Ward 3\n")
    daemon.call("reload", reason="wards were renamed")
    daemon.stop()

    daemon = start()
    assert generation(daemon) == 2  # the same files are the same generation
    with MllpSender(daemon.address("adt_in")) as sender:
        sender.send(adt("M2"))
    daemon.until_counts(done=2)
    daemon.stop()
    (daemon.site / "mapping/wards.csv").write_text("code,value\nW1,Ward 1\n")
    daemon = start()
    assert generation(daemon) == 3
    (daemon.site / "mapping/wards.csv").write_text("code,value\nW9,Ward 9\n")
    daemon.signal(signal.SIGHUP)
    until_generation(daemon, 4)

    fourth, third, second, first = history(daemon)
    assert [row["author"] for row in (first, third, fourth)] == ["start", "start", "signal"]
    assert (second["reason"], second["outcome"]) == ("wards were renamed", "superseded")
    rows = "W1: Ward 1 -> Ward One; W2: Ward 2, gone; W3: Ward 3"
    assert second["changes"] == [f"mapping wards: changed ({rows}); 1 row added, 1 row removed, 1 row changed"]
    assert third["changes"] == ["mapping/wards.csv: changed"]
    assert fourth["outcome"] == "live"
    made = [daemon.call("messages.show", id=number)["deliveries"][0]["generation"] for number in (1, 2)]
    assert made == [1, 2]

    listed = daemon.hcsyncd("history")
    assert listed.returncode == 0, listed.stderr
    assert "wards were renamed" in listed.stdout
    shown = daemon.hcsyncd("history", "show", "1", "--file", "mapping/wards.csv")
    assert shown.stdout == "code,value\nW1,Ward 1\nW2,Ward 2\n"
    difference = daemon.hcsyncd("history", "diff", "1", "2")
    assert difference.stdout.startswith("--- a/mapping/wards.csv\n+++ b/mapping/wards.csv\n")
    assert "-W2,Ward 2\n+W1,Ward One\n+W3,Ward 3\n" in difference.stdout
    assert "transforms/t.py" in daemon.hcsyncd("history", "show", "2").stdout
    assert daemon.hcsyncd("history", "show", "77").returncode == 4


def test_a_plan_says_what_a_reload_would_do_and_only_that_is_done(start: Start) -> None:
    absent = MllpReceiver()
    port = absent.port
    absent.close()
    daemon = start(site(port))
    assert daemon.hcsyncd("plan").stdout == "nothing to change: the files are what runs (generation 1)\n"
    with MllpSender(daemon.address("adt_in")) as sender:
        sender.send(adt("M1"))
        daemon.until_counts(routed=1)
        (daemon.site / "channels/adt_in.yaml").write_text("source: {kind: mllp, port: 0, max_connections: 3}\n")
        (daemon.site / "transforms/t.py").write_text(GOOD + "\n\ndef unused():\n    pass\n")
        (daemon.site / "channels/relay_out.yaml").unlink()
        (daemon.site / "channels/new_out.yaml").write_text(
            f"destination: {{kind: mllp, host: localhost, port: {port}}}\n"
        )
        routes = daemon.site / "routes.yaml"
        routes.write_text(routes.read_text().replace("relay_out", "new_out"))
        plan = json.loads(daemon.hcsyncd("plan", "--json").stdout)
        stays = "what it has made stays as it is"
        assert [item["words"] for item in plan["items"]] == [
            "channel adt_in: rebuilt (source.max_connections: 1000 -> 3); 1 connection would be cut",
            "channel new_out: added",
            "channel relay_out: removed; what is queued for it is still delivered; 1 delivery is queued",
            f"route relay: changed (to: [relay_out] -> [new_out]); {stays}; 1 delivery is queued",
            "transform t.unused: added",
        ]
        routes.write_text(routes.read_text() + "# a word more\n")
        refused = daemon.hcsyncd("reload", "--plan-digest", plan["digest"][:12])
        assert (refused.returncode, generation(daemon)) == (4, 1)
        assert "changed since that plan" in refused.stderr
        again = json.loads(daemon.hcsyncd("plan", "--json").stdout)
        assert daemon.hcsyncd("reload", "--plan-digest", again["digest"][:12]).returncode == 0
        assert generation(daemon) == 2
    routes.write_text("routes: nothing\n")
    broken = daemon.hcsyncd("plan")
    assert broken.returncode == 2
    assert "routes.yaml:1" in broken.stderr


def test_a_rollback_puts_the_files_back_and_keeps_those_it_replaced(start: Start, receiver: MllpReceiver) -> None:
    daemon = start(site(receiver.port))
    before = files_of(daemon)
    (daemon.site / "notes.txt").write_text("not ours")
    (daemon.site / "channels/more_in.yaml").write_text("source: {kind: mllp, port: 0}\n")
    (daemon.site / "routes.yaml").write_text(before["routes.yaml"].replace("from: adt_in", "from: [adt_in, more_in]"))
    daemon.call("reload")
    (daemon.site / "mapping/wards.csv").unlink()
    (daemon.site / "transforms/t.py").write_text("this is not Python\n")  # never live

    tried = daemon.hcsyncd("rollback", "--reason", "as it was", "--dry-run")
    assert tried.returncode == 0, tried.stderr
    assert (daemon.site / "transforms/t.py").read_text() == "this is not Python\n"
    done = daemon.hcsyncd("rollback", "--reason", "as it was", "--yes")
    assert done.returncode == 0, done.stderr
    assert files_of(daemon) == before
    assert not (daemon.site / "channels/more_in.yaml").exists()
    assert [path.read_text() for path in daemon.site.glob(".aside/*/channels/more_in.yaml")]
    assert (daemon.site / "notes.txt").read_text() == "not ours"

    live, saved, second, _first = history(daemon)
    assert (live["number"], live["outcome"], live["reason"]) == (4, "live", "rollback to generation 1: as it was")
    assert (saved["number"], saved["outcome"], second["outcome"]) == (3, "saved", "superseded")
    kept = daemon.hcsyncd("history", "show", "3", "--file", "transforms/t.py")
    assert kept.stdout == "this is not Python\n"
    with MllpSender(daemon.address("adt_in")) as sender:
        sender.send(adt("M1"))
    receiver.until(1)


def test_a_rollback_that_the_daemon_refuses_changes_nothing(start: Start, receiver: MllpReceiver) -> None:
    daemon = start(site(receiver.port, **{"channels/relay_out.yaml": RELAY % receiver.port}), PEER="127.0.0.1")
    (daemon.site / "channels/relay_out.yaml").write_text(relay(receiver.port)["channels/relay_out.yaml"])
    (daemon.site / "mapping/more.csv").write_text("code,value\nA,B\n")
    daemon.call("reload")
    daemon.stop()
    daemon = start()  # without PEER, which generation 1 needs
    before = {path: path.read_bytes() for path in daemon.site.rglob("*.*") if path.suffix in {".yaml", ".py", ".csv"}}
    refused = daemon.hcsyncd("rollback", "1", "--reason", "try it", "--yes")
    assert refused.returncode == 4
    assert "PEER is not set" in refused.stderr
    assert {path: path.read_bytes() for path in before if path.exists()} == before
    assert not (daemon.site / ".aside").exists()
    assert generation(daemon) == 2


RELAY = "destination: {kind: mllp, host: '${PEER}', port: %d}\n"


def test_a_configuration_under_which_messages_fail_is_given_up(start: Start, receiver: MllpReceiver) -> None:
    daemon = start(site(receiver.port))
    with MllpSender(daemon.address("adt_in")) as sender:
        for number in range(6):
            sender.send(adt(f"A{number}"))
        daemon.until_counts(done=6)
        (daemon.site / "transforms/t.py").write_text(BROKEN)
        daemon.call("reload", reason="a mistake")
        assert daemon.call("status")["daemon"]["watched_until"] > 0
        for number in range(5):
            sender.send(adt(f"B{number}"))
        until_given_up(daemon, 2)
        for number in range(3):
            sender.send(adt(f"C{number}"))
        daemon.until_counts(done=9, dead=5)

    live, reverted, _first = history(daemon)
    assert (live["author"], live["digest"]) == ("hcsyncd", _first["digest"])
    assert reverted["outcome"] == "reverted"
    why, _, command = reverted["why"].partition("; 5 messages are dead letters by it: ")
    assert why == "channel adt_in: 5 of 5 messages failed (100%, before 0%)"
    status = daemon.call("status")["daemon"]
    assert "generation 2 was given up" in status["given_up"]
    assert "beware" in daemon.hcsyncd("status").stdout
    (told,) = [json.loads(line) for line in daemon.log.splitlines() if '"generation_reverted"' in line]
    assert (told["generation"], told["restored"], told["dead"]) == (2, 1, 5)
    assert told["command"] == command

    assert "t.pass_on" in daemon.hcsyncd("plan").stdout
    daemon.stop()
    daemon = start()  # the files on disk are still the bad ones: they are not started again by themselves
    assert generation(daemon) == 3
    assert daemon.call("status")["daemon"]["given_up"]
    replayed = daemon.hcsyncd(*shlex.split(told["command"])[1:], "--yes")
    assert replayed.returncode == 0, replayed.stderr
    receiver.until(14)
    back = daemon.hcsyncd("rollback", "--reason", "the mistake is undone", "--yes")
    assert back.returncode == 0, back.stderr
    assert (daemon.site / "transforms/t.py").read_text() == GOOD
    assert daemon.call("status")["daemon"]["given_up"] == ""


def test_a_destination_that_was_built_anew_and_takes_nothing_is_given_up(start: Start, receiver: MllpReceiver) -> None:
    absent = MllpReceiver()
    port = absent.port
    absent.close()
    daemon = start(site(receiver.port))
    channel = daemon.site / "channels/relay_out.yaml"
    with MllpSender(daemon.address("adt_in")) as sender:
        sender.send(adt("A1"))
        daemon.until_counts(done=1)
        channel.write_text(channel.read_text().replace(str(receiver.port), str(port)))
        daemon.call("reload")
        for number in range(6):
            sender.send(adt(f"B{number}"))
        until_given_up(daemon, 2)
    receiver.until(7)
    assert "takes nothing" in history(daemon)[1]["why"]


def test_a_configuration_that_stands_its_time_is_watched_no_more(start: Start, receiver: MllpReceiver) -> None:
    files = site(receiver.port, **{"hcsyncd.yaml": WATCHED.replace("{min", "{watch_secs: 0.2, min")})
    daemon = start(files)
    (daemon.site / "routes.yaml").write_text(files["routes.yaml"] + "# more\n")
    daemon.call("reload")
    deadline = time.monotonic() + 10
    while '"generation_accepted"' not in daemon.log:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert daemon.call("status")["daemon"]["watched_until"] == 0


def test_a_refused_reload_leaves_no_generation(start: Start, receiver: MllpReceiver) -> None:
    daemon = start(site(receiver.port))
    taken = MllpReceiver()
    try:
        (daemon.site / "channels/adt_in.yaml").write_text(f"source: {{kind: mllp, port: {taken.port}}}\n")
        with pytest.raises(CommandRefused):
            daemon.call("reload")
    finally:
        taken.close()
    assert [row["number"] for row in history(daemon)] == [1]
