"""`messages replay`, `dead replay` and `replays`, typed at a real control socket."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hcsyncd.cli.main import cli
from hcsyncd.message import DeliveryState
from tests.fakes.desk import Desk, adt


class Person:
    """Types commands at the desk's site."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def types(self, *args: str, stdin: str | bytes | None = None, env: dict[str, str | None] | None = None) -> Result:
        return CliRunner(env=env).invoke(cli, [*args, "--site", str(self.desk.site)], input=stdin)

    def does(self, *args: str, **more: Any) -> str:
        """The output of a command that succeeds."""
        result = self.types(*args, **more)
        assert result.exit_code == 0, result.output
        return result.stdout

    def reads(self, *args: str) -> Any:
        """The JSON of a command that succeeds."""
        return json.loads(self.does(*args, "--json"))

    def sent(self, control_id: str) -> int:
        """A message that was sent to one destination."""
        message_id = self.desk.receive(control_id)
        (delivery_id,) = self.desk.hand_on(message_id, ("relay", "relay_out"))
        self.desk.settle(message_id, delivery_id, DeliveryState.SENT)
        return message_id


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    with Desk(tmp_path / "site") as desk:
        yield Person(desk)


def test_replay_wants_ids_or_a_filter(person: Person) -> None:
    message_id = person.sent("A1")
    for args in ([], [str(message_id), "--channel", "adt_in"]):
        result = person.types("messages", "replay", *args)
        assert result.exit_code == 2
        assert "either IDs, or a filter" in result.stderr
    result = person.types("messages", "replay", "99", "--yes")
    assert (result.exit_code, result.stderr) == (4, "hcsyncd: there is no message 99\n")


def test_without_a_terminal_nothing_is_planned_unless_told_so(person: Person) -> None:
    message_id = person.sent("A1")
    result = person.types("messages", "replay", str(message_id))
    assert (result.exit_code, "give --yes, or --plan" in result.stderr) == (2, True)
    assert person.reads("replays", "list") == []


def test_a_plan_is_shown_and_applied_later_and_once(person: Person) -> None:
    ids = [person.sent(f"A{number}") for number in range(3)]
    person.sent("B1")
    plan = person.types(
        "messages", "replay", "--control-id", "A*", "--to", "relay_out", "--again", "--plan", "--reason", "lost there"
    )
    assert plan.exit_code == 0, plan.output
    assert "nothing is done yet: hcsyncd replays apply 1" in plan.stderr
    for expected in ("Replay 1", "planned", "lost there", "control id A*", "relay -> relay_out", "to be sent"):
        assert expected in plan.stdout, plan.stdout
    assert person.desk.road.offered == []
    report = person.reads("replays", "apply", "1", "--yes")
    assert (report["replay"]["state"], report["replay"]["applied_by"]) == ("done", report["replay"]["author"])
    assert [(item["message_id"], item["delivery_state"]) for item in report["items"]] == [(one, "sent") for one in ids]
    again = person.types("replays", "apply", "1", "--yes")
    assert (again.exit_code, "was applied already" in again.stderr) == (4, True)
    assert "lost there" in person.does("replays", "list")
    assert person.does("replays").startswith("replay  state")


def test_what_was_sent_before_is_suppressed_and_nothing_stands_in_the_way_after(person: Person) -> None:
    message_id = person.sent("A1")
    told = person.types("messages", "replay", str(message_id), "--to", "relay_out", "--yes")
    assert told.exit_code == 0
    assert "already-sent: sent on 2023-11-1" in told.stdout
    report = person.reads("messages", "replay", str(message_id), "--to", "relay_out", "--again", "--yes")
    assert [item["verdict"] for item in report["items"]] == ["changed"], "the desk's deliveries were made of nothing"


