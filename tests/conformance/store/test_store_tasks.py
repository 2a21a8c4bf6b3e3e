"""Parked deliveries under their tasks, owners of dead letters, holds and unsure deliveries: for each store driver."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from hcsyncd.message import DeliveryState, MessageState
from hcsyncd.store.ports import Assignment, Hold, HoldKind, Inbox, NewDelivery, Remade, Unmapped
from tests.fakes.store_drivers import Open, Ports
from tests.fakes.stored import arrival, delivery, handoff, outcome, stored

WARD = Unmapped("wards", "NEW9")


def parked(code: str = "NEW9", destination: str = "erp", **fields: Any) -> NewDelivery:
    text = f"mapping table 'wards' has no entry for '{code}'"
    return delivery(
        destination,
        state=DeliveryState.PARKED,
        cause="unmapped-code",
        text=text,
        unmapped=Unmapped("wards", code),
        **fields,
    )


async def put(inbox: Inbox, number: int) -> int:
    return stored(await inbox.put(arrival(number, identity=b"")))


async def park(store: Ports, *made: NewDelivery, number: int = 1) -> tuple[int, list[int]]:
    message_id = await put(store.inbox, number)
    (ids,) = await store.outbox.hand_on([handoff(message_id, *made)])
    return message_id, ids


async def standing(store: Ports, message_id: int) -> MessageState:
    row = await store.history.message(message_id)
    assert row is not None
    return row.state


async def test_what_waits_for_one_code_is_under_one_task(store: Ports) -> None:
    first, (one,) = await park(store, parked(), number=1)
    second, (two, other, sent) = await park(store, parked(), parked("X", "b"), delivery("c"), number=2)
    wards, single = await store.tasks.tasks()
    assert (wards.table, wards.code, wards.parked, wards.closed_at) == ("wards", "NEW9", 2, 0)
    assert (single.code, single.parked) == ("X", 1)
    found = await store.tasks.parked(wards.id, 0, 10)
    assert [(row.message_id, row.delivery_id) for row in found] == [(first, one), (second, two)]
    assert await store.tasks.parked(wards.id, first, 10) == found[1:]
    assert await store.tasks.parked(wards.id, 0, 1) == found[:1]
    states = {row.id: (row.state, row.made) for row in await store.history.deliveries([second])}
    assert states == {
        two: (DeliveryState.PARKED, False),
        other: (DeliveryState.PARKED, False),
        sent: (DeliveryState.READY, True),
    }
    assert await standing(store, first) is MessageState.ROUTED


async def test_the_first_out_takes_the_row_and_further_ones_are_added(store: Ports) -> None:
    message_id, (parked_id,) = await park(store, parked())
    (task,) = await store.tasks.tasks()
    made = (delivery("erp", body=b"made", created_at=77), delivery("erp", key="key-erp-1"))
    came = await store.tasks.unpark(task.id, message_id, [Remade(parked_id, made)])
    (ids,) = came.rows
    assert ids[0] == parked_id < ids[1]
    assert [(one.id, one.envelope.body) for one in came.ready] == [
        (parked_id, b"made"),
        (ids[1], arrival(1).body),
    ]
    assert came.message_state is MessageState.ROUTED
    first, second = await store.history.deliveries([message_id])
    assert (first.state, first.key, first.created_at, first.made) == (DeliveryState.READY, "key-erp", 77, True)
    assert second.key == "key-erp-1"
    assert await store.tasks.tasks() == []
    (closed,) = await store.tasks.tasks(closed=True)
    assert (closed.id, closed.parked, closed.closed_at > 0) == (task.id, 0, True)
    lane = first.lane
    assert [one.id for one in await store.outbox.open_deliveries("erp", lane, 0, 10, 1000)] == list(ids)


async def test_what_fails_anew_moves_dies_or_closes(store: Ports) -> None:
    message_id, ids = await park(store, parked(), parked(destination="b"), parked(destination="c"))
    (task,) = await store.tasks.tasks()
    dead = replace(parked(destination="b"), state=DeliveryState.DEAD, cause="transform-failed", unmapped=None)
    came = await store.tasks.unpark(
        task.id,
        message_id,
        [Remade(ids[0], (parked("OTHER"),)), Remade(ids[1], (dead,)), Remade(ids[2], reason="dropped")],
    )
    assert came.ready == ()
    assert came.message_state is MessageState.ROUTED
    rows = await store.history.deliveries([message_id])
    assert [(row.id, row.state) for row in rows] == [
        (ids[0], DeliveryState.PARKED),
        (ids[1], DeliveryState.DEAD),
        (ids[2], DeliveryState.CLOSED),
    ]
    assert rows[2].text == "dropped"
    (moved,) = await store.tasks.tasks()
    assert (moved.code, moved.parked) == ("OTHER", 1)


async def test_what_is_no_longer_parked_is_left_alone(store: Ports) -> None:
    message_id, (parked_id,) = await park(store, parked())
    (task,) = await store.tasks.tasks()
    for expected in (((parked_id,),), ((),)):
        came = await store.tasks.unpark(task.id, message_id, [Remade(parked_id, (delivery("erp", body=b"x"),))])
        assert came.rows == expected
    assert len(await store.history.deliveries([message_id])) == 1


async def test_a_code_that_comes_again_opens_a_new_task(store: Ports) -> None:
    message_id, (parked_id,) = await park(store, parked())
    (task,) = await store.tasks.tasks()
    await store.tasks.unpark(task.id, message_id, [Remade(parked_id, reason="why")])
    await store.tasks.settle_task(task.id, "ada", "opened")
    await park(store, parked(), number=2)
    (again,) = await store.tasks.tasks()
    assert again.id != task.id
    closed = await store.tasks.task(task.id)
    assert closed is not None
    assert (closed.settled_by, closed.reason) == ("ada", "opened")
    assert await store.tasks.task(99) is None


async def test_tasks_are_assigned_while_they_are_open(store: Ports) -> None:
    message_id, (parked_id,) = await park(store, parked())
    (task,) = await store.tasks.tasks()
    assert await store.tasks.assign_task(task.id, "ada", 99, "call ward 3", "ben")
    (task,) = await store.tasks.tasks()
    assert (task.owner, task.due_at, task.note, task.assigned_by) == ("ada", 99, "call ward 3", "ben")
    await store.tasks.unpark(task.id, message_id, [Remade(parked_id, reason="why")])
    assert not await store.tasks.assign_task(task.id, "ada", 99, "", "ben")


async def test_a_restart_finds_tasks_holds_and_assignments(reopen: Open) -> None:
    store = await reopen()
    message_id, _ = await park(store, parked())
    given = Assignment(message_id, 0, "ada", 5, "note", "ben", 4)
    await store.tasks.assign([replace(given, owner="first"), given])
    hold = Hold(HoldKind.DELIVERY, "erp", "ada", 1, "why")
    await store.holds.put([hold, Hold(HoldKind.ROUTING, "adt", "ada", 1, "why")])
    await store.holds.lift(HoldKind.ROUTING, ["adt", "unknown"])
    store = await reopen()
    assert [task.code for task in await store.tasks.tasks()] == ["NEW9"]
    assert await store.tasks.assignments([message_id, 99]) == [given]
    assert await store.holds.held() == [hold]
    await store.holds.put([replace(hold, reason="another")])
    assert [one.reason for one in await store.holds.held()] == ["another"]


async def test_what_waits_is_counted_by_channel_with_what_is_overdue(store: Ports) -> None:
    for number, state in enumerate((DeliveryState.DEAD, DeliveryState.UNSURE, DeliveryState.SENT)):
        message_id = await put(store.inbox, number)
        ((delivery_id,),) = await store.outbox.hand_on([handoff(message_id, delivery("erp", created_at=1_000_000))])
        await store.outbox.settle(outcome(delivery_id, message_id, state, ended_at=2_000_000))
    at_arrival = arrival(8, identity=b"", state=MessageState.DEAD, cause="no-msh", received_at=9_000_000)
    arrived = stored(await store.inbox.put(at_arrival))
    await park(store, parked(), number=9)
    late = await store.tasks.overdue(4_000_001, dead_due_secs=2, task_due_secs=1e9)
    assert (late.dead, late.overdue) == ({"erp": 2, "adt": 1}, {"erp": 2, "adt": 0})
    assert (late.tasks, late.tasks_overdue) == (1, 0)
    in_time = await store.tasks.overdue(3_500_000, dead_due_secs=2, task_due_secs=1e9)
    assert in_time.overdue == {"erp": 1, "adt": 0}, "the dead one died at 2 s, the unsure one waits since 1 s"
    await store.tasks.assign([Assignment(arrived, 0, "ada", 3_000_000, "", "ben", 1)])
    assert (await store.tasks.overdue(4_000_001, 2, 1e9)).overdue == {"erp": 2, "adt": 1}


async def test_unsure_deliveries_are_settled_once(store: Ports) -> None:
    ids = []
    for number in range(2):
        message_id = await put(store.inbox, number)
        ((delivery_id,),) = await store.outbox.hand_on([handoff(message_id, delivery("erp", body=b"sent"))])
        await store.outbox.settle(outcome(delivery_id, message_id, DeliveryState.UNSURE, cause="answer-lost"))
        ids.append((delivery_id, message_id))
    (first, first_message), (second, second_message) = ids
    envelopes = await store.doubts.envelopes([first, second, 99])
    assert [(one.id, one.envelope.body) for one in envelopes] == [(first, b"sent"), (second, b"sent")]
    there = outcome(first, first_message, DeliveryState.SENT, text="ada says so")
    assert await store.doubts.sent(there) is MessageState.DONE
    assert await store.doubts.sent(there) is None
    gone = outcome(second, second_message, DeliveryState.READY, text="ada says so")
    again = await store.doubts.not_sent(gone)
    assert again is not None
    assert (again.id, again.state, again.attempt, again.envelope.body) == (second, DeliveryState.READY, 0, b"sent")
    assert await store.doubts.not_sent(gone) is None
    assert await store.doubts.envelopes([first, second]) == []
    attempts = await store.history.attempts([first, second])
    assert [attempt.text for attempt in attempts if attempt.number == 2] == ["ada says so"] * 2
    assert await standing(store, second_message) is MessageState.ROUTED
