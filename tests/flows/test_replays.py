"""Replays through the whole daemon: planned, applied just so, held, resumed, taken up again after kill -9."""

from __future__ import annotations

import json
import time
from collections import Counter

import pytest

from hcsyncd.errors import CommandRefused
from tests.fakes.daemon import DaemonProcess, write_site
from tests.fakes.mllp_peer import adt
from tests.fakes.mllp_receiver import MllpReceiver
from tests.fakes.mllp_sender import MllpSender
from tests.fakes.replays import items_of, planned, replayed, until, until_state
from tests.flows.conftest import MLLP_IN, Start, relay

QUICK = "{first_secs: 0.05, factor: 1, jitter: 0}"
NAMED = """\
    from hcsyncd import Context, Hl7Document, Out, transform

    @transform
    def named(message: Hl7Document, context: Context) -> Out:
        message["MSH-5"] = "%s"
        return Out(message)
"""


def with_transform(port: int, receiver: str = "RELAY") -> dict[str, str]:
    return relay(port) | {
        "transforms/relay.py": NAMED % receiver,
        "routes.yaml": "routes:\n  - {name: relay, from: adt_in, transform: relay.named, to: relay_out}\n",
    }


def two_ways(first: int, second: int) -> dict[str, str]:
    return {
        "channels/adt_in.yaml": MLLP_IN,
        "channels/left_out.yaml": f"destination: {{kind: mllp, host: 127.0.0.1, port: {first}}}\nretry: {QUICK}\n",
        "channels/right_out.yaml": f"destination: {{kind: mllp, host: 127.0.0.1, port: {second}}}\nretry: {QUICK}\n",
        "routes.yaml": "routes:\n  - {name: both, from: adt_in, to: [left_out, right_out]}\n",
        "hcsyncd.yaml": "http: {port: 0}\nworkers: {count: 1}\nreplays: {under_way: 2}\n",
    }


def send(daemon: DaemonProcess, *payloads: bytes) -> None:
    with MllpSender(daemon.address("adt_in")) as sender:
        for payload in payloads:
            sender.send(payload)


def verdicts(daemon: DaemonProcess, replay_id: int) -> list[tuple[int, str, str]]:
    return [(item["message_id"], item["verdict"], item["cause"]) for item in items_of(daemon, replay_id)]


def test_what_was_sent_is_suppressed_and_goes_only_when_asked_again(start: Start, receiver: MllpReceiver) -> None:
    daemon = start(relay(receiver.port))
    send(daemon, adt("M1"), adt("M2"))
    daemon.until_counts(done=2)
    first = planned(daemon, wanted={"ids": [2, 1]})
    assert verdicts(daemon, first) == [(1, "suppressed", "already-sent"), (2, "suppressed", "already-sent")]
    assert "as delivery 1, under the same key" in items_of(daemon, first)[0]["text"]
    report = replayed(daemon, wanted={"ids": [2, 1]}, again=True, reason="lost by the receiver")
    assert report["tallies"] == [{"verdict": "send", "state": "applied", "delivery_state": "sent", "count": 2}]
    assert (report["replay"]["reason"], report["replay"]["applied_by"]) == (
        "lost by the receiver",
        report["replay"]["author"],
    )
    assert receiver.control_ids == ["M1", "M2", "M1", "M2"]  # in the order of the originals, whatever was typed
    keys = [daemon.call("messages.show", id=id_)["deliveries"][0]["key"] for id_ in (1, 2, 3, 4)]
    assert keys[0] == keys[2] != keys[1] == keys[3]
    copy = daemon.call("messages.show", id=3)["message"]
    assert (copy["replay_of"], copy["parent"], copy["state"]) == (1, 1, "done")
    assert daemon.counts() == {"done": 2}


def test_a_new_intent_gets_a_new_key(start: Start, receiver: MllpReceiver) -> None:
    daemon = start(relay(receiver.port))
    send(daemon, adt("M1"))
    daemon.until_counts(done=1)
    report = replayed(daemon, wanted={"ids": [1]}, new_intent=True, reason="the order is wanted twice")
    receiver.until(2)
    keys = [daemon.call("messages.show", id=id_)["deliveries"][0]["key"] for id_ in (1, 2)]
    assert keys[1] == keys[0].replace("-1-relay", f"-1.r{report['replay']['id']}-relay")
    assert verdicts(daemon, planned(daemon, wanted={"ids": [1]})) == [(1, "suppressed", "already-sent")]


