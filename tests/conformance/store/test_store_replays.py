"""The replays' port: plans kept and applied once, each step whole, each item judged anew."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hcsyncd.errors import StoreError
from hcsyncd.message import DeliveryState, Keys, MessageState
from hcsyncd.store.ports import (
    Applied,
    BodySource,
    ItemState,
    NewDelivery,
    NewReplay,
    PlannedItem,
    PlannedPage,
    ReplayState,
    Step,
    Turn,
    Verdict,
)
from tests.fakes.clock import START
from tests.fakes.store_drivers import Open, Ports
from tests.fakes.stored import arrival, delivery, handoff, known, outcome, replayed, stored

MANY = 1000


async def sent(store: Ports, number: int, *destinations: str) -> int:
    """A message that was sent to these destinations."""
    return await settled(store, number, DeliveryState.SENT, *(destinations or ("erp",)))


async def settled(store: Ports, number: int, state: DeliveryState, *destinations: str) -> int:
    message_id = stored(await store.inbox.put(arrival(number)))
    made = (delivery(name, key=f"s-{message_id}-r1-{name}") for name in destinations)
    (ids,) = await store.outbox.hand_on([handoff(message_id, *made)])
    for delivery_id in ids:
        await store.outbox.settle(outcome(delivery_id, message_id, state))
    return message_id


def anew(message_id: int, destination: str = "erp", **fields: Any) -> PlannedItem:
    """One way, to be made anew from the message's own bytes."""
    key = fields.pop("key", f"s-{message_id}-r1-{destination}")
    body = fields.pop("body", None)
    made = NewDelivery("r1", destination, "patient 7", "text/plain", key, body, headers={"name": "x"}, generation=4)
    known: dict[str, Any] = {
        "message_id": message_id,
        "intent": message_id,
        "verdict": Verdict.SEND,
        "route": "r1",
        "destination": destination,
        "key": key,
        "made": made,
        "body_source": BodySource.MESSAGE if body is None else BodySource.MADE,
        "body_digest": "00",
    }
    return PlannedItem(**(known | fields))


async def begin(store: Ports, *items: PlannedItem, body: bytes | None = None, keys: Keys | None = None) -> int:
    """A plan of these items, ready to be applied."""
    replay_id = await store.replays.begin(NewReplay("anna", "why", '{"wanted":{}}', body, keys))
    await store.replays.add(PlannedPage(replay_id, 99, items, is_last=True, expire_secs=60))
    return replay_id


async def apply(store: Ports, replay_id: int, digest: str = "") -> Turn:
    row = await store.replays.row(replay_id)
    assert row is not None
    return await store.replays.apply(replay_id, "bert", digest or row.digest)


async def step(store: Ports, replay_id: int, *reachable: str, **fields: Any) -> Applied:
    names = reachable or ("erp",)
    known: dict[str, Any] = {
        "room": dict.fromkeys(names, MANY),
        "reachable": frozenset(names),
        "in_line": frozenset(),
        "messages": 16,
        "again": True,
    }
    return await store.replays.step(Step(replay_id, **(known | fields)))


async def states(store: Ports, replay_id: int) -> list[tuple[int, str, ItemState, str]]:
    rows = await store.replays.items(replay_id, 0, MANY)
    return [(row.message_id, row.destination, row.state, row.cause) for row in rows]


async def test_a_plan_is_kept_as_it_was_made(store: Ports, reopen: Open) -> None:
    message_id = await sent(store, 1)
    suppressed = PlannedItem(message_id, message_id, Verdict.SUPPRESSED, "r1", "lab", "already-sent", "sent before")
    replay_id = await begin(store, anew(message_id), suppressed)
    again = await reopen()
    (row,) = await again.replays.rows()
    assert (row.id, row.state, row.author, row.reason, row.position) == (
        replay_id,
        ReplayState.PLANNED,
        "anna",
        "why",
        99,
    )
    assert row.expires_at == row.planned_at + 60_000_000
    first, second = await again.replays.items(replay_id, 0, MANY)
    assert (first.verdict, first.state, first.generation, first.bytes) == (
        Verdict.SEND,
        ItemState.PENDING,
        4,
        len(arrival(1).body),
    )
    assert (second.verdict, second.state, second.text) == (Verdict.SUPPRESSED, ItemState.SUPPRESSED, "sent before")
    assert await again.replays.items(replay_id, first.id, MANY) == [second]


