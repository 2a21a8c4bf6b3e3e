"""The repairs port: replay, and the ways out of being a dead letter."""

from __future__ import annotations

import pytest

from hcsyncd.errors import StoreError
from hcsyncd.message import DeliveryState, Keys, MessageState
from hcsyncd.store.ports import Filter, MessageRow
from tests.fakes.clock import START
from tests.fakes.store_drivers import Open, Ports
from tests.fakes.stored import arrival, delivery, handoff, known, outcome, stored


async def row_of(store: Ports, message_id: int) -> MessageRow:
    row = await store.history.message(message_id)
    assert row is not None
    return row


async def dead_in(store: Ports, *destinations: str, number: int = 1, state: str = "dead") -> tuple[int, list[int]]:
    """A message with a delivery to each destination, all of them dead; its id and theirs."""
    message_id = stored(await store.inbox.put(arrival(number)))
    (ids,) = await store.outbox.hand_on([handoff(message_id, *(delivery(name) for name in destinations))])
    for delivery_id in ids:
        await store.outbox.settle(outcome(delivery_id, message_id, DeliveryState(state), cause="http-400", text="no"))
    return message_id, ids


async def states_of(store: Ports, message_id: int) -> list[str]:
    return [row.state for row in await store.history.deliveries([message_id])]


async def test_a_replay_is_a_new_message_with_the_same_cause(store: Ports) -> None:
    original = stored(await store.inbox.put(arrival(1, peer="10.0.0.9:1", facts={"file": "a"})))
    await store.outbox.hand_on([handoff(original, state=MessageState.UNROUTED)])
    (copy_id,) = await store.repairs.replay([original], "r1", "erp", None)
    (copy,) = await store.inbox.received("adt", 0, 10, 1000)
    assert copy.id == copy_id > original
    assert (copy.trace, copy.parent, copy.replay_of, copy.intent) == (original, original, original, original)
    assert (copy.only_route, copy.only_destination) == ("r1", "erp")
    assert (copy.body, copy.keys, copy.peer) == (arrival(1).body, arrival(1).keys, "10.0.0.9:1")
    assert (copy.received_at, dict(copy.facts)) == (START, {"file": "a"})
    row = await row_of(store, copy_id)
    assert (row.state, row.reply_state) == ("received", "not_owed")
    assert (await row_of(store, original)).state is MessageState.UNROUTED


async def test_a_replay_of_a_replay_keeps_the_intent(store: Ports) -> None:
    original = stored(await store.inbox.put(arrival(1)))
    (first,) = await store.repairs.replay([original], "", "", None)
    (second,) = await store.repairs.replay([first], "", "", None)
    row = await row_of(store, second)
    assert (row.trace, row.parent, row.replay_of) == (original, first, original)
    assert [one.id for one in await store.history.trace(first)] == [original, first, second]


async def test_many_are_replayed_in_the_order_given(store: Ports) -> None:
    ids = [stored(await store.inbox.put(arrival(number))) for number in range(3)]
    copies = await store.repairs.replay([ids[2], ids[0]], "", "", None)
    assert copies == sorted(copies)
    assert [(await row_of(store, copy)).replay_of for copy in copies] == [ids[2], ids[0]]


async def test_a_repaired_body_goes_with_its_own_keys(store: Ports) -> None:
    bad = arrival(1, keys=Keys(), state=MessageState.DEAD, cause="no-msh")
    original = stored(await store.inbox.put(bad))
    keys = Keys("ADT^A04", "C7", "EHR|", "HUB|")
    (copy_id,) = await store.repairs.replay([original], "", "", b"MSH|repaired", keys)
    (copy,) = await store.inbox.received("adt", 0, 10, 1000)
    assert (copy.body, copy.keys) == (b"MSH|repaired", keys)
    assert (await row_of(store, copy_id)).bytes == len(b"MSH|repaired")
    assert await store.history.body(original) == bad.body, "the original's bytes stay"


async def test_a_replayed_dead_message_is_closed_and_names_its_copy(store: Ports) -> None:
    original = stored(await store.inbox.put(arrival(1, state=MessageState.DEAD, cause="no-msh", text="no MSH")))
    (copy_id,) = await store.repairs.replay([original], "", "", None)
    row = await row_of(store, original)
    assert (row.state, row.cause, row.text) == ("closed", "no-msh", f"replayed as message {copy_id}")
    assert await store.history.dead(Filter()) == []


async def test_a_replay_takes_over_the_dead_deliveries_that_it_covers(store: Ports) -> None:
    original, _ = await dead_in(store, "erp", "wards")
    (copy_id,) = await store.repairs.replay([original], "r1", "erp", None)
    assert await states_of(store, original) == ["closed", "dead"]
    assert (await row_of(store, original)).state is MessageState.DEAD
    assert (await store.history.deliveries([original]))[0].text == f"replayed as message {copy_id}"
    await store.repairs.replay([original], "", "", None)
    assert await states_of(store, original) == ["closed", "closed"]
    assert (await row_of(store, original)).state is MessageState.CLOSED