def test_a_transform_that_changed_is_told_and_just_the_plan_is_sent(start: Start, receiver: MllpReceiver) -> None:
    daemon = start(with_transform(receiver.port))
    send(daemon, adt("M1"))
    daemon.until_counts(done=1)
    write_site(daemon.site, with_transform(receiver.port, "SECOND"))
    daemon.call("reload")
    replay_id = planned(daemon, wanted={"channel": "adt_in"}, again=True)
    (item,) = items_of(daemon, replay_id)
    assert (item["verdict"], item["cause"], item["text"]) == ("changed", "changed", "1 field differs: MSH-5")
    write_site(daemon.site, with_transform(receiver.port, "THIRD"))
    daemon.call("reload")
    daemon.call("replays.apply", id=replay_id)
    until_state(daemon, replay_id, "done")
    assert receiver.payloads[1] == adt("M1").replace(b"|ENGINE|", b"|SECOND|")


def test_the_configuration_of_that_day_makes_it_as_it_was(start: Start, receiver: MllpReceiver) -> None:
    daemon = start(with_transform(receiver.port))
    send(daemon, adt("M1"))
    daemon.until_counts(done=1)
    write_site(daemon.site, with_transform(receiver.port, "SECOND"))
    daemon.call("reload")
    then = planned(daemon, wanted={"ids": [1]}, again=True, generation="then")
    assert verdicts(daemon, then) == [(1, "send", "")]
    made_by = items_of(daemon, then)[0]["generation"]
    daemon.call("replays.apply", id=then)
    until_state(daemon, then, "done")
    assert receiver.payloads[1] == receiver.payloads[0]
    assert daemon.call("messages.show", id=2)["deliveries"][0]["generation"] == made_by
    assert verdicts(daemon, planned(daemon, wanted={"ids": [1]}, again=True, generation=made_by + 1)) == [
        (1, "changed", "changed")
    ]
    assert verdicts(daemon, planned(daemon, wanted={"ids": [1]}, again=True, generation=99)) == [
        (1, "blocked", "no-configuration")
    ]


def test_a_plan_is_applied_once_and_by_its_digest(start: Start, receiver: MllpReceiver) -> None:
    daemon = start(relay(receiver.port))
    send(daemon, adt("M1"))
    daemon.until_counts(done=1)
    replay_id = planned(daemon, wanted={"ids": [1]}, again=True)
    with pytest.raises(CommandRefused, match="is not the plan with digest 0123"):
        daemon.call("replays.apply", id=replay_id, digest="0123")
    daemon.call("replays.apply", id=replay_id, digest=daemon.call("replays.show", id=replay_id)["replay"]["digest"])
    with pytest.raises(CommandRefused, match="was applied already"):
        daemon.call("replays.apply", id=replay_id)
    until_state(daemon, replay_id, "done")
    daemon.stop()
    again = start()
    with pytest.raises(CommandRefused, match="was applied already"):
        again.call("replays.apply", id=replay_id)
    assert receiver.control_ids == ["M1", "M1"]


def test_of_two_plans_for_the_same_message_the_second_is_blocked(start: Start, receiver: MllpReceiver) -> None:
    daemon = start(relay(receiver.port))
    send(daemon, adt("M1"))
    daemon.until_counts(done=1)
    first = planned(daemon, wanted={"ids": [1]}, again=True)
    second = planned(daemon, wanted={"ids": [1]}, again=True)
    assert verdicts(daemon, second) == [(1, "blocked", "in-other-replay")]
    daemon.call("replays.cancel", id=first, reason="wrong day")
    assert verdicts(daemon, planned(daemon, wanted={"ids": [1]}, again=True)) == [(1, "send", "")]
    with pytest.raises(CommandRefused, match="is cancelled: only one that is planned"):
        daemon.call("replays.apply", id=first)


