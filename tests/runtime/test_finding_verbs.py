"""The verbs that find, show, compare, explain and watch, on a real store."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hcsyncd.errors import ControlError
from hcsyncd.flow.lane import LaneFacts
from hcsyncd.message import DeliveryState, Keys
from hcsyncd.runtime.indexing import Indexer
from hcsyncd.runtime.verb import Access
from tests.fakes.desk import Desk, adt
from tests.fakes.waiting import until

MRN = ("mrn", "123")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with Desk(tmp_path / "site") as desk:
        desk.lookout.keys = {"adt_in": {"mrn": "PID-3.1"}}
        yield desk


def found(desk: Desk, word: str) -> list[tuple[str, list[int], int]]:
    return [(one.by, [row.id for row in one.rows], one.delivery) for one in desk.verb("find", word=word)["matches"]]


def access(desk: Desk, name: str, **args: Any) -> Access:
    verb = desk.verbs[name]
    return verb.access_of(verb.read(args))


# Finding


def test_a_word_is_taken_for_all_that_it_may_mean(desk: Desk) -> None:
    one = desk.receive("A1", business_keys=(MRN,))
    other = desk.receive("1", facts={"file": "in/adt-1.hl7"})
    (delivery_id,) = desk.hand_on(other, ("relay", "relay_out"))
    assert found(desk, "1") == [
        ("message id", [one], 0),
        ("delivery id", [other], delivery_id),
        ("control id", [other], 0),
    ]
    assert found(desk, " 123 ") == [("key mrn", [one], 0)]
    assert found(desk, "mrn=123") == [("key mrn", [one], 0)]
    assert found(desk, "adt-1.hl7") == [("wire fact", [other], 0)]
    for nothing in ("mrn=124", "nothing", "9" * 30, "A*", "*"):
        assert found(desk, nothing) == [], nothing


def test_an_idempotency_key_leads_to_its_delivery(desk: Desk) -> None:
    message_id = desk.receive()
    (delivery_id,) = desk.hand_on(message_id, ("relay", "relay_out"))
    key = f"{desk.store.name}-{message_id}-relay-relay_out"
    assert found(desk, key) == [("idempotency key", [message_id], delivery_id)]
    assert found(desk, f"{key}-1") == []


def test_a_search_ends_at_its_bound_and_says_where(desk: Desk) -> None:
    ids = desk.receive_many(5)
    looked = desk.verb("messages.search", type="ORM*", look=2)
    assert (looked["rows"], looked["looked_to"], looked["messages"]) == ([], ids[3], 2)
    assert looked["looked_to_at"]
    looked = desk.verb("messages.search", type="ORM*", after_id=ids[3])
    assert looked["looked_to"] == 0


def test_unknown_names_in_a_search_that_finds_nothing_are_told(desk: Desk) -> None:
    assert desk.verb("messages.search", channel="adt_inn")["hints"] == [
        "there is no channel adt_inn: did you mean adt_in?"
    ]
    hints = desk.verb("messages.search", keys=[["mnr", "1"]], route="relais", destination="lab")["hints"]
    assert len(hints) == 3
    assert desk.verb("messages.search", channel="adt_in")["hints"] == []


def test_whoever_looks_by_a_key_or_a_text_sees(desk: Desk) -> None:
    for verb in ("messages.search", "messages.list"):
        assert access(desk, verb, channel="adt_in") is Access.LOOKS
        assert access(desk, verb, keys=[list(MRN)]) is Access.SEES
        assert access(desk, verb, text="doe") is Access.SEES
    assert access(desk, "find", word="x") is Access.SEES
    assert access(desk, "messages.show", id=1) is Access.LOOKS
    assert access(desk, "messages.show", id=1, values=True) is Access.SEES
    assert access(desk, "messages.diff", id=1) is Access.LOOKS
    assert access(desk, "messages.diff", id=1, values=True) is Access.SEES
    assert access(desk, "tap.start") is Access.LOOKS
    assert access(desk, "tap.start", unmasked=True) is Access.SEES


# Showing and comparing


def test_fields_are_masked_unless_their_values_are_asked_for(desk: Desk) -> None:
    message_id = desk.receive(business_keys=(MRN,))
    shown = desk.verb("messages.show", id=message_id)
    fields = {field.path: field.value for field in shown["read"].fields}
    assert (fields["PID-3.1"], fields["MSH-10"], shown["read"].version) == ("999", "M1", "2.5")
    assert "keys" not in shown
    shown = desk.verb("messages.show", id=message_id, values=True)
    assert {field.path: field.value for field in shown["read"].fields}["PID-3.1"] == "123"
    assert [(key.name, key.value) for key in shown["keys"]] == [MRN]
    assert "body" not in shown


def test_a_body_that_cannot_be_read_says_why(desk: Desk) -> None:
    assert "cannot be read as hl7" in desk.verb("messages.show", id=desk.dead_on_arrival())["read"].problem
    elsewhere = desk.receive("A2", channel="gone_in")
    assert "not known" in desk.verb("messages.show", id=elsewhere)["read"].problem


def test_two_messages_are_compared_field_by_field(desk: Desk) -> None:
    one, other = desk.receive("A1"), desk.receive("A2", body=adt("A2").replace(b"123", b"456"))
    (compared,) = desk.verb("messages.diff", id=one, other=other, values=True)["comparisons"]
    assert [(change.path, change.was, change.now) for change in compared["changes"]] == [
        ("MSH-10", "A1", "A2"),
        ("PID-3.1", "123", "456"),
    ]
    (compared,) = desk.verb("messages.diff", id=one, other=other)["comparisons"]
    assert [(change.path, change.was, change.now) for change in compared["changes"]][1] == ("PID-3.1", "999", "999")


def test_what_was_sent_in_another_format_tells_where_its_values_come_from(desk: Desk) -> None:
    message_id = desk.receive(body=adt("M1").replace(b"123", b"admission"))
    (delivery_id, _) = desk.hand_on(message_id, ("events", "events_out"), ("relay", "relay_out"))
    (compared,) = desk.verb("messages.diff", id=message_id, delivery=delivery_id, values=True)["comparisons"]
    assert compared["fields"] == [{"path": "event", "value": "admission", "from": "PID-3.1"}]
    assert len(desk.verb("messages.diff", id=message_id)["comparisons"]) == 2
    with pytest.raises(ControlError, match="has no delivery 99 to compare with"):
        desk.verb("messages.diff", id=message_id, delivery=99)
    with pytest.raises(ControlError, match="there is no message 99"):
        desk.verb("messages.diff", id=message_id, other=99)


# Explaining


def test_why_says_it_of_a_message_and_its_deliveries(desk: Desk) -> None:
    first, _ = desk.receive("A1"), desk.receive("A2")
    assert desk.verb("why", id=first)["messages"][0]["why"].code == "next"
    assert desk.verb("why", id=first + 1)["messages"][0]["why"].code == "backlog"
    (delivery_id,) = desk.hand_on(first, ("relay", "relay_out"))
    (one,) = desk.verb("why", id=first)["deliveries"]
    assert (one["why"].code, one["why"].next_at) == ("destination-down", 1_700_000_030_000_000)
    assert desk.verb("why", delivery=delivery_id)["deliveries"] == [one]
    for args, complaint in (({"id": 99}, "no message 99"), ({"delivery": 99}, "no delivery 99")):
        with pytest.raises(ControlError, match=complaint):
            desk.verb("why", **args)


def test_why_without_an_id_tells_all_that_is_open(desk: Desk) -> None:
    waiting = desk.receive("A1")
    dead, delivery_id = desk.dead_delivery("A2")
    behind = desk.receive("A3")
    (blocked,) = desk.hand_on(behind, ("relay", "relay_out"))
    desk.lookout.lanes["relay_out", ""] = LaneFacts(behind=delivery_id)
    told = desk.verb("why")
    assert [one["message"].id for one in told["messages"]] == [waiting]
    whys = {one["delivery"].id: one["why"] for one in told["deliveries"]}
    assert whys[delivery_id].command == f"hcsyncd dead show {dead}"
    assert (whys[blocked].code, whys[blocked].behind) == ("lane-held", delivery_id)
    assert "which is dead" in whys[blocked].text
    listed = desk.verb("messages.search", state="routed", why=True)
    assert listed["why"] == {str(behind): whys[blocked]}


def test_a_trace_tells_what_is_missing(desk: Desk) -> None:
    dead, delivery_id = desk.dead_delivery("A1")
    traced = desk.verb("messages.trace", id=dead)
    (missing,) = traced["missing"]
    assert (missing.delivery_id, missing.why.code) == (delivery_id, "dead")
    message_id = desk.receive("A2")
    (delivery_id,) = desk.hand_on(message_id, ("events", "events_out"))
    desk.settle(message_id, delivery_id, DeliveryState.SENT)
    assert desk.verb("messages.trace", id=message_id)["missing"] == []


def test_a_trace_is_found_by_what_a_person_has(desk: Desk) -> None:
    one = desk.receive("A1", business_keys=(MRN,))
    other = desk.receive("A2", business_keys=(MRN,))
    for word, traces in ((str(one), [one]), ("A2", [other]), ("mrn=123", [other, one])):
        assert [found["trace"] for found in desk.verb("trace", word=word)["traces"]] == traces, word
    with pytest.raises(ControlError, match="nothing is found by 'x'"):
        desk.verb("trace", word="x")


# Watching


def test_a_tap_tells_what_passes_from_its_beginning_on(desk: Desk) -> None:
    desk.receive("OLD")
    tap = desk.verb("tap.start", points=["adt_in", "relay", "relay_out"])["tap"]
    assert desk.verb("tap.next", tap=tap) == {"passed": []}
    message_id = desk.receive("A1")
    (delivery_id,) = desk.hand_on(message_id, ("relay", "relay_out"))
    desk.settle(message_id, delivery_id, DeliveryState.WAITING, "connect-refused")
    passed = desk.verb("tap.next", tap=tap)["passed"]
    assert {(one.point, one.what, one.cause) for one in passed} == {
        ("adt_in", "arrived", ""),
        ("relay", "made", ""),
        ("relay_out", "waiting", "connect-refused"),
    }
    arrived = next(one for one in passed if one.what == "arrived")
    assert {field.path: field.value for field in arrived.read.fields}["PID-3.1"] == "999"
    assert desk.verb("tap.next", tap=tap) == {"passed": []}
    desk.verb("tap.stop", tap=tap)
    with pytest.raises(ControlError, match="no such tap"):
        desk.verb("tap.next", tap=tap)


def test_a_tap_narrows_and_unmasks(desk: Desk) -> None:
    tap = desk.verb("tap.start", type="ADT^A03", unmasked=True)["tap"]
    desk.receive("A1")
    discharge = desk.receive("A2", keys=Keys("ADT^A03", "A2", "EHR", "RX"))
    (passed,) = desk.verb("tap.next", tap=tap)["passed"]
    assert passed.message.id == discharge
    assert {field.path: field.value for field in passed.read.fields}["PID-3.1"] == "123"


def test_a_tap_of_a_point_that_is_not_there_is_refused(desk: Desk) -> None:
    with pytest.raises(ControlError, match="there is no channel or route adt_inn: did you mean adt_in"):
        desk.verb("tap.start", points=["adt_inn"])


def test_a_tap_that_nobody_polls_is_forgotten(desk: Desk) -> None:
    tap = desk.verb("tap.start")["tap"]
    desk.clock.advance(121)
    desk.verb("tap.start")
    with pytest.raises(ControlError, match="no such tap"):
        desk.verb("tap.next", tap=tap)


# Reading stored messages for their keys


def test_messages_stored_before_are_read_for_their_keys(desk: Desk) -> None:
    desk.lookout.keys["events_out"] = {"event": "event"}
    ids = desk.receive_many(250)
    desk.dead_on_arrival()
    desk.hand_on(ids[0], ("events", "events_out"))
    assert desk.verb("search.reindexing")["reindexing"] is None
    desk.verb("search.reindex")

    async def read_all() -> None:
        # Ended in the middle, as by a restart, and begun again: it goes on where it was.
        for enough in (100, 250):
            indexer = Indexer(desk.store.history, desk.store.search, desk.lookout, desk.clock)
            await _run_until(indexer, desk, enough)

    desk.run(read_all())
    standing = desk.verb("search.reindexing")["reindexing"]
    assert (standing.found, bool(standing.ended_at)) == (251, True)
    assert len(desk.verb("messages.list", keys=[list(MRN)], limit=1000)) == 250
    assert [row.id for row in desk.verb("messages.list", keys=[["event", "admission"]])] == [ids[0]]


async def _run_until(indexer: Indexer, desk: Desk, keys: int) -> None:
    task = asyncio.create_task(indexer.run())
    standings: list[Any] = []

    async def look() -> None:
        while True:
            standings.append(await desk.store.search.reindexing())
            await asyncio.sleep(0.005)

    looking = asyncio.create_task(look())
    await until(lambda: standings and (standings[-1].ended_at or (standings[-1].found >= keys and keys < 250)))
    for one in (task, looking):
        one.cancel()
    await asyncio.gather(task, looking, return_exceptions=True)


def test_no_answer_holds_a_value_that_was_not_asked_for(desk: Desk) -> None:
    marked = adt("M1").replace(b"123", b"MARK77")
    message_id = desk.receive(body=marked, business_keys=(("mrn", "MARK77"),))
    desk.hand_on(message_id, ("events", "events_out"))
    tap = desk.verb("tap.start")["tap"]
    desk.receive("M2", body=marked.replace(b"M1", b"M2"))
    answers = [
        desk.verb("messages.show", id=message_id),
        desk.verb("messages.diff", id=message_id),
        desk.verb("messages.trace", id=message_id),
        desk.verb("messages.search", why=True),
        desk.verb("find", word="M1"),
        desk.verb("why"),
        desk.verb("tap.next", tap=tap),
    ]
    assert "MARK77" not in json.dumps(answers, default=repr)
