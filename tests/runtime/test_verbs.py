"""The operator's verbs on a real store: what they answer, what they change, and what they refuse."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hcsyncd.errors import ConfigError, ControlError
from hcsyncd.events import DeliveryClosed, MessageReplayed
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
        ("messages.replay", {"ids": []}, "length >= 1"),
        ("messages.replay", {"ids": [1], "body": "%%%"}, "base64"),
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


def test_replay_makes_copies_in_order_and_wakes_their_channel(desk: Desk) -> None:
    first, second = desk.receive("A1"), desk.receive("A2")
    copies = desk.verb("messages.replay", ids=[second, first, second])["copies"]
    assert [original for original, _ in copies] == [second, first]
    assert copies[0][1] < copies[1][1]
    assert desk.live.woken == ["adt_in"]
    assert [event for event in desk.events if isinstance(event, MessageReplayed)] == [
        MessageReplayed(original, copy) for original, copy in copies
    ]
    traced = desk.verb("messages.trace", id=first)["messages"]
    assert [(row.id, row.parent) for row in traced] == [(first, None), (copies[1][1], first)]


def test_replay_refuses_before_it_changes_anything(desk: Desk) -> None:
    message_id = desk.receive()
    elsewhere = desk.receive("A2", channel="gone_in")
    for args, complaint in (
        ({"ids": [message_id, 98, 99]}, "there is no message 98, 99"),
        ({"ids": [message_id], "route": "nope"}, "no route nope; known: events, relay"),
        ({"ids": [message_id], "destination": "nope"}, "no destination nope; known: archive_out"),
        ({"ids": [message_id], "route": "events", "destination": "relay_out"}, "no destination relay_out"),
        ({"ids": [message_id, elsewhere]}, "no channel gone_in any more"),
        ({"ids": [message_id], "body": "UElEfDENCg=="}, "cannot be read as hl7"),
    ):
        with pytest.raises(ControlError, match=complaint):
            desk.verb("messages.replay", **args)
    assert len(desk.verb("messages.list")) == 2
    assert desk.live.woken == []


def test_a_repaired_body_stands_in_for_one_message(desk: Desk) -> None:
    bad, other = desk.dead_on_arrival(), desk.receive("A2")
    encoded = "TVNIfF5+XCZ8QXxCfEN8RHwyMDI2fHxBRFReQTAzfEZJWDF8UHwyLjUNUElEfDENCg=="
    with pytest.raises(ControlError, match="stands in for one message, not for 2"):
        desk.verb("messages.replay", ids=[bad, other], body=encoded)
    ((_, copy),) = desk.verb("messages.replay", ids=[bad], body=encoded)["copies"]
    shown = desk.verb("messages.show", id=copy, body=True)
    assert shown["body"].startswith(b"MSH|^~\\&|A|B|C|D|2026||ADT^A03|FIX1")
    assert (shown["message"].keys.type, shown["message"].keys.control_id) == ("ADT^A03", "FIX1")
    assert state_of(desk, bad) is MessageState.CLOSED


def test_a_dead_delivery_that_was_made_goes_out_again_as_it_is(desk: Desk) -> None:
    message_id, delivery_id = desk.dead_delivery()
    assert desk.verb("dead.replay", ids=[message_id]) == {"reopened": [delivery_id], "copies": []}
    (again,) = desk.live.requeued
    assert (again.id, again.state, again.envelope.idempotency_key) == (
        delivery_id,
        DeliveryState.READY,
        f"key-{message_id}-relay_out",
    )
    assert desk.verb("dead.list") == []
    assert state_of(desk, message_id) is MessageState.ROUTED


def test_a_route_that_failed_is_gone_again_as_a_whole(desk: Desk) -> None:
    message_id = desk.receive()
    desk.hand_on(message_id, ("relay", "relay_out"), ("relay", "archive_out"), failed=True)
    done = desk.verb("dead.replay", ids=[message_id])
    assert done["reopened"] == []
    ((original, copy),) = done["copies"]
    assert original == message_id
    (waiting,) = desk.waiting()
    assert (waiting.id, waiting.only_route, waiting.only_destination) == (copy, "relay", "")
    assert desk.verb("dead.list") == []
    assert desk.live.released == [("relay_out", ""), ("archive_out", "")]
    assert state_of(desk, message_id) is MessageState.CLOSED


def test_one_way_of_several_is_gone_again_alone(desk: Desk) -> None:
    message_id = desk.receive()
    desk.hand_on(message_id, ("relay", "relay_out"), ("relay", "archive_out"), failed=True)
    done = desk.verb("dead.replay", ids=[message_id], destination="archive_out")
    assert len(done["copies"]) == 1
    (waiting,) = desk.waiting()
    assert (waiting.only_route, waiting.only_destination) == ("relay", "archive_out")
    (left,) = desk.verb("dead.list")
    assert left.delivery.destination == "relay_out"


def test_a_message_dead_on_arrival_is_sent_through_again(desk: Desk) -> None:
    message_id = desk.dead_on_arrival()
    ((original, _),) = desk.verb("dead.replay", ids=[message_id])["copies"]
    assert original == message_id
    assert desk.verb("dead.list") == []


def test_dead_letters_whose_route_is_gone_are_refused(desk: Desk) -> None:
    message_id = desk.receive()
    desk.hand_on(message_id, ("events", "events_out"), failed=True)
    desk.live.known = {"relay": ("relay_out",)}
    with pytest.raises(ControlError, match="no route events; known: relay"):
        desk.verb("dead.replay", ids=[message_id])
    assert len(desk.verb("dead.list")) == 1


def test_a_message_without_a_dead_letter_is_refused(desk: Desk) -> None:
    well = desk.receive()
    bad, _ = desk.dead_delivery("A2")
    for verb, more in (("dead.replay", {}), ("dead.discard", {"reason": "old"})):
        with pytest.raises(ControlError, match=f"no dead letter of message {well}"):
            desk.verb(verb, ids=[well, bad], **more)
    with pytest.raises(ControlError, match=f"no dead letter on that way of message {bad}"):
        desk.verb("dead.replay", ids=[bad], destination="events_out")
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


def test_a_replay_that_stands_in_for_a_dead_delivery_lets_its_lane_go_on(desk: Desk) -> None:
    bad, delivery_id = desk.dead_delivery()
    desk.verb("messages.replay", ids=[bad], destination="relay_out")
    assert desk.live.released == [("relay_out", "")]
    assert DeliveryClosed("relay_out", delivery_id, bad, "replayed") in desk.events
    assert desk.verb("dead.list") == []
