"""The MLLP listener against hand-made bytes on real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hcsyncd.connectors.mllp_source import CONNECTOR, MllpSourceOptions
from hcsyncd.errors import SourceError, StoreError
from hcsyncd.events import (
    ConnectionOpened,
    FaultTolerated,
)
from hcsyncd.message import Receipt, ReceiptOutcome, ReplyState
from tests.fakes.intake import RecordingIntake
from tests.fakes.mllp_listener import Listen, listeners
from tests.fakes.mllp_peer import EB, SB, MllpSender, adt, frame
from tests.fakes.seats import RecordedEvents, make_seat
from tests.fakes.waiting import until


@pytest.fixture
async def listen(tmp_path: Path) -> AsyncIterator[Listen]:
    async with listeners(tmp_path) as start:
        yield start


async def test_one_message_is_handed_in_and_answered(listen: Listen) -> None:
    listener = await listen()
    sender = await listener.connect()

    reply = await sender.ask(adt("42"))

    assert reply.endswith(b"MSA|AA|42\r")
    [arrival] = listener.intake.arrivals
    peer = sender.writer.get_extra_info("sockname")
    assert arrival.body == adt("42")
    assert arrival.channel == "adt_in"
    assert arrival.peer == f"127.0.0.1:{peer[1]}"
    assert arrival.received_at == listener.clock.now()
    assert arrival.facts == {"peer": "127.0.0.1", "local_port": listener.source.address.rpartition(":")[2]}
    await until(lambda: listener.intake.states == [ReplyState.SENT])
    assert [event.peer for event in listener.events.of(ConnectionOpened)] == [arrival.peer]


async def test_a_frame_that_comes_byte_by_byte(listen: Listen) -> None:
    listener = await listen()
    sender = await listener.connect()
    for number in frame(adt("7")):
        await sender.write(bytes([number]))

    assert (await sender.reply()).endswith(b"MSA|AA|7\r")
    assert listener.intake.bodies == [adt("7")]


@pytest.mark.parametrize("cut", [1, 5, 60, -3, -2, -1])
async def test_a_frame_in_two_packets(listen: Listen, cut: int) -> None:
    listener = await listen()
    sender = await listener.connect()
    data = frame(adt("8"))
    await sender.write(data[:cut])
    await until(lambda: listener.events.of(ConnectionOpened))
    await sender.write(data[cut:])

    assert (await sender.reply()).endswith(b"MSA|AA|8\r")
    assert listener.intake.bodies == [adt("8")]


async def test_two_frames_in_one_packet_are_answered_in_order(listen: Listen) -> None:
    listener = await listen()
    sender = await listener.connect()
    await sender.write(frame(adt("1")) + frame(adt("2")))

    assert [await sender.reply() for _ in range(2)] == [listener.intake.reply(a) for a in listener.intake.arrivals]
    assert listener.intake.bodies == [adt("1"), adt("2")]


async def test_an_end_byte_without_cr_ends_the_frame(listen: Listen) -> None:
    listener = await listen()
    sender = await listener.connect()
    await sender.write(SB + adt("1") + b"\x1c" + frame(adt("2")))

    assert (await sender.reply()).endswith(b"MSA|AA|1\r")
    assert (await sender.reply()).endswith(b"MSA|AA|2\r")


async def test_noise_between_frames_is_skipped_and_told(listen: Listen) -> None:
    listener = await listen()
    sender = await listener.connect()
    await sender.write(frame(adt("1")) + b"\r\nxyz" + frame(adt("2")))

    assert (await sender.reply()).endswith(b"MSA|AA|1\r")
    assert (await sender.reply()).endswith(b"MSA|AA|2\r")
    assert listener.faults == [("noise", 3)]


async def test_a_missing_end_then_close_is_kept_and_refused(listen: Listen) -> None:
    listener = await listen()
    sender = await listener.connect()
    await sender.write(SB + adt("9"))
    sender.half_close()

    assert (await sender.reply()).endswith(b"MSA|AR|9\r")
    [(arrival, reason, text)] = listener.intake.rejected
    assert arrival.body == adt("9")
    assert reason == "unfinished"
    assert text == f"a frame of {len(adt('9'))} bytes has no end"
    assert await sender.rest() == b""
    assert listener.closings == ["peer-closed"]


async def test_a_missing_end_can_be_tolerated(listen: Listen) -> None:
    listener = await listen(tolerate=["missing_end_byte"])
    sender = await listener.connect()
    await sender.write(SB + adt("1") + SB + adt("2"))
    sender.half_close()

    assert (await sender.reply()).endswith(b"MSA|AA|1\r")
    assert (await sender.reply()).endswith(b"MSA|AA|2\r")
    assert [event.switch for event in listener.events.of(FaultTolerated)] == ["missing_end_byte"] * 2
    assert [arrival.facts["tolerated"] for arrival in listener.intake.arrivals] == ["missing_end_byte"] * 2


async def test_a_start_byte_inside_a_frame_starts_the_next(listen: Listen) -> None:
    listener = await listen()
    sender = await listener.connect()
    await sender.write(SB + adt("1")[:40] + frame(adt("2")))

    assert b"MSA|AR|" in await sender.reply()
    assert (await sender.reply()).endswith(b"MSA|AA|2\r")
    assert [(a.body, reason) for a, reason, _ in listener.intake.rejected] == [(adt("1")[:40], "unfinished")]


async def test_an_empty_frame_is_told_and_skipped(listen: Listen) -> None:
    listener = await listen()
    sender = await listener.connect()
    await sender.write(SB + EB + frame(adt("1")))

    assert (await sender.reply()).endswith(b"MSA|AA|1\r")
    assert listener.faults == [("empty", 0)]


async def test_a_frame_over_the_cap_is_kept_cut_and_refused_and_the_next_is_taken(listen: Listen) -> None:
    listener = await listen(max_frame_bytes=1024)
    sender = await listener.connect()
    long = adt("1", "X" * 5000)
    await sender.write(frame(long) + frame(adt("2")))

    assert (await sender.reply()).endswith(b"MSA|AR|1\r")
    assert (await sender.reply()).endswith(b"MSA|AA|2\r")
    [(arrival, reason, text)] = listener.intake.rejected
    assert reason == "oversize"
    assert arrival.body == long[:1024]
    assert text == f"a frame of {len(long)} bytes is longer than max_frame_bytes (1024)"


async def test_replies_leave_in_the_order_of_the_frames(listen: Listen) -> None:
    listener = await listen(RecordingIntake(hold=True))
    sender = await listener.connect()
    for number in range(5):
        await sender.write(frame(adt(str(number))))
    await until(lambda: len(listener.intake.held) == 5)
    listener.intake.release(newest_first=True)

    assert [await sender.reply() for _ in range(5)] == [listener.intake.reply(a) for a in listener.intake.arrivals]


async def test_nothing_is_answered_before_the_receipt(listen: Listen) -> None:
    listener = await listen(RecordingIntake(hold=True))
    sender = await listener.connect()
    await sender.write(frame(adt("1")))
    await until(lambda: listener.intake.held)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await sender.reader.read(1)
    assert listener.intake.replied == []

    listener.intake.release()
    assert (await sender.reply()).endswith(b"MSA|AA|1\r")


async def test_a_reply_leaves_in_one_write(listen: Listen) -> None:
    """python-hl7's client reads once, 4096 bytes at most, and takes that for the whole reply."""
    listener = await listen(RecordingIntake(reply=lambda _: b"MSH|" + b"A" * 4000))
    host, _, port = listener.source.address.rpartition(":")

    def read_once() -> bytes:
        with socket.create_connection((host, int(port))) as sock:
            sock.settimeout(10)
            sock.sendall(frame(adt("1")))
            return sock.recv(4096)

    assert await asyncio.to_thread(read_once) == frame(b"MSH|" + b"A" * 4000)


