"""The MLLP sender against receivers that behave and that misbehave."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from hcsyncd.connectors.mllp_destination import CONNECTOR, MllpDestination, MllpDestinationOptions
from hcsyncd.errors import DeliveryError, Refused, Transient, Unsure
from hcsyncd.events import AnswerIgnored, FrameFaulted
from hcsyncd.message import Envelope, Sent
from tests.fakes.clock import FakeClock
from tests.fakes.mllp_peer import (
    SB,
    Behaviour,
    ScriptedReceiver,
    accept_all,
    ack,
    adt,
    answer_raw,
    answer_with,
    control_id_of,
    frame,
    hang_up,
    stay_silent,
)
from tests.fakes.seats import RecordedEvents, make_seat
from tests.fakes.waiting import until


def envelope(control_id: str = "1", lane: str = "", body: bytes | None = None) -> Envelope:
    return Envelope(
        delivery_id=int(control_id) if control_id.isdigit() else 0,
        message_id=1,
        body=adt(control_id) if body is None else body,
        content_type="x-application/hl7-v2+er7",
        idempotency_key=control_id,
        lane=lane,
    )


Make = Callable[..., Awaitable[MllpDestination]]


@pytest.fixture
def events() -> RecordedEvents:
    return RecordedEvents()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def make(tmp_path: Path, events: RecordedEvents, clock: FakeClock) -> AsyncIterator[Make]:
    async with AsyncExitStack() as stack:

        async def build(port: int, **options: Any) -> MllpDestination:
            options = {"host": "127.0.0.1", "port": port, **options}
            seat = make_seat(tmp_path, events, channel="relay_out", clock=clock)
            destination: MllpDestination = CONNECTOR.build(MllpDestinationOptions(**options), seat)
            await destination.open()
            stack.push_async_callback(destination.close)
            return destination

        yield build


@pytest.fixture
async def receiver() -> AsyncIterator[ScriptedReceiver]:
    async with ScriptedReceiver() as made:
        yield made


async def failure(destination: MllpDestination, sent: Envelope) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await destination.send(sent)
    return caught.value


async def test_a_message_is_sent_and_its_answer_kept(make: Make, receiver: ScriptedReceiver) -> None:
    destination = await make(receiver.port)

    assert await destination.send(envelope("42")) == Sent(ack("AA", "42"), "AA")
    assert receiver.payloads == [adt("42")]


async def test_the_connection_is_kept(make: Make, receiver: ScriptedReceiver) -> None:
    destination = await make(receiver.port)
    for number in range(5):
        await destination.send(envelope(str(number)))

    assert receiver.connections == 1
    assert receiver.ids == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize(
    ("code", "options", "kind"),
    [
        ("AE", {}, Refused),
        ("CE", {}, Refused),
        ("AE", {"on_error": "retry"}, Transient),
        ("AR", {}, Transient),
        ("CR", {}, Transient),
        ("AR", {"on_reject": "refuse"}, Refused),
    ],
)
async def test_a_negative_answer(
    make: Make, receiver: ScriptedReceiver, code: str, options: dict[str, str], kind: type[DeliveryError]
) -> None:
    receiver.script = [answer_with(code)]
    destination = await make(receiver.port, **options)
    error = await failure(destination, envelope("1"))

    assert type(error) is kind
    assert error.reason == f"ack-{code}"
    assert error.answer == ack(code, "1")
    assert str(error) == f"127.0.0.1:{receiver.port} answered {code}"
    await destination.send(envelope("2"))
    assert receiver.connections == 1  # an answer that can be trusted drops nothing


@pytest.mark.parametrize(
    ("behaviour", "option", "reason"),
    [
        (answer_raw(frame(ack("AA", "999"))), "on_mismatch", "ack-mismatch"),
        (answer_raw(frame(b"MSH|^~\\&|X\rMSA|AA")), "on_mismatch", "ack-mismatch"),
        (answer_raw(frame(b"hello")), "on_unreadable", "ack-unreadable"),
        (answer_raw(frame(b"MSH|^~\\&|X\rMSA|XX|1\r")), "on_unreadable", "ack-unreadable"),
        (answer_raw(frame(b"MSH|^~\\&|X\rPID|1\r")), "on_unreadable", "ack-unreadable"),
        (answer_raw(frame(b"")), "on_unreadable", "ack-unreadable"),
        (answer_raw(frame(b"MSH|" + b"A" * 5000)), "on_unreadable", "ack-unreadable"),
        (stay_silent, "on_timeout", "ack-timeout"),
        (hang_up, "on_lost", "connection-lost"),
        (answer_raw(SB + ack("AA", "1")), "on_timeout", "ack-timeout"),
        (answer_raw(ack("AA", "1")), "on_timeout", "ack-timeout"),
    ],
)
@pytest.mark.parametrize(("action", "kind"), [("retry", Transient), ("unsure", Unsure)])
async def test_no_answer_that_can_be_trusted(
    make: Make,
    receiver: ScriptedReceiver,
    behaviour: Behaviour,
    option: str,
    reason: str,
    action: str,
    kind: type[DeliveryError],
) -> None:
    receiver.script = [behaviour]
    destination = await make(receiver.port, ack_timeout_secs=0.15, max_answer_bytes=4096, **{option: action})
    error = await failure(destination, envelope("1"))

    assert type(error) is kind
    assert error.reason == reason
    assert (await destination.send(envelope("2"))).detail == "AA"
    assert receiver.connections == 2  # the connection was dropped: no late answer can slip to the next message


async def test_the_answer_for_another_message_is_kept_with_the_error(make: Make, receiver: ScriptedReceiver) -> None:
    receiver.script = [answer_raw(frame(ack("AA", "999")))]
    destination = await make(receiver.port, on_mismatch="refuse")
    error = await failure(destination, envelope("1"))

    assert type(error) is Refused
    assert error.answer == ack("AA", "999")


async def test_a_receiver_that_does_not_copy_the_control_id(make: Make, receiver: ScriptedReceiver) -> None:
    receiver.behaviour = answer_raw(frame(ack("AA", "ACK")))
    destination = await make(receiver.port, on_mismatch="accept")
    for number in range(3):
        assert (await destination.send(envelope(str(number)))).answer == ack("AA", "ACK")

    assert receiver.connections == 1


async def test_control_ids_are_compared_byte_for_byte(make: Make, receiver: ScriptedReceiver) -> None:
    body = adt("1").replace(b"|1|P", "|A\\T\\ä|P".encode())
    receiver.behaviour = answer_raw(frame("MSH|^~\\&|X\rMSA|AA|A\\T\\ä\r".encode()))
    destination = await make(receiver.port)

    assert (await destination.send(envelope(body=body))).detail == "AA"


@pytest.mark.parametrize("ending", ["\r", "\n", "\r\n"])
async def test_answers_with_other_delimiters_and_line_ends(make: Make, receiver: ScriptedReceiver, ending: str) -> None:
    answer = f"{ending}MSH#^~\\&#X{ending}ERR#1{ending}MSA#AA#1#fine{ending}".encode()
    receiver.behaviour = answer_raw(frame(answer))
    destination = await make(receiver.port)

    assert await destination.send(envelope("1")) == Sent(answer, "AA")


async def test_an_answer_in_pieces_and_with_noise_around_it(
    make: Make, receiver: ScriptedReceiver, events: RecordedEvents
) -> None:
    async def dribble(payload: bytes, writer: asyncio.StreamWriter) -> None:
        for byte in b"\r\nxx" + frame(ack("AA", control_id_of(payload))):
            writer.write(bytes([byte]))
            await writer.drain()

    receiver.behaviour = dribble
    destination = await make(receiver.port)

    assert (await destination.send(envelope("1"))).detail == "AA"
    assert [(event.channel, event.fault, event.bytes) for event in events.of(FrameFaulted)] == [
        ("relay_out", "noise", 2)
    ]


async def test_one_lane_with_a_window_is_pipelined_in_order(make: Make, receiver: ScriptedReceiver) -> None:
    gate = asyncio.Event()

    async def wait(payload: bytes, writer: asyncio.StreamWriter) -> None:
        await gate.wait()
        await accept_all(payload, writer)

    receiver.behaviour = wait
    destination = await make(receiver.port)
    sends = [asyncio.create_task(destination.send(envelope(str(n), "A"))) for n in range(6)]
    await until(lambda: receiver.payloads)
    gate.set()
    results = await asyncio.gather(*sends)

    assert receiver.ids == [str(n) for n in range(6)]
    assert [sent.answer for sent in results] == [ack("AA", str(n)) for n in range(6)]
    assert receiver.connections == 1


async def test_lanes_run_in_parallel_on_connections_of_their_own(make: Make, receiver: ScriptedReceiver) -> None:
    gate = asyncio.Event()

    async def wait(payload: bytes, writer: asyncio.StreamWriter) -> None:
        await gate.wait()
        await accept_all(payload, writer)

    receiver.behaviour = wait
    destination = await make(receiver.port, connections=3)
    sends = [asyncio.create_task(destination.send(envelope(str(n), f"lane {n}"))) for n in range(5)]
    await until(lambda: len(receiver.payloads) == 3)
    gate.set()
    await asyncio.gather(*sends)

    assert receiver.most_at_once == 3
    assert receiver.connections == 3
    assert sorted(receiver.ids) == ["0", "1", "2", "3", "4"]


async def test_lanes_share_one_connection_in_turn_and_stay_in_order(make: Make, receiver: ScriptedReceiver) -> None:
    destination = await make(receiver.port, connections=1)
    sent = [(str(n), "ABC"[n % 3]) for n in range(30)]
    await asyncio.gather(*(destination.send(envelope(number, lane)) for number, lane in sent))

    for lane in "ABC":
        mine = [number for number, of in sent if of == lane]
        assert [number for number in receiver.ids if number in mine] == mine
    assert receiver.connections == 1


async def test_order_is_kept_by_sends_that_join_while_others_wake(make: Make, receiver: ScriptedReceiver) -> None:
    """Each answer frees the connection for the next waiting send; one that comes at that moment may not overtake it."""
    destination = await make(receiver.port, connections=1)
    tasks: list[asyncio.Task[Sent]] = []

    def spawn(number: int) -> None:
        task = asyncio.create_task(destination.send(envelope(str(number), "AB"[number % 2])))
        if number + 4 < 60:
            task.add_done_callback(lambda _: spawn(number + 4))
        tasks.append(task)

    for number in range(4):
        spawn(number)
    await until(lambda: len(tasks) == 60 and all(task.done() for task in tasks))

    for parity in (0, 1):
        chain = [int(number) for number in receiver.ids if int(number) % 2 == parity]
        assert chain == sorted(chain)


async def test_a_cancelled_send_does_not_shift_the_answers(make: Make, receiver: ScriptedReceiver) -> None:
    gate = asyncio.Event()

    async def wait(payload: bytes, writer: asyncio.StreamWriter) -> None:
        await gate.wait()
        await accept_all(payload, writer)

    receiver.behaviour = wait
    destination = await make(receiver.port, connections=1)
    first = asyncio.create_task(destination.send(envelope("1", "A")))
    await until(lambda: receiver.payloads)
    waiting = asyncio.create_task(destination.send(envelope("2", "B")))
    await asyncio.sleep(0)
    first.cancel()
    third = asyncio.create_task(destination.send(envelope("3", "B")))
    gate.set()

    assert (await waiting).answer == ack("AA", "2")
    assert (await third).answer == ack("AA", "3")
    assert first.cancelled()
    assert receiver.connections == 1


async def test_a_send_cancelled_while_it_waits_gives_its_turn_away(make: Make, receiver: ScriptedReceiver) -> None:
    receiver.script = [stay_silent]
    destination = await make(receiver.port, connections=1, ack_timeout_secs=0.2)
    first = asyncio.create_task(destination.send(envelope("1", "A")))
    await until(lambda: receiver.payloads)
    second = asyncio.create_task(destination.send(envelope("2", "B")))
    third = asyncio.create_task(destination.send(envelope("3", "C")))
    await asyncio.sleep(0)
    second.cancel()

    assert (await third).detail == "AA"
    assert isinstance(first.exception(), Transient)
    assert receiver.ids == ["1", "3"]


async def test_what_is_behind_a_timed_out_message_is_lost_with_it(make: Make, receiver: ScriptedReceiver) -> None:
    receiver.script = [accept_all, stay_silent]
    destination = await make(receiver.port, ack_timeout_secs=0.2, on_lost="unsure")
    results = await asyncio.gather(*(destination.send(envelope(str(n), "A")) for n in range(2)), return_exceptions=True)
    assert isinstance(results[0], Sent)
    assert isinstance(results[1], Transient)

    receiver.script = [hang_up]
    results = await asyncio.gather(*(destination.send(envelope(str(n), "A")) for n in range(2)), return_exceptions=True)
    assert [type(result) for result in results] == [Unsure, Unsure]


async def test_a_receiver_that_is_not_there(make: Make, clock: FakeClock) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    destination = await make(port)
    error = await failure(destination, envelope("1"))

    assert type(error) is Transient
    assert error.reason == "connect-refused"
    assert str(error) == f"127.0.0.1:{port} refused the connection: nobody listens there"


async def test_a_receiver_that_failed_is_left_alone_for_a_moment(
    make: Make, clock: FakeClock, receiver: ScriptedReceiver
) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    destination = await make(port, reconnect_secs=0.5)
    await failure(destination, envelope("1"))
    async with ScriptedReceiver(port=port) as back:
        clock.advance(0.3)
        error = await failure(destination, envelope("1"))
        assert isinstance(error, Transient)
        assert error.reason == "connect-refused"
        assert error.retry_after == pytest.approx(0.2)
        assert back.connections == 0

        clock.advance(0.2)
        assert (await destination.send(envelope("1"))).detail == "AA"


async def test_a_receiver_that_comes_back_is_connected_to_again(make: Make, receiver: ScriptedReceiver) -> None:
    receiver.script = [accept_all, hang_up]
    destination = await make(receiver.port)
    await destination.send(envelope("1"))
    assert (await failure(destination, envelope("2"))).reason == "connection-lost"

    assert (await destination.send(envelope("2"))).detail == "AA"
    assert receiver.ids == ["1", "2", "2"]


async def test_a_receiver_that_closes_between_messages_costs_nothing(make: Make, receiver: ScriptedReceiver) -> None:
    async def answer_and_close(payload: bytes, writer: asyncio.StreamWriter) -> None:
        await accept_all(payload, writer)
        writer.close()

    receiver.behaviour = answer_and_close
    destination = await make(receiver.port)
    for number in range(3):
        await destination.send(envelope(str(number)))
        await until(lambda: receiver.open_now == 0)
        await asyncio.sleep(0.01)  # its close is on the way to us

    assert receiver.connections == 3


async def test_connecting_takes_a_bounded_time(make: Make) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        fillers = [socket.socket() for _ in range(8)]
        for filler in fillers:
            filler.settimeout(0)
            filler.connect_ex(("127.0.0.1", port))
        destination = await make(port, connect_timeout_secs=0.1)
        error = await failure(destination, envelope("1"))
        for filler in fillers:
            filler.close()

    assert type(error) is Transient
    assert error.reason == "connect-timeout"


async def test_an_unknown_host(make: Make) -> None:
    destination = await make(2575, host="no-such-host.invalid")
    error = await failure(destination, envelope("1"))

    assert type(error) is Transient
    assert error.reason == "host-unknown"


async def test_the_enhanced_mode_is_settled_by_the_commit_answer(
    make: Make, receiver: ScriptedReceiver, events: RecordedEvents
) -> None:
    async def commit_then_apply(payload: bytes, writer: asyncio.StreamWriter) -> None:
        number = control_id_of(payload)
        writer.write(frame(ack("CA", number)) + frame(ack("AE", number)))

    receiver.behaviour = commit_then_apply
    destination = await make(receiver.port, expect="accept")
    for number in range(3):
        assert (await destination.send(envelope(str(number)))).detail == "CA"
    await until(lambda: len(events.of(AnswerIgnored)) == 3)

    assert receiver.connections == 1
    assert events.of(AnswerIgnored)[0] == AnswerIgnored("relay_out", "answered-before", "AE")


async def test_the_application_answer_is_waited_for(make: Make, receiver: ScriptedReceiver) -> None:
    async def commit_then_refuse(payload: bytes, writer: asyncio.StreamWriter) -> None:
        number = control_id_of(payload)
        writer.write(frame(ack("CA", number)))
        await writer.drain()
        writer.write(frame(ack("AE", number)))

    receiver.behaviour = commit_then_refuse
    destination = await make(receiver.port, expect="application")

    assert (await failure(destination, envelope("1"))).reason == "ack-AE"


async def test_the_commit_answer_alone_does_not_do_when_the_application_answer_is_expected(
    make: Make, receiver: ScriptedReceiver
) -> None:
    receiver.behaviour = answer_with("CA")
    destination = await make(receiver.port, expect="application", ack_timeout_secs=0.1)

    assert (await failure(destination, envelope("1"))).reason == "ack-timeout"


@pytest.mark.parametrize(
    ("accept", "application", "code", "detail"),
    [
        ("", "", "AA", "AA"),
        ("AL", "NE", "CA", "CA"),
        ("AL", "AL", "AA", "AA"),
        ("NE", "AL", "AA", "AA"),
        ("AL", "ER", "CA", "CA"),
        ("NE", "NE", "", "written; no answer is expected"),
    ],
)
async def test_what_is_expected_follows_msh_15_and_msh_16(
    make: Make, receiver: ScriptedReceiver, accept: str, application: str, code: str, detail: str
) -> None:
    receiver.behaviour = answer_with(code) if code else stay_silent
    destination = await make(receiver.port, ack_timeout_secs=5)
    sent = await destination.send(envelope(body=adt("1", accept=accept, application=application)))

    assert sent.detail == detail


async def test_a_receiver_that_never_answers(make: Make, receiver: ScriptedReceiver) -> None:
    receiver.behaviour = stay_silent
    destination = await make(receiver.port, expect="none")
    big = b"MSH|^~\\&|" + b"X" * 3_000_000
    assert (await destination.send(envelope(body=adt("1")))).detail == "written; no answer is expected"
    await destination.send(envelope(body=big))

    await until(lambda: receiver.payloads == [adt("1"), big])
    assert receiver.connections == 1


async def test_a_receiver_lost_while_a_message_is_written_to_it(make: Make) -> None:
    async def read_a_little(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.transport.abort()

    server = await asyncio.start_server(read_a_little, "127.0.0.1", 0)
    destination = await make(server.sockets[0].getsockname()[1], expect="none", on_lost="unsure")
    error = await failure(destination, envelope(body=b"MSH|^~\\&|" + b"X" * 20_000_000))
    server.close()

    assert type(error) is Unsure
    assert error.reason == "connection-lost"


async def test_an_answer_that_nobody_asked_for_is_told(
    make: Make, receiver: ScriptedReceiver, events: RecordedEvents
) -> None:
    async def twice(payload: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(frame(ack("AA", control_id_of(payload))) * 2)

    receiver.script = [twice]
    destination = await make(receiver.port)
    await destination.send(envelope("1"))
    await until(lambda: events.of(AnswerIgnored))

    assert events.of(AnswerIgnored) == [AnswerIgnored("relay_out", "answered-before", "AA")]
    assert (await destination.send(envelope("2"))).detail == "AA"


async def test_a_receiver_that_repeats_its_answers_does_not_confuse_the_next_message(
    make: Make, receiver: ScriptedReceiver
) -> None:
    """node-hl7-server 2.5.0 answers every earlier message of the connection again."""

    async def repeat(payload: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"".join(frame(ack("AA", number)) for number in receiver.ids))

    receiver.behaviour = repeat
    destination = await make(receiver.port)
    for number in range(4):
        assert (await destination.send(envelope(str(number)))).answer == ack("AA", str(number))

    assert receiver.connections == 1


async def test_an_answer_while_nothing_is_asked(make: Make, receiver: ScriptedReceiver, events: RecordedEvents) -> None:
    async def and_more(payload: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(frame(ack("AA", control_id_of(payload))) + frame(b"hello"))

    receiver.behaviour = and_more
    destination = await make(receiver.port)
    await destination.send(envelope("1"))
    await until(lambda: events.of(AnswerIgnored) == [AnswerIgnored("relay_out", "not-asked", "")])

    assert (await destination.send(envelope("2"))).detail == "AA"
    assert receiver.connections == 1


async def test_a_body_that_would_break_the_framing_is_refused(make: Make, receiver: ScriptedReceiver) -> None:
    destination = await make(receiver.port)
    error = await failure(destination, envelope(body=b"MSH|^~\\&|a\x1cb"))

    assert type(error) is Refused
    assert error.reason == "framing-byte"
    assert receiver.payloads == []


async def test_the_probe_connects_and_sends_nothing(make: Make, receiver: ScriptedReceiver) -> None:
    destination = await make(receiver.port)
    assert await destination.probe() == f"connected to 127.0.0.1:{receiver.port}"
    await until(lambda: receiver.connections == 1 and receiver.open_now == 0)

    assert receiver.payloads == []


async def test_a_closed_destination_sends_no_more(make: Make, receiver: ScriptedReceiver) -> None:
    destination = await make(receiver.port)
    await destination.send(envelope("1"))
    await destination.close()
    await destination.close()

    assert (await failure(destination, envelope("2"))).reason == "closed"
    await until(lambda: receiver.open_now == 0)


async def test_no_error_holds_the_body(make: Make, receiver: ScriptedReceiver) -> None:
    receiver.script = [
        answer_with("AE"),
        answer_raw(frame(b"SECRET")),
        answer_raw(frame(ack("AA", "SECRET"))),
        stay_silent,
        hang_up,
    ]
    destination = await make(receiver.port, ack_timeout_secs=0.1)
    for _ in range(5):
        error = await failure(destination, envelope(body=adt("1", "SECRET^PATIENT")))
        assert "SECRET" not in f"{error} {error!r} {error.reason}"
