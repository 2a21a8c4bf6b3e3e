"""The operator's verbs on a real store: what they answer, what they change, and what they refuse."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hcsyncd.errors import ConfigError, ControlError
from hcsyncd.events import DeliveryClosed
from hcsyncd.message import DeliveryState, MessageState
from hcsyncd.runtime.live import Reloaded
from tests.fakes.desk import Desk, adt


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with Desk(tmp_path / "site") as desk:
        yield desk


def state_of(desk: Desk, message_id: int) -> MessageState:
    state = desk.verb("messages.show", id=message_id)["message"].state
    assert isinstance(state, MessageState)
    return state


def test_status_joins_the_daemon_with_the_stores_counts(desk: Desk) -> None:
    desk.receive()
    desk.dead_on_arrival()
    status = desk.verb("status")
    assert status["daemon"].generation == 3
    assert [channel.name for channel in status["channels"]] == ["adt_in", "relay_out"]
    assert status["counts"]["messages"]["received"] == 1
    assert status["counts"]["messages"]["dead"] == 1


def test_channels_carry_their_counts(desk: Desk) -> None:
    desk.dead_delivery()
    by_name = {channel["name"]: channel for channel in desk.verb("channels")}
    assert by_name["adt_in"]["counts"] == {"dead": 1}
    assert by_name["relay_out"]["counts"] == {"dead": 1}
    assert by_name["relay_out"]["health"] == "down"


def test_reload_passes_the_daemons_word_on(desk: Desk) -> None:
    assert desk.verb("reload") == Reloaded(generation=4, changes=("route events: added",))
    desk.live.refusal = ConfigError("the site has errors", ("a finding",))
    with pytest.raises(ConfigError, match="the site has errors"):
        desk.verb("reload")


@pytest.mark.parametrize(
    ("verb", "args", "complaint"),
    [
        ("status", {"x": 1}, "x"),
        ("messages.list", {"chanel": "adt_in"}, "chanel"),
        ("messages.list", {"limit": 0}, ">= 1"),
        ("messages.list", {"limit": 10_001}, "<= 10000"),
        ("messages.show", {}, "id"),
        ("messages.show", {"id": "one"}, "int"),
        ("messages.trace", {"id": 2**63}, "<= 9223372036854775807"),
        ("replays.plan", {"wanted": {"ids": [0]}}, ">= 1"),
        ("replays.plan", {"wanted": {"ids": [1]}, "body": "%%%"}, "base64"),
        ("replays.plan", {"wanted": {"ids": [1]}, "generation": "never"}, "never"),
        ("dead.discard", {"ids": [1], "reason": ""}, "length >= 1"),
    ],
)
def test_arguments_that_are_not_right_are_refused(desk: Desk, verb: str, args: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ControlError, match=f"(?i){complaint}"):
        desk.verb(verb, **args)


def test_list_narrows_by_every_field(desk: Desk) -> None:
    plain = desk.receive("A1")
    dead, _ = desk.dead_delivery("A2")
    assert [row.id for row in desk.verb("messages.list")] == [dead, plain]
    assert [row.id for row in desk.verb("messages.list", newest_first=False, limit=1)] == [plain]
    assert [row.id for row in desk.verb("messages.list", destination="relay_out")] == [dead]
    assert [row.id for row in desk.verb("messages.list", control_id="*1", type="ADT*")] == [plain]
    assert [row.id for row in desk.verb("messages.list", cause="ack-AR")] == [dead]
    assert desk.verb("messages.list", channel="other") == []


def test_show_holds_bodies_only_when_asked(desk: Desk) -> None:
    message_id, delivery_id = desk.dead_delivery()
    shown = desk.verb("messages.show", id=message_id)
    assert "body" not in shown
    assert "sent" not in shown
    assert shown["deliveries"][0].id == delivery_id
    assert shown["attempts"][0].answer.startswith(b"MSH|^~\\&|LAB\rMSA|AR")
    assert b"MSA|AA|M1" in shown["replies"]["at_once"]
    with_body = desk.verb("messages.show", id=message_id, body=True)
    assert with_body["body"] == adt("M1")
    assert with_body["sent"] == {str(delivery_id): b'{"event":"admission"}'}


def test_show_of_a_delivery_that_was_never_made(desk: Desk) -> None:
    message_id = desk.receive()
    desk.hand_on(message_id, ("events", "events_out"), failed=True)
    assert desk.verb("messages.show", id=message_id, body=True)["sent"] == {}


@pytest.mark.parametrize("verb", ["messages.show", "messages.trace"])
def test_a_message_that_is_not_there(desk: Desk, verb: str) -> None:
    with pytest.raises(ControlError, match="there is no message 99"):
        desk.verb(verb, id=99)


def test_a_message_without_a_dead_letter_is_refused(desk: Desk) -> None:
    well = desk.receive()
    bad, _ = desk.dead_delivery("A2")
    with pytest.raises(ControlError, match=f"no dead letter of message {well}"):
        desk.verb("dead.discard", ids=[well, bad], reason="old")
    with pytest.raises(ControlError, match=f"no dead letter on that way of message {bad}"):
        desk.verb("dead.discard", ids=[bad], destination="events_out", reason="old")
    assert len(desk.verb("dead.list")) == 1


def test_discard_settles_and_keeps(desk: Desk) -> None:
    bad, delivery_id = desk.dead_delivery("A1")
    on_arrival = desk.dead_on_arrival()
    assert desk.verb("dead.discard", ids=[bad, on_arrival], reason="test patient") == {"discarded": 2}
    assert desk.verb("dead.list") == []
    shown = desk.verb("messages.show", id=bad, body=True)
    assert shown["deliveries"][0].state is DeliveryState.CLOSED
    assert shown["body"] == adt("A1")
    assert [event for event in desk.events if isinstance(event, DeliveryClosed)] == [
        DeliveryClosed("relay_out", delivery_id, bad, "discarded")
    ]
    assert desk.live.released == [("relay_out", "")]
    assert state_of(desk, on_arrival) is MessageState.CLOSED