async def test_a_replay_of_another_route_leaves_the_dead_as_they_are(store: Ports) -> None:
    original, _ = await dead_in(store, "erp")
    await store.repairs.replay([original], "r9", "", None)
    assert await states_of(store, original) == ["dead"]
    assert (await row_of(store, original)).state is MessageState.DEAD


async def test_a_replay_of_what_is_not_there_does_nothing_at_all(store: Ports) -> None:
    original = stored(await store.inbox.put(arrival(1)))
    with pytest.raises(StoreError, match="message 99 is not in the store"):
        await store.repairs.replay([original, 99], "", "", None)
    assert [row.id for row in await store.history.find(Filter())] == [original]


async def test_a_resend_is_judged_by_the_original_not_by_its_replay(store: Ports) -> None:
    original = stored(await store.inbox.put(arrival(1)))
    await store.repairs.replay([original], "", "", None)
    assert known(await store.inbox.put(arrival(1))).message_id == original


@pytest.mark.parametrize("state", ["dead", "unsure"])
async def test_a_reopened_delivery_goes_out_again_under_its_key(reopen: Open, state: str) -> None:
    store = await reopen()
    original, (delivery_id,) = await dead_in(store, "erp", state=state)
    (again,) = await store.repairs.reopen([delivery_id])
    assert (again.id, again.message_id, again.state, again.attempt) == (delivery_id, original, "ready", 0)
    assert (again.envelope.idempotency_key, again.envelope.body) == ("key-erp", arrival(1).body)
    store = await reopen()
    assert await store.outbox.open_deliveries("erp", "erp", 0, 10, 1000) == [again]
    assert (await row_of(store, original)).state is MessageState.ROUTED
    assert await store.outbox.settle(outcome(delivery_id, original)) is MessageState.DONE
    assert [one.number for one in await store.history.attempts([delivery_id])] == [1, 2]


async def test_only_dead_letters_with_a_body_are_reopened(store: Ports) -> None:
    original, (dead,) = await dead_in(store, "erp")
    other = stored(await store.inbox.put(arrival(2)))
    unmade = delivery("wards", state=DeliveryState.DEAD, cause="transform-failed")
    (ids,) = await store.outbox.hand_on([handoff(other, delivery(), unmade)])
    await store.outbox.settle(outcome(ids[0], other))
    reopened = await store.repairs.reopen([ids[0], ids[1], dead, 99])
    assert [one.id for one in reopened] == [dead]
    assert await states_of(store, other) == ["sent", "dead"]
    assert (await row_of(store, original)).state is MessageState.ROUTED


async def test_closing_a_message_closes_all_that_is_dead_of_it(store: Ports) -> None:
    original, _ = await dead_in(store, "erp", "wards")
    bare = stored(await store.inbox.put(arrival(2, state=MessageState.DEAD, cause="no-msh")))
    assert await store.repairs.close([original, bare], [], "test data") == 3
    assert await states_of(store, original) == ["closed", "closed"]
    for message_id in (original, bare):
        row = await row_of(store, message_id)
        assert (row.state, row.text) == ("closed", "test data")
    assert await store.history.dead(Filter()) == []


async def test_closing_deliveries_brings_the_message_in_line(store: Ports) -> None:
    original, (one, two) = await dead_in(store, "erp", "wards")
    assert await store.repairs.close([], [one], "test data") == 1
    assert (await row_of(store, original)).state is MessageState.DEAD
    assert await store.repairs.close([], [one, two], "test data") == 1
    assert (await row_of(store, original)).state is MessageState.CLOSED
    rows = await store.history.deliveries([original])
    assert [(row.state, row.text, row.settled_at) for row in rows] == [("closed", "test data", START)] * 2


async def test_a_message_that_was_partly_sent_is_done_when_the_rest_is_closed(store: Ports) -> None:
    original = stored(await store.inbox.put(arrival(1)))
    (ids,) = await store.outbox.hand_on([handoff(original, delivery("erp"), delivery("wards"))])
    await store.outbox.settle(outcome(ids[0], original))
    await store.outbox.settle(outcome(ids[1], original, DeliveryState.UNSURE))
    assert await store.repairs.close([], [ids[1]], "seen at the ward") == 1
    assert (await row_of(store, original)).state is MessageState.DONE


async def test_what_is_alive_is_not_closed(store: Ports) -> None:
    original = stored(await store.inbox.put(arrival(1)))
    (ids,) = await store.outbox.hand_on([handoff(original, delivery("erp"), delivery("wards"))])
    await store.outbox.settle(outcome(ids[0], original))
    assert await store.repairs.close([original], ids, "no") == 0
    assert await states_of(store, original) == ["sent", "ready"]
    assert (await row_of(store, original)).state is MessageState.ROUTED