async def test_the_digest_is_of_the_items_and_not_of_the_pages(store: Ports) -> None:
    ids = [await sent(store, number) for number in range(4)]
    whole = await begin(store, *(anew(one) for one in ids))
    await store.replays.cancel(whole, "")
    parted = await store.replays.begin(NewReplay("anna", "", "{}"))
    for one in ids:
        await store.replays.add(PlannedPage(parted, one, [anew(one)], is_last=one == ids[-1], expire_secs=60))
    await store.replays.cancel(parted, "")
    other = await begin(store, *(anew(one, body_digest="01") for one in ids))
    digests = [row.digest for row in await store.replays.rows()]
    assert digests[1] == digests[2]
    assert digests[0] != digests[1]
    assert other == parted + 1


async def test_it_is_applied_once(store: Ports, reopen: Open) -> None:
    replay_id = await begin(store, anew(await sent(store, 1)))
    assert not (await apply(store, replay_id, "another")).made
    first, second = await asyncio.gather(apply(store, replay_id), apply(store, replay_id))
    assert sorted([first.made, second.made]) == [False, True]
    assert (second.replay.state, second.replay.applied_by) == (ReplayState.RUNNING, "bert")
    assert not (await apply(await reopen(), replay_id)).made


async def test_a_plan_whose_time_is_over_is_not_applied(store: Ports) -> None:
    replay_id = await store.replays.begin(NewReplay("anna", "", "{}"))
    await store.replays.add(PlannedPage(replay_id, 1, [], is_last=True, expire_secs=0))
    assert not (await apply(store, replay_id, "x")).made
    assert await store.replays.expire() == [replay_id]
    assert await store.replays.expire() == []


async def test_a_step_makes_the_copy_with_its_deliveries(store: Ports) -> None:
    message_id = await sent(store, 1)
    replay_id = await begin(store, anew(message_id), anew(message_id, "lab", key="k-lab", body=b"other"))
    await apply(store, replay_id)
    applied = await step(store, replay_id, "erp", "lab")
    ((original, copy),) = applied.copies
    assert (original, applied.judged, applied.has_more) == (message_id, 2, False)
    assert [one.message_id for one in applied.made] == [copy, copy]
    assert [one.envelope.body for one in applied.made] == [arrival(1).body, b"other"]
    assert {(one.lane, one.envelope.headers["name"], one.state) for one in applied.made} == {
        ("patient 7", "x", DeliveryState.READY)
    }
    row = await store.history.message(copy)
    assert row is not None
    assert (row.state, row.parent, row.replay_of) == (MessageState.ROUTED, message_id, message_id)
    found = await store.history.deliveries([copy])
    assert [(one.key, one.generation) for one in found] == [(f"s-{message_id}-r1-erp", 4), ("k-lab", 4)]
    assert await states(store, replay_id) == [
        (message_id, "erp", ItemState.APPLIED, ""),
        (message_id, "lab", ItemState.APPLIED, ""),
    ]
    (link,) = await store.replays.links(copy)
    assert (link.replay_id, link.message_id, link.copy_id) == (replay_id, message_id, copy)
    assert await store.replays.links(message_id) == [link]


async def test_messages_come_in_the_order_of_the_originals(store: Ports) -> None:
    ids = [await sent(store, number) for number in range(5)]
    replay_id = await begin(store, *(anew(one) for one in ids))
    await apply(store, replay_id)
    first = await step(store, replay_id, messages=2)
    rest = await step(store, replay_id)
    assert [original for original, _ in first.copies] == ids[:2]
    assert (first.has_more, rest.has_more) == (True, False)
    assert [original for original, _ in rest.copies] == ids[2:]
    made = [one.id for one in (*first.made, *rest.made)]
    assert made == sorted(made)


