from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from pydantic import ValidationError

from hcsyncd.connectors.http_destination import HttpDestination, HttpDestinationOptions
from hcsyncd.errors import ConfigError, Refused, Transient, Unsure
from hcsyncd.message import NAME_HEADER, Envelope
from tests.fakes.authority import Authority
from tests.fakes.clock import START, FakeClock
from tests.fakes.seats import RecordedEvents, make_seat
from tests.fakes.waiting import until

Sender = Callable[..., AbstractAsyncContextManager[HttpDestination]]
Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Server:
    """An HTTP server that keeps each request and answers with the next of ``answers``, the last one again and again."""

    answers: list[web.Response] = field(default_factory=list)
    requests: list[tuple[web.BaseRequest, bytes]] = field(default_factory=list)
    hold: asyncio.Event = field(default_factory=asyncio.Event)
    most_at_once: int = 0
    url: str = ""
    _at_once: int = 0

    async def answer(self, request: web.BaseRequest) -> web.Response:
        self.requests.append((request, await request.read()))
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        await self.hold.wait()
        self._at_once -= 1
        if len(self.answers) > 1:
            return self.answers.pop(0)
        last = self.answers[0] if self.answers else web.Response()
        return web.Response(status=last.status, reason=last.reason, headers=last.headers, body=last.body)


@asynccontextmanager
async def serving(server: Server, context: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server.hold.set()
    runner = web.ServerRunner(web.Server(server.answer), handle_signals=False, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    server.url = f"{'https' if context else 'http'}://127.0.0.1:{runner.addresses[0][1]}/events"
    try:
        yield server
    finally:
        server.hold.set()
        await runner.cleanup()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with serving(Server()) as running:
        yield running


@pytest.fixture
def sending(tmp_path: Path) -> Sender:
    @asynccontextmanager
    async def run(url: str, **options: object) -> AsyncIterator[HttpDestination]:
        chosen = HttpDestinationOptions.model_validate({"url": url, **options})
        destination = HttpDestination(chosen, make_seat(tmp_path, RecordedEvents(), clock=FakeClock()))
        await destination.open()
        try:
            yield destination
        finally:
            await destination.close()

    return run


@asynccontextmanager
async def listening(peer: Peer) -> AsyncIterator[str]:
    """A server that speaks as ``peer`` does, however badly."""
    served: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await peer(reader, writer)
            writer.close()
            await writer.wait_closed()

    listener = await asyncio.start_server(
        lambda reader, writer: served.append(asyncio.create_task(serve(reader, writer))), "127.0.0.1", 0
    )
    yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/events"
    listener.close()
    await asyncio.gather(*served)


def envelope(body: bytes = b'{"a":1}', **changes: object) -> Envelope:
    given: dict[str, object] = {
        "delivery_id": 7,
        "message_id": 3,
        "body": body,
        "content_type": "application/json",
        "idempotency_key": "key-3",
        **changes,
    }
    return Envelope(**given)  # type: ignore[arg-type]


async def test_request_carries_everything(server: Server, sending: Sender) -> None:
    server.answers = [web.Response(status=201, text="made")]
    options = {"method": "PUT", "headers": {"X-Api-Key": "k1", "X-Site": "north"}}
    async with sending(server.url, **options) as destination:
        sent = await destination.send(envelope(headers={"X-Site": "south", "X-Kind": "adt", NAME_HEADER: "census"}))
    ((request, body),) = server.requests
    assert (sent.answer, sent.detail) == (b"made", "201 Created")
    assert (request.method, request.path, body) == ("PUT", "/events", b'{"a":1}')
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Idempotency-Key"] == "key-3"
    assert request.headers["X-Api-Key"] == "k1"
    assert request.headers.getall("X-Site") == ["north"]
    assert request.headers["X-Kind"] == "adt"
    assert NAME_HEADER not in request.headers


async def test_idempotency_header_can_be_off(server: Server, sending: Sender) -> None:
    async with sending(server.url, idempotency_header="") as destination:
        await destination.send(envelope())
    assert "Idempotency-Key" not in server.requests[0][0].headers


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (429, Transient),
        (500, Transient),
        (503, Transient),
        (501, Refused),
        (400, Refused),
        (409, Refused),
        (401, Refused),
    ],
)
async def test_status_decides(
    server: Server, sending: Sender, status: int, error: type[Transient] | type[Refused]
) -> None:
    server.answers = [web.Response(status=status, text="why not")]
    async with sending(server.url) as destination:
        with pytest.raises(error, match=str(status)) as caught:
            await destination.send(envelope())
    assert caught.value.reason == f"http-{status}"
    assert caught.value.answer == b"why not"


