"""The outbox port: handing on, claiming, settling, and what is still open after a restart."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hcsyncd.errors import StoreError
from hcsyncd.message import Delivery, DeliveryState, Message, MessageState
from hcsyncd.store.ports import Blocked, NewDelivery
from tests.fakes.clock import START
from tests.fakes.store_drivers import Open, Ports
from tests.fakes.stored import arrival, delivery, handoff, outcome, stored


async def put(store: Ports, number: int = 1) -> int:
    return stored(await store.inbox.put(arrival(number)))


async def message_state(store: Ports, message_id: int) -> MessageState:
    row = await store.history.message(message_id)
    assert row is not None
    return row.state


async def hand_on(store: Ports, message_id: int, *deliveries: NewDelivery) -> list[int]:
    (ids,) = await store.outbox.hand_on([handoff(message_id, *deliveries)])
    return ids


async def still_open(store: Ports, destination: str = "erp", lane: str = "erp") -> list[Delivery]:
    return await store.outbox.open_deliveries(destination, lane, 0, 100, 1 << 20)


async def test_a_delivery_comes_back_whole(store: Ports) -> None:
    message_id = await put(store)
    made = delivery(
        body=b"out", content_type="application/json", key="k-1", type="ADT^A01", control_id="C9", headers={"X-A": "b"}
    )
    (delivery_id,) = await hand_on(store, message_id, made)
    (found,) = await still_open(store)
    assert (found.id, found.message_id, found.route, found.destination, found.lane) == (
        delivery_id,
        message_id,
        "r1",
        "erp",
        "erp",
    )
    assert (found.state, found.attempt, found.due_at, found.first_tried_at) == (DeliveryState.READY, 0, 0, 0)
    assert found.created_at == START
    envelope = found.envelope
    assert (envelope.delivery_id, envelope.message_id, envelope.body) == (delivery_id, message_id, b"out")
    assert (envelope.content_type, envelope.idempotency_key) == ("application/json", "k-1")
    assert (envelope.type, envelope.control_id, dict(envelope.headers)) == ("ADT^A01", "C9", {"X-A": "b"})
    assert (envelope.attempt, envelope.lane, envelope.route) == (1, "erp", "r1")


async def test_without_a_body_of_its_own_a_delivery_takes_the_messages(store: Ports) -> None:
    message_id = await put(store)
    (message,) = await store.inbox.received("adt", 0, 1, 1000)
    await hand_on(store, message_id, delivery())
    (found,) = await still_open(store)
    assert found.envelope.body == message.body


async def test_each_handoff_gets_the_ids_of_its_deliveries_in_order(store: Ports) -> None:
    first, second, third = [await put(store, number) for number in range(3)]
    ids = await store.outbox.hand_on(
        [
            handoff(first, delivery("a"), delivery("b")),
            handoff(second, state=MessageState.UNROUTED),
            handoff(third, delivery("a")),
        ]
    )
    assert [len(of_one) for of_one in ids] == [2, 0, 1]
    flat = [one for of_one in ids for one in of_one]
    assert flat == sorted(set(flat))
    assert [row.id for row in await store.history.deliveries([first, third])] == flat
    assert [await message_state(store, one) for one in (first, second, third)] == ["routed", "unrouted", "routed"]


async def test_one_body_to_many_destinations_is_sent_alike(store: Ports) -> None:
    message_id = await put(store)
    ids = await hand_on(store, message_id, *(delivery(name, body=b"same" + bytes(1)) for name in "abc"))
    assert [await store.history.sent_body(one) for one in ids] == [b"same\0"] * 3


async def test_a_message_is_handed_on_once(store: Ports) -> None:
    first, second = await put(store, 1), await put(store, 2)
    await hand_on(store, first, delivery())
    ids = await store.outbox.hand_on([handoff(first, delivery()), handoff(second, delivery())])
    assert [len(of_one) for of_one in ids] == [0, 1]
    assert [found.message_id for found in await still_open(store)] == [first, second]


async def test_the_same_message_twice_in_one_call_is_handed_on_once(store: Ports) -> None:
    message_id = await put(store)
    both = asyncio.gather(*(store.outbox.hand_on([handoff(message_id, delivery())]) for _ in range(2)))
    assert sorted(len(ids[0]) for ids in await both) == [0, 1]


async def test_a_failed_route_leaves_a_dead_delivery_beside_the_living(store: Ports) -> None:
    message_id = await put(store)
    failed = delivery("b", state=DeliveryState.DEAD, cause="transform-failed", text="no PID")
    ids = await hand_on(store, message_id, delivery("a"), failed)
    assert await message_state(store, message_id) is MessageState.ROUTED
    rows = await store.history.deliveries([message_id])
    assert [(row.id, row.state, row.made, row.cause, row.text) for row in rows] == [
        (ids[0], "ready", True, "", ""),
        (ids[1], "dead", False, "transform-failed", "no PID"),
    ]
    with pytest.raises(StoreError, match="not in the store"):
        await store.history.sent_body(ids[1])


async def test_a_message_all_of_whose_routes_failed_is_dead(store: Ports) -> None:
    message_id = await put(store)
    await hand_on(store, message_id, delivery(state=DeliveryState.DEAD, cause="transform-failed", text="no PID"))
    row = await store.history.message(message_id)
    assert row is not None
    assert (row.state, row.cause, row.text) == ("dead", "transform-failed", "no PID")


async def test_a_message_is_done_when_its_last_delivery_is_sent(store: Ports) -> None:
    message_id = await put(store)
    one, two = await hand_on(store, message_id, delivery("a"), delivery("b"))
    assert await store.outbox.settle(outcome(one, message_id)) is MessageState.ROUTED
    assert await message_state(store, message_id) is MessageState.ROUTED
    assert await store.outbox.settle(outcome(two, message_id)) is MessageState.DONE
    assert await message_state(store, message_id) is MessageState.DONE


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("sent", "sent", "done"),
        ("dead", "sent", "dead"),
        ("sent", "dead", "dead"),
        ("dead", "waiting", "routed"),
        ("dead", "unsure", "routed"),
        ("sent", "parked", "routed"),
        ("closed", "sent", "done"),
    ],
)
async def test_a_message_stands_as_its_deliveries_do(store: Ports, first: str, second: str, expected: str) -> None:
    message_id = await put(store)
    one, two = await hand_on(store, message_id, delivery("a"), delivery("b"))
    states = await asyncio.gather(
        store.outbox.settle(outcome(one, message_id, DeliveryState(first))),
        store.outbox.settle(outcome(two, message_id, DeliveryState(second))),
    )
    assert states[1] == expected
    assert await message_state(store, message_id) == expected


async def test_attempts_are_kept_with_what_the_other_side_said(store: Ports) -> None:
    message_id = await put(store)
    (delivery_id,) = await hand_on(store, message_id, delivery())
    failed = outcome(
        delivery_id, message_id, DeliveryState.WAITING, 1, due_at=77, cause="http-503", text="503 busy", answer=b"busy"
    )
    await store.outbox.settle(failed)
    (waiting,) = await still_open(store)
    assert (waiting.state, waiting.attempt, waiting.due_at) == (DeliveryState.WAITING, 1, 77)
    assert waiting.first_tried_at == failed.started_at
    assert waiting.envelope.attempt == 2
    await store.outbox.settle(outcome(delivery_id, message_id, DeliveryState.WAITING, 2, due_at=88))
    (waiting,) = await still_open(store)
    assert waiting.first_tried_at == failed.started_at, "the first try is remembered"
    done = outcome(delivery_id, message_id, DeliveryState.SENT, 3, text="201 Created", answer=b"ok")
    await store.outbox.settle(done)
    attempts = await store.history.attempts([delivery_id])
    assert [(one.number, one.state, one.cause, one.text, one.answer) for one in attempts] == [
        (1, "waiting", "http-503", "503 busy", b"busy"),
        (2, "waiting", "", "", b""),
        (3, "sent", "", "201 Created", b"ok"),
    ]
    assert (attempts[0].started_at, attempts[0].ended_at) == (failed.started_at, failed.ended_at)
    (row,) = await store.history.deliveries([message_id])
    assert (row.state, row.attempt, row.settled_at, row.text) == ("sent", 3, done.ended_at, "201 Created")


async def test_an_outcome_of_nothing_fails_alone(store: Ports) -> None:
    message_id = await put(store)
    (delivery_id,) = await hand_on(store, message_id, delivery())
    good, bad = await asyncio.gather(
        store.outbox.settle(outcome(delivery_id, message_id)),
        store.outbox.settle(outcome(delivery_id + 1000, message_id)),
        return_exceptions=True,
    )
    assert good is MessageState.DONE
    assert isinstance(bad, StoreError)
    assert await store.history.attempts([delivery_id + 1000]) == []


async def test_a_claim_is_found_after_a_crash(reopen: Open) -> None:
    store = await reopen()
    message_id = await put(store)
    one, two = await hand_on(store, message_id, delivery(), delivery())
    await store.outbox.claim([one])
    found = await still_open(await reopen())
    assert [(item.id, item.state) for item in found] == [(one, "sending"), (two, "ready")]


async def test_a_claim_opens_nothing_that_is_settled(store: Ports) -> None:
    message_id = await put(store)
    (delivery_id,) = await hand_on(store, message_id, delivery())
    await store.outbox.settle(outcome(delivery_id, message_id))
    await store.outbox.claim([delivery_id])
    assert await still_open(store) == []


@pytest.mark.parametrize("rounds", [1, 3])
async def test_claims_and_outcomes_of_one_delivery_keep_their_order(store: Ports, rounds: int) -> None:
    message_id = await put(store)
    (delivery_id,) = await hand_on(store, message_id, delivery())
    calls: list[asyncio.Future[Any]] = []
    for attempt in range(1, rounds + 1):
        calls.append(store.outbox.claim([delivery_id]))
        calls.append(
            store.outbox.settle(outcome(delivery_id, message_id, DeliveryState.WAITING, attempt, due_at=attempt))
        )
    calls.append(store.outbox.claim([delivery_id]))
    await asyncio.gather(*calls)
    (found,) = await still_open(store)
    assert (found.state, found.attempt, found.due_at) == (DeliveryState.SENDING, rounds, rounds)
    assert [one.number for one in await store.history.attempts([delivery_id])] == list(range(1, rounds + 1))


async def test_open_deliveries_come_by_lane_in_order_and_in_pages(store: Ports) -> None:
    ids: dict[str, list[int]] = {"a": [], "b": []}
    for number in range(8):
        lane = "ab"[number % 2]
        ids[lane] += await hand_on(store, await put(store, number), delivery(lane=lane, body=b"x" * 10))
    message_ids = {row.id: row.message_id for row in await store.history.deliveries(list(range(1, 9)))}
    sent, waiting, claimed = ids["a"][0], ids["a"][1], ids["a"][2]
    await store.outbox.settle(outcome(sent, message_ids[sent]))
    await store.outbox.settle(outcome(waiting, message_ids[waiting], DeliveryState.WAITING, due_at=99))
    await store.outbox.claim([claimed])
    outbox = store.outbox
    assert [one.id for one in await outbox.open_deliveries("erp", "a", 0, 10, 1000)] == ids["a"][1:]
    assert [one.id for one in await outbox.open_deliveries("erp", "a", waiting, 1, 1000)] == [claimed]
    assert [one.id for one in await outbox.open_deliveries("erp", "b", 0, 10, 1)] == ids["b"][:1]
    assert [one.id for one in await outbox.open_deliveries("erp", "b", 0, 10, 20)] == ids["b"][:2]
    assert await outbox.open_deliveries("other", "a", 0, 10, 1000) == []
    found = await outbox.open_lanes("erp")
    assert {lane: stand.deliveries for lane, stand in found.items()} == {"a": 3, "b": 4}
    assert await outbox.open_lanes("other") == {}


async def test_lanes_with_a_delivery_that_waits_for_a_person_are_named(store: Ports) -> None:
    stands = [("a", "dead"), ("b", "unsure"), ("c", "sent"), ("d", "waiting"), ("e", "parked"), ("a", "dead")]
    for number, (lane, state) in enumerate(stands):
        message_id = await put(store, number)
        (delivery_id,) = await hand_on(store, message_id, delivery(lane=lane))
        await store.outbox.settle(outcome(delivery_id, message_id, DeliveryState(state)))
    assert await store.outbox.blocked_lanes("erp") == [
        Blocked("a", "r1", DeliveryState.DEAD, (1, 6)),
        Blocked("b", "r1", DeliveryState.UNSURE, (2,)),
        Blocked("e", "r1", DeliveryState.PARKED, (5,)),
    ]
    assert await store.outbox.blocked_lanes("other") == []


async def test_a_restart_resumes_what_was_under_way_in_order(reopen: Open) -> None:
    store = await reopen()
    ids = [await put(store, number) for number in range(6)]
    handed = await store.outbox.hand_on([handoff(one, delivery()) for one in ids[:4]])
    flat = [one for of_one in handed for one in of_one]
    await store.outbox.settle(outcome(flat[1], ids[1]))
    store = await reopen()
    messages: list[Message] = await store.inbox.received("adt", 0, 10, 1 << 20)
    assert [message.id for message in messages] == ids[4:]
    assert [found.id for found in await still_open(store)] == [flat[0], flat[2], flat[3]]
    assert await hand_on(store, ids[4], delivery()) > [max(flat)]
