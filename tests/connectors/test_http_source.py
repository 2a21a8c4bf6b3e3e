from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from pydantic import ValidationError

from hcsyncd.connectors.http_source import CONNECTOR, HttpSource, HttpSourceOptions
from hcsyncd.errors import SourceError, StoreError
from hcsyncd.events import ConnectionRefused
from hcsyncd.message import Arrival, ReceiptOutcome, ReplyState
from tests.fakes.authority import Authority
from tests.fakes.intake import RecordingIntake
from tests.fakes.seats import RecordedEvents, make_seat
from tests.fakes.waiting import until

Site = Callable[..., AbstractAsyncContextManager[HttpSource]]


def silent(_arrival: Arrival) -> bytes:
    return b""


@pytest.fixture
def events() -> RecordedEvents:
    return RecordedEvents()


@pytest.fixture
def intake() -> RecordingIntake:
    return RecordingIntake(reply=silent)


@pytest.fixture
def running(tmp_path: Path, events: RecordedEvents, intake: RecordingIntake) -> Site:
    @asynccontextmanager
    async def run(**options: object) -> AsyncIterator[HttpSource]:
        chosen = HttpSourceOptions.model_validate({"port": 0, "path": "/adt", **options})
        source = HttpSource(chosen, make_seat(tmp_path, events))
        await source.start()
        task = asyncio.create_task(source.run(intake))
        try:
            yield source
        finally:
            intake.release()
            await source.stop()
            await task

    return run


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def port_of(source: HttpSource) -> int:
    return int(source.address.split(":")[2].partition("/")[0])


async def status_line(source: HttpSource, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(source))
    writer.write(request)
    answer = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_accepted_message_is_answered_202_with_its_id(
    running: Site, client: aiohttp.ClientSession, intake: RecordingIntake
) -> None:
    async with running() as source:
        async with client.post(source.address, data=b"{}", headers={"Content-Type": "application/json"}) as answer:
            assert answer.status == 202
            assert answer.headers["Hcsyncd-Message-Id"] == "1"
            assert await answer.json() == {"outcome": "accepted", "message_id": 1}
        await until(lambda: intake.states, "the answer is reported")
    (arrival,) = intake.arrivals
    assert arrival.body == b"{}"
    assert arrival.channel == "adt_in"
    assert arrival.facts["content_type"] == "application/json"
    assert arrival.peer.startswith("127.0.0.1:")
    assert intake.states == [ReplyState.SENT]


async def test_nothing_is_answered_before_the_receipt(
    running: Site, client: aiohttp.ClientSession, intake: RecordingIntake
) -> None:
    intake.hold = True
    async with running() as source:
        post = asyncio.create_task(client.post(source.address, data=b"x"))
        await until(lambda: intake.held, "the message came in")
        done, _ = await asyncio.wait({post}, timeout=0.05)
        assert not done
        intake.release()
        async with await post as answer:
            assert answer.status == 202


async def test_reply_of_the_format_is_the_body(
    running: Site, client: aiohttp.ClientSession, intake: RecordingIntake
) -> None:
    intake.reply = lambda arrival: b"ACK of " + arrival.body
    async with running() as source, client.post(source.address, data=b"m") as answer:
        assert answer.status == 202
        assert answer.content_type == "application/octet-stream"
        assert await answer.read() == b"ACK of m"


async def test_application_reply_is_waited_for_when_it_is_the_only_one(
    running: Site, client: aiohttp.ClientSession, intake: RecordingIntake
) -> None:
    intake.laters = True
    async with running() as source:
        post = asyncio.create_task(client.post(source.address, data=b"m"))
        await until(lambda: intake.later, "the message came in")
        intake.later[0].set_result(b"AA")
        async with await post as answer:
            assert (answer.status, await answer.read()) == (202, b"AA")


