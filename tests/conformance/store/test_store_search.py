"""Messages are found by what they say, as far as a search is let look, and rows are told as they come."""

from __future__ import annotations

import asyncio

import pytest

from hcsyncd.message import DeliveryState, MessageState
from hcsyncd.store.ports import Filter, IndexedKeys, Newest, Reach
from tests.fakes.store_drivers import Open, Ports
from tests.fakes.stored import arrival, delivery, handoff, outcome, stored

MRN = ("mrn", "4711")
FAR = Reach(10**9, 10**9)


async def put(store: Ports, number: int = 1, **fields: object) -> int:
    return stored(await store.inbox.put(arrival(number, **fields)))


async def put_copy(store: Ports, original: int) -> int:
    return await put(store, 99, identity=b"", parent=original, trace=original, replay_of=original)


async def put_many(store: Ports, count: int, **fields: object) -> list[int]:
    return [
        stored(one)
        for one in await asyncio.gather(*(store.inbox.put(arrival(n, **fields)) for n in range(1, count + 1)))
    ]


async def found(store: Ports, **wanted: object) -> list[int]:
    return [row.id for row in await store.history.find(Filter(**wanted))]  # type: ignore[arg-type]


async def test_messages_are_found_by_their_business_keys(store: Ports) -> None:
    one = await put(store, 1, business_keys=(MRN, ("visit", "V1")))
    other = await put(store, 2, business_keys=(MRN, ("visit", "V2")))
    await put(store, 3, business_keys=(("visit", "4711"),))
    assert await found(store, keys=(MRN,)) == [other, one]
    assert await found(store, keys=(MRN, ("visit", "V1"))) == [one]
    assert await found(store, keys=(("mrn", "471"),)) == []
    assert await found(store, keys=(MRN,), control_id="2", channel="adt") == [other]
    assert await store.search.keyed("4711", 10) == [("visit", 3), ("mrn", other), ("mrn", one)]
    assert [(key.name, key.value, key.delivery_id) for key in await store.search.keys([one])] == [
        ("mrn", "4711", 0),
        ("visit", "V1", 0),
    ]


async def test_keys_of_what_was_made_find_the_message(store: Ports) -> None:
    message_id = await put(store)
    made = delivery(body=b"out", business_keys=(("po", "PO-9"),))
    ((delivery_id,),) = await store.outbox.hand_on([handoff(message_id, made)])
    assert await found(store, keys=(("po", "PO-9"),)) == [message_id]
    assert [key.delivery_id for key in await store.search.keys([message_id])] == [delivery_id]


async def test_a_copy_is_found_by_the_keys_of_its_original(store: Ports) -> None:
    original = await put(store, business_keys=(MRN,))
    copy = await put_copy(store, original)
    assert await found(store, keys=(MRN,)) == [copy, original]


async def test_a_duplicate_and_a_message_handed_on_before_add_no_keys(store: Ports) -> None:
    message_id = await put(store, business_keys=(MRN,))
    await store.inbox.put(arrival(1, business_keys=(MRN,)))
    for _ in range(2):
        await store.outbox.hand_on([handoff(message_id, delivery(body=b"o", business_keys=(("po", "1"),)))])
    assert len(await store.search.keys([message_id])) == 2


async def test_text_is_looked_for_in_what_arrived_and_in_what_was_made(store: Ports) -> None:
    came = await put(store, 1, body=b"PID|1||Doe^John")
    sent = await put(store, 2, body=b"PID|1||Roe")
    await put(store, 3, body=b"PID|1||Poe")
    await store.outbox.hand_on([handoff(sent, delivery(body=b'{"name": "doe"}'))])
    await store.outbox.hand_on([handoff(came, delivery())])
    assert await found(store, text="DOE") == [sent, came]
    assert await found(store, text="doe", channel="other") == []
    assert await found(store, text="john", ids=(came, sent)) == [came]
    assert await found(store, text="doe", limit=1, newest_first=False) == [came]