async def test_a_destination_without_room_is_left_for_later_and_holds_up_no_other(store: Ports) -> None:
    ids = [await sent(store, number, "erp", "lab") for number in range(3)]
    replay_id = await begin(store, *(anew(one, name) for one in ids for name in ("erp", "lab")))
    await apply(store, replay_id)
    first = await step(store, replay_id, room={"erp": MANY, "lab": 1}, reachable=frozenset({"erp", "lab"}))
    assert [(one.destination) for one in first.made] == ["erp", "lab", "erp", "erp"]
    rest = await step(store, replay_id, "erp", "lab")
    assert [one.destination for one in rest.made] == ["lab", "lab"]
    assert [original for original, _ in rest.copies] == ids[1:]


async def test_what_goes_as_it_was_made_does_not_overtake_what_was_made_anew(store: Ports) -> None:
    first = await sent(store, 1)
    dead = await settled(store, 2, DeliveryState.DEAD, "erp")
    (row,) = await store.history.deliveries([dead])
    letter = anew(dead, key=row.key, made=None, as_made=True, stands_for=row.id, earlier_id=row.id)
    replay_id = await begin(store, anew(first), letter)
    await apply(store, replay_id)
    step_one = await step(store, replay_id)
    assert (len(step_one.made), len(step_one.reopened), step_one.has_more) == (1, 0, True)
    assert (await step(store, replay_id, in_line=frozenset({"erp"}))).judged == 0
    step_two = await step(store, replay_id)
    assert [one.id for one in step_two.reopened] == [row.id]
    (row_now,) = await store.history.deliveries([dead])
    assert (row_now.id, row_now.state) == (row.id, DeliveryState.READY)


async def test_each_item_is_judged_anew(store: Ports) -> None:
    before, gone, under_way, settled_one = [await sent(store, number) for number in range(4)]
    dead = await settled(store, 9, DeliveryState.DEAD, "erp")
    (row,) = await store.history.deliveries([dead])
    replay_id = await begin(
        store,
        anew(before),
        anew(gone, "mars"),
        anew(under_way, key="open"),
        anew(settled_one, stands_for=10_000),
        anew(dead, key=row.key, stands_for=row.id),
    )
    await store.repairs.close([], [row.id], "by hand")
    fresh = stored(await store.inbox.put(arrival(20, replay_of=under_way)))
    await store.outbox.hand_on([handoff(fresh, delivery(key="open"))])
    await apply(store, replay_id)
    names = {"erp": MANY, "mars": MANY}
    applied = await step(store, replay_id, room=names, again=False)
    assert (applied.copies, applied.judged, applied.has_more) == ([], 5, False)
    assert sorted(await states(store, replay_id)) == [
        (before, "erp", ItemState.SUPPRESSED, "already-sent"),
        (gone, "mars", ItemState.BLOCKED, "no-destination"),
        (under_way, "erp", ItemState.BLOCKED, "under-way"),
        (settled_one, "erp", ItemState.BLOCKED, "settled-meanwhile"),
        (dead, "erp", ItemState.BLOCKED, "settled-meanwhile"),
    ]


async def test_what_it_stands_in_for_is_closed_and_nothing_else(store: Ports) -> None:
    message_id = await settled(store, 1, DeliveryState.DEAD, "erp", "lab")
    erp, _lab = await store.history.deliveries([message_id])
    replay_id = await begin(store, anew(message_id, key=erp.key, stands_for=erp.id))
    await apply(store, replay_id)
    applied = await step(store, replay_id)
    ((_, copy),) = applied.copies
    assert [one.delivery_id for one in applied.closed] == [erp.id]
    erp_now, lab_now = await store.history.deliveries([message_id])
    assert (erp_now.state, erp_now.text, lab_now.state) == (
        DeliveryState.CLOSED,
        f"replayed as message {copy}",
        DeliveryState.DEAD,
    )
    row = await store.history.message(message_id)
    assert row is not None
    assert row.state is MessageState.DEAD


