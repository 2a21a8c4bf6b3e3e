"""MLLP in, routes, transforms, MLLP out: the main road, and what happens to what cannot take it."""

from __future__ import annotations

import json
import signal

import pytest

from tests.fakes.daemon import DaemonProcess
from tests.fakes.mllp_peer import adt
from tests.fakes.mllp_receiver import MllpReceiver
from tests.fakes.mllp_sender import MllpSender, msa
from tests.fakes.replays import replayed
from tests.flows.conftest import MLLP_IN, Start, relay

QUICK = "{first_secs: 0.05, factor: 1, jitter: 0}"

TRANSFORM = """\
    from hcsyncd import Context, Drop, Hl7Document, Out, filter, transform

    @filter
    def is_wanted(message: Hl7Document, context: Context) -> bool:
        return message["PID-5.1"] != "TEST"

    @transform
    def two_fields(message: Hl7Document, context: Context) -> Out | Drop:
        if message["PID-5.2"] == "DROP":
            return Drop("told to")
        message["MSH-5"] = "RELAY"
        message["PV1-3.1"] = context.lookup("wards", message["PV1-3.1"] or "")
        return Out(message)
"""


def with_transform(port: int, **channel: str) -> dict[str, str]:
    return relay(port, **channel) | {
        "transforms/relay.py": TRANSFORM,
        "mapping/wards.csv": "code,value\nW1,WARD ONE\n",
        "routes.yaml": """\
            routes:
              - name: relay
                from: adt_in
                when: {type: "ADT^*"}
                filter: relay.is_wanted
                transform: relay.two_fields
                to: relay_out
        """,
    }


def send(daemon: DaemonProcess, *payloads: bytes) -> list[tuple[str, str]]:
    with MllpSender(daemon.address("adt_in")) as sender:
        return [msa(sender.send(payload)) for payload in payloads]


def test_untouched_messages_leave_byte_for_byte_and_in_order(start: Start, receiver: MllpReceiver) -> None:
    daemon = start(relay(receiver.port))
    sent = [adt(f"M{number}", f"GR\u00dc\u00dfE^{number}") for number in range(30)]
    assert send(daemon, *sent) == [("AA", f"M{number}") for number in range(30)]
    daemon.until_counts(done=30)
    assert receiver.payloads == sent


def test_a_transform_changes_two_fields_and_nothing_else(start: Start, receiver: MllpReceiver) -> None:
    daemon = start(with_transform(receiver.port))
    send(daemon, adt("M1"), adt("M2", "TEST^JANE"), adt("M3", "DOE^DROP"), adt("M4").replace(b"ADT^A01", b"ORU^R01"))
    daemon.until_counts(done=1, filtered=2, unrouted=1)
    assert receiver.payloads == [adt("M1").replace(b"|ENGINE|", b"|RELAY|").replace(b"W1^", b"WARD ONE^")]
    shown = daemon.call("messages.show", id=3, body=True)
    assert "told to" in shown["message"]["text"]


def test_an_unmapped_code_waits_for_its_mapping_and_a_reload_sends_it(start: Start, receiver: MllpReceiver) -> None:
    daemon = start(with_transform(receiver.port))
    send(daemon, adt("M1").replace(b"W1^", b"W2^"))
    daemon.until_counts(routed=1)
    (view,) = daemon.call("tasks.list")
    assert (view["task"]["table"], view["task"]["code"], view["task"]["parked"]) == ("wards", "W2", 1)
    (daemon.site / "mapping/wards.csv").write_text("code,value\nW1,WARD ONE\nW2,WARD TWO\n")
    assert daemon.call("reload")["changes"] == ["mapping table wards: changed"]
    receiver.until(1)
    assert receiver.payloads == [adt("M1").replace(b"|ENGINE|", b"|RELAY|").replace(b"W1^", b"WARD TWO^")]
    daemon.until_counts(done=1)


def test_a_bad_transform_is_a_dead_letter_that_names_file_line_and_message(
    start: Start, receiver: MllpReceiver
) -> None:
    files = with_transform(receiver.port)
    files["transforms/relay.py"] = TRANSFORM.replace('message["MSH-5"] = "RELAY"', "1 / 0")
    daemon = start(files)
    assert send(daemon, adt("M1")) == [("AA", "M1")]
    daemon.until_counts(dead=1)
    (dead,) = daemon.call("dead.list")
    assert dead["delivery"]["cause"] == "transform-failed"
    assert "transforms/relay.py:11" in dead["delivery"]["text"]
    assert "division by zero" in dead["delivery"]["text"]


@pytest.mark.parametrize("code", ["while True: pass", "import os; os._exit(3)", "x = bytearray(1 << 34)"])
def test_a_transform_that_loops_exits_or_leaks_costs_its_own_message_alone(
    start: Start, receiver: MllpReceiver, code: str
) -> None:
    files = with_transform(receiver.port)
    files["transforms/relay.py"] = TRANSFORM.replace(
        '        message["MSH-5"] = "RELAY"',
        f'        if message["PID-5.1"] == "BAD":\n            {code}\n        message["MSH-5"] = "RELAY"',
    )
    files["hcsyncd.yaml"] = "http: {port: 0}\nworkers: {count: 1, time_limit_secs: 0.3}\n"
    daemon = start(files)
    send(daemon, adt("M1"), adt("M2", "BAD^ONE"), adt("M3"))
    daemon.until_counts(done=2, dead=1)
    assert receiver.control_ids == ["M1", "M3"]


