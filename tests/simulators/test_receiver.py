"""The stand-in receivers take, refuse and count."""

import aiohttp

from hcsyncd.simulators.ehr import day, play
from hcsyncd.simulators.receiver import LOOPBACK, EventReceiver, MllpReceiver


async def post(session: aiohttp.ClientSession, url: str, key: str) -> int:
    async with session.post(url, json={"event": "admission.created"}, headers={"Idempotency-Key": key}) as response:
        return response.status


async def test_an_event_has_one_effect_however_often_it_comes() -> None:
    async with EventReceiver() as receiver, aiohttp.ClientSession() as session:
        statuses = [await post(session, receiver.url, key) for key in ("a", "b", "a")]
    assert statuses == [201, 201, 200]
    assert receiver.taken == {"a": 1, "b": 1}
    assert receiver.repeated == 1
    assert receiver.events == {"admission.created": 2}


async def test_a_receiver_that_fails_takes_nothing() -> None:
    async with EventReceiver() as receiver, aiohttp.ClientSession() as session:
        receiver.failing = True
        refused = await post(session, receiver.url, "a")
        receiver.failing = False
        taken = await post(session, receiver.url, "a")
    assert (refused, taken) == (503, 201)
    assert receiver.refused == 1
    assert receiver.taken == {"a": 1}


async def test_a_message_out_of_order_is_seen() -> None:
    messages = day(4)
    async with MllpReceiver() as receiver:
        _ = [answer async for answer in play(messages[:2], LOOPBACK, receiver.port)]
        assert receiver.is_in_order
        _ = [answer async for answer in play(messages[:1], LOOPBACK, receiver.port)]
        assert not receiver.is_in_order