@pytest.mark.parametrize(
    ("outcome", "status"),
    [(ReceiptOutcome.DUPLICATE, 200), (ReceiptOutcome.REJECTED, 422), (ReceiptOutcome.REFUSED, 503)],
)
@pytest.mark.parametrize("reply", [b"", b"the reply"])
async def test_status_tells_the_outcome(
    running: Site,
    client: aiohttp.ClientSession,
    intake: RecordingIntake,
    outcome: ReceiptOutcome,
    status: int,
    reply: bytes,
) -> None:
    intake.outcome, intake.reply = outcome, lambda _arrival: reply
    async with running() as source, client.post(source.address, data=b"m") as answer:
        assert answer.status == status
        assert answer.headers["Hcsyncd-Outcome"] == outcome.value
        body = await answer.read()
        assert body == reply or json.loads(body)["outcome"] == outcome.value


async def test_refused_sender_is_told_when_to_come_again(
    running: Site, client: aiohttp.ClientSession, intake: RecordingIntake
) -> None:
    intake.outcome, intake.retry_after = ReceiptOutcome.REFUSED, 30.0
    async with running() as source, client.post(source.address, data=b"m") as answer:
        assert answer.headers["Retry-After"] == "30"


async def test_store_failure_is_503(running: Site, client: aiohttp.ClientSession, intake: RecordingIntake) -> None:
    intake.error = StoreError("disk gone")
    async with running(retry_after_secs=7) as source, client.post(source.address, data=b"m") as answer:
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "7"
        assert (await answer.json())["error"] == "store-failed"
    assert intake.states == []


async def test_answer_that_waits_too_long_is_503_and_counts_as_lost(
    running: Site, client: aiohttp.ClientSession, intake: RecordingIntake
) -> None:
    intake.hold = True
    async with running(reply_timeout_secs=0.05) as source:
        async with client.post(source.address, data=b"m") as answer:
            assert answer.status == 503
            assert (await answer.json())["error"] == "not-decided"
        intake.release()
        await until(lambda: intake.states == [ReplyState.LOST], "the late receipt is reported")


async def test_sender_that_left_is_reported_as_lost(running: Site, intake: RecordingIntake) -> None:
    intake.hold = True
    async with running() as source:
        _, writer = await asyncio.open_connection("127.0.0.1", port_of(source))
        writer.write(b"POST /adt HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nm")
        await until(lambda: intake.held, "the message came in")
        writer.transport.abort()
        async with aiohttp.ClientSession() as other, other.get(source.address):
            pass  # by the time this is answered, the server has seen the other connection end
        intake.release()
        await until(lambda: intake.states == [ReplyState.LOST], "the loss is reported")


@pytest.mark.parametrize("chunked", [False, True])
async def test_body_over_the_cap_is_413(
    running: Site, client: aiohttp.ClientSession, intake: RecordingIntake, chunked: bool
) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 100

    async with running(max_body_bytes=1000) as source:
        async with client.post(source.address, data=parts() if chunked else b"x" * 2000) as answer:
            assert answer.status == 413
            assert "1000" in (await answer.json())["text"]
        async with client.post(source.address, data=b"x" * 1000) as answer:
            assert answer.status == 202
    assert [len(body) for body in intake.bodies] == [1000]


async def test_compressed_body_is_counted_as_it_unpacks(
    running: Site, client: aiohttp.ClientSession, intake: RecordingIntake
) -> None:
    async with running(max_body_bytes=1000) as source:
        async with client.post(source.address, data=b"x" * 100_000, compress="gzip") as answer:
            assert answer.status == 413
        async with client.post(source.address, data=b"x" * 900, compress="gzip") as answer:
            assert answer.status == 202
    assert intake.bodies == [b"x" * 900]


async def test_body_that_is_not_encoded_as_it_says_is_400(
    running: Site, client: aiohttp.ClientSession, intake: RecordingIntake
) -> None:
    async with (
        running() as source,
        client.post(source.address, data=b"plain", headers={"Content-Encoding": "gzip"}) as answer,
    ):
        assert answer.status == 400
    assert intake.arrivals == []


