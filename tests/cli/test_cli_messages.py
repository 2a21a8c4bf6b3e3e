"""The commands on messages, dead letters, channels and the daemon, against a real store and control socket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hcsyncd.cli.main import cli
from hcsyncd.message import DeliveryState, Keys
from tests.fakes.desk import Desk, adt


class Person:
    """Types commands at the desk's site."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def types(self, *args: str, stdin: str | bytes | None = None, env: dict[str, str] | None = None) -> Result:
        return CliRunner(env=env).invoke(cli, [*args, "--site", str(self.desk.site)], input=stdin)

    def does(self, *args: str, **more: Any) -> str:
        """The output of a command that succeeds."""
        result = self.types(*args, **more)
        assert result.exit_code == 0, result.output
        return result.stdout

    def reads(self, *args: str) -> Any:
        """The JSON of a command that succeeds."""
        return json.loads(self.does(*args, "--json"))


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    with Desk(tmp_path / "site") as desk:
        yield Person(desk)


def test_list_shows_plain_columns_in_a_pipe(person: Person) -> None:
    first, second = person.desk.receive("A1"), person.desk.receive("A2")
    head, *rows = person.does("messages", "list").splitlines()
    assert head.split() == ["id", "received", "channel", "type", "control", "id", "state", "cause", "bytes"]
    assert [row.split()[0] for row in rows] == [str(second), str(first)]
    assert "2023-11-14" in rows[0] or "2023-11-15" in rows[0]
    assert "ADT^A01" in rows[0]
    assert [row["id"] for row in person.reads("messages", "list", "--oldest-first")] == [first, second]


def test_list_passes_the_filter_on(person: Person) -> None:
    person.desk.receive("A1")
    dead, _ = person.desk.dead_delivery("A2")
    for narrowing in (
        ["--state", "dead"],
        ["--destination", "relay_out"],
        ["--route", "relay"],
        ["--cause", "ack-AR"],
        ["--control-id", "*2"],
        ["--since", "2023-11-14T22:13:22Z"],
    ):
        assert [row["id"] for row in person.reads("messages", "list", *narrowing)] == [dead], narrowing
    assert person.reads("messages", "list", "--since", "1h") == []
    assert person.does("messages", "list", "--since", "1h") == "No messages.\n"
    result = person.types("messages", "list", "--limit", "1")
    assert len(result.stdout.splitlines()) == 2
    assert "--limit N shows more" in result.stderr


def test_what_a_sender_wrote_cannot_command_the_terminal(person: Person) -> None:
    person.desk.receive("A1", keys=Keys("ADT^A01", "\x1b]0;owned\x07", "EHR", "RX"))
    shown = person.does("messages", "list")
    assert "\x1b" not in shown
    assert "\\x1b]0;owned\\x07" in shown


def test_show_tells_all_but_the_bytes(person: Person) -> None:
    message_id, _ = person.desk.dead_delivery()
    shown = person.does("messages", "show", str(message_id))
    for expected in (
        "Message 1",
        "adt_in",
        "10.0.0.5:40001",
        "EHR|HOSP",
        "wire.local_port",
        "relay_out",
        "ack-AR",
        "MSA|AR|M1",
        "MSA|AA|M1",
    ):
        assert expected in shown
    assert "PID|1" not in shown
    assert "body" not in person.reads("messages", "show", str(message_id))


@pytest.mark.parametrize("nonsense", ["abc", "0", str(2**63)])
def test_what_is_no_message_id_is_refused_before_the_daemon_is_asked(person: Person, nonsense: str) -> None:
    for command in (["messages", "show"], ["messages", "trace"], ["messages", "replay"], ["dead", "show"]):
        result = person.types(*command, nonsense)
        assert result.exit_code == 2, result.output
        assert "Invalid value for '" in result.stderr
        assert "integer range" not in result.stderr


def test_show_body_writes_a_segment_a_line_and_raw_the_bytes(person: Person) -> None:
    message_id = person.desk.receive()
    assert "  PID|1||123^^^MR\n" in person.does("messages", "show", str(message_id), "--body")
    raw = person.types("messages", "show", str(message_id), "--raw")
    assert raw.stdout_bytes == adt("M1")


