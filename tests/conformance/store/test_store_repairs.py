"""The repairs port: the ways out of being a dead letter."""

from __future__ import annotations

import pytest

from hcsyncd.message import DeliveryState, MessageState
from hcsyncd.store.ports import Filter, MessageRow
from tests.fakes.clock import START
from tests.fakes.store_drivers import Open, Ports
from tests.fakes.stored import arrival, delivery, handoff, outcome, stored


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
