"""Dead letters in groups, with their owners; unsure deliveries; holds: at the desk, by command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hcsyncd.cli.main import cli
from hcsyncd.config.dead_letters import DeadLetterOptions
from hcsyncd.config.model import DaemonOptions
from hcsyncd.errors import Transient
from hcsyncd.events import DeadLetterAssigned, DeliverySettled
from hcsyncd.message import DeliveryState, MessageState, Sent
from tests.fakes.desk import Desk

HOUR = 3_600_000_000


class Person:
    """Types commands at the desk's site."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def types(self, *args: str) -> Result:
        return CliRunner().invoke(cli, [*args, "--site", str(self.desk.site)])

    def does(self, *args: str) -> str:
        """The output of a command that succeeds."""
        result = self.types(*args)
        assert result.exit_code == 0, result.output
        return result.stdout

    def reads(self, *args: str) -> Any:
        """The JSON of a command that succeeds."""
        return json.loads(self.does(*args, "--json"))

    def unsure(self, control_id: str = "M1", *ways: tuple[str, str]) -> int:
        """A message whose answers were lost."""
        message_id = self.desk.receive(control_id)
        for delivery_id in self.desk.hand_on(message_id, *(ways or (("relay", "relay_out"),))):
            self.desk.settle(message_id, delivery_id, DeliveryState.UNSURE, "answer-lost")
        return message_id


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    with Desk(tmp_path / "site") as desk:
        desk.options = DaemonOptions(dead_letters=DeadLetterOptions(owner="interface team", due_secs=3600))
        yield Person(desk)


def test_groups_tell_count_age_owner_due_time_and_the_command_to_type(person: Person) -> None:
    person.desk.dead_on_arrival()
    person.desk.clock.advance(4000)
    for number in range(3):
        person.desk.dead_delivery(f"A{number}")
    arrived, refused = person.reads("dead", "list")
    assert (arrived["cause"], arrived["channel"], arrived["route"], arrived["count"]) == ("no-msh", "adt_in", "", 1)
    assert (refused["cause"], refused["channel"], refused["route"], refused["count"]) == (
        "ack-AR",
        "relay_out",
        "relay",
        3,
    )
    assert (arrived["overdue"], refused["overdue"]) == (1, 0), "the most urgent comes first"
    assert arrived["due_at"] == arrived["oldest_at"] + HOUR
    assert {group["owner"] for group in (arrived, refused)} == {"interface team"}
    shown = person.does("dead", "list")
    assert person.does("dead") == shown
    assert "1 OVERDUE" in shown
    assert "hcsyncd dead show --cause ack-AR --route relay --destination relay_out" in shown
    assert [group["cause"] for group in person.reads("dead", "list", "--destination", "relay_out")] == ["ack-AR"]


def test_an_owner_is_given_kept_and_shown(person: Person) -> None:
    first, _ = person.desk.dead_delivery("A1")
    second, _ = person.desk.dead_delivery("A2")
    third = person.desk.dead_on_arrival()
    told = person.does("dead", "assign", str(first), str(third), "--owner", "Ada", "--due", "4h", "--note", "call them")
    assert told == "2 dead letters of 2 messages: Ada's\n"
    letters = {letter["message"]["id"]: letter for letter in person.reads("dead", "list", "--flat")}
    assert {id_: letter["owner"] for id_, letter in letters.items()} == {
        first: "Ada",
        second: "interface team",
        third: "Ada",
    }
    assert (letters[first]["note"], bool(letters[first]["assigned_by"])) == ("call them", True)
    assert letters[first]["due_at"] != letters[second]["due_at"]
    assert [event.message_id for event in person.desk.events if isinstance(event, DeadLetterAssigned)] == [first, third]
    groups = person.reads("dead", "list", "--cause", "ack-AR")
    assert [(group["owner"], group["count"]) for group in groups] == [("interface team", 1), ("Ada", 1)]
    assert person.does("dead", "assign", "--all", "--owner", "Ben") == "3 dead letters of 3 messages: Ben's\n"
    assert {letter["owner"] for letter in person.reads("dead", "list", "--flat")} == {"Ben"}
    for args in (["--owner", "Ada"], ["9", "--owner", "Ada"], [str(first), "--owner", " "], [str(first)]):
        assert person.types("dead", "assign", *args).exit_code == 2, args
    assert "3d (from now)" in person.types("dead", "assign", str(first), "--owner", "A", "--due", "soon").stderr
    assert "is over" in person.types("dead", "assign", str(first), "--owner", "A", "--due", "2020-01-01").stderr


def test_an_example_stands_for_a_group(person: Person) -> None:
    ids = [person.desk.receive(f"A{number}") for number in range(3)]
    for message_id in ids:
        person.desk.hand_on(message_id, ("relay", "relay_out"), failed=True)
    other, _ = person.desk.dead_delivery("B1")
    shown = person.does("dead", "show", "--cause", "unmapped-code")
    assert "2 more" in shown
    assert f"Message {ids[-1]}" in shown
    example = person.reads("dead", "show", "--destination", "relay_out", "--cause", "ack-AR")["example"]
    assert (example["letter"]["message"]["id"], example["more"], example["file"]) == (other, 0, "")
    assert "no other" in person.does("dead", "show", str(other))
    assert person.types("dead", "show").exit_code == 2
    none = person.types("dead", "show", "--cause", "nope")
    assert (none.exit_code, "hcsyncd dead list" in none.stderr) == (4, True)
    assert f"hcsyncd dead replay {other}" in person.types("dead", "show", str(other)).stderr
    for verb in (["assign", "--owner", "Ada"], ["discard", "--reason", "why"]):
        nobody = person.types("dead", *verb, "--cause", "nope")
        assert (nobody.exit_code, "no dead letter is meant by that" in nobody.stderr) == (0, True), verb


