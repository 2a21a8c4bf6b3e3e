"""Replays as an operator's verbs plan, judge and apply them, on a real store and a road that takes what it is given."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hcsyncd.config.replays import ReplayOptions
from hcsyncd.errors import ControlError
from hcsyncd.events import (
    DeliveryClosed,
    MessageReplayed,
    ReplayApplied,
    ReplayCancelled,
    ReplayExpired,
    ReplayFailed,
    ReplayFinished,
    ReplayHeld,
    ReplayPlanned,
    ReplayResumed,
)
from hcsyncd.message import DeliveryState, Keys, MessageState
from hcsyncd.runtime.replay_plan import ReplayAsk
from hcsyncd.runtime.replaying import Replaying
from hcsyncd.runtime.verbs.messages import Selection
from hcsyncd.store.ports import Handoff, ItemRow, NewReplay, PlannedItem, PlannedPage, Verdict
from hcsyncd.store.store import Store
from tests.fakes import waiting
from tests.fakes.clock import FakeClock
from tests.fakes.desk import Desk, adt
from tests.fakes.events import RecordedEvents
from tests.fakes.replay_road import ScriptedRoad
from tests.fakes.stored import arrival, delivery, handoff, stored


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with Desk(tmp_path / "site") as desk:
        yield desk


def until(desk: Desk, replay_id: int, true: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    deadline = time.monotonic() + 10
    while not true(shown := desk.verb("replays.show", id=replay_id)["replay"]):
        assert time.monotonic() < deadline, shown
        time.sleep(0.005)
    found: dict[str, Any] = shown
    return found


def until_state(desk: Desk, replay_id: int, state: str) -> dict[str, Any]:
    return until(desk, replay_id, lambda shown: shown["state"] == state)


def planned(desk: Desk, **ask: Any) -> int:
    replay_id = int(desk.verb("replays.plan", **ask)["id"])
    until_state(desk, replay_id, "planned")
    return replay_id


def done(desk: Desk, **ask: Any) -> int:
    replay_id = planned(desk, **ask)
    desk.verb("replays.apply", id=replay_id)
    until_state(desk, replay_id, "done")
    return replay_id


def items(desk: Desk, replay_id: int) -> list[ItemRow]:
    found: list[ItemRow] = desk.verb("replays.items", id=replay_id)
    return found


def said(desk: Desk, replay_id: int) -> list[tuple[str, str, str]]:
    return [(f"{row.route} {row.destination}".strip(), row.verdict, row.cause) for row in items(desk, replay_id)]


def state_of(desk: Desk, message_id: int) -> MessageState:
    state = desk.verb("messages.show", id=message_id)["message"].state
    assert isinstance(state, MessageState)
    return state


def sent(desk: Desk, control_id: str, *ways: tuple[str, str], state: DeliveryState = DeliveryState.SENT) -> int:
    """A message of which all ways were sent, with the body that it came with."""
    message_id = desk.receive(control_id)
    for delivery_id in desk.hand_on(message_id, *ways):
        desk.settle(message_id, delivery_id, state)
    return message_id


def events(desk: Desk, kind: type[Any]) -> list[Any]:
    return [event for event in desk.events if type(event) is kind]


RELAY = (("relay", "relay_out"), ("relay", "archive_out"))


def test_what_cannot_be_planned_is_refused_before_anything_is_kept(desk: Desk) -> None:
    message_id, other = desk.receive(), desk.receive("A2")
    bad, _ = desk.dead_delivery("A3")
    no_message = base64.b64encode(b"PID|1\r").decode()
    for args, complaint in (
        ({}, "say which messages are meant"),
        ({"wanted": {"ids": [message_id, 98, 99]}}, "there is no message 98, 99"),
        ({"wanted": {"ids": [message_id]}, "route": "nope"}, "no route nope; known: events, relay"),
        ({"wanted": {"ids": [message_id]}, "to": "nope"}, "no destination nope; known: archive_out"),
        ({"wanted": {"ids": [message_id]}, "route": "events", "to": "relay_out"}, "no destination relay_out"),
        ({"wanted": {"ids": [message_id]}, "body": no_message}, "cannot be read as hl7"),
        ({"wanted": {"ids": [message_id, other]}, "body": no_message}, "stands in for one message"),
        ({"wanted": {"ids": [message_id]}, "window": "at night"}, "no window of hours"),
        ({"dead": True, "wanted": {"ids": [message_id, bad]}}, f"no dead letter of message {message_id}"),
        ({"dead": True, "wanted": {"ids": [bad], "destination": "events_out"}}, "no dead letter on that way"),
    ):
        with pytest.raises(ControlError, match=complaint):
            desk.verb("replays.plan", **args)
    assert desk.verb("replays.list") == []


async def _handed_on(store: Store, given: Handoff) -> list[int]:
    (ids,) = await store.outbox.hand_on([given])
    return ids


def test_a_way_that_failed_then_is_made_for_the_first_time(desk: Desk) -> None:
    message_id = desk.receive()
    key = f"{desk.store.name}-{message_id}"
    made = delivery("relay_out", b"made", route="relay", key=f"{key}-relay-relay_out")
    failed = delivery(
        "events_out", route="events", key=f"{key}-events-events_out", state=DeliveryState.DEAD, cause="transform-failed"
    )
    sent_id = desk.run(_handed_on(desk.store, handoff(message_id, made, failed, state=MessageState.DEAD)))[0]
    desk.settle(message_id, sent_id, DeliveryState.SENT)
    (item,) = items(desk, planned(desk, dead=True, wanted={"ids": [message_id]}))
    assert (item.destination, item.verdict, item.text) == ("events_out", "send", "made for the first time")


def test_each_way_has_its_verdict(desk: Desk) -> None:
    message_id = desk.receive()
    relay, _archive = desk.hand_on(message_id, *RELAY)
    desk.settle(message_id, relay, DeliveryState.SENT)
    replay_id = planned(desk, wanted={"channel": "adt_in"}, reason="why not")
    assert said(desk, replay_id) == [
        ("events events_out", "changed", "new-way"),
        ("relay relay_out", "suppressed", "already-sent"),
        ("relay archive_out", "blocked", "under-way"),
    ]
    assert events(desk, ReplayPlanned) == [ReplayPlanned(replay_id, desk.verb("replays.list")[0]["author"], 1, 1, 1, 1)]
    desk.verb("replays.cancel", id=replay_id)
    again = planned(desk, wanted={"ids": [message_id]}, again=True, route="relay", to="relay_out")
    ((way, verdict, cause),) = said(desk, again)
    assert (way, verdict, cause) == ("relay relay_out", "changed", "changed")
    (row,) = items(desk, again)
    assert row.text.startswith("line 1") or "differ" in row.text
    assert "123^^^MR" not in row.text, "a plan names fields and no values"


def test_a_message_that_is_not_routed_yet_goes_by_itself(desk: Desk) -> None:
    message_id = desk.receive()
    assert said(desk, planned(desk, wanted={"ids": [message_id]})) == [("", "blocked", "not-routed")]


def test_a_channel_or_route_that_is_gone_blocks(desk: Desk) -> None:
    elsewhere = desk.receive("A1", channel="gone_in", state=MessageState.UNROUTED)
    assert said(desk, planned(desk, wanted={"ids": [elsewhere]})) == [("", "blocked", "no-channel")]
    message_id = desk.receive("A2")
    desk.hand_on(message_id, ("events", "events_out"), failed=True)
    desk.road.known = {"relay": ("relay_out",)}
    replay_id = planned(desk, dead=True)
    assert said(desk, replay_id) == [("events events_out", "blocked", "no-route")]
    assert len(desk.verb("dead.list")) == 1


def test_copies_are_made_in_the_order_of_the_originals_under_the_same_keys(desk: Desk) -> None:
    ids = [sent(desk, f"A{number}", *RELAY) for number in range(3)]
    replay_id = done(desk, wanted={"ids": list(reversed(ids))}, route="relay", to="relay_out", again=True)
    assert [one.message_id for one in desk.road.offered] == sorted(one.message_id for one in desk.road.offered)
    rows = items(desk, replay_id)
    assert [row.message_id for row in rows] == ids
    assert events(desk, MessageReplayed) == [MessageReplayed(row.message_id, row.copy_id or 0) for row in rows]
    for row in rows:
        copy = desk.verb("messages.show", id=row.copy_id)
        original = desk.verb("messages.show", id=row.message_id)
        assert (copy["message"].parent, copy["message"].replay_of) == (row.message_id, row.message_id)
        assert copy["deliveries"][0].key == original["deliveries"][0].key
    (end,) = events(desk, ReplayFinished)
    assert (end.replay_id, end.sent, end.dead, end.suppressed, end.blocked) == (replay_id, 3, 0, 0, 0)
    assert [type(event) for event in desk.events if "Replay" in type(event).__name__][-5:] == [
        ReplayApplied,
        *[MessageReplayed] * 3,
        ReplayFinished,
    ]


def test_a_filter_means_arrivals_alone_and_nothing_that_came_later(desk: Desk) -> None:
    first = sent(desk, "A1", ("relay", "relay_out"))
    done(desk, wanted={"channel": "adt_in"}, again=True)
    replay_id = planned(desk, wanted={"channel": "adt_in"}, again=True)
    assert {row.message_id for row in items(desk, replay_id)} == {first}
    copy = items(desk, 1)[0].copy_id
    desk.verb("replays.cancel", id=replay_id)
    assert {row.message_id for row in items(desk, planned(desk, wanted={"ids": [copy]}, again=True))} == {copy}


def test_a_dead_delivery_that_was_made_goes_as_it_is(desk: Desk) -> None:
    message_id, delivery_id = desk.dead_delivery()
    replay_id = done(desk, dead=True, wanted={"ids": [message_id]})
    (again,) = desk.road.requeued
    assert (again.id, again.state) == (delivery_id, DeliveryState.READY)
    (row,) = items(desk, replay_id)
    assert (row.verdict, row.as_made, row.copy_id, row.delivery_id) == ("send", True, None, delivery_id)
    assert state_of(desk, message_id) is MessageState.DONE
    assert desk.verb("dead.list") == []


def test_a_dead_delivery_is_made_anew_by_a_named_configuration(desk: Desk) -> None:
    message_id, delivery_id = desk.dead_delivery()
    replay_id = done(desk, dead=True, wanted={"ids": [message_id]}, generation=3)
    (row,) = items(desk, replay_id)
    assert (row.verdict, row.as_made, row.generation) == ("changed", False, 3)
    assert desk.road.offered[0].envelope.body == adt("M1")
    assert state_of(desk, message_id) is MessageState.CLOSED
    assert DeliveryClosed("relay_out", delivery_id, message_id, "replayed") in desk.events
    assert desk.road.released == [("relay_out", "", delivery_id)]


def test_a_dead_letter_whose_answer_was_lost_says_so(desk: Desk) -> None:
    message_id = sent(desk, "A1", ("relay", "relay_out"), state=DeliveryState.UNSURE)
    (row,) = items(desk, planned(desk, dead=True, wanted={"ids": [message_id]}))
    assert (row.verdict, "its answer was lost then" in row.text) == ("send", True)


def test_a_route_that_failed_is_made_anew_on_all_its_ways(desk: Desk) -> None:
    message_id = desk.receive()
    desk.hand_on(message_id, *RELAY, failed=True)
    replay_id = done(desk, dead=True, wanted={"ids": [message_id]})
    assert [(row.destination, row.verdict) for row in items(desk, replay_id)] == [
        ("relay_out", "send"),
        ("archive_out", "send"),
    ]
    assert len({one.message_id for one in desk.road.offered}) == 1
    assert desk.verb("dead.list") == []
    assert state_of(desk, message_id) is MessageState.CLOSED


def test_one_way_of_several_is_made_anew_alone(desk: Desk) -> None:
    message_id = desk.receive()
    desk.hand_on(message_id, *RELAY, failed=True)
    replay_id = done(desk, dead=True, wanted={"ids": [message_id]}, to="archive_out")
    assert [row.destination for row in items(desk, replay_id)] == ["archive_out"]
    (left,) = desk.verb("dead.list")
    assert left.delivery.destination == "relay_out"
    assert state_of(desk, message_id) is MessageState.DEAD


def test_what_cannot_be_read_is_blocked_until_it_is_edited(desk: Desk) -> None:
    message_id = desk.dead_on_arrival()
    assert said(desk, planned(desk, dead=True)) == [("", "blocked", "no-msh")]
    replay_id = done(desk, dead=True, wanted={"ids": [message_id]}, body=base64.b64encode(adt("FIX")).decode())
    copy_id = items(desk, replay_id)[0].copy_id
    copy = desk.verb("messages.show", id=copy_id, body=True)
    assert (copy["body"], copy["message"].keys.control_id) == (adt("FIX"), "FIX")
    original = desk.verb("messages.show", id=message_id, body=True)
    assert (original["body"], original["message"].state) == (b"PID|1\r", MessageState.CLOSED)
    plan, replay = desk.verb("replays.of", id=message_id)
    assert (plan.copy_id, plan.state, replay.message_id, replay.copy_id) == (None, "planned", message_id, copy_id)
    assert desk.verb("replays.of", id=copy_id) == [replay]


def test_a_new_intent_gets_keys_of_its_own(desk: Desk) -> None:
    message_id = sent(desk, "A1", ("relay", "relay_out"))
    replay_id = done(desk, wanted={"ids": [message_id]}, to="relay_out", new_intent=True, reason="twice")
    (row,) = items(desk, replay_id)
    assert row.key == f"{desk.store.name}-{message_id}.r{replay_id}-relay-relay_out"


def test_a_replay_that_was_refused_again_says_so(desk: Desk) -> None:
    desk.dead_delivery()
    desk.road.outcomes["relay_out"] = DeliveryState.DEAD
    replay_id = done(desk, dead=True)
    (tally,) = desk.verb("replays.show", id=replay_id)["tallies"]
    assert (tally.verdict, tally.state, tally.delivery_state, tally.count) == ("send", "applied", "dead", 1)
    assert events(desk, ReplayFinished)[0].dead == 1


def test_it_waits_for_a_destination_and_can_be_held_resumed_and_cancelled(desk: Desk) -> None:
    ids = [sent(desk, f"A{number}", ("relay", "relay_out")) for number in range(100)]
    desk.road.outcomes["relay_out"] = None
    replay_id = planned(desk, wanted={"ids": ids}, to="relay_out", again=True)
    desk.verb("replays.apply", id=replay_id)
    until(desk, replay_id, lambda shown: "64 to relay_out" in shown["waits_for"])
    desk.verb("replays.hold", id=replay_id, reason="a pause")
    until(desk, replay_id, lambda shown: not shown["waits_for"])
    with pytest.raises(ControlError, match="only one that runs"):
        desk.verb("replays.hold", id=replay_id)
    desk.verb("replays.resume", id=replay_id)
    until(desk, replay_id, lambda shown: "64 to relay_out" in shown["waits_for"])
    desk.verb("replays.cancel", id=replay_id, reason="enough")
    until(desk, replay_id, lambda shown: not shown["waits_for"])
    assert len(desk.road.offered) == 64
    assert [type(event) for event in desk.events if type(event) in (ReplayHeld, ReplayResumed, ReplayCancelled)] == [
        ReplayHeld,
        ReplayResumed,
        ReplayCancelled,
    ]
    with pytest.raises(ControlError, match="it is over already"):
        desk.verb("replays.cancel", id=replay_id)


def test_a_plan_can_be_applied_once_in_time_and_as_it_was_shown(desk: Desk) -> None:
    message_id = sent(desk, "A1", ("relay", "relay_out"))
    replay_id = planned(desk, wanted={"ids": [message_id]}, again=True)
    with pytest.raises(ControlError, match="is not the plan with digest beef"):
        desk.verb("replays.apply", id=replay_id, digest="beef")
    desk.clock.advance(86_401)
    with pytest.raises(ControlError, match="planned too long ago"):
        desk.verb("replays.apply", id=replay_id)
    second = planned(desk, wanted={"ids": [message_id]}, again=True)
    assert said(desk, second)[0][1] != "blocked", "a plan whose time is over holds nothing back"
    desk.verb("replays.apply", id=second)
    with pytest.raises(ControlError, match="was applied already"):
        desk.verb("replays.apply", id=second)
    with pytest.raises(ControlError, match="there is no replay 99"):
        desk.verb("replays.apply", id=99)
    assert events(desk, ReplayExpired) == [], "nobody looked yet"


def test_what_was_searched_for_is_not_shown(desk: Desk) -> None:
    desk.receive()
    replay_id = planned(desk, wanted={"text": "123^^^MR", "keys": [["mrn", "123"]]})
    assert "123" not in str(desk.verb("replays.show", id=replay_id)["replay"]["asked"])
    assert desk.verb("replays.show", id=replay_id)["replay"]["asked"] == {
        "wanted": {"text": "***", "keys": "***"},
        "generation": "now",
    }


def test_more_than_a_page_is_planned_and_applied_in_order(desk: Desk) -> None:
    ids = desk.receive_many(150)
    for message_id in ids:
        desk.hand_on(message_id, ("relay", "relay_out"))
    dead = [desk.verb("messages.show", id=one)["deliveries"][0].id for one in ids]
    for message_id, delivery_id in zip(ids, dead, strict=True):
        desk.settle(message_id, delivery_id, DeliveryState.DEAD, "ack-AR")
    replay_id = done(desk, dead=True, wanted={"ids": ids})
    assert [row.message_id for row in items(desk, replay_id)] == ids
    assert [one.id for one in desk.road.requeued] == dead


def test_a_dead_letter_whose_destination_is_gone_is_blocked(desk: Desk) -> None:
    desk.dead_delivery()
    desk.road.known = {"events": ("events_out",)}
    assert said(desk, planned(desk, dead=True)) == [("relay relay_out", "blocked", "no-destination")]


def test_a_defect_holds_the_replay_and_not_the_daemon(desk: Desk) -> None:
    message_id, _ = desk.dead_delivery()
    replay_id = planned(desk, dead=True)
    desk.road.defect = TypeError("with what a message says")
    desk.verb("replays.apply", id=replay_id)
    held = until_state(desk, replay_id, "held")
    assert held["note"].startswith("TypeError at replay_road.py:")
    assert "message says" not in held["note"]
    assert [event.replay_id for event in events(desk, ReplayFailed)] == [replay_id]
    desk.road.defect = None
    desk.verb("replays.resume", id=replay_id)
    until_state(desk, replay_id, "done")
    assert state_of(desk, message_id) is MessageState.DONE


async def test_a_plan_goes_on_where_an_earlier_run_left_it(tmp_path: Path) -> None:
    emitted = RecordedEvents()
    store = await Store.open(tmp_path, emitted, FakeClock())
    ids = [stored(await store.inbox.put(arrival(n, channel="adt_in", body=adt(str(n))))) for n in range(5)]
    await store.outbox.hand_on([handoff(one, state=MessageState.UNROUTED) for one in ids])
    asked = msgspec.json.encode(ReplayAsk(wanted=Selection(channel="adt_in"))).decode()
    replay_id = await store.replays.begin(NewReplay("anna", "", asked))
    edited = await store.replays.begin(NewReplay("anna", "", asked, adt("X"), Keys()))
    first = PlannedItem(ids[1], ids[1], Verdict.BLOCKED, "", "", "kept", "planned by the run before")
    await store.replays.add(PlannedPage(replay_id, ids[1], [first], is_last=False))
    road = ScriptedRoad(store, {"relay": ("relay_out",)})
    replaying = Replaying((store.replays, store.history), road, road, ReplayOptions(), emitted, FakeClock())
    task = asyncio.create_task(replaying.run())
    await waiting.until(lambda: emitted.of(ReplayPlanned) and emitted.of(ReplayFailed))
    rows = await store.replays.items(replay_id, 0, 10)
    assert [row.message_id for row in rows] == ids[1:]
    assert [row.cause for row in rows] == ["kept", *["new-way"] * 3]
    failed = await store.replays.row(edited)
    assert failed is not None
    assert (failed.state, "plan it again" in failed.note) == ("failed", True)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await store.close()