async def test_a_message_dead_on_arrival_is_closed_once(store: Ports) -> None:
    dead = stored(await store.inbox.put(arrival(1, state=MessageState.DEAD, cause="no-msh", identity=b"")))
    items = [anew(dead, name, stands_for=0) for name in ("erp", "lab")]
    replay_id = await begin(store, *items, body=b"mended", keys=Keys("ADT^A03", "FIX", "A|", "B|"))
    await apply(store, replay_id)
    first = await step(store, replay_id, room={"erp": 1}, reachable=frozenset({"erp", "lab"}))
    row = await store.history.message(dead)
    copy = await store.history.message(first.copies[0][1])
    assert row is not None
    assert copy is not None
    assert (row.state, row.text) == (MessageState.CLOSED, f"replayed as message {copy.id}")
    assert (await store.history.body(copy.id), copy.keys.control_id) == (b"mended", "FIX")
    assert len((await step(store, replay_id, "erp", "lab")).made) == 1  # the other way is not settled by the first


async def test_of_two_plans_the_second_is_blocked_while_the_first_is_open(store: Ports) -> None:
    message_id = await sent(store, 1)
    copy = stored(await store.inbox.put(arrival(2, replay_of=message_id)))
    first = await begin(store, anew(message_id))
    second = await begin(store, anew(copy, intent=message_id))
    assert (await states(store, second))[0][2:] == (ItemState.BLOCKED, "in-other-replay")
    assert not (await store.replays.hold(first, "")).made
    assert (await store.replays.cancel(first, "no")).made
    third = await begin(store, anew(message_id))
    assert (await states(store, third))[0][2:] == (ItemState.PENDING, "")


async def test_states_change_as_they_may(store: Ports) -> None:
    replay_id = await begin(store, anew(await sent(store, 1)))
    assert not (await store.replays.resume(replay_id)).made
    await apply(store, replay_id)
    assert (await store.replays.hold(replay_id, "a pause")).replay.note == "a pause"
    assert (await step(store, replay_id)).state is ReplayState.HELD
    assert await store.replays.in_state(ReplayState.HELD) == await store.replays.rows()
    assert (await store.replays.resume(replay_id)).replay.state is ReplayState.RUNNING
    assert (await step(store, replay_id)).judged == 1
    assert (await store.replays.finish(replay_id)).replay.state is ReplayState.DONE
    assert not (await store.replays.cancel(replay_id, "")).made
    with pytest.raises(StoreError, match="replay 99 is not in the store"):
        await store.replays.cancel(99, "")


async def test_a_plan_that_was_cancelled_takes_no_more_pages(store: Ports) -> None:
    replay_id = await store.replays.begin(NewReplay("anna", "", "{}"))
    await store.replays.cancel(replay_id, "no")
    turn = await store.replays.add(PlannedPage(replay_id, 1, [anew(await sent(store, 1))], is_last=True))
    assert (turn.made, turn.replay.state) == (False, ReplayState.CANCELLED)
    assert await store.replays.items(replay_id, 0, MANY) == []


async def test_bodies_of_a_plan_go_when_it_ends_unless_they_were_sent(store: Ports) -> None:
    first, second = await sent(store, 1), await sent(store, 2)
    replay_id = await begin(store, anew(first, body=b"one"), anew(second, body=b"two"))
    await apply(store, replay_id)
    applied = await step(store, replay_id, messages=1)
    assert await store.replays.tidy(10) == 0
    await store.replays.cancel(replay_id, "enough")
    assert (await store.replays.tidy(10), await store.replays.tidy(10)) == (1, 0)
    (sent_one,) = applied.made
    assert await store.history.sent_body(sent_one.id) == b"one"