async def test_body_cut_off_is_no_arrival(running: Site, intake: RecordingIntake) -> None:
    async with running() as source:
        _, writer = await asyncio.open_connection("127.0.0.1", port_of(source))
        writer.write(b"POST /adt HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        async with aiohttp.ClientSession() as client, client.post(source.address, data=b"whole") as answer:
            assert answer.status == 202
    assert intake.bodies == [b"whole"]


async def test_slow_body_is_408(running: Site, intake: RecordingIntake) -> None:
    async with running(body_timeout_secs=0.05) as source:
        answer = await status_line(source, b"POST /adt HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
    assert answer.startswith(b"HTTP/1.1 408")
    assert intake.arrivals == []


async def test_expect_continue_is_answered_after_the_head_was_judged(running: Site) -> None:
    async with running(max_body_bytes=10) as source:
        head = b"POST /adt HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: "
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(source))
        writer.write(head + b"1\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"m")
        assert (await reader.read()).startswith(b"HTTP/1.1 202")
        writer.close()
        await writer.wait_closed()
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(source))
        writer.write(head + b"11\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 413")
        writer.close()
        await writer.wait_closed()


async def test_idempotency_key_becomes_the_arrivals_key(
    running: Site, client: aiohttp.ClientSession, intake: RecordingIntake
) -> None:
    async with running(idempotency_header="X-Request-Id") as source:
        for key in ("order-1", "k" * 256):
            async with client.post(source.address, data=b"m", headers={"X-Request-Id": key}) as answer:
                assert answer.status == (202 if key == "order-1" else 400)
    assert [arrival.key for arrival in intake.arrivals] == ["order-1"]


async def test_chosen_headers_are_facts(running: Site, client: aiohttp.ClientSession, intake: RecordingIntake) -> None:
    async with running(headers=["X-Unit", "X-None"]) as source:
        await client.post(source.address, data=b"m", headers={"x-unit": "OR-3", "X-Other": "no"})
    facts = intake.arrivals[0].facts
    assert facts["header.x-unit"] == "OR-3"
    assert set(facts) == {"content_type", "header.x-unit"}


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
async def test_other_methods_are_405(running: Site, client: aiohttp.ClientSession, method: str) -> None:
    async with running() as source, client.request(method, source.address) as answer:
        assert answer.status == 405
        assert answer.headers["Allow"] == "POST"


async def test_other_paths_are_404_and_name_the_right_one(
    running: Site, client: aiohttp.ClientSession, intake: RecordingIntake
) -> None:
    async with running() as source, client.post(f"{source.address}/more", data=b"m") as answer:
        assert answer.status == 404
        assert "/adt" in (await answer.json())["hint"]
    assert intake.arrivals == []


BASIC = {"user": "ehr", "password": "s3cret"}


def basic_header(pair: str) -> str:
    return "Basic " + base64.b64encode(pair.encode()).decode()


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (basic_header("ehr:s3cret"), 202),
        (basic_header("ehr:wrong"), 401),
        (basic_header("other:s3cret"), 401),
        ("Basic ???", 401),
        ("Bearer token-2", 202),
        ("bearer token-1", 202),
        ("Bearer token-3", 401),
        ("Bearer", 401),
        ("", 401),
    ],
)
async def test_login(
    running: Site, client: aiohttp.ClientSession, events: RecordedEvents, header: str, status: int
) -> None:
    async with running(basic=BASIC, bearer_tokens=["token-1", "token-2"]) as source:
        answer = await client.post(source.address, data=b"m", headers={"Authorization": header})
    assert answer.status == status
    challenge = answer.headers.get("WWW-Authenticate", "")
    assert ("Basic realm=" in challenge, "Bearer" in challenge) == (status == 401, status == 401)
    assert [event.reason for event in events.of(ConnectionRefused)] == (["unauthorized"] if status == 401 else [])