def test_what_is_there_is_settled_and_what_is_not_goes_again_under_its_key(person: Person) -> None:
    there, missing, silent = person.unsure("A1"), person.unsure("A2"), person.unsure("A3")
    side = person.desk.other_side
    side.answers = {there: Sent(b"{}", "201"), missing: None, silent: Transient("connect-refused", "nobody listens")}
    assert len(person.does("unsure").splitlines()) == 4
    result = person.types("unsure", "ask", "--all", "--json")
    assert result.exit_code == 1, "it could not be told of one"
    assert [(one["message_id"], one["verdict"]) for one in json.loads(result.stdout)] == [
        (there, "sent"),
        (missing, "not-sent"),
        (silent, "unknown"),
    ]
    (delivery,) = person.reads("messages", "show", str(there))["deliveries"]
    assert (delivery["state"], "it is there (201)" in delivery["text"]) == ("sent", True)
    assert [(one.message_id, one.state, one.attempt) for one in side.requeued] == [(missing, DeliveryState.READY, 0)]
    (again,) = person.reads("messages", "show", str(missing))["deliveries"]
    assert side.requeued[0].envelope.idempotency_key == again["key"] == side.asked[1]
    assert (there, MessageState.DONE) in side.stands
    assert [letter["message"]["id"] for letter in person.reads("unsure", "list")] == [silent]
    told = [(event.outcome, event.how) for event in person.desk.events if isinstance(event, DeliverySettled)]
    assert told == [("sent", "asked"), ("not-sent", "asked")]


def test_a_destination_that_cannot_be_asked_says_so(person: Person) -> None:
    message_id = person.unsure()
    person.desk.other_side.mute.add("relay_out")
    result = person.types("unsure", "ask", str(message_id))
    assert (result.exit_code, "relay_out cannot be asked" in result.stdout) == (1, True)
    assert len(person.reads("unsure", "list")) == 1


@pytest.mark.parametrize(("word", "state"), [("--sent", "sent"), ("--not-sent", "ready")])
def test_a_person_settles_by_a_word_with_a_reason(person: Person, word: str, state: str) -> None:
    message_id = person.unsure()
    for args in ([word], [word, "--reason", " "], ["--reason", "why"], ["--sent", "--not-sent", "--reason", "why"]):
        assert person.types("unsure", "settle", str(message_id), *args).exit_code == 2
    told = person.does("unsure", "settle", str(message_id), word, "--reason", "the ward says so")
    assert "the ward says so" in told
    shown = person.reads("messages", "show", str(message_id))
    assert shown["deliveries"][0]["state"] == state
    assert "the ward says so" in shown["attempts"][-1]["text"]
    assert len(person.desk.other_side.requeued) == (state == "ready")
    again = person.types("unsure", "settle", str(message_id), word, "--reason", "once more")
    assert (again.exit_code, "no such unsure delivery" in again.stderr) == (4, True)


def test_one_of_several_is_named_by_its_way(person: Person) -> None:
    message_id = person.unsure("A1", ("relay", "relay_out"), ("relay", "archive_out"))
    result = person.types("unsure", "settle", str(message_id), "--sent", "--reason", "why")
    assert (result.exit_code, "2 unsure deliveries" in result.stderr) == (4, True)
    person.does("unsure", "settle", str(message_id), "--sent", "--reason", "why", "--destination", "archive_out")
    states = {
        row["destination"]: row["state"] for row in person.reads("messages", "show", str(message_id))["deliveries"]
    }
    assert states == {"relay_out": "unsure", "archive_out": "sent"}


def test_asking_wants_to_know_which(person: Person) -> None:
    message_id = person.unsure()
    for args in ([], [str(message_id), "--all"], ["99"]):
        assert person.types("unsure", "ask", *args).exit_code == 2, args


def test_status_says_what_waits_for_a_person(person: Person) -> None:
    person.unsure()
    assert "1 delivery are unsure" not in person.does("status")
    assert "1 delivery is unsure: hcsyncd unsure" in person.does("status")


def test_holds_are_listed_with_who_when_and_why(person: Person) -> None:
    assert person.does("hold", "list") == "Nothing is held.\n"
    person.does("hold", "delivery", "relay_out", "--reason", "until noon")
    person.does("hold", "receiving", "--all", "--reason", "update")
    assert [(hold["kind"], hold["channel"], hold["reason"]) for hold in person.reads("hold", "list")] == [
        ("delivery", "relay_out", "until noon"),
        ("receiving", "adt_in", "update"),
    ]
    assert "until noon" in person.does("hold", "list")
    result = person.types("hold", "delivery", "nope", "--reason", "why")
    assert (result.exit_code, "there is no destination nope; known: relay_out" in result.stderr) == (4, True)
    person.desk.other_side.broken.add("adt_in")
    result = person.types("resume", "receiving", "adt_in")
    assert (result.exit_code, "but not yet: channel adt_in: the address is taken" in result.stdout) == (1, True)
    assert person.does("resume", "delivery", "--all") == "delivery of relay_out goes on\n"
    assert person.reads("hold", "list") == []
    assert person.does("resume", "routing", "--all") == "Nothing was held.\n"