async def test_statuses_are_as_the_options_say(server: Server, sending: Sender) -> None:
    server.answers = [web.Response(status=409), web.Response(status=404), web.Response(status=204)]
    options = {"success": ["200", "409"], "transient": ["404"], "refused": ["2xx"]}
    async with sending(server.url, **options) as destination:
        assert (await destination.send(envelope())).detail == "409 Conflict"
        with pytest.raises(Transient):
            await destination.send(envelope())
        with pytest.raises(Refused):
            await destination.send(envelope())


async def test_redirect_is_not_followed(server: Server, sending: Sender) -> None:
    server.answers = [web.Response(status=307, headers={"Location": "/elsewhere"})]
    async with sending(server.url) as destination:
        with pytest.raises(Refused, match="redirects are not followed"):
            await destination.send(envelope())
    assert len(server.requests) == 1


@pytest.mark.parametrize(("value", "secs"), [("17", 17.0), ("Tue, 14 Nov 2023 22:14:00 GMT", 40.0), ("soon", None)])
async def test_retry_after_is_handed_on(server: Server, sending: Sender, value: str, secs: float | None) -> None:
    assert START == 1_700_000_000_000_000  # Tue, 14 Nov 2023 22:13:20 GMT
    server.answers = [web.Response(status=503, headers={"Retry-After": value})]
    async with sending(server.url) as destination:
        with pytest.raises(Transient) as caught:
            await destination.send(envelope())
    assert caught.value.retry_after == secs


async def test_a_failed_connection_is_told_in_the_systems_words(server: Server, sending: Sender) -> None:
    async with sending(server.url.replace("http:", "https:")) as destination:
        with pytest.raises(Transient, match=r"cannot connect to 127\.0\.0\.1:") as caught:
            await destination.send(envelope())
    assert caught.value.reason == "tls-failed"
    assert "object at 0x" not in str(caught.value)


async def test_nobody_there_is_transient(sending: Sender) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with sending(f"http://127.0.0.1:{port}/", on_lost="unsure") as destination:
        with pytest.raises(Transient, match=f"127.0.0.1:{port}") as caught:
            await destination.send(envelope())
        assert caught.value.reason == "connect-refused"
        with pytest.raises(Transient):
            await destination.probe()


async def close_after_reading(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b'{"a":1}')


async def say_no_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b'{"a":1}')
    writer.write(b"220 this is something else\r\n\r\n")
    await writer.drain()


async def never_answer(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()


@pytest.mark.parametrize(
    ("peer", "reason"),
    [
        (close_after_reading, "connection-lost"),
        (say_no_http, "answer-unreadable"),
        (never_answer, "answer-timeout"),
    ],
)
@pytest.mark.parametrize(("on_lost", "error"), [("retry", Transient), ("unsure", Unsure)])
async def test_lost_answer_is_as_the_option_says(
    sending: Sender, peer: Peer, reason: str, on_lost: str, error: type[Transient] | type[Unsure]
) -> None:
    async with (
        listening(peer) as url,
        sending(url, on_lost=on_lost, timeout_secs=0.2 if peer is never_answer else 5) as destination,
    ):
        with pytest.raises(error) as caught:
            await destination.send(envelope())
    assert caught.value.reason == reason


async def test_what_has_not_left_is_never_unsure(sending: Sender) -> None:
    async with (
        listening(never_answer) as url,
        sending(url.replace("http:", "https:"), connect_timeout_secs=0.1, on_lost="unsure") as destination,
    ):
        with pytest.raises(Transient) as caught:
            await destination.send(envelope())
    assert caught.value.reason == "connect-timeout"


async def test_success_with_a_broken_body_is_success(sending: Sender) -> None:
    async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b'{"a":1}')
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\nhalf")
        await writer.drain()

    async with listening(break_off) as url, sending(url) as destination:
        sent = await destination.send(envelope())
    assert sent.answer == b"half"
    assert "cut short" in sent.detail