def test_a_processed_channel_answers_what_its_transforms_said(start: Start, receiver: MllpReceiver) -> None:
    files = with_transform(receiver.port)
    files["channels/adt_in.yaml"] = MLLP_IN + "acknowledge: processed\n"
    daemon = start(files)
    bad = adt("M2").replace(b"W1^", b"^")  # no ward at all, and so no code that could be entered
    assert send(daemon, adt("M1"), bad, adt("M1"), bad) == [("AA", "M1"), ("AE", "M2"), ("AA", "M1"), ("AE", "M2")]
    daemon.until_counts(done=1, dead=2)
    assert receiver.control_ids == ["M1"]


def test_a_delivered_channel_answers_when_the_receiver_has_taken_it(start: Start, receiver: MllpReceiver) -> None:
    receiver.judge = lambda payload: "AE" if b"|M2|" in payload else "AA"
    files = relay(receiver.port, retry=QUICK)
    files["channels/adt_in.yaml"] = MLLP_IN + "acknowledge: delivered\n"
    daemon = start(files)
    assert send(daemon, adt("M1"), adt("M2"), adt("M3")) == [("AA", "M1"), ("AE", "M2"), ("AA", "M3")]
    assert receiver.control_ids == ["M1", "M2", "M3"]


def test_a_receiver_that_is_down_for_a_while_loses_nothing_and_no_order(start: Start) -> None:
    absent = MllpReceiver()
    port = absent.port
    absent.close()
    daemon = start(relay(port, retry=QUICK))
    send(daemon, *(adt(f"M{number}") for number in range(10)))
    daemon.until_counts(routed=10)
    back = MllpReceiver(port=port)
    try:
        daemon.until_counts(done=10)
        assert back.control_ids == [f"M{number}" for number in range(10)]
    finally:
        back.close()


def test_what_is_no_message_is_answered_no_and_repaired_by_hand(start: Start, receiver: MllpReceiver) -> None:
    daemon = start(relay(receiver.port))
    (answer,) = send(daemon, b"PID|1||4711\r")
    assert answer[0] in ("AE", "AR")
    (dead,) = daemon.call("dead.list")
    assert (dead["message"]["cause"], dead["delivery"]) == ("no-msh", None)
    replayed(daemon, dead=True, wanted={"ids": [dead["message"]["id"]]}, body=adt("FIXED"))
    daemon.until_counts(closed=1)
    receiver.until(1)
    assert receiver.payloads == [adt("FIXED")]
    trace = daemon.call("messages.trace", id=dead["message"]["id"])
    assert [message["parent"] for message in trace["messages"]] == [None, dead["message"]["id"]]


def test_a_discarded_dead_letter_is_settled_with_its_reason(start: Start, receiver: MllpReceiver) -> None:
    receiver.judge = lambda _payload: "AE"
    daemon = start(relay(receiver.port))
    send(daemon, adt("M1"))
    daemon.until_counts(dead=1)
    assert daemon.call("dead.discard", ids=[1], reason="sent by hand") == {"discarded": 1}
    assert daemon.call("dead.list") == []
    assert daemon.counts() == {"closed": 1}


def test_a_restart_resumes_what_was_in_flight_in_order(start: Start, receiver: MllpReceiver) -> None:
    silent = MllpReceiver(lambda _payload: "")
    port = silent.port
    daemon = start(relay(port, retry=QUICK))
    send(daemon, *(adt(f"M{number}") for number in range(20)))
    daemon.kill()
    silent.close()
    back = MllpReceiver(port=port)
    try:
        start().until_counts(done=20)
        assert back.control_ids == [f"M{number}" for number in range(20)]
    finally:
        back.close()


def test_sigterm_drains_and_ends_with_zero(start: Start, receiver: MllpReceiver) -> None:
    daemon = start(relay(receiver.port))
    with MllpSender(daemon.address("adt_in")) as sender:
        sender.send(adt("M1"))
        daemon.signal(signal.SIGTERM)
        assert daemon.wait() == 0
        with pytest.raises((ConnectionError, OSError)):
            sender.send(adt("M2"))
    events = [json.loads(line)["event"] for line in daemon.log.splitlines()]
    assert events[-1] == "daemon_stopped"


def test_a_second_daemon_on_the_same_store_refuses_to_start(start: Start, receiver: MllpReceiver) -> None:
    daemon = start(relay(receiver.port))
    second = daemon.hcsyncd("run")
    assert second.returncode == 1
    assert f"in use by process {daemon.pid}" in second.stderr
    assert "Traceback" not in second.stderr
    assert send(daemon, adt("M1")) == [("AA", "M1")]


def test_a_stop_does_not_wait_for_ever_for_a_sender_that_waits_for_a_delivery(start: Start) -> None:
    absent = MllpReceiver()
    absent.close()
    files = relay(absent.port, retry=QUICK)
    files["channels/adt_in.yaml"] = MLLP_IN + "acknowledge: delivered\n"
    files["hcsyncd.yaml"] = "http: {port: 0}\nworkers: {count: 1}\ndrain_secs: 2\n"
    daemon = start(files)
    with MllpSender(daemon.address("adt_in")) as sender:
        sender.put(adt("M1"))
        daemon.until_counts(routed=1)
        assert daemon.stop() == 0
        with pytest.raises(ConnectionError):  # closed without an answer: the sender comes again
            sender.answer()
    back = MllpReceiver(port=absent.port)
    try:
        daemon = start()
        back.until(1)
        daemon.until_counts(done=1)  # what is decided before it comes again is what it is answered
        assert send(daemon, adt("M1")) == [("AA", "M1")]
        assert back.control_ids == ["M1"]
    finally:
        back.close()