async def test_tallies_and_what_is_under_way(store: Ports) -> None:
    ids = [await sent(store, number) for number in range(3)]
    replay_id = await begin(store, *(anew(one) for one in ids))
    assert await store.replays.destinations(replay_id) == ["erp"]
    await apply(store, replay_id)
    one, two = (await step(store, replay_id, messages=2)).made
    await store.outbox.settle(outcome(one.id, one.message_id))
    assert await store.replays.under_way(replay_id) == [(two.id, "erp", False)]
    assert await store.replays.still_open([one.id, two.id]) == {two.id}
    found = {(tally.state, tally.delivery_state): tally.count for tally in await store.replays.tallies(replay_id)}
    assert found == {
        (ItemState.APPLIED, DeliveryState.SENT): 1,
        (ItemState.APPLIED, DeliveryState.READY): 1,
        (ItemState.PENDING, None): 1,
    }


async def test_kin_are_the_first_and_its_copies(store: Ports) -> None:
    first, other = await sent(store, 1), await sent(store, 2)
    copy = stored(await store.inbox.put(arrival(3, replay_of=first)))
    assert await store.replays.kin([first, other]) == {first: [first, copy], other: [other]}


async def test_a_copy_has_the_cause_and_the_facts_of_what_it_repeats(store: Ports) -> None:
    original = stored(await store.inbox.put(arrival(1, peer="10.0.0.9:1", facts={"file": "a"})))
    await store.outbox.hand_on([handoff(original, state=MessageState.UNROUTED)])
    first, _ = await replayed(store.replays, original)
    (message,) = await store.history.messages([first])
    assert (message.trace, message.parent, message.replay_of, message.intent) == (original,) * 4
    assert (message.body, message.keys, message.peer) == (arrival(1).body, arrival(1).keys, "10.0.0.9:1")
    assert (message.received_at, dict(message.facts)) == (START, {"file": "a"})
    second, _ = await replayed(store.replays, first)
    rows = {row.id: row for row in await store.history.trace(first)}
    assert list(rows) == [original, first, second]
    assert (rows[second].parent, rows[second].replay_of) == (first, original)
    assert rows[original].state is MessageState.UNROUTED


async def test_a_resend_is_judged_by_the_original_not_by_its_replay(store: Ports) -> None:
    original = await sent(store, 1)
    await replayed(store.replays, original)
    assert known(await store.inbox.put(arrival(1))).message_id == original


async def test_an_item_whose_body_is_gone_is_blocked(store: Ports) -> None:
    message_id = await sent(store, 1)
    replay_id = await begin(store, anew(message_id, earlier_id=10_000, body_source=BodySource.EARLIER))
    await apply(store, replay_id)
    assert (await step(store, replay_id)).made == []
    assert await states(store, replay_id) == [(message_id, "erp", ItemState.BLOCKED, "body-removed")]


async def test_an_item_whose_message_is_gone_is_blocked_though_its_body_was_made(store: Ports) -> None:
    await sent(store, 1)
    replay_id = await begin(store, anew(10_000, body=b"made of it before it was removed"))
    await apply(store, replay_id)
    assert (await step(store, replay_id)).made == []
    assert await states(store, replay_id) == [(10_000, "erp", ItemState.BLOCKED, "body-removed")]


async def test_a_persons_own_body_goes_when_it_was_never_sent(store: Ports) -> None:
    first, second = await sent(store, 1), await sent(store, 2)
    given_up = await begin(store, anew(first, body_source=BodySource.EDITED), body=b"mine", keys=Keys())
    applied = await begin(store, anew(second, body_source=BodySource.EDITED), body=b"mine too", keys=Keys())
    await apply(store, applied)
    (made,) = (await step(store, applied)).made
    await store.outbox.settle(outcome(made.id, made.message_id))
    await store.replays.finish(applied)
    assert await store.replays.tidy(10) == 0
    await store.replays.cancel(given_up, "no")
    assert (await store.replays.tidy(10), await store.replays.tidy(10)) == (1, 0)
    assert await store.history.sent_body(made.id) == b"mine too"