def test_a_new_intent_asks_twice_and_wants_a_reason(person: Person) -> None:
    message_id = str(person.sent("A1"))
    args = ("messages", "replay", message_id, "--to", "relay_out", "--new-intent", "--yes")
    assert "say why, with --reason TEXT" in person.types(*args).stderr
    once = person.types(*args, "--reason", "wanted twice")
    assert (once.exit_code, "the receivers will do 1 delivery once more" in once.stderr) == (2, True)
    assert [row["state"] for row in person.reads("replays", "list")] == ["cancelled"]
    report = person.reads(*args, "--yes", "--reason", "wanted twice")
    assert f"-{message_id}.r2-relay-relay_out" in report["items"][0]["key"]


def test_only_narrows_and_limit_cuts(person: Person) -> None:
    person.sent("A1")
    person.does("messages", "replay", "--channel", "adt_in", "--plan")
    shown = person.does("replays", "show", "1", "--only", "suppressed")
    assert "already-sent" in shown
    assert "new-way" not in shown
    assert "(1 are shown; --limit N shows more)" in person.does("replays", "show", "1", "--limit", "1")
    assert {item["verdict"] for item in person.reads("replays", "show", "1")["items"]} == {"suppressed", "changed"}


def test_hold_resume_and_cancel(person: Person) -> None:
    message_id = person.sent("A1")
    person.desk.road.outcomes["relay_out"] = None
    person.does("messages", "replay", str(message_id), "--to", "relay_out", "--again", "--plan")
    refused = person.types("replays", "hold", "1")
    assert (refused.exit_code, refused.stderr) == (4, "hcsyncd: replay 1 is planned: only one that runs can be held\n")
    person.desk.verb("replays.apply", id=1)
    assert person.does("replays", "hold", "1", "--reason", "a pause") == "replay 1 is held\n"
    assert "a pause" in person.does("replays", "show", "1")
    assert person.does("replays", "resume", "1") == "replay 1 is running\n"
    assert person.reads("replays", "cancel", "1")["state"] == "cancelled"
    assert person.types("replays", "show", "9").exit_code == 4


def test_how_it_goes_is_checked_as_it_is_typed(person: Person) -> None:
    message_id = str(person.sent("A1"))
    for args, told in (
        (["--rate", "fast"], "write it like 20/s"),
        (["--generation", "0"], "then or now"),
        (["--generation", "old"], "then or now"),
    ):
        result = person.types("messages", "replay", message_id, "--plan", *args)
        assert (result.exit_code, told in result.stderr) == (2, True), result.output
    result = person.types("messages", "replay", message_id, "--plan", "--window", "late")
    assert (result.exit_code, "write it like 22:00-06:00" in result.stderr) == (4, True)
    shown = person.does(
        "messages", "replay", message_id, "--plan", "--rate", "5/s", "--window", "22:00-06:00", "--generation", "then"
    )
    assert "generation then, rate 5.0, window 22:00-06:00" in shown


def test_a_refusal_of_the_daemon_is_told(person: Person) -> None:
    message_id = person.sent("A1")
    result = person.types("messages", "replay", str(message_id), "--to", "nope", "--yes")
    assert result.exit_code == 4
    assert result.stderr == "hcsyncd: there is no destination nope; known: archive_out, events_out, relay_out\n"


def test_replay_with_an_edited_body(person: Person, tmp_path: Path) -> None:
    bad, other = person.desk.dead_on_arrival(), person.desk.dead_on_arrival("BAD2")
    blocked = person.types("dead", "replay", str(bad), "--yes")
    assert (blocked.exit_code, "it cannot be read" in blocked.stdout) == (1, True)
    mended = tmp_path / "fixed.hl7"
    mended.write_bytes(adt("FIX1"))
    report = person.reads("dead", "replay", str(bad), "--to", "relay_out", "--body", str(mended), "--yes")
    copy_id = str(report["items"][0]["copy_id"])
    assert person.desk.road.offered[-1].envelope.body == adt("FIX1")
    assert person.reads("messages", "show", copy_id)["message"]["keys"]["control_id"] == "FIX1"
    args = ("messages", "replay", str(bad), "--to", "relay_out", "--again", "--yes", "--body")
    person.does(*args, "-", stdin=adt("FIX2"))
    assert person.desk.road.offered[-1].envelope.body == adt("FIX2")
    two = person.types("messages", "replay", str(bad), str(other), "--body", str(mended), "--yes")
    assert (two.exit_code, "stands in for one message; 2 are meant" in two.stderr) == (2, True)
    for shown in (person.does("messages", "show", str(bad)), person.does("messages", "show", copy_id)):
        assert "replay 2" in shown.replace("replays", "replay")


