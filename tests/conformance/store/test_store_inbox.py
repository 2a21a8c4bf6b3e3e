"""The inbox port: what is taken in, what is known already, and which reply belongs to it."""

from __future__ import annotations

import asyncio

import pytest

from hcsyncd.message import NO_FACTS, DeliveryState, Keys, MessageState, ReplyState
from hcsyncd.store.ports import Filter, Reply, Stored
from tests.fakes.store_drivers import Open, Ports
from tests.fakes.stored import arrival, delivery, handoff, known, stored


async def test_an_arrival_comes_back_whole(store: Ports) -> None:
    new = arrival(
        7, peer="10.0.0.9:4711", facts={"file": "a.hl7", "tls": "ehr"}, only_route="r1", only_destination="erp"
    )
    message_id = stored(await store.inbox.put(new))
    (message,) = await store.inbox.received("adt", 0, 10, 1000)
    assert message.id == message_id
    assert (message.channel, message.received_at, message.keys) == ("adt", new.received_at, new.keys)
    assert (message.body, message.peer, dict(message.facts)) == (new.body, new.peer, dict(new.facts))
    assert (message.only_route, message.only_destination) == ("r1", "erp")
    assert (message.trace, message.parent, message.replay_of) == (message_id, None, None)


async def test_an_empty_body_and_no_facts_come_back_as_such(store: Ports) -> None:
    await store.inbox.put(arrival(1, body=b"", keys=Keys()))
    (message,) = await store.inbox.received("adt", 0, 10, 1000)
    assert (message.body, message.keys, message.facts) == (b"", Keys(), NO_FACTS)


async def test_ids_rise_in_the_order_of_the_calls(store: Ports) -> None:
    answers = await asyncio.gather(*(store.inbox.put(arrival(number)) for number in range(200)))
    ids = [stored(answer) for answer in answers]
    assert ids == sorted(set(ids))
    assert [message.id for message in await store.inbox.received("adt", 0, 1000, 1 << 30)] == ids


async def test_ids_go_on_rising_after_a_restart(reopen: Open) -> None:
    first = stored(await (await reopen()).inbox.put(arrival(1)))
    assert stored(await (await reopen()).inbox.put(arrival(2))) > first


@pytest.mark.parametrize("together", [True, False], ids=["in one commit", "in two commits"])
async def test_a_duplicate_gets_the_first_reply(store: Ports, *, together: bool) -> None:
    first = arrival(1, reply=b"AA first", application_reply=b"CA", reply_state=ReplyState.OWED)
    again = arrival(1, reply=b"AA second", received_at=9)
    if together:
        one, two = await asyncio.gather(store.inbox.put(first), store.inbox.put(again))
    else:
        one, two = await store.inbox.put(first), await store.inbox.put(again)
    duplicate = known(two)
    assert duplicate.message_id == stored(one)
    assert (duplicate.reply, duplicate.application_reply) == (b"AA first", b"CA")
    assert (duplicate.reply_state, duplicate.reply_open) == (ReplyState.OWED, False)
    assert len(await store.history.find(Filter())) == 1


async def test_a_duplicate_is_known_after_a_restart(reopen: Open) -> None:
    first = stored(await (await reopen()).inbox.put(arrival(1)))
    assert known(await (await reopen()).inbox.put(arrival(1))).message_id == first


async def test_without_an_identity_nothing_is_a_duplicate(store: Ports) -> None:
    answers = await asyncio.gather(*(store.inbox.put(arrival(1, identity=b"")) for _ in range(3)))
    assert len({stored(answer) for answer in answers}) == 3


async def test_other_content_under_a_known_identity_is_stored_and_told(store: Ports) -> None:
    first = stored(await store.inbox.put(arrival(1)))
    changed = await store.inbox.put(arrival(1, body=b"other"))
    assert isinstance(changed, Stored)
    assert (changed.reused, changed.refused) == (first, False)
    assert known(await store.inbox.put(arrival(1, body=b"other"))).message_id == changed.message_id
    assert known(await store.inbox.put(arrival(1))).message_id == first


async def test_refused_other_content_is_a_dead_letter_that_awaits_its_reply(store: Ports) -> None:
    first = stored(await store.inbox.put(arrival(1)))
    refused = await store.inbox.put(arrival(1, body=b"other", refuse_changed=True))
    assert isinstance(refused, Stored)
    assert (refused.reused, refused.refused) == (first, True)
    row = await store.history.message(refused.message_id)
    assert row is not None
    assert (row.state, row.cause) == (MessageState.DEAD, "control-id-reused")
    assert await store.inbox.undecided() == [refused.message_id]
    assert await store.history.replies(refused.message_id) == (b"", b"")
    again = await store.inbox.put(arrival(1, body=b"other", refuse_changed=True))
    assert isinstance(again, Stored), "a refused message makes no duplicate of its resend"
    assert again.refused


async def test_a_message_stored_dead_makes_no_duplicate(store: Ports) -> None:
    bad = arrival(1, state=MessageState.DEAD, cause="no-msh", text="no MSH (byte 0)")
    first = stored(await store.inbox.put(bad))
    assert stored(await store.inbox.put(bad)) != first
    assert await store.inbox.received("adt", 0, 10, 1000) == []