async def test_long_answer_is_cut(server: Server, sending: Sender) -> None:
    server.answers = [web.Response(body=b"x" * 300_000)]
    async with sending(server.url, max_answer_bytes=1000) as destination:
        sent = await destination.send(envelope())
        assert sent.answer == b"x" * 1000
        assert (await destination.send(envelope())).answer == b"x" * 1000


async def test_one_lane_is_in_order_and_lanes_are_parallel(server: Server, sending: Sender) -> None:
    server.hold.clear()
    async with sending(server.url) as destination:
        bodies = [f"{lane}{number}".encode() for number in range(5) for lane in "ab"]
        sends = [asyncio.create_task(destination.send(envelope(body, lane=chr(body[0])))) for body in bodies]
        await until(lambda: len(server.requests) == 2, "both lanes are under way")
        server.hold.set()
        await asyncio.gather(*sends)
    arrived = [body for _, body in server.requests]
    assert server.most_at_once == 2
    for lane in (b"a", b"b"):
        assert [body for body in arrived if body.startswith(lane)] == [body for body in bodies if body.startswith(lane)]


async def test_header_that_cannot_be_sent_is_refused(server: Server, sending: Sender) -> None:
    async with sending(server.url) as destination:
        for headers in ({"X-A": "1\r\nX-B: 2"}, {"X A": "1"}):
            with pytest.raises(Refused) as caught:
                await destination.send(envelope(headers=headers))
            assert caught.value.reason == "bad-header"
    assert server.requests == []


@pytest.mark.parametrize(
    ("login", "header"),
    [
        ({"basic": {"user": "erp", "password": "p:w"}}, "Basic ZXJwOnA6dw=="),
        ({"bearer_token": "t0k3n"}, "Bearer t0k3n"),
    ],
)
async def test_fixed_login(server: Server, sending: Sender, login: dict[str, object], header: str) -> None:
    async with sending(server.url, **login) as destination:
        await destination.send(envelope())
    assert server.requests[0][0].headers["Authorization"] == header


async def test_mutual_tls(sending: Sender, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    theirs, ours = authority.issue("erp"), authority.issue("engine")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority.file)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(theirs.certificate, theirs.key)
    tls = {"ca": authority.file.name, "certificate": ours.certificate.name, "key": ours.key.name}
    async with serving(Server(), context) as server:
        async with sending(server.url, tls=tls) as destination:
            await destination.send(envelope())
            assert "takes connections" in await destination.probe()
        async with sending(server.url, on_lost="unsure") as destination:
            with pytest.raises(Transient) as caught:
                await destination.send(envelope())
            assert caught.value.reason == "tls-failed"
        async with sending(server.url, tls={**tls, "server_name": "elsewhere"}) as destination:
            with pytest.raises(Transient):
                await destination.send(envelope())
    assert len(server.requests) == 1


async def test_missing_certificate_file_is_told_when_opened(tmp_path: Path) -> None:
    options = HttpDestinationOptions.model_validate({"url": "https://localhost/", "tls": {"ca": "no.pem"}})
    destination = HttpDestination(options, make_seat(tmp_path, RecordedEvents()))
    with pytest.raises(ConfigError, match=r"no\.pem"):
        await destination.open()
    await destination.close()


async def test_probe_connects_and_sends_nothing(server: Server, sending: Sender) -> None:
    async with sending(server.url) as destination:
        assert "takes connections" in await destination.probe()
    assert server.requests == []


