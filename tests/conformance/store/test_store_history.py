"""The history port: lists, details, traces and counts."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from hcsyncd.errors import StoreError
from hcsyncd.message import DeliveryState, Keys, MessageState
from hcsyncd.store.ports import Filter
from tests.fakes.store_drivers import Ports
from tests.fakes.stored import arrival, delivery, handoff, outcome, replayed, stored


@dataclass(frozen=True)
class Told:
    """The ids of what `tell` put into a store."""

    waiting: int
    done: int
    unparsed: int
    half_dead: int
    unsure: int
    lab: int
    dead_delivery: int
    unsure_delivery: int


async def tell(store: Ports) -> Told:
    inbox, outbox = store.inbox, store.outbox
    waiting = stored(await inbox.put(arrival(1, received_at=100)))
    done = stored(await inbox.put(arrival(2, received_at=200, keys=Keys("ADT^A08", "B2", "EHR|", "HUB|"))))
    unparsed = stored(
        await inbox.put(
            arrival(3, received_at=300, keys=Keys(), state=MessageState.DEAD, cause="no-msh", text="no MSH (byte 0)")
        )
    )
    half_dead = stored(await inbox.put(arrival(4, received_at=400)))
    unsure = stored(await inbox.put(arrival(5, received_at=500)))
    lab = stored(await inbox.put(arrival(6, received_at=600, channel="lab", keys=Keys("ORU^R01", "[x]", "LAB|", ""))))
    ids = await outbox.hand_on(
        [
            handoff(done, delivery("erp")),
            handoff(half_dead, delivery("erp"), delivery("wards", route="r2")),
            handoff(unsure, delivery("wards", route="r2")),
            handoff(lab, state=MessageState.FILTERED, cause="filtered", text="not ours"),
        ]
    )
    await outbox.settle(outcome(ids[0][0], done))
    await outbox.settle(outcome(ids[1][0], half_dead))
    await outbox.settle(outcome(ids[1][1], half_dead, DeliveryState.DEAD, cause="http-400", text="400 no"))
    await outbox.settle(outcome(ids[2][0], unsure, DeliveryState.UNSURE, cause="ack-timeout"))
    return Told(waiting, done, unparsed, half_dead, unsure, lab, ids[1][1], ids[2][0])


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (Filter(), "waiting done unparsed half_dead unsure lab"),
        (Filter(channel="lab"), "lab"),
        (Filter(channel="lab", state="filtered"), "lab"),
        (Filter(state="dead"), "unparsed half_dead"),
        (Filter(state="done"), "done"),
        (Filter(state="unsure"), "unsure"),
        (Filter(state="sent"), "done half_dead"),
        (Filter(state="received", channel="lab"), ""),
        (Filter(type="ADT^*"), "waiting done half_dead unsure"),
        (Filter(type="ADT^A0?", control_id="B*"), "done"),
        (Filter(control_id="[x]"), "lab"),
        (Filter(control_id="x"), ""),
        (Filter(route="r2"), "half_dead unsure"),
        (Filter(destination="erp"), "done half_dead"),
        (Filter(route="r2", destination="erp"), "half_dead"),
        (Filter(cause="http-400"), "half_dead"),
        (Filter(cause="no-msh"), "unparsed"),
        (Filter(since=200, until=400), "done unparsed"),
        (Filter(ids=(1, 3)), "waiting unparsed"),
        (Filter(ids=(1, 3), state="dead"), "unparsed"),
        (Filter(ids=(99,)), ""),
        (Filter(after_id=4, newest_first=False), "unsure lab"),
        (Filter(after_id=3, newest_first=True), "waiting done"),
        (Filter(limit=2, newest_first=False), "waiting done"),
        (Filter(limit=2), "unsure lab"),
    ],
)
async def test_find_gives_what_the_filter_means(store: Ports, wanted: Filter, names: str) -> None:
    told = await tell(store)
    found = [row.id for row in await store.history.find(wanted)]
    assert found == sorted(found, reverse=wanted.newest_first)
    assert sorted(found) == sorted(getattr(told, name) for name in names.split())


async def test_a_message_is_listed_whole(store: Ports) -> None:
    told = await tell(store)
    row = await store.history.message(told.unparsed)
    assert row is not None
    assert (row.id, row.channel, row.received_at, row.keys) == (told.unparsed, "adt", 300, Keys())
    assert (row.state, row.cause, row.text) == ("dead", "no-msh", "no MSH (byte 0)")
    assert (row.bytes, row.trace, row.parent, row.replay_of) == (len(arrival(3).body), told.unparsed, None, None)
    assert await store.history.body(told.unparsed) == arrival(3).body
    assert await store.history.replies(told.unparsed) == (b"AA 3", b"")
    assert await store.history.message(99) is None


async def test_what_is_not_there_is_said_so(store: Ports) -> None:
    with pytest.raises(StoreError, match="message 99 is not in the store"):
        await store.history.body(99)
    with pytest.raises(StoreError, match="message 99 is not in the store"):
        await store.history.replies(99)
    with pytest.raises(StoreError, match="delivery 99 is not in the store"):
        await store.history.sent_body(99)
    assert await store.history.trace(99) == []
    assert await store.history.deliveries([]) == []
    assert await store.history.attempts([]) == []


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Filter(newest_first=False), "unparsed half_dead unsure"),
        (Filter(), "unsure half_dead unparsed"),
        (Filter(limit=1), "unsure"),
        (Filter(limit=1, newest_first=False), "unparsed"),
        (Filter(after_id=3, newest_first=False), "half_dead unsure"),
        (Filter(state="dead", newest_first=False), "unparsed half_dead"),
        (Filter(state="unsure"), "unsure"),
        (Filter(cause="http-400"), "half_dead"),
        (Filter(cause="no-msh"), "unparsed"),
        (Filter(destination="wards", newest_first=False), "half_dead unsure"),
        (Filter(route="r1"), ""),
        (Filter(type="ADT^A01", newest_first=False), "half_dead unsure"),
        (Filter(channel="lab"), ""),
        (Filter(ids=(2, 3, 4), newest_first=False), "unparsed half_dead"),
    ],
)
async def test_dead_letters_are_messages_or_deliveries(store: Ports, wanted: Filter, expected: str) -> None:
    told = await tell(store)
    rows = await store.history.dead(wanted)
    assert [row.message.id for row in rows] == [getattr(told, name) for name in expected.split()]
    letters = {told.unparsed: None, told.half_dead: told.dead_delivery, told.unsure: told.unsure_delivery}
    assert {row.message.id: row.delivery.id if row.delivery else None for row in rows} == {
        row.message.id: letters[row.message.id] for row in rows
    }


async def test_counts_add_up_and_leave_replays_apart(store: Ports) -> None:
    told = await tell(store)
    await replayed(store.replays, told.done)
    await replayed(store.replays, told.half_dead)
    counts = await store.history.counts()
    messages = {state: count for state, count in counts["messages"].items() if count}
    assert messages == {"received": 1, "done": 1, "dead": 2, "routed": 1, "filtered": 1}
    assert sum(messages.values()) == 6, "as many as arrived"
    assert {state: count for state, count in counts["replays"].items() if count} == {"routed": 2}
    assert {state: count for state, count in counts["deliveries"].items() if count} == {
        "ready": 2,
        "sent": 2,
        "dead": 1,
        "unsure": 1,
    }


async def test_counts_by_channel_cover_both_sides(store: Ports) -> None:
    await tell(store)
    assert await store.history.channel_counts() == [
        ("adt", "dead", 2),
        ("adt", "done", 1),
        ("adt", "received", 1),
        ("adt", "routed", 1),
        ("lab", "filtered", 1),
        ("erp", "sent", 2),
        ("wards", "dead", 1),
        ("wards", "unsure", 1),
    ]


async def test_long_lists_of_ids_are_read_whole(store: Ports) -> None:
    ids = [stored(await store.inbox.put(arrival(number))) for number in range(200)]
    handed = await store.outbox.hand_on([handoff(one, delivery()) for one in ids])
    flat = [one for of_one in handed for one in of_one]
    assert [row.id for row in await store.history.deliveries(ids)] == flat
    for delivery_id, message_id in zip(flat, ids, strict=True):
        store.outbox.settle(outcome(delivery_id, message_id))
    await store.outbox.claim([])
    assert [row.delivery_id for row in await store.history.attempts(flat)] == flat
    assert len(await store.history.find(Filter(ids=tuple(ids), limit=1000))) == 200
