"""The MLLP listener's back-pressure, caps, time limits and stop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hcsyncd.events import (
    ConnectionOpened,
    ConnectionRefused,
)
from hcsyncd.message import ReplyState
from tests.fakes.intake import RecordingIntake
from tests.fakes.mllp_listener import Listen, Listener, listeners
from tests.fakes.mllp_peer import EB, SB, MllpSender, adt, frame
from tests.fakes.waiting import until


@pytest.fixture
async def listen(tmp_path: Path) -> AsyncIterator[Listen]:
    async with listeners(tmp_path) as start:
        yield start


async def test_reading_pauses_while_too_many_replies_are_owed(listen: Listen) -> None:
    listener = await listen(RecordingIntake(hold=True), max_pending=3)
    sender = await listener.connect()
    for number in range(3):
        await sender.write(frame(adt(str(number))))
        await until(lambda n=number: len(listener.intake.arrivals) == n + 1)  # type: ignore[misc]
    await sender.write(frame(adt("3")))
    other = await listener.connect()
    await other.write(frame(adt("other")))
    await until(lambda: adt("other") in listener.intake.bodies)
    assert adt("3") not in listener.intake.bodies

    listener.intake.hold = False
    listener.intake.release()
    assert [(await sender.reply())[-9:] for _ in range(4)] == [f"MSA|AA|{n}\r".encode() for n in range(4)]


async def test_reading_pauses_while_too_many_bytes_wait(listen: Listen) -> None:
    listener = await listen(RecordingIntake(hold=True), max_pending_bytes=2000)
    sender = await listener.connect()
    await sender.write(frame(adt("0", "X" * 3000)))
    await until(lambda: len(listener.intake.arrivals) == 1)
    await sender.write(frame(adt("1")))
    other = await listener.connect()
    await other.write(frame(adt("other")))
    await until(lambda: adt("other") in listener.intake.bodies)
    assert adt("1") not in listener.intake.bodies

    listener.intake.hold = False
    listener.intake.release()
    assert (await sender.reply()).endswith(b"MSA|AA|0\r")
    assert (await sender.reply()).endswith(b"MSA|AA|1\r")


async def test_a_peer_that_does_not_read_its_replies_is_not_read_from(listen: Listen) -> None:
    """Its replies would fill the memory."""
    listener = await listen(RecordingIntake(reply=lambda _: b"MSH|" + b"A" * 100_000))
    host, _, port = listener.source.address.rpartition(":")
    sock = socket.create_connection((host, int(port)))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(0)
    loop = asyncio.get_running_loop()
    writing = asyncio.create_task(loop.sock_sendall(sock, frame(adt("1", "X" * 50_000)) * 2000))
    await until(lambda: listener.intake.arrivals)
    counts: list[int] = []

    def steady() -> bool:
        counts.append(len(listener.intake.arrivals))
        return len(counts) > 50 and counts[-1] == counts[-50]

    await until(steady)
    assert len(listener.intake.arrivals) < 1000
    assert not writing.done()
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    sock.close()


async def test_an_idle_connection_is_closed_when_that_is_asked_for(listen: Listen) -> None:
    listener = await listen(idle_timeout_secs=300)
    idle, busy = await listener.connect(), await listener.connect()
    await idle.ask(adt("1"))
    await busy.ask(adt("2"))
    listener.clock.advance(299)
    await busy.ask(adt("3"))
    listener.clock.advance(2)

    assert await idle.rest() == b""
    assert listener.closings == ["idle"]
    assert (await busy.ask(adt("4"))).endswith(b"MSA|AA|4\r")


async def test_a_quiet_connection_stays_open_by_default(listen: Listen) -> None:
    listener = await listen(frame_timeout_secs=0.1)  # so that time limits are looked at often
    quiet = await listener.connect()
    await quiet.ask(adt("1"))
    listener.clock.advance(7 * 86_400)
    slow = await listener.connect()
    await slow.write(SB)
    await until(lambda: listener.events.of(ConnectionOpened)[1:])
    await sweep(listener, slow)

    assert (await quiet.ask(adt("2"))).endswith(b"MSA|AA|2\r")


async def sweep(listener: Listener, slow: MllpSender) -> None:
    """Return when the time limits were looked at: ``slow`` has begun a frame and is cut off then."""
    while not listener.closings:
        listener.clock.advance(1)
        await asyncio.sleep(0.005)
    assert await slow.rest() == b""


async def test_a_frame_must_be_complete_in_time(listen: Listen) -> None:
    listener = await listen(frame_timeout_secs=60)
    sender = await listener.connect()
    await sender.ask(adt("1"))
    await sender.write(SB + adt("2")[:80])
    other = await listener.connect()
    await other.ask(adt("3"))  # so that what was written before it has been read
    for step in range(6):  # one byte now and then does not help
        listener.clock.advance(11)
        if step < 5:
            await sender.write(b"X")
            await other.ask(adt(f"4{step}"))

    assert b"MSA|AR|2" in await sender.reply()
    assert await sender.rest() == b""
    assert listener.closings == ["frame-timeout"]
    [(arrival, reason, _)] = listener.intake.rejected
    assert arrival.body.startswith(adt("2")[:80])
    assert reason == "unfinished"


async def test_the_connection_after_the_last_allowed_one_is_closed(listen: Listen) -> None:
    listener = await listen(max_connections=2)
    first, second = await listener.connect(), await listener.connect()
    await first.ask(adt("1"))
    await second.ask(adt("2"))
    third = await listener.connect()
    assert await third.rest() == b""
    assert [event.reason for event in listener.events.of(ConnectionRefused)] == ["too-many"]

    await first.close()
    await until(lambda: listener.closings == ["peer-closed"])
    fourth = await listener.connect()
    assert (await fourth.ask(adt("4"))).endswith(b"MSA|AA|4\r")


@pytest.mark.parametrize(("allow", "welcome"), [(["10.0.0.0/8"], False), (["10.0.0.0/8", "127.0.0.1"], True)])
async def test_only_allowed_peers_come_in(listen: Listen, allow: list[str], welcome: bool) -> None:
    listener = await listen(allow=allow)
    sender = await listener.connect()
    if welcome:
        assert (await sender.ask(adt("1"))).endswith(b"MSA|AA|1\r")
        assert listener.events.of(ConnectionRefused) == []
    else:
        assert await sender.rest() == b""
        assert [event.reason for event in listener.events.of(ConnectionRefused)] == ["not-allowed"]
        assert listener.events.of(ConnectionOpened) == []


async def test_a_dual_stack_listener_knows_ipv4_peers_by_their_ipv4_address(listen: Listen) -> None:
    listener = await listen(host="::", allow=["127.0.0.1"])
    sender = await MllpSender.connect(f"127.0.0.1:{listener.source.address.rpartition(':')[2]}")
    listener.senders.append(sender)
    await sender.ask(adt("1"))

    assert listener.intake.arrivals[0].peer.startswith("127.0.0.1:")
    assert listener.source.address.startswith("[::]:")


async def test_stop_answers_what_is_in_hand_and_takes_no_more(listen: Listen) -> None:
    listener = await listen(RecordingIntake(hold=True))
    sender = await listener.connect()
    await sender.write(frame(adt("1")) + frame(adt("2")) + SB + adt("3")[:30])
    await until(lambda: len(listener.intake.held) == 2)
    stopping = asyncio.create_task(listener.source.stop())
    await asyncio.sleep(0)
    await sender.write(adt("3")[30:] + EB)
    async with asyncio.timeout(10):
        while await takes_connections(listener.source.address):
            pass
    assert not stopping.done()
    listener.intake.release()
    await stopping

    assert [(await sender.reply())[-9:] for _ in range(2)] == [b"MSA|AA|1\r", b"MSA|AA|2\r"]
    assert listener.intake.bodies == [adt("1"), adt("2")]
    assert listener.intake.rejected == []
    assert listener.closings == ["stopping"]
    await listener.run


async def takes_connections(address: str) -> bool:
    try:
        sender = await MllpSender.connect(address)
    except ConnectionRefusedError:
        return False
    await sender.close()
    return True


async def test_stop_waits_for_application_acknowledgements(listen: Listen) -> None:
    listener = await listen(RecordingIntake(laters=True))
    sender = await listener.connect()
    await sender.ask(adt("1"))
    stopping = asyncio.create_task(listener.source.stop())
    await asyncio.sleep(0)
    assert not stopping.done()
    listener.intake.later[0].set_result(b"MSH|later")
    await stopping

    assert await sender.reply() == b"MSH|later"


async def test_a_stop_that_is_cut_short_tells_which_replies_are_lost(listen: Listen) -> None:
    listener = await listen(RecordingIntake(hold=True))
    sender = await listener.connect()
    await sender.write(frame(adt("1")))
    await until(lambda: listener.intake.held)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await listener.source.stop()
    listener.intake.release()

    await until(lambda: listener.intake.states == [ReplyState.LOST])
    assert b"MSA" not in await read_to_the_end(sender)


async def read_to_the_end(sender: MllpSender) -> bytes:
    try:
        return await sender.rest()
    except ConnectionError:
        return b""