async def test_an_application_acknowledgement_follows_later(listen: Listen) -> None:
    listener = await listen(RecordingIntake(laters=True))
    sender = await listener.connect()
    assert (await sender.ask(adt("1"))).endswith(b"MSA|AA|1\r")
    assert listener.intake.replied == []
    assert (await sender.ask(adt("2"))).endswith(b"MSA|AA|2\r")

    listener.intake.later[1].set_result(b"MSH|second")
    assert await sender.reply() == b"MSH|second"
    listener.intake.later[0].set_result(b"MSH|first")
    assert await sender.reply() == b"MSH|first"
    await until(lambda: listener.intake.states == [ReplyState.SENT, ReplyState.SENT])


async def test_a_message_without_a_reply_owes_none(listen: Listen) -> None:
    listener = await listen(RecordingIntake(reply=lambda _: b""))
    sender = await listener.connect()
    await sender.write(frame(adt("1")))
    sender.half_close()

    assert await sender.rest() == b""
    assert listener.intake.bodies == [adt("1")]
    assert listener.intake.replied == []


async def test_a_sender_gone_before_its_acknowledgement(listen: Listen) -> None:
    listener = await listen(RecordingIntake(hold=True))
    sender = await listener.connect()
    await sender.write(frame(adt("1")))
    await until(lambda: listener.intake.held)
    sender.reset()
    await until(lambda: listener.closings == ["reset"])
    listener.intake.release()

    await until(lambda: listener.intake.states == [ReplyState.LOST])
    other = await listener.connect()
    listener.intake.hold = False
    assert (await other.ask(adt("2"))).endswith(b"MSA|AA|2\r")


