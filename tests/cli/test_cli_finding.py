"""find, why, trace, tap, top, and the lists and views of messages, as a person types them."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hcsyncd.cli.attempt_view import runs
from hcsyncd.cli.main import cli
from hcsyncd.cli.top import COLUMNS, Look, fitting, rows
from hcsyncd.message import DeliveryState
from tests.fakes.daemon import ENGINE
from tests.fakes.desk import Desk, adt

MRN = ("mrn", "123")


class Person:
    """Types commands at the desk's site."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def types(self, *args: str) -> Result:
        return CliRunner().invoke(cli, [*args, "--site", str(self.desk.site)])

    def does(self, *args: str) -> str:
        result = self.types(*args)
        assert result.exit_code == 0, result.output
        return result.stdout

    def reads(self, *args: str) -> Any:
        return json.loads(self.does(*args, "--json"))


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    with Desk(tmp_path / "site") as desk:
        desk.lookout.keys = {"adt_in": {"mrn": "PID-3.1"}}
        yield Person(desk)


def retried(desk: Desk, times: int) -> int:
    """A message whose delivery was tried in vain so often, and the id of it."""
    message_id = desk.receive("R1")
    (delivery_id,) = desk.hand_on(message_id, ("relay", "relay_out"))
    for _ in range(times):
        desk.settle(message_id, delivery_id, DeliveryState.WAITING, "connect-refused")
    return message_id


# Lists


def test_a_list_narrows_by_key_text_and_trace(person: Person) -> None:
    one = person.desk.receive("A1", business_keys=(MRN,))
    other = person.desk.receive("A2", body=adt("A2").replace(b"123", b"Doe"))
    assert [row["id"] for row in person.reads("messages", "list", "--key", "mrn=123")] == [one]
    assert [row["id"] for row in person.reads("messages", "list", "--text", "doe")] == [other]
    assert [row["id"] for row in person.reads("messages", "list", "--trace", str(one))] == [one]
    assert person.reads("messages", "list", "--key", "mrn=123", "--key", "visit=1") == []


@pytest.mark.parametrize("nonsense", ["mrn", "=1", "mrn="])
def test_a_key_is_a_name_and_a_value(person: Person, nonsense: str) -> None:
    result = person.types("messages", "list", "--key", nonsense)
    assert result.exit_code == 2
    assert "NAME=VALUE" in result.stderr


def test_a_list_says_how_far_it_looked_and_how_to_go_on(person: Person) -> None:
    ids = person.desk.receive_many(6)
    result = person.types("messages", "list", "--type", "ORM*", "--look", "2")
    assert result.stdout == "No messages.\n"
    assert f"looked through 2 messages, as far as message {ids[4]} of 2023" in result.stderr
    assert f"--behind {ids[4]} goes on" in result.stderr
    assert "looked through" not in person.types("messages", "list", "--type", "ORM*", "--behind", str(ids[4])).stderr


def test_a_list_of_what_is_open_says_why(person: Person) -> None:
    message_id = retried(person.desk, 2)
    for narrowing in (["--state", "routed"], ["--state", "waiting"], ["--why"]):
        assert "the other side said no" in person.does("messages", "list", *narrowing), narrowing
        (row,) = person.reads("messages", "list", *narrowing)
        assert (row["id"], row["why"]["code"]) == (message_id, "retry")
    assert "why" not in person.reads("messages", "list")[0]


def test_a_misspelt_channel_is_told(person: Person) -> None:
    result = person.types("messages", "list", "--channel", "adt_inn")
    assert "there is no channel adt_inn: did you mean adt_in?" in result.stderr


# One message


def test_show_names_the_fields_and_masks_their_values(person: Person) -> None:
    message_id = person.desk.receive(business_keys=(MRN,))
    result = person.types("messages", "show", str(message_id))
    assert "PID  Patient identification" in result.stdout
    line = next(line for line in result.stdout.splitlines() if "PID-3.1" in line)
    assert line.split() == ["PID-3.1", "Patient", "identifier", "list", "/", "ID", "number", "999"]
    assert "--values shows them" in result.stderr
    shown = person.types("messages", "show", str(message_id), "--values")
    assert "key.mrn" in shown.stdout
    assert next(line for line in shown.stdout.splitlines() if "PID-3.1" in line).endswith(" 123")
    assert "masked" not in shown.stderr


