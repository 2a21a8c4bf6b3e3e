"""`hcsyncd retention`, and what is shown of messages that lost something to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hcsyncd.cli.main import cli
from hcsyncd.config.keeping import Keep, KeepingDefaults
from hcsyncd.config.model import DaemonOptions
from hcsyncd.message import DeliveryState
from tests.fakes.desk import Desk

DAY_SECS = 86_400


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

    def bounds(self, **bounds: Any) -> None:
        self.desk.options = DaemonOptions(retention=KeepingDefaults(**bounds))

    def sent(self, control_id: str) -> int:
        message_id = self.desk.receive(control_id)
        (delivery_id,) = self.desk.hand_on(message_id, ("events", "events_out"))
        self.desk.settle(message_id, delivery_id, DeliveryState.SENT, answer=b"MSA|AA")
        return message_id

    def later(self, days: float) -> None:
        """Days in which a run went by each day, with nothing to do."""
        self.desk.clock.advance(days * DAY_SECS)
        self.desk.run(self.desk.keeper.trust.believe())


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    with Desk(tmp_path / "site") as desk:
        yield Person(desk)


def test_status_without_bounds_says_so(person: Person) -> None:
    person.sent("M1")
    shown = person.does("retention", "status")
    assert "never: everything is kept for ever" in shown
    (line,) = [line for line in shown.splitlines() if "bodies" in line]
    assert line.split()[:3] == ["adt_in", "bodies", "1"]
    assert line.endswith("ever")


def test_plan_run_and_status_say_the_same(person: Person) -> None:
    person.bounds(bodies=Keep(days=10, max_bytes=1_000_000), answers=Keep(max_count=1))
    ids = [person.sent("M1"), person.sent("M2")]
    person.later(11)
    person.sent("M3")
    planned = person.reads("retention", "plan")
    assert [(row["channel"], row["data"], row["messages"]) for row in planned["gone"]] == [
        ("adt_in", "bodies", 2),
        ("adt_in", "answers", 2),
    ]
    assert person.reads("messages", "show", str(ids[0]))["message"]["body_removed_at"] == 0
    lines = person.does("retention", "plan").splitlines()
    assert [line.split()[:3] for line in lines[1:]] == [["adt_in", "bodies", "2"], ["adt_in", "answers", "2"]]
    assert person.reads("retention", "run", "--yes")["gone"] == planned["gone"]
    assert "Nothing would go." in person.does("retention", "plan")
    assert "Nothing was due." in person.does("retention", "run", "--yes")
    shown = person.reads("retention", "status")
    kept = {row["data"]: row for row in shown["kept"]}
    assert {name: row["messages"] for name, row in kept.items()} == {"bodies": 1, "answers": 1, "metadata": 3}
    text = person.does("retention", "status")
    assert "10 days, the newest 1.0 MB" in text
    assert "every 5 min" in text


def test_run_asks_first(person: Person) -> None:
    person.bounds(bodies=Keep(days=10))
    message_id = person.sent("M1")
    person.later(11)
    person.sent("M2")
    assert person.types("retention", "run").exit_code == 2, "nobody is there to answer"
    assert person.reads("messages", "show", str(message_id))["message"]["body_removed_at"] == 0
    assert person.types("retention", "run", "--yes").exit_code == 0
    assert person.reads("messages", "show", str(message_id))["message"]["body_removed_at"] > 0


def test_a_doubted_clock_is_told_and_a_person_decides(person: Person) -> None:
    person.bounds(bodies=Keep(days=10))
    message_id = person.sent("M1")
    person.sent("M2")
    person.desk.clock.advance(400 * DAY_SECS)
    assert "the clock has jumped ahead; nothing is removed for 1 d" in person.does("retention", "status")
    asked = person.types("retention", "run")
    assert "The clock has jumped ahead" in asked.output
    person.does("retention", "run", "--yes")
    assert person.reads("messages", "show", str(message_id))["message"]["body_removed_at"] > 0
    assert "jumped" not in person.does("retention", "status")


def test_a_message_without_its_body_is_still_shown(person: Person) -> None:
    person.bounds(bodies=Keep(days=10), answers=Keep(days=10))
    message_id = person.sent("M1")
    person.later(11)
    person.sent("M2")
    person.does("retention", "run", "--yes")
    shown = person.does("messages", "show", str(message_id), "--body")
    assert "removed by retention on 20" in shown
    assert "MSH" not in shown
    assert "MSA" not in shown
    raw = person.types("messages", "show", str(message_id), "--raw")
    assert raw.exit_code == 1
    assert "Retention has removed the body" in raw.output


def test_attempts_that_went_keep_their_numbers(person: Person) -> None:
    person.bounds(attempts=4)
    message_id = person.desk.receive("M1")
    (delivery_id,) = person.desk.hand_on(message_id, ("events", "events_out"))
    for _ in range(10):
        person.desk.settle(message_id, delivery_id, DeliveryState.WAITING, "connect-refused")
    assert "6 attempts in the middle" in person.does("retention", "run", "--yes")
    attempts = person.reads("messages", "show", str(message_id))["attempts"]
    assert [row["number"] for row in attempts] == [1, 2, 9, 10]
