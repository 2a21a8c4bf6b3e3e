"""Codes without a mapping on the whole daemon: parked under one task, and sent in order once the mapping is there."""

from __future__ import annotations

import time

import pytest

from hcsyncd.errors import CommandRefused
from tests.fakes.daemon import DaemonProcess
from tests.fakes.mllp_peer import adt
from tests.fakes.mllp_receiver import MllpReceiver
from tests.fakes.mllp_sender import MllpSender, msa
from tests.flows.conftest import MLLP_IN, Start, relay

TRANSFORM = """\
from hcsyncd import Context, Drop, Hl7Document, Out, transform


@transform
def rename(document: Hl7Document, context: Context) -> list[Out]:
    name = document["PID-5.1"]
    document["PID-5.1"] = context.lookup("names", name)
    return [Out(document, type="first"), Out(document, type="second")][: 1 + (name == "TWO")]
"""


def site(port: int, **channel: str) -> dict[str, str]:
    files = relay(port, **channel)
    files["transforms/t.py"] = TRANSFORM
    files["mapping/names.csv"] = "code,value\nDOE,Doe\n"
    files["routes.yaml"] = "routes:\n  - {name: relay, from: adt_in, transform: t.rename, to: relay_out}\n"
    return files


def send(daemon: DaemonProcess, *names: str, first: int = 1) -> None:
    with MllpSender(daemon.address("adt_in")) as sender:
        for number, name in enumerate(names, first):
            assert msa(sender.send(adt(f"M{number}", f"{name}^JANE"))) == ("AA", f"M{number}")