def test_attempts_that_came_out_alike_are_one_line(person: Person) -> None:
    message_id = retried(person.desk, 14)
    lines = [line for line in person.does("messages", "show", str(message_id)).splitlines() if "14 x" in line]
    (line,) = lines
    assert "1-14" in line
    assert "14 x connect-refused: the other side said no" in line
    assert len(person.reads("messages", "show", str(message_id))["attempts"]) == 14


def test_what_differs_between_attempts_is_not_folded() -> None:
    made = [
        {"delivery_id": delivery, "number": number, "started_at": number, "ended_at": number, "state": "waiting"}
        | {"cause": cause, "text": "", "answer": ""}
        for delivery, number, cause in ((1, 1, "a"), (2, 1, "a"), (1, 2, "a"), (1, 3, "b"), (1, 4, ""), (1, 5, ""))
    ]
    assert [(run.delivery, run.numbers) for run in runs(made)] == [(1, "1-2"), (1, "3"), (1, "4"), (1, "5"), (2, "1")]


def test_diff_compares_two_messages_and_what_was_sent(person: Person) -> None:
    one = person.desk.receive("A1")
    other = person.desk.receive("A2", body=adt("A2").replace(b"123", b"456"))
    lines = person.does("messages", "diff", str(one), str(other), "--values").splitlines()
    assert any(line.split()[0] == "PID-3.1" and line.split()[-2:] == ["123", "456"] for line in lines)
    person.desk.hand_on(one, ("events", "events_out"))
    assert "hl7 became json" in person.does("messages", "diff", str(one))
    assert person.types("messages", "diff", str(one), str(other), "--delivery", "1").exit_code == 2
    same = person.does("messages", "diff", str(one), str(one))
    assert "the same, byte for byte" in same


# find, trace, why


def test_find_says_by_what(person: Person) -> None:
    message_id = person.desk.receive("A1", business_keys=(MRN,))
    shown = person.does("find", "123")
    assert "By key mrn" in shown
    assert person.reads("find", "A1")[0]["by"] == "control id"
    assert person.reads("find", str(message_id))[0]["rows"][0]["id"] == message_id


def test_find_that_finds_nothing_says_what_it_looked_at(person: Person) -> None:
    result = person.types("find", "nope")
    assert result.exit_code == 1
    assert "business keys (mrn)" in result.stderr
    assert "messages list --text 'nope'" in result.stderr
    as_json = person.types("find", "nope", "--json")
    assert (as_json.exit_code, json.loads(as_json.stdout)) == (1, [])
    for wrong in ([], ["x", "--reindex"], ["--reindex", "--progress"]):
        assert person.types("find", *wrong).exit_code == 2, wrong


def test_reindex_begins_and_tells_how_far_it_is(person: Person) -> None:
    assert "have not been read" in person.does("find", "--progress")
    person.desk.receive_many(3)
    assert person.does("find", "--reindex") == "0 of 3 messages are read, 0 keys found so far.\n"
    assert person.reads("find", "--progress")["reindexing"]["below_id"] == 4


def test_trace_takes_an_id_a_control_id_or_a_key(person: Person) -> None:
    message_id = retried(person.desk, 3)
    first = person.desk.receive("A1", business_keys=(MRN,))
    second = person.desk.receive("A2", business_keys=(MRN,))
    shown = person.does("trace", "R1")
    assert shown.startswith(f"message {message_id}  adt_in")
    assert "try 1-3" in shown
    assert "Still missing" in shown
    assert "did not take it" in shown
    assert [traced["trace"] for traced in person.reads("trace", "mrn=123")] == [second, first]
    result = person.types("trace", "mrn=123", "--limit", "1")
    assert "1 of 2 traces" in result.stderr
    assert person.does("messages", "trace", str(message_id)) == shown


def test_why_of_one_and_of_all(person: Person) -> None:
    assert person.does("why") == "Nothing waits.\n"
    message_id = retried(person.desk, 1)
    dead, delivery_id = person.desk.dead_delivery("A2")
    assert "did not take it (1 try)" in person.does("why", str(message_id))
    result = person.types("why")
    assert "it was given up: ack-AR" in result.stdout
    assert f"hcsyncd dead show {dead}" in result.stderr
    (one,) = person.reads("why", "--delivery", str(delivery_id))["deliveries"]
    assert one["why"]["code"] == "dead"
    assert person.types("why", "1", "--delivery", "1").exit_code == 2