async def test_a_half_closed_sender_still_gets_its_replies(listen: Listen) -> None:
    listener = await listen(RecordingIntake(hold=True))
    sender = await listener.connect()
    await sender.write(frame(adt("1")) + frame(adt("2")))
    sender.half_close()
    await until(lambda: len(listener.intake.held) == 2)
    listener.intake.release(1)
    assert (await sender.reply()).endswith(b"MSA|AA|1\r")
    listener.intake.release()

    assert (await sender.rest()).endswith(b"MSA|AA|2\r" + EB)
    assert listener.intake.states == [ReplyState.SENT, ReplyState.SENT]


async def test_a_store_failure_closes_the_connection_without_a_word(listen: Listen) -> None:
    listener = await listen(RecordingIntake(error=StoreError("disk full")))
    sender = await listener.connect()
    await sender.write(frame(adt("1")))

    assert await sender.rest() == b""
    assert listener.closings == ["store-failed"]
    listener.intake.error = None
    other = await listener.connect()
    assert (await other.ask(adt("1"))).endswith(b"MSA|AA|1\r")


async def test_no_reply_overtakes_a_failed_one(listen: Listen) -> None:
    listener = await listen(RecordingIntake(hold=True))
    sender = await listener.connect()
    await sender.write(frame(adt("1")) + frame(adt("2")) + frame(adt("3")))
    await until(lambda: len(listener.intake.held) == 3)
    listener.intake.held[1][0].set_exception(StoreError("disk full"))
    listener.intake.release()

    assert await sender.rest() == frame(listener.intake.reply(listener.intake.arrivals[0]))
    assert listener.intake.states == [ReplyState.SENT, ReplyState.LOST]


async def test_an_intake_that_breaks_its_contract_ends_the_source(listen: Listen, tmp_path: Path) -> None:
    source = CONNECTOR.build(MllpSourceOptions(port=0), make_seat(tmp_path, RecordedEvents()))
    await source.start()
    run = asyncio.create_task(source.run(RecordingIntake(error=ValueError("a defect"))))
    sender = await MllpSender.connect(source.address)
    await sender.write(frame(adt("1")))

    with pytest.raises(ValueError, match="a defect"):
        await run
    assert await sender.rest() == b""
    await sender.close()
    await source.stop()


async def test_a_refusal_is_written_like_any_reply(listen: Listen) -> None:
    listener = await listen(RecordingIntake(outcome=ReceiptOutcome.REFUSED, reply=lambda _: b"MSH|no"))
    sender = await listener.connect()

    assert await sender.ask(adt("1")) == b"MSH|no"


async def test_a_taken_address_is_told_with_what_to_do(listen: Listen, tmp_path: Path) -> None:
    first = await listen()
    port = int(first.source.address.rpartition(":")[2])
    second = CONNECTOR.build(MllpSourceOptions(port=port), make_seat(tmp_path, RecordedEvents()))

    with pytest.raises(SourceError, match=rf"cannot listen on 127\.0\.0\.1:{port}: Address already in use; another"):
        await second.start()
    await second.stop()

    await first.source.stop()
    third = CONNECTOR.build(MllpSourceOptions(port=port), make_seat(tmp_path, RecordedEvents()))
    await third.start()  # bind retry: the address is free at once
    assert third.address == first.source.address
    await third.stop()


async def test_a_host_that_is_not_known_is_told(tmp_path: Path) -> None:
    options = MllpSourceOptions(host="no-such-host.invalid", port=0)
    with pytest.raises(SourceError, match=r"cannot listen on no-such-host\.invalid:0: host .* is not known"):
        await CONNECTOR.build(options, make_seat(tmp_path, RecordedEvents())).start()


async def test_an_address_of_another_machine_is_told(tmp_path: Path) -> None:
    options = MllpSourceOptions(host="192.0.2.1", port=0)
    with pytest.raises(SourceError, match=r"cannot listen on 192\.0\.2\.1:0: .* no address of this machine"):
        await CONNECTOR.build(options, make_seat(tmp_path, RecordedEvents())).start()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"port": 0, "allow": ["10.0.0.0/40"]}, "not a valid IPv4 or IPv6 network"),
        ({"port": 70_000}, "less than or equal to 65535"),
        ({"port": 0, "tolerate": ["everything"]}, "missing_end_byte"),
        ({}, "Field required"),
    ],
)
def test_options_that_will_not_do(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        MllpSourceOptions(**options)


def test_a_receipt_names_nothing_of_the_message(tmp_path: Path) -> None:
    """Bodies stay out of every repr."""
    receipt = Receipt(ReceiptOutcome.ACCEPTED, 1, b"MSH|secret")
    assert "secret" not in repr(receipt)