async def test_probe_path_is_asked_by_head(server: Server, sending: Sender) -> None:
    server.answers = [web.Response(status=404), web.Response(status=503), web.Response(status=401)]
    async with sending(server.url, probe_path="/health?deep=1", bearer_token="t") as destination:
        assert "404 Not Found" in await destination.probe()
        with pytest.raises(Transient):
            await destination.probe()
        with pytest.raises(Refused):
            await destination.probe()
    request = server.requests[0][0]
    assert (request.method, request.path_qs) == ("HEAD", "/health?deep=1")
    assert request.headers["Authorization"] == "Bearer t"


async def test_closed_destination_is_transient_and_closes_twice(server: Server, sending: Sender) -> None:
    async with sending(server.url) as destination:
        await destination.close()
        with pytest.raises(Transient):
            await destination.send(envelope())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"url": "ftp://x/"}, "https://"),
        ({"url": "https://"}, "name a host"),
        ({"url": "https://me:pw@host/"}, "basic"),
        ({"url": "http://h/", "bearer_token": "t", "basic": {"user": "u", "password": "p"}}, "exclude each other"),
        ({"url": "http://h/", "success": ["20x"]}, "pattern"),
        ({"url": "http://h/", "success": ["5xx"]}, "5xx is in success and in transient"),
        ({"url": "http://h/", "headers": {"X-A": "a\nb"}}, "X-A"),
    ],
)
def test_bad_options_are_refused(options: dict[str, object], text: str) -> None:
    with pytest.raises(ValidationError, match=text) as caught:
        HttpDestinationOptions.model_validate(options)
    assert "pw" not in str(caught.value)


def asking(server: Server, **options: object) -> dict[str, object]:
    return {"ask": {"url": server.url + "/{idempotency_key}", **options}}


async def test_the_other_side_is_asked_by_the_key(server: Server, sending: Sender) -> None:
    server.answers = [web.Response(body=b"here"), web.Response(status=404), web.Response(status=503)]
    async with sending(server.url, **asking(server), bearer_token="t", headers={"X-Site": "GEN"}) as destination:
        found = await destination.ask(envelope(idempotency_key="a/b c"))
        assert found is not None
        assert (found.answer, found.detail) == (b"here", "200 OK")
        assert await destination.ask(envelope()) is None
        with pytest.raises(Transient, match="503"):
            await destination.ask(envelope())
    request, body = server.requests[0]
    assert (request.method, request.raw_path, body) == ("GET", "/events/a%2Fb%20c", b"")
    assert (request.headers["Authorization"], request.headers["X-Site"]) == ("Bearer t", "GEN")


async def test_what_found_and_missing_mean_is_as_the_options_say(server: Server, sending: Sender) -> None:
    server.answers = [web.Response(status=302), web.Response(status=410)]
    async with sending(server.url, **asking(server, found=["3xx"], missing=["410"])) as destination:
        assert await destination.ask(envelope()) is not None
        assert await destination.ask(envelope()) is None


async def test_with_ask_a_lost_answer_is_unsure_and_a_lost_question_is_not(sending: Sender) -> None:
    async def answer_nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"220 this is something else\r\n\r\n")
        await writer.drain()

    async with listening(answer_nonsense) as url, sending(url, ask={"url": url + "/{idempotency_key}"}) as destination:
        with pytest.raises(Unsure):
            await destination.send(envelope())
        with pytest.raises(Transient):
            await destination.ask(envelope())


async def test_without_ask_nobody_can_be_asked(server: Server, sending: Sender) -> None:
    async with sending(server.url) as destination:
        with pytest.raises(Transient, match="has no `ask`"):
            await destination.ask(envelope())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"url": "https://erp.example/events"}, "must hold"),
        ({"url": "ftp://erp.example/{idempotency_key}"}, "must start with"),
        ({"url": "https://me:pw@erp.example/{idempotency_key}"}, "no user"),
        ({"url": "https://erp.example/{idempotency_key}", "missing": ["200"]}, "cannot mean found and missing"),
    ],
)
def test_bad_ways_to_ask_are_refused(options: dict[str, object], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        HttpDestinationOptions.model_validate({"url": "https://erp.example/events", "ask": options})