def test_what_was_sent_since_the_plan_is_suppressed_when_it_is_applied(start: Start, receiver: MllpReceiver) -> None:
    receiver.judge = lambda _payload: "AE"
    daemon = start(relay(receiver.port))
    send(daemon, adt("M1"))
    daemon.until_counts(dead=1)
    replay_id = planned(daemon, dead=True)
    assert verdicts(daemon, replay_id) == [(1, "send", "")]
    daemon.call("dead.discard", ids=[1], reason="sent by hand")
    daemon.call("replays.apply", id=replay_id)
    until_state(daemon, replay_id, "done")
    (item,) = items_of(daemon, replay_id)
    assert (item["verdict"], item["state"], item["cause"]) == ("send", "blocked", "settled-meanwhile")
    assert receiver.control_ids == ["M1"]


def test_dead_letters_go_as_they_were_made_and_may_die_again(start: Start, receiver: MllpReceiver) -> None:
    receiver.judge = lambda _payload: "AE"
    daemon = start(relay(receiver.port))
    send(daemon, adt("M1"), adt("M2"))
    daemon.until_counts(dead=2)
    receiver.judge = lambda payload: "AE" if b"|M2|" in payload else "AA"
    report = replayed(daemon, dead=True)
    assert {(tally["delivery_state"], tally["count"]) for tally in report["tallies"]} == {("sent", 1), ("dead", 1)}
    assert [item["as_made"] for item in items_of(daemon, report["replay"]["id"])] == [True, True]
    assert daemon.counts() == {"done": 1, "dead": 1}
    assert receiver.control_ids == ["M1", "M2", "M1", "M2"]


def test_an_edited_message_keeps_its_original(start: Start, receiver: MllpReceiver) -> None:
    daemon = start(relay(receiver.port))
    send(daemon, b"PID|1||123\r")
    daemon.until_counts(dead=1)
    (letter,) = daemon.call("dead.list")
    report = replayed(daemon, dead=True, wanted={"ids": [letter["message"]["id"]]}, body=adt("FIXED"))
    receiver.until(1)
    assert receiver.payloads == [adt("FIXED")]
    (item,) = items_of(daemon, report["replay"]["id"])
    original = daemon.call("messages.show", id=1, body=True)
    copy = daemon.call("messages.show", id=item["copy_id"])
    assert (original["message"]["state"], original["message"]["text"]) == ("closed", "replayed as message 2")
    assert (copy["message"]["keys"]["control_id"], copy["message"]["replay_of"]) == ("FIXED", 1)
    link = {"replay_id": report["replay"]["id"], "message_id": 1, "copy_id": 2, "state": "done"}
    assert daemon.call("replays.of", id=1) == daemon.call("replays.of", id=2) == [link]


def test_a_destination_that_is_down_holds_up_no_other_and_both_get_theirs_in_order(start: Start) -> None:
    left, right = MllpReceiver(), MllpReceiver()
    daemon = start(two_ways(left.port, right.port))
    send(daemon, *(adt(f"M{number}") for number in range(8)))
    daemon.until_counts(done=8)
    right.judge = lambda _payload: "AR"
    replay_id = planned(daemon, wanted={"channel": "adt_in"}, again=True)
    daemon.call("replays.apply", id=replay_id)
    left.until(16)
    under_way = until(daemon, replay_id, lambda found: "2 to right_out" in found["replay"]["waits_for"])
    assert under_way["replay"]["state"] == "running"
    right.judge = lambda _payload: "AA"
    until_state(daemon, replay_id, "done")
    wanted = [f"M{number}" for number in range(8)]
    assert left.control_ids[8:] == wanted
    assert list(dict.fromkeys(right.control_ids[8:])) == wanted
    left.close()
    right.close()