@pytest.mark.parametrize("charset", ["utf-8", "latin-1"])
async def test_text_beyond_ascii_is_found_in_either_case(store: Ports, charset: str) -> None:
    message_id = await put(store, body="PID|1||MÜLLER^Jörg".encode(charset))
    for text in ("müller", "MÜLLER", "Jörg"):
        assert await found(store, text=text) == [message_id], text


async def test_text_that_json_escapes_is_found(store: Ports) -> None:
    message_id = await put(store, body=b'{"name": "M\\u00fcller"}')
    assert await found(store, text="Müller") == [message_id]


async def test_text_is_looked_for_in_dead_letters(store: Ports) -> None:
    dead = await put(store, 1, body=b"no MSH for Doe", state=MessageState.DEAD, cause="no-msh")
    await put(store, 2, body=b"no MSH for Roe", state=MessageState.DEAD, cause="no-msh")
    assert [row.message.id for row in await store.history.dead(Filter(text="doe"))] == [dead]


async def test_a_search_says_how_far_it_looked_and_goes_on_there(store: Ports) -> None:
    ids = await put_many(store, 10)
    wanted = Filter(type="ORM*", limit=5)
    looked = await store.history.look(wanted, Reach(4, 10**9))
    assert (looked.rows, looked.looked_to, looked.messages) == ([], ids[6], 4)
    looked = await store.history.look(Filter(type="ORM*", after_id=looked.looked_to), FAR)
    assert (looked.looked_to, looked.messages) == (0, 6)
    looked = await store.history.look(Filter(type="ORM*", newest_first=False), Reach(4, 10**9))
    assert looked.looked_to == ids[3]


async def test_a_search_for_a_text_is_bounded_in_bytes(store: Ports) -> None:
    ids = await put_many(store, 3)
    looked = await store.history.look(Filter(text="nothing", limit=5), Reach(10**9, 1))
    assert looked.bytes > 0
    assert looked.rows == []
    looked = await store.history.look(Filter(text="ADT", limit=2), FAR)
    assert [row.id for row in looked.rows] == [ids[2], ids[1]]
    assert looked.looked_to == ids[1]


@pytest.mark.parametrize("newest_first", [True, False])
async def test_pages_of_any_search_join_without_a_gap(store: Ports, *, newest_first: bool) -> None:
    ids = await put_many(store, 25, business_keys=(MRN,))
    expected = ids[::-1] if newest_first else ids
    for narrowing in ({}, {"keys": (MRN,)}, {"text": "adt"}, {"since": 1}, {"type": "ADT*"}):
        pages: list[int] = []
        while page := await found(
            store, limit=7, newest_first=newest_first, after_id=pages[-1] if pages else 0, **narrowing
        ):
            pages += page
        assert pages == expected, narrowing


async def test_a_span_of_time_holds_even_where_the_clock_went_back(store: Ports) -> None:
    times = [100, 200, 50, 60, 300]
    ids = [await put(store, number, received_at=at) for number, at in enumerate(times)]
    assert await found(store, since=60, until=250, newest_first=False) == [ids[0], ids[1], ids[3]]
    assert await found(store, since=301) == []
    assert await found(store, until=51) == [ids[2]]


async def test_a_trace_is_found_by_any_of_its_messages(store: Ports) -> None:
    first = await put(store)
    await put(store, 2)
    copy = await put_copy(store, first)
    assert await found(store, trace=copy) == [copy, first]
    assert await found(store, trace=first) == [copy, first]


async def test_a_range_of_ids_narrows(store: Ports) -> None:
    ids = await put_many(store, 5)
    assert await found(store, first_id=ids[1], last_id=ids[3]) == [ids[3], ids[2], ids[1]]
    assert await found(store, first_id=ids[4] + 1) == []


async def test_messages_are_found_by_the_state_of_a_delivery(store: Ports) -> None:
    message_id, other = await put(store, 1), await put(store, 2)
    ((waiting,), (sent,)) = await store.outbox.hand_on([handoff(message_id, delivery()), handoff(other, delivery())])
    await store.outbox.settle(outcome(waiting, message_id, DeliveryState.WAITING))
    await store.outbox.settle(outcome(sent, other))
    assert await found(store, state="waiting") == [message_id]
    assert await found(store, state="sent") == [other]
    assert await found(store, state="waiting", ids=(other,)) == []