def test_why_of_all_tells_of_what_died_at_its_arrival_and_names_a_few_commands(person: Person) -> None:
    arrived = person.desk.dead_on_arrival()
    ids = [person.desk.dead_delivery(f"A{number}")[0] for number in range(6)]
    assert [row["message"]["id"] for row in person.reads("why")["messages"]] == [arrived], "the others by delivery"
    told = person.types("why").stderr.splitlines()
    assert told[:-1] == [f"hcsyncd dead show {id_}" for id_ in (arrived, *ids[:4])]
    assert told[-1] == "and 2 more of the kind: hcsyncd why ID says each"


# tap and top


def test_tap_ends_by_itself_after_a_while(person: Person) -> None:
    result = person.types("tap", "adt_in", "--for", "0")
    assert result.exit_code == 0
    assert "tapping adt_in; Ctrl-C ends it" in result.stderr
    assert "0 passed" in result.stderr
    assert person.types("tap", "nope", "--for", "0").exit_code == 4


def test_tap_shows_what_passes_and_ends_at_ctrl_c(person: Person) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ENGINE)}
    command = [sys.executable, "-m", "hcsyncd", "tap", "--json", "--unmasked", "--site", str(person.desk.site)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as tap:
        assert tap.stdout
        assert tap.stderr
        assert tap.stderr.readline().startswith("tapping adt_in, relay_out;")
        person.desk.receive("A1")
        passed = json.loads(tap.stdout.readline())
        assert (passed["point"], passed["message"]["keys"]["control_id"]) == ("adt_in", "A1")
        assert {"path": "PID-3.1", "value": "123"} in passed["read"]["fields"]
        tap.send_signal(2)
        assert (tap.wait(20), tap.stderr.read().strip()) == (0, "")


def test_top_without_a_terminal_is_one_table(person: Person) -> None:
    person.desk.dead_delivery()
    shown = person.does("top")
    assert "hcsyncd 1.2.3  ready" in shown
    assert "1 dead" in shown
    assert next(line for line in shown.splitlines() if line.startswith("relay_out")).split()[:3] == [
        "relay_out",
        "destination",
        "down",
    ]
    assert {channel["name"] for channel in person.reads("top")["channels"]} == {"adt_in", "relay_out"}


def test_top_counts_what_passed_between_two_looks() -> None:
    def channel(name: str, role: str, **counts: int) -> dict[str, Any]:
        plain = {"health": "up", "queued": 3, "oldest_at": 0, "error": "", "next_try_at": 0, "held_lanes": 0}
        return {"name": name, "role": role, "counts": counts, "holds": (), **plain}

    earlier = Look(10.0, 0, {}, [channel("in", "source", done=5), channel("out", "destination", sent=5, dead=1)])
    later = Look(12.0, 0, {}, [channel("in", "source", done=8, received=2), channel("out", "destination", sent=6)])
    assert [row[3:6] for row in rows(later, earlier)] == [("2.5", 10, 2), ("0.5", 6, 3)]
    assert [row[3] for row in rows(later, None)] == ["", ""]


def test_a_narrow_terminal_is_spared_columns_and_never_cuts_a_number() -> None:
    cells = [["events_out", "destination", "down", "120.5", "1234567", "99999", "3 min ago", "12", "", "", "x" * 80]]
    assert fitting(cells, 150) == list(COLUMNS)
    narrow = fitting(cells, 60)
    assert set(narrow) >= {"channel", "health", "a second", "queued", "dead"}
    assert not set(narrow) & {"role", "total", "oldest"}


def test_top_on_a_terminal_ends_with_q(person: Person) -> None:
    person.desk.receive()
    terminal, its_end = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ENGINE), "TERM": "xterm", "COLUMNS": "150", "LINES": "40"}
    command = [sys.executable, "-m", "hcsyncd", "top", "--interval", "0.2", "--site", str(person.desk.site)]
    with subprocess.Popen(command, env=environment, stdin=its_end, stdout=its_end, stderr=subprocess.PIPE) as top:
        os.close(its_end)
        shown = b""
        deadline = time.monotonic() + 20
        while b"relay_out" not in shown and time.monotonic() < deadline:
            shown += os.read(terminal, 65536)
        os.write(terminal, b"q")
        while True:
            try:
                if not os.read(terminal, 65536):
                    break
            except OSError:  # the other end is closed
                break
        assert b"relay_out" in shown
        assert top.wait(20) == 0
        assert top.stderr
        assert top.stderr.read() == b""
    os.close(terminal)