@pytest.mark.parametrize(("allow", "status"), [(["127.0.0.0/8"], 202), (["10.0.0.0/8", "192.168.1.1"], 403)])
async def test_allow_list(
    running: Site, client: aiohttp.ClientSession, events: RecordedEvents, allow: list[str], status: int
) -> None:
    async with running(allow=allow) as source, client.post(source.address, data=b"m") as answer:
        assert answer.status == status
    assert [event.reason for event in events.of(ConnectionRefused)] == ([] if status == 202 else ["not-allowed"])


async def test_one_request_too_many_is_told_to_come_again(
    running: Site, client: aiohttp.ClientSession, intake: RecordingIntake
) -> None:
    intake.hold = True
    async with running(max_requests=1) as source:
        first = asyncio.create_task(client.post(source.address, data=b"1"))
        await until(lambda: intake.held, "the first is under way")
        async with client.post(source.address, data=b"2") as answer:
            assert (answer.status, (await answer.json())["error"]) == (503, "too-many")
        intake.release()
        async with await first as answer:
            assert answer.status == 202


async def test_mutual_tls_names_the_client(running: Site, intake: RecordingIntake, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    listener, sender = authority.issue("listener"), authority.issue("ward-7")
    tls = {"certificate": listener.certificate.name, "key": listener.key.name, "client_ca": authority.file.name}
    known, unknown = (
        ssl.create_default_context(cafile=authority.file),
        ssl.create_default_context(cafile=authority.file),
    )
    known.load_cert_chain(sender.certificate, sender.key)
    async with running(tls=tls) as source, aiohttp.ClientSession() as client:
        assert source.address.startswith("https://")
        async with client.post(source.address, data=b"m", ssl=known) as answer:
            assert answer.status == 202
        with pytest.raises((aiohttp.ClientError, OSError)):
            await client.post(source.address, data=b"m", ssl=unknown)
    assert [arrival.facts.get("tls_client") for arrival in intake.arrivals] == ["ward-7"]


async def test_stop_answers_what_is_in_hand_and_takes_nothing_more(
    running: Site, client: aiohttp.ClientSession, intake: RecordingIntake
) -> None:
    intake.hold = True
    async with running() as source:
        post = asyncio.create_task(client.post(source.address, data=b"1"))
        await until(lambda: intake.held, "the message came in")
        _, half = await asyncio.open_connection("127.0.0.1", port_of(source))
        half.write(b"POST /adt HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf")
        await half.drain()
        stop = asyncio.create_task(source.stop())
        await asyncio.sleep(0)
        assert not stop.done()
        intake.release()
        async with await post as answer:
            assert answer.status == 202
        await stop
        with pytest.raises(aiohttp.ClientConnectorError):
            await client.post(source.address, data=b"2")
        half.close()
    assert intake.bodies == [b"1"]


async def test_taken_port_is_a_clear_error(running: Site, tmp_path: Path, events: RecordedEvents) -> None:
    async with running() as source:
        port = port_of(source)
        second = HttpSource(HttpSourceOptions(port=port), make_seat(tmp_path, events))
        with pytest.raises(SourceError, match=f"127.0.0.1:{port}"):
            await second.start()
        await second.stop()


async def test_stop_without_run_frees_the_port(tmp_path: Path, events: RecordedEvents) -> None:
    source = HttpSource(HttpSourceOptions(port=0), make_seat(tmp_path, events))
    await source.start()
    port = port_of(source)
    await source.stop()
    again = HttpSource(HttpSourceOptions(port=port), make_seat(tmp_path, events))
    await again.start()
    await again.stop()


@pytest.mark.parametrize(
    "options",
    [{"port": 0, "path": "adt"}, {"port": 0, "allow": ["10.0.0.300"]}, {"port": 0, "basic": {"user": "a:b"}}, {}],
)
def test_bad_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        HttpSourceOptions.model_validate(options)


def test_secrets_show_nowhere() -> None:
    options = HttpSourceOptions.model_validate({"port": 0, "basic": BASIC, "bearer_tokens": ["token-1"]})
    shown = repr(options) + str(options.model_dump(mode="json"))
    assert "s3cret" not in shown
    assert "token-1" not in shown
    assert CONNECTOR.options is HttpSourceOptions