async def test_a_delivery_knows_what_comes_before_it_in_its_lane(store: Ports) -> None:
    ids = await put_many(store, 4)
    made = await store.outbox.hand_on([handoff(one, delivery(lane="a")) for one in ids[:3]])
    made += await store.outbox.hand_on([handoff(ids[3], delivery(lane="b"))])
    deliveries = [one for (one,) in made]
    await store.outbox.settle(outcome(deliveries[0], ids[0], DeliveryState.DEAD))
    standings = {one.delivery_id: one for one in await store.search.queued(deliveries, 10)}
    assert [standings[one].ahead for one in deliveries] == [0, 0, 1, 0]
    assert [standings[one].blocked_by for one in deliveries] == [0, deliveries[0], deliveries[0], 0]
    assert standings[deliveries[2]].blocked_state is DeliveryState.DEAD
    assert [one.ahead for one in await store.search.queued(deliveries[2:3], 0)] == [0]
    assert [row.id for row in await store.search.open_deliveries(2)] == deliveries[:2]


async def test_a_message_knows_how_many_are_routed_before_it(store: Ports) -> None:
    ids = await put_many(store, 4)
    other = await put(store, 9, channel="other")
    assert [await store.search.waiting_before(one, 2) for one in (*ids, other)] == [0, 1, 2, 2, 0]


async def test_rows_are_told_as_they_come(store: Ports) -> None:
    assert await store.search.newest() == Newest()
    message_id = await put(store)
    ((delivery_id,),) = await store.outbox.hand_on([handoff(message_id, delivery())])
    await store.outbox.settle(outcome(delivery_id, message_id, DeliveryState.WAITING, cause="connect-refused"))
    assert await store.search.newest() == Newest(message_id, delivery_id, 1)
    assert [row.id for row in await store.search.made_after(0, 10)] == [delivery_id]
    assert await store.search.made_after(delivery_id, 10) == []
    (tried,) = await store.search.tried_after(0, 10)
    assert (tried.delivery_id, tried.state, tried.cause) == (delivery_id, DeliveryState.WAITING, "connect-refused")
    assert await store.search.tried_after(tried.id, 10) == []


async def test_messages_are_found_by_a_fact_of_the_wire(store: Ports) -> None:
    message_id = await put(store, facts={"file": "inbox/adt-17.hl7"})
    await put(store, 2, facts={"file": "inbox/adt-170.hl7"})
    await put(store, 3)
    assert await store.search.with_fact("adt-17.hl7", 100, 10) == [message_id]
    assert await store.search.with_fact("inbox/adt-17.hl7", 100, 10) == [message_id]
    assert await store.search.with_fact("adt-17.hl7", 2, 10) == []


async def test_reading_for_keys_is_kept_with_its_progress(reopen: Open) -> None:
    store = await reopen()
    one = await put(store, 1, business_keys=(MRN, ("old", "1")))
    other = await put(store, 2)
    assert await store.search.reindexing() is None
    begun = await store.search.begin_reindexing(5)
    assert (begun.first_id, begun.below_id, begun.ended_at) == (other, other + 1, 0)
    await store.search.reindex([IndexedKeys(other, ((0, (("mrn", "4712"),)),))], other, ended=False)
    store = await reopen()
    standing = await store.search.reindexing()
    assert standing
    assert (standing.below_id, standing.found, standing.ended_at) == (other, 1, 0)
    await store.search.reindex([IndexedKeys(one, ((0, (MRN,)),))], one, ended=True)
    assert [(key.message_id, key.name) for key in await store.search.keys([one, other])] == [
        (other, "mrn"),
        (one, "mrn"),
    ]
    standing = await store.search.reindexing()
    assert standing
    assert standing.ended_at
