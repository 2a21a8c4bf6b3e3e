"""What may go goes, whole and in its order; what may not stays, whatever the bound."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hcsyncd.errors import StoreError
from hcsyncd.message import DeliveryState, MessageState
from hcsyncd.store.ports import SETTLED_STATES, Bound, Data, NewDelivery, Removed
from hcsyncd.store.ports.replays import NewReplay, PlannedItem, PlannedPage, Verdict
from tests.fakes.store_drivers import Open, Ports
from tests.fakes.stored import arrival, delivery, handoff, known, outcome, replayed, stored

EVER = 1 << 60  # every message is below and before it
SEAL = 64  # a sealed value is longer than a clear one, and by less than this


def all_of(data: Data, channel: str = "adt") -> Bound:
    return Bound(channel, data, before=EVER)


async def received(store: Ports, number: int, **fields: Any) -> int:
    return stored(await store.inbox.put(arrival(number, **fields)))


async def handed(store: Ports, message_id: int, *made: NewDelivery) -> list[int]:
    ((*delivery_ids,),) = await store.outbox.hand_on([handoff(message_id, *(made or (delivery(body=b"sent"),)))])
    return delivery_ids


async def done(store: Ports, number: int, **fields: Any) -> int:
    """A message that went out: one delivery, one answered attempt."""
    message_id = await received(store, number, **fields)
    for delivery_id in await handed(store, message_id):
        await store.outbox.settle(outcome(delivery_id, message_id, answer=b"thanks"))
    return message_id


async def due(store: Ports, bound: Bound) -> list[int]:
    """The roots that a walk finds, over all states."""
    found: list[int] = []
    for state in SETTLED_STATES:
        walked = await store.retention.walk(bound, state, 0)
        assert walked.ended
        found += [family.root for family in walked.families]
    return sorted(set(found))


async def remove_all(store: Ports, *classes: Data) -> list[Removed]:
    return [await store.retention.remove(all_of(data), await due(store, all_of(data))) for data in classes]


async def newest(store: Ports) -> int:
    """A message after all others: the newest rows stay, as ids go on from them."""
    return await done(store, 100_000)


async def test_bodies_go_and_what_is_said_of_them_stays(store: Ports) -> None:
    message_id = await done(store, 1, body=b"x" * 100)
    last = await newest(store)
    (removed,) = await remove_all(store, Data.BODIES)
    assert removed.messages == 1
    assert 104 <= removed.bytes <= 104 + 2 * SEAL
    row = await store.history.message(message_id)
    assert row is not None
    assert (row.state, row.bytes, row.body_removed_at > 0, row.answers_removed_at) == (MessageState.DONE, 100, True, 0)
    with pytest.raises(StoreError):
        await store.history.body(message_id)
    assert await store.history.messages([message_id]) == []
    (sent,) = await store.history.deliveries([message_id])
    with pytest.raises(StoreError):
        await store.history.sent_body(sent.id)
    assert await store.history.replies(message_id) == (b"AA 1", b"")
    assert await store.history.body(last) != b""


async def test_answers_go_by_themselves(store: Ports) -> None:
    message_id = await done(store, 1)
    await newest(store)
    (removed,) = await remove_all(store, Data.ANSWERS)
    assert removed.messages == 1
    assert 10 <= removed.bytes <= 10 + 2 * SEAL, "AA 1, thanks"
    assert await store.history.replies(message_id) == (b"", b"")
    (sent,) = await store.history.deliveries([message_id])
    (attempt,) = await store.history.attempts([sent.id])
    assert (attempt.answer, attempt.state) == (b"", DeliveryState.SENT)
    assert await store.history.body(message_id)
    row = await store.history.message(message_id)
    assert row is not None
    assert (row.body_removed_at, row.answers_removed_at > 0) == (0, True)


async def test_rows_go_after_their_bodies_and_never_before(store: Ports) -> None:
    message_id = await done(store, 1, arrival_key=b"k1")
    await newest(store)
    assert await due(store, all_of(Data.METADATA)) == []
    assert (await store.retention.remove(all_of(Data.METADATA), [message_id])).messages == 0
    _, removed = await remove_all(store, Data.BODIES, Data.METADATA)
    assert removed.messages == 1
    assert await store.history.message(message_id) is None
    assert await store.history.deliveries([message_id]) == []
    assert await due(store, all_of(Data.METADATA)) == []


async def test_a_message_that_is_gone_makes_no_later_one_a_duplicate(store: Ports) -> None:
    first = await done(store, 1, arrival_key=b"k1")
    await newest(store)
    assert known(await store.inbox.put(arrival(1, arrival_key=b"k1"))).message_id == first
    await remove_all(store, Data.BODIES, Data.METADATA)
    assert stored(await store.inbox.put(arrival(1, arrival_key=b"k1"))) > first


async def test_a_duplicate_is_known_after_the_body_is_gone(store: Ports) -> None:
    first = await done(store, 1)
    await newest(store)
    await remove_all(store, Data.BODIES, Data.ANSWERS)
    again = known(await store.inbox.put(arrival(1)))
    assert (again.message_id, again.reply) == (first, b""), "the reply went, and intake gives another"


@pytest.mark.parametrize(
    "state", [DeliveryState.WAITING, DeliveryState.UNSURE, DeliveryState.DEAD, DeliveryState.PARKED]
)
async def test_what_still_has_to_be_settled_stays(store: Ports, state: DeliveryState) -> None:
    message_id = await received(store, 1)
    settled, other = await handed(store, message_id, delivery("a", b"one"), delivery("b", b"two"))
    await store.outbox.settle(outcome(settled, message_id))
    await store.outbox.settle(outcome(other, message_id, state, cause="why"))
    await newest(store)
    for data in Data:
        assert await due(store, all_of(data)) == []
        assert (await store.retention.remove(all_of(data), [message_id])).messages == 0
    assert await store.history.body(message_id)
    assert await store.history.sent_body(settled) == b"one"


async def test_what_waits_for_routing_or_for_a_person_stays(store: Ports) -> None:
    ids = [
        await received(store, 1),
        await received(store, 2, state=MessageState.DEAD, cause="no-msh"),
        await received(store, 3, reply_open=True, state=MessageState.UNROUTED),
    ]
    await newest(store)
    assert (await store.retention.remove(all_of(Data.BODIES), ids)).messages == 0
    assert [bool(await store.history.body(one)) for one in ids] == [True] * 3


async def test_dead_letters_that_a_person_closed_may_go(store: Ports) -> None:
    message_id = await received(store, 1, state=MessageState.DEAD, cause="no-msh")
    await newest(store)
    await store.repairs.close([message_id], [], "test patient")
    assert await due(store, all_of(Data.BODIES)) == [message_id]


async def test_the_newest_rows_stay_and_ids_go_on(reopen: Open) -> None:
    store = await reopen()
    first, last = await done(store, 1), await done(store, 2)
    for _ in range(2):
        await remove_all(store, *Data)
    assert await store.history.message(first) is None
    assert await store.history.body(last)
    store = await reopen()
    assert await done(store, 3) == last + 1
    assert len(await store.history.deliveries([last, last + 1])) == 2


async def test_no_body_comes_under_an_id_that_was_removed(reopen: Open) -> None:
    """A row names the body that it lost: another one under its id would be shown for it."""
    store = await reopen()
    message_id = await done(store, 1, body=b"the first")
    await newest(store)
    await remove_all(store, Data.BODIES)
    for _ in range(3):
        store = await reopen()
        await done(store, 10, identity=b"", body=b"another")
        with pytest.raises(StoreError):
            await store.history.body(message_id)


async def test_a_message_goes_with_its_replays_when_the_youngest_may(store: Ports) -> None:
    message_id = await done(store, 1)
    copy_id, delivery_id = await replayed(store.replays, message_id)
    last = await newest(store)
    bodies = Bound("adt", Data.BODIES, below=copy_id)
    assert await due(store, all_of(Data.BODIES)) == [], "the copy is under way"
    await store.outbox.settle(outcome(delivery_id, copy_id))
    await done(store, 1000)
    assert await due(store, bodies) == [], "the copy is younger"
    assert await due(store, all_of(Data.BODIES)) == [message_id, last]
    (removed,) = await remove_all(store, Data.BODIES)
    assert removed.messages == 3
    rows = [await store.history.message(one) for one in (message_id, copy_id)]
    assert [row is not None and row.body_removed_at > 0 for row in rows] == [True, True]
    await remove_all(store, Data.METADATA)
    assert [await store.history.message(one) for one in (message_id, copy_id)] == [None, None]


async def test_a_repaired_replay_has_a_body_of_its_own_that_goes_too(store: Ports) -> None:
    message_id = await done(store, 1)
    await newest(store)
    await remove_all(store, Data.BODIES)
    copy_id, delivery_id = await replayed(store.replays, message_id, b"repaired")
    await store.outbox.settle(outcome(delivery_id, copy_id))
    await done(store, 1000)
    assert await store.history.body(copy_id) == b"repaired"
    assert await due(store, all_of(Data.METADATA)) == [], "the copy still has its body"
    removed = await store.retention.remove(all_of(Data.BODIES), [message_id])
    assert 8 <= removed.bytes <= 8 + SEAL, "what was repaired is what was sent"
    assert await due(store, all_of(Data.METADATA)) == [message_id]


async def test_what_an_open_replay_has_in_hand_stays_until_it_ends(store: Ports) -> None:
    message_id = await done(store, 1)
    await newest(store)
    replay_id = await store.replays.begin(NewReplay("jdoe", "lost at the receiver", "{}"))
    item = PlannedItem(message_id, message_id, Verdict.SEND, "r1", "erp", made=delivery(), key="key-erp")
    await store.replays.add(PlannedPage(replay_id, message_id, [item], is_last=True, expire_secs=3600))
    assert await due(store, all_of(Data.BODIES)) == []
    assert (await store.retention.remove(all_of(Data.BODIES), [message_id])).messages == 0
    await store.replays.cancel(replay_id, "")
    assert await due(store, all_of(Data.BODIES)) == [message_id]
    await remove_all(store, Data.BODIES, Data.METADATA)
    assert await store.replays.items(replay_id, 0, 10) == []


async def test_age_and_number_make_due_each_by_itself(store: Ports) -> None:
    ids = [await done(store, number, received_at=number * 1000) for number in range(1, 6)]
    await newest(store)
    assert await due(store, Bound("adt", Data.BODIES, before=3000)) == ids[:2]
    assert await due(store, Bound("adt", Data.BODIES, below=ids[3])) == ids[:3]
    assert await due(store, Bound("adt", Data.BODIES, before=5000, below=ids[1])) == ids[:4]
    assert await due(store, Bound("adt", Data.BODIES)) == []
    assert await due(store, Bound("lab", Data.BODIES, before=EVER)) == []


async def test_a_walk_goes_on_where_it_was(store: Ports) -> None:
    ids = await asyncio.gather(*(done(store, number) for number in range(1, 3000)))
    await newest(store)
    bound, after_id, found = all_of(Data.BODIES), 0, []
    for _ in range(10):
        walked = await store.retention.walk(bound, MessageState.DONE, after_id)
        found += [family.root for family in walked.families]
        after_id = walked.after_id
        if walked.ended:
            break
    assert sorted(found) == sorted(ids)


async def test_what_is_measured_is_what_goes(store: Ports) -> None:
    for number in range(5):
        await done(store, number, body=b"y" * number)
    await newest(store)
    for data in Data:
        bound = all_of(data)
        roots = await due(store, bound)
        measured = await store.retention.measure(bound, roots)
        removed = await store.retention.remove(bound, roots)
        assert (measured.messages, measured.bytes) == (removed.messages, removed.bytes)
        assert removed.messages == 5


async def test_what_is_kept_is_counted_by_channel_and_class(store: Ports) -> None:
    first = await done(store, 1, body=b"x" * 50)
    second = await received(store, 2, channel="lab", body=b"y" * 7)
    volume = await store.retention.volume(0, second)
    assert {place: kept.messages for place, kept in volume.items()} == {
        (channel, data): 1 for channel in ("adt", "lab") for data in Data
    }
    assert (volume["adt", Data.BODIES].bytes, volume["lab", Data.BODIES].bytes) == (54, 7)
    assert 10 <= volume["adt", Data.ANSWERS].bytes <= 10 + 2 * SEAL, "AA 1, thanks"
    assert await store.retention.sizes("adt", Data.BODIES, 0, second) == [(first, 54)]
    assert await store.retention.volume(second, second + 100) == {}
    await newest(store)
    await store.retention.remove(all_of(Data.BODIES), [first])
    assert (await store.retention.volume(0, second))["adt", Data.BODIES].messages == 0
    assert await store.retention.sizes("adt", Data.BODIES, 0, second) == []


async def test_a_delivery_keeps_its_first_and_last_attempts(store: Ports) -> None:
    message_id = await received(store, 1)
    (delivery_id,) = await handed(store, message_id)
    for attempt in range(1, 11):
        await store.outbox.settle(
            outcome(delivery_id, message_id, DeliveryState.WAITING, attempt, text=f"try {attempt}")
        )
    assert await store.retention.long_deliveries(0, 4) == ([delivery_id], delivery_id)
    assert (await store.retention.fold_attempts([delivery_id], 4)).messages == 6
    kept = await store.history.attempts([delivery_id])
    assert [(row.number, row.text) for row in kept] == [(n, f"try {n}") for n in (1, 2, 9, 10)]
    assert await store.retention.long_deliveries(0, 4) == ([], delivery_id)
    assert await store.retention.long_deliveries(delivery_id, 4) == ([], 0)
    await store.outbox.settle(outcome(delivery_id, message_id, DeliveryState.WAITING, 11, text="try 11"))
    await store.retention.fold_attempts([delivery_id], 4)
    kept = await store.history.attempts([delivery_id])
    assert [(row.number, row.text) for row in kept] == [(n, f"try {n}") for n in (1, 2, 10, 11)]