def test_hold_and_resume_and_a_rate(start: Start, receiver: MllpReceiver) -> None:
    daemon = start(relay(receiver.port))
    send(daemon, *(adt(f"M{number}") for number in range(40)))
    daemon.until_counts(done=40)
    replay_id = planned(daemon, wanted={"channel": "adt_in"}, again=True, rate=20)
    daemon.call("replays.apply", id=replay_id)
    receiver.until(42)
    assert daemon.call("replays.hold", id=replay_id, reason="a pause")["state"] == "held"
    held = until(daemon, replay_id, lambda found: "ready" not in {one["delivery_state"] for one in found["tallies"]})
    assert held["replay"]["note"].endswith(": a pause")
    assert [tally for tally in held["tallies"] if tally["state"] == "pending"]
    daemon.call("replays.resume", id=replay_id)
    until_state(daemon, replay_id, "done")
    assert receiver.control_ids[40:] == [f"M{number}" for number in range(40)]


def test_a_closed_window_is_waited_for_and_cancel_ends_it(start: Start, receiver: MllpReceiver) -> None:
    daemon = start(relay(receiver.port))
    send(daemon, adt("M1"))
    daemon.until_counts(done=1)
    hour = (time.localtime().tm_hour + 12) % 24
    replay_id = planned(daemon, wanted={"ids": [1]}, again=True, window=f"{hour}:00-{hour}:30")
    daemon.call("replays.apply", id=replay_id)
    until(daemon, replay_id, lambda found: found["replay"]["waits_for"] == "its window of hours")
    daemon.call("replays.cancel", id=replay_id)
    until(daemon, replay_id, lambda found: not found["replay"]["waits_for"])
    assert receiver.control_ids == ["M1"]
    with pytest.raises(CommandRefused, match="no window of hours"):
        daemon.call("replays.plan", wanted={"ids": [1]}, window="late")


def test_a_running_replay_goes_on_after_kill_9_exactly_where_it_was(start: Start, receiver: MllpReceiver) -> None:
    daemon = start(relay(receiver.port))
    count = 120
    send(daemon, *(adt(f"M{number}") for number in range(count)))
    daemon.until_counts(done=count)
    replay_id = planned(daemon, wanted={"channel": "adt_in"}, again=True, rate=200)
    daemon.call("replays.apply", id=replay_id)
    kills = 0
    for arrived in (20, 50, 80):
        receiver.until(count + arrived)
        daemon.kill()
        kills += 1
        daemon = start()
    report = until_state(daemon, replay_id, "done")
    assert report["tallies"] == [{"verdict": "send", "state": "applied", "delivery_state": "sent", "count": count}]
    came = receiver.control_ids[count:]
    assert list(dict.fromkeys(came)) == [f"M{number}" for number in range(count)]
    repeats = {name: times for name, times in Counter(came).items() if times > 1}
    assert sum(repeats.values()) - len(repeats) <= kills * 64  # sent, and the daemon killed before that was on disk
    copies = [item["copy_id"] for item in items_of(daemon, replay_id)]
    assert len(set(copies)) == count


def test_the_command_line_plans_applies_and_reports(start: Start, receiver: MllpReceiver) -> None:
    daemon = start(relay(receiver.port))
    send(daemon, adt("M1"), adt("M2"))
    daemon.until_counts(done=2)
    refused = daemon.hcsyncd("messages", "replay", "1")
    assert (refused.returncode, "There is no terminal to ask on" in refused.stderr) == (2, True)
    plan = daemon.hcsyncd("messages", "replay", "--channel", "adt_in", "--again", "--plan")
    assert plan.returncode == 0, plan.stderr
    assert "hcsyncd replays apply 1" in plan.stderr
    assert "the same as was made then" in plan.stdout
    applied = daemon.hcsyncd("replays", "apply", "1", "--yes")
    assert (applied.returncode, "done" in applied.stdout) == (0, True), applied.stderr
    assert receiver.control_ids == ["M1", "M2", "M1", "M2"]
    nothing = daemon.hcsyncd("messages", "replay", "1", "--yes", "--json")
    report = json.loads(nothing.stdout)
    assert (nothing.returncode, report["replay"]["state"]) == (0, "cancelled")
    assert [item["verdict"] for item in report["items"]] == ["suppressed"]
    once = daemon.hcsyncd("replays", "apply", "1", "--yes")
    assert (once.returncode, "was applied already" in once.stderr) == (4, True)
    assert "replay 1" not in daemon.hcsyncd("replays", "list").stderr
    assert len(json.loads(daemon.hcsyncd("replays", "list", "--json").stdout)) == 2