def until_deliveries(daemon: DaemonProcess, **wanted: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        counts = daemon.call("status")["counts"]["deliveries"]
        if {state: count for state, count in counts.items() if count} == wanted:
            return
        assert time.monotonic() < deadline, f"{counts}\n{daemon.log[-3000:]}"
        time.sleep(0.02)


def test_an_unmapped_code_parks_what_waits_for_it_and_the_mapping_sends_it_in_order(
    start: Start, receiver: MllpReceiver
) -> None:
    daemon = start(site(receiver.port))
    send(daemon, "NEW", "DOE", "NEW", "OTHER", "NEW")
    until_deliveries(daemon, parked=4, sent=1)
    assert daemon.counts() == {"routed": 4, "done": 1}
    assert receiver.control_ids == ["M2"]
    tasks = {view["task"]["code"]: view for view in daemon.call("tasks.list")}
    assert {code: view["task"]["parked"] for code, view in tasks.items()} == {"NEW": 3, "OTHER": 1}
    assert daemon.call("dead.list") == []
    listed = daemon.hcsyncd("tasks").stdout
    assert "names" in listed
    assert "NEW" in listed
    shown = daemon.hcsyncd("tasks", "show", str(tasks["NEW"]["task"]["id"])).stdout
    assert "names has no entry for NEW" in shown
    assert [word in shown for word in ("M1", "M3", "M5", "M2")] == [True, True, True, False]

    added = daemon.hcsyncd("mapping", "add", "names", "NEW", "New, the", "--reason", "opened on Monday")
    assert added.returncode == 0, added.stderr
    assert "3 parked deliveries go on" in added.stdout
    assert (daemon.site / "mapping/names.csv").read_text() == 'code,value\nDOE,Doe\nNEW,"New, the"\n'
    receiver.until(4)
    until_deliveries(daemon, parked=1, sent=4)
    assert receiver.control_ids == ["M2", "M1", "M3", "M5"]
    assert b"New, the" in receiver.payloads[-1]
    (closed,) = daemon.call("tasks.list", closed=True)
    assert (closed["task"]["code"], closed["task"]["reason"]) == ("NEW", "opened on Monday")
    assert closed["task"]["settled_by"]
    (left,) = daemon.call("tasks.list")
    assert left["task"]["code"] == "OTHER"
    assert "NEW" not in daemon.log.replace("mapping table names", ""), "a code is not for the log"


def test_the_row_keeps_its_id_and_its_key_and_further_outs_are_added(start: Start, receiver: MllpReceiver) -> None:
    daemon = start(site(receiver.port))
    send(daemon, "TWO")
    until_deliveries(daemon, parked=1)
    before = daemon.call("messages.show", id=1)["deliveries"]
    (daemon.site / "mapping/names.csv").write_text("code,value\nTWO,Two\n")
    daemon.call("reload")
    receiver.until(2)
    until_deliveries(daemon, sent=2)
    after = daemon.call("messages.show", id=1)["deliveries"]
    assert (after[0]["id"], after[0]["key"], after[0]["created_at"]) == (
        before[0]["id"],
        before[0]["key"],
        before[0]["created_at"],
    )
    assert after[1]["key"] == f"{before[0]['key']}-1"
    assert [row["type"] for row in after] == ["first", "second"]


def test_a_lane_that_is_to_hold_waits_behind_what_is_parked_through_a_kill(
    start: Start, receiver: MllpReceiver
) -> None:
    daemon = start(site(receiver.port, on_parked="hold", lane="PID-5.2"))
    send(daemon, "DOE", "NEW", "DOE", "OTHER", "DOE")
    until_deliveries(daemon, parked=2, sent=1, ready=2)
    assert receiver.control_ids == ["M1"]
    assert daemon.channel("relay_out")["held_lanes"] == 1
    daemon.kill()
    daemon = start()
    until_deliveries(daemon, parked=2, sent=1, ready=2)
    # The later one first: what stands before it still holds the lane.
    daemon.hcsyncd("mapping", "add", "names", "OTHER", "Other", "--reason", "why")
    until_deliveries(daemon, parked=1, sent=1, ready=3)
    assert receiver.control_ids == ["M1"]
    daemon.hcsyncd("mapping", "add", "names", "NEW", "New", "--reason", "why")
    receiver.until(5)
    assert receiver.control_ids == ["M1", "M2", "M3", "M4", "M5"]
    daemon.until_counts(done=5)


def test_what_a_kill_cut_short_goes_on_at_the_next_start(start: Start, receiver: MllpReceiver) -> None:
    daemon = start(site(receiver.port))
    send(daemon, *["NEW"] * 30)
    until_deliveries(daemon, parked=30)
    daemon.kill()
    (daemon.site / "mapping/names.csv").write_text("code,value\nNEW,New\n")
    daemon = start()
    receiver.until(30)
    assert receiver.control_ids == [f"M{n}" for n in range(1, 31)]
    daemon.until_counts(done=30)
    assert daemon.call("tasks.list") == []


def test_what_fails_anew_moves_to_another_task_is_dead_or_is_dropped(start: Start, receiver: MllpReceiver) -> None:
    daemon = start(site(receiver.port))
    send(daemon, "A", "A", "A")
    until_deliveries(daemon, parked=3)
    (daemon.site / "transforms/t.py").write_text(
        "from hcsyncd import Context, Drop, Hl7Document, Out, transform\n\n\n"
        "@transform\n"
        "def rename(document: Hl7Document, context: Context) -> Out | Drop:\n"
        "    number = document['MSH-10']\n"
        "    if number == 'M1':\n"
        "        return Out(context.lookup('names', 'B'))\n"
        "    if number == 'M2':\n"
        "        raise ValueError('no good')\n"
        "    return Drop('not wanted any more')\n"
    )
    daemon.call("reload")
    (task,) = daemon.call("tasks.list")
    assert daemon.call("tasks.retry", id=task["task"]["id"]) == {"tried": 3, "parked": 0}
    until_deliveries(daemon, parked=1, dead=1, closed=1)
    (moved,) = daemon.call("tasks.list")
    assert (moved["task"]["code"], moved["task"]["parked"]) == ("B", 1)
    (dead,) = daemon.call("dead.list")
    assert dead["delivery"]["cause"] == "transform-failed"
    assert "not wanted any more" in daemon.call("messages.show", id=3)["deliveries"][0]["text"]
    assert daemon.counts() == {"routed": 1, "dead": 1, "closed": 1}


def test_a_sender_that_waits_for_processing_is_told_yes_and_one_for_delivery_when_it_goes(
    start: Start, receiver: MllpReceiver
) -> None:
    files = site(receiver.port)
    files["channels/waits_in.yaml"] = MLLP_IN + "acknowledge: delivered\n"
    files["channels/adt_in.yaml"] += "acknowledge: processed\n"
    files["routes.yaml"] = files["routes.yaml"].replace("from: adt_in", "from: [adt_in, waits_in]")
    daemon = start(files)
    send(daemon, "NEW")
    with MllpSender(daemon.address("waits_in")) as sender:
        sender.put(adt("D1", "NEW^JANE"))
        until_deliveries(daemon, parked=2)
        daemon.hcsyncd("mapping", "add", "names", "NEW", "New", "--reason", "why")
        assert msa(sender.answer()) == ("AA", "D1")


def test_what_waits_can_be_assigned_and_discarded(start: Start, receiver: MllpReceiver) -> None:
    files = site(receiver.port)
    files["hcsyncd.yaml"] = "http: {port: 0}\nworkers: {count: 1}\ntasks: {owner: master data, due_secs: 0.001}\n"
    daemon = start(files)
    send(daemon, "NEW", "NEW")
    until_deliveries(daemon, parked=2)
    (view,) = daemon.call("tasks.list")
    assert (view["owner"], view["overdue"]) == ("master data", True)
    assert "OVERDUE" in daemon.hcsyncd("tasks").stdout
    assigned = daemon.hcsyncd("tasks", "assign", "1", "--owner", "Ada", "--due", "4h", "--note", "ask ward 3")
    assert "Ada's" in assigned.stdout, assigned.stderr
    (view,) = daemon.call("tasks.list")
    assert (view["owner"], view["overdue"], view["task"]["note"]) == ("Ada", False, "ask ward 3")
    done = daemon.hcsyncd("tasks", "discard", "1", "--reason", "a training system", "--yes")
    assert done.stdout == "2 discarded\n", done.stderr
    assert daemon.counts() == {"closed": 2}
    with pytest.raises(CommandRefused, match="task 1 is closed"):
        daemon.call("tasks.retry", id=1)
    with pytest.raises(CommandRefused, match="there is no task 7"):
        daemon.call("tasks.show", id=7)


def test_a_mapping_that_cannot_be_put_to_work_leaves_the_file_as_it_was(start: Start, receiver: MllpReceiver) -> None:
    daemon = start(site(receiver.port))
    table = daemon.site / "mapping/names.csv"
    before = table.read_bytes()
    for arguments, said in (
        (("nope", "A", "B"), "there is no mapping table nope; known: names"),
        (("names", "DOE", "Other"), "DOE stands there already, with another value"),
        (("../names", "A", "B"), "there is no mapping table"),
    ):
        done = daemon.hcsyncd("mapping", "add", *arguments, "--reason", "why")
        assert done.returncode == 2, arguments
        assert said in done.stderr
    (daemon.site / "routes.yaml").write_text("routes: nonsense\n")
    done = daemon.hcsyncd("mapping", "add", "names", "NEW", "New", "--reason", "why")
    assert done.returncode == 4
    assert table.read_bytes() == before