def test_nothing_is_edited_where_nobody_can(person: Person) -> None:
    message_id = str(person.sent("M1"))
    nobody: dict[str, str | None] = {"EDITOR": None, "VISUAL": None}
    result = person.types("messages", "replay", message_id, "--again", "--edit", "--yes", env=nobody)
    assert (result.exit_code, "There is no terminal to edit on" in result.stderr) == (2, True)
    assert person.reads("replays", "list") == []


def test_a_plan_of_nothing_says_so_and_what_to_do(person: Person) -> None:
    message_id = str(person.sent("M1"))
    nothing = person.types("messages", "replay", "--channel", "nope", "--plan")
    assert "nothing is meant by that" in nothing.stderr
    assert "replays apply" not in nothing.stderr
    suppressed = person.types("messages", "replay", message_id, "--to", "relay_out", "--plan")
    assert "--again sends it again" in suppressed.stderr
    refused = person.types("replays", "apply", "2", "--yes")
    assert (refused.exit_code, "nothing in replay 2 to be sent" in refused.stderr) == (4, True)
    assert person.reads("replays", "show", "2")["replay"]["state"] == "planned"
    dead = person.types("dead", "replay", "--cause", "nope", "--yes")
    assert (dead.exit_code, "nothing is meant by that" in dead.stdout) == (0, True)


def test_replay_edited_in_an_editor(person: Person, tmp_path: Path) -> None:
    message_id = str(person.sent("M1"))
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/|123^/|456^/' \"$1\"\n")
    editor.chmod(0o755)
    args = ("messages", "replay", message_id, "--to", "relay_out", "--again", "--edit", "--yes")
    person.does(*args, env={**os.environ, "EDITOR": str(editor)})
    assert person.desk.road.offered[-1].envelope.body == adt("M1").replace(b"|123^", b"|456^")
    editor.write_text("#!/bin/sh\n:\n")
    unchanged = person.types(*args, env={**os.environ, "EDITOR": str(editor)})
    assert (unchanged.exit_code, "Nothing was changed" in unchanged.stderr) == (2, True)


def test_dead_replay_by_id_by_filter_and_all(person: Person) -> None:
    first, delivery_id = person.desk.dead_delivery("A1")
    second, _ = person.desk.dead_delivery("A2", destination="events_out")
    third, _ = person.desk.dead_delivery("A3")
    assert len(person.reads("dead", "replay", "--all", "--plan")["items"]) == 3
    person.does("replays", "cancel", "1")
    assert [item["delivery_id"] for item in person.reads("dead", "replay", str(first), "--yes")["items"]] == [
        delivery_id
    ]
    assert len(person.reads("dead", "replay", "--destination", "events_out", "--yes")["items"]) == 1
    assert [item["message_id"] for item in person.reads("dead", "replay", "--all", "--yes")["items"]] == [third]
    assert person.desk.verb("dead.list") == []
    for args, told, code in (
        ([], "Say which dead letters", 2),
        ([str(second), "--all"], "Say which dead letters", 2),
        ([str(second)], f"no dead letter of message {second}", 4),
    ):
        result = person.types("dead", "replay", *args, "--yes")
        assert (result.exit_code, told in result.stderr) == (code, True)


def test_a_replay_that_dies_again_says_so(person: Person) -> None:
    message_id, _ = person.desk.dead_delivery()
    person.desk.road.outcomes["relay_out"] = DeliveryState.DEAD
    assert "dead again" in person.does("dead", "replay", str(message_id), "--yes")