async def test_a_negative_reply_frees_the_identity(store: Ports) -> None:
    first = stored(await store.inbox.put(arrival(1, reply=b"", reply_open=True, reply_state=ReplyState.OWED)))
    await store.inbox.decide_reply(Reply(first, b"AE", positive=False))
    assert await store.history.replies(first) == (b"AE", b"")
    assert stored(await store.inbox.put(arrival(1))) != first


async def test_a_reply_decided_later_is_given_to_the_resend(reopen: Open) -> None:
    store = await reopen()
    first = stored(await store.inbox.put(arrival(1, reply=b"", reply_open=True, reply_state=ReplyState.OWED)))
    other = stored(await store.inbox.put(arrival(2, reply=b"", reply_open=True, reply_state=ReplyState.OWED)))
    waiting = known(await store.inbox.put(arrival(1)))
    assert (waiting.message_id, waiting.reply_open) == (first, True)
    await store.inbox.decide_reply(Reply(first, b"AA", b"CA"))
    store = await reopen()
    assert await store.inbox.undecided() == [other]
    decided = known(await store.inbox.put(arrival(1)))
    assert (decided.reply, decided.application_reply, decided.reply_open) == (b"AA", b"CA", False)


async def test_an_arrival_key_is_taken_once_whatever_the_content(store: Ports) -> None:
    first = stored(await store.inbox.put(arrival(1, arrival_key=b"file 1")))
    same, other = await asyncio.gather(
        store.inbox.put(arrival(2, arrival_key=b"file 1")), store.inbox.put(arrival(3, arrival_key=b"file 3"))
    )
    assert known(same).message_id == first
    assert known(await store.inbox.put(arrival(4, arrival_key=b"file 3"))).message_id == stored(other)


async def test_a_written_reply_is_marked_by_itself(reopen: Open) -> None:
    store = await reopen()
    sent, lost = [stored(await store.inbox.put(arrival(number, reply_state=ReplyState.OWED))) for number in (1, 2)]
    store.inbox.mark_replied(sent, ReplyState.SENT)
    store.inbox.mark_replied(lost, ReplyState.LOST)
    states: list[ReplyState] = []
    for _ in range(1000):
        states = [row.reply_state for row in await store.history.find(Filter(newest_first=False))]
        if ReplyState.OWED not in states:
            break
        await asyncio.sleep(0.01)
    assert states == [ReplyState.SENT, ReplyState.LOST]


async def test_a_mark_is_kept_when_the_store_closes_at_once(reopen: Open) -> None:
    store = await reopen()
    message_id = stored(await store.inbox.put(arrival(1, reply_state=ReplyState.OWED)))
    store.inbox.mark_replied(message_id, ReplyState.SENT)
    row = await (await reopen()).history.message(message_id)
    assert row is not None
    assert row.reply_state is ReplyState.SENT


async def test_received_gives_a_channels_messages_in_pages(store: Ports) -> None:
    ids = [stored(await store.inbox.put(arrival(number))) for number in range(5)]
    elsewhere = stored(await store.inbox.put(arrival(9, channel="lab")))
    await store.outbox.hand_on([handoff(ids[0], state=MessageState.FILTERED), handoff(ids[3], delivery())])
    waiting = [ids[1], ids[2], ids[4]]
    assert [message.id for message in await store.inbox.received("adt", 0, 10, 1000)] == waiting
    assert [message.id for message in await store.inbox.received("adt", 0, 2, 1000)] == waiting[:2]
    assert [message.id for message in await store.inbox.received("adt", waiting[1], 10, 1000)] == waiting[2:]
    assert [message.id for message in await store.inbox.received("lab", 0, 10, 1000)] == [elsewhere]


@pytest.mark.parametrize(("max_bytes", "count"), [(1, 1), (100, 1), (101, 2), (200, 2), (201, 3), (1000, 4)])
async def test_received_ends_with_the_message_that_fills_the_bytes(store: Ports, max_bytes: int, count: int) -> None:
    for number in range(4):
        await store.inbox.put(arrival(number, body=b"x" * 100, fingerprint=b""))
    assert len(await store.inbox.received("adt", 0, 10, max_bytes)) == count


async def test_a_message_caused_by_another_shares_its_trace(store: Ports) -> None:
    first = stored(await store.inbox.put(arrival(1)))
    caused = stored(await store.inbox.put(arrival(2, parent=first, trace=first)))
    await store.inbox.put(arrival(3))
    assert [message.trace for message in await store.inbox.received("adt", 0, 2, 1000)] == [first, first]
    for one in (first, caused):
        assert [row.id for row in await store.history.trace(one)] == [first, caused]


async def test_a_reply_state_other_than_owed_is_kept(store: Ports) -> None:
    message_id = stored(await store.inbox.put(arrival(1, reply=b"", reply_state=ReplyState.NOT_OWED)))
    await store.outbox.hand_on([handoff(message_id, delivery(state=DeliveryState.READY))])
    assert known(await store.inbox.put(arrival(1))).reply_state is ReplyState.NOT_OWED