def test_trace_draws_the_tree(person: Person) -> None:
    message_id, delivery_id = person.desk.dead_delivery()
    person.does("messages", "replay", str(message_id), "--yes")
    lines = person.does("messages", "trace", str(message_id)).splitlines()
    assert lines[0].startswith(f"message {message_id}  adt_in  ADT^A01  M1  2023-11-1")
    assert lines[1].startswith(f"├─ delivery {delivery_id}  relay -> relay_out  closed")
    assert lines[2].startswith("│  └─ try 1  +0 ms, took 250 ms  dead  ack-AR")
    assert lines[3].startswith(f"└─ message {message_id + 1}  adt_in  ADT^A01  M1  replay of {message_id}  +")
    assert len(person.reads("messages", "trace", str(message_id))["messages"]) == 2


def test_dead_letters_are_grouped_by_cause(person: Person) -> None:
    assert person.does("dead", "list") == "No dead letters.\n"
    person.desk.dead_on_arrival()
    person.desk.dead_delivery("A1")
    person.desk.dead_delivery("A2")
    lines = person.does("dead", "list").splitlines()
    assert any(line.split()[:2] == ["2", "ack-AR"] and "relay -> relay_out" in line for line in lines)
    assert any(line.split()[:2] == ["1", "no-msh"] and "adt_in, at arrival" in line for line in lines)
    assert any(line.endswith("dead show --cause ack-AR --route relay --destination relay_out") for line in lines)
    flat = person.does("dead", "list", "--flat").splitlines()
    assert any("relay -> relay_out" in line and "the other side said no" in line for line in flat)
    assert any("at arrival" in line and "no MSH segment" in line for line in flat)
    assert len(person.reads("dead", "list", "--flat", "--cause", "ack-AR")) == 2
    assert "MSA|AR|A1" in person.does("dead", "show", "2")


def test_dead_discard_wants_a_reason(person: Person) -> None:
    bad, _ = person.desk.dead_delivery()
    assert person.types("dead", "discard", str(bad), "--yes").exit_code == 2
    assert person.types("dead", "discard", str(bad), "--yes", "--reason", " ").exit_code == 2
    assert person.does("dead", "discard", str(bad), "--reason", "test patient", "--yes") == "1 discarded\n"
    shown = person.reads("messages", "show", str(bad))
    assert (shown["deliveries"][0]["state"], shown["deliveries"][0]["text"]) == ("closed", "test patient")


def test_unsure_deliveries_are_dead_letters_too(person: Person) -> None:
    message_id = person.desk.receive()
    (delivery_id,) = person.desk.hand_on(message_id, ("relay", "relay_out"))
    person.desk.settle(message_id, delivery_id, DeliveryState.UNSURE, "answer-lost")
    (letter,) = person.reads("dead", "list", "--flat")
    assert (letter["delivery"]["state"], letter["message"]["id"]) == ("unsure", message_id)


def test_status_is_ready_or_says_why_not(person: Person) -> None:
    person.desk.dead_delivery()
    shown = person.does("status")
    for expected in (
        "hcsyncd 1.2.3",
        "ready",
        "generation 3",
        "60.0 MB",
        "http://127.0.0.1:9464/metrics",
        "connect-refused",
    ):
        assert expected in shown
    assert "1 message with dead letters: hcsyncd dead list" in shown
    person.desk.live.not_ready = ("channel adt_in is down: address in use",)
    result = person.types("status")
    assert result.exit_code == 1
    assert "not ready" in result.stdout
    assert "channel adt_in is down: address in use" in result.stdout
    assert person.types("status", "--json").exit_code == 1


def test_channels_show_what_they_carried(person: Person) -> None:
    person.desk.dead_delivery()
    lines = person.does("channels").splitlines()
    assert lines[1].split()[:6] == ["adt_in", "source", "mllp", "hl7", "up", "127.0.0.1:2575"]
    assert "1 dead" in lines[1]
    assert {"relay_out", "down", "7"} <= set(lines[2].split())
    assert "connect-refused; next try" in lines[2]
    assert [channel["name"] for channel in person.reads("channels")] == ["adt_in", "relay_out"]


def test_reload_says_what_changed(person: Person) -> None:
    assert person.does("reload") == "route events: added\ngeneration 4 is live\n"
    person.desk.live.changes = ()
    assert person.does("reload") == "nothing has changed; generation 4 goes on\n"
    assert person.reads("reload")["generation"] == 4
