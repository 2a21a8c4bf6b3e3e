"""Word to the outside: a real HTTP server and a real mail server, secrets that stay secret, failures that are told."""

from __future__ import annotations

import hashlib
import hmac
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from hcsyncd.config.alerts import EmailOptions, WebhookOptions
from hcsyncd.events import NoticeDropped, NoticeFailed, NoticesRecovered
from hcsyncd.runtime import notices as notices_module
from hcsyncd.runtime.email import Email
from hcsyncd.runtime.notices import Notice, SinkError, SinkQueue
from hcsyncd.runtime.webhook import SIGNATURE, Webhook
from hcsyncd.store.ports import Alert
from tests.fakes.authority import Authority
from tests.fakes.clock import START, FakeClock
from tests.fakes.events import RecordedEvents
from tests.fakes.smtp_server import SmtpServer
from tests.fakes.waiting import until

MARK = "QXSECRETQX"


def notice(number: int = 1, what: str = "raised", **alert: Any) -> Notice:
    known: dict[str, Any] = {
        "kind": "queue-age",
        "subject": "relay_out",
        "owner": "laboratory",
        "text": f"text {number}",
    }
    return Notice(what, Alert(**(known | alert), raised_at=START, id=number), "node1", "hospital", START)


class HttpListener:
    """Keeps what is posted; ``statuses`` is what it answers, one after the other, and then 200."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.posts: list[tuple[dict[str, str], bytes]] = []
        self.url = ""

    async def answer(self, request: web.BaseRequest) -> web.Response:
        self.posts.append((dict(request.headers), await request.read()))
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200, text=MARK)


@pytest.fixture
async def listener() -> AsyncIterator[HttpListener]:
    listening = HttpListener()
    runner = web.ServerRunner(web.Server(listening.answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    listening.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook/{MARK}"
    yield listening
    await runner.cleanup()


def webhook(listener: HttpListener, **options: Any) -> Webhook:
    return Webhook(WebhookOptions(url=listener.url, **options), Path())


async def test_a_webhook_gets_one_signed_object_for_each_notice(listener: HttpListener) -> None:
    sink = webhook(listener, secret="key", headers={"Authorization": "Bearer x"})
    assert await sink.send([notice(1), notice(2, "cleared", cleared_at=START + 1_000_000)]) == 2
    await sink.close()
    headers, body = listener.posts[0]
    assert json.loads(body) == {
        "what": "raised",
        "at": "2023-11-14T22:13:20.000Z",
        "host": "node1",
        "site": "hospital",
        "id": 1,
        "kind": "queue-age",
        "subject": "relay_out",
        "owner": "laboratory",
        "text": "text 1",
        "raised_at": "2023-11-14T22:13:20.000Z",
        "cleared_at": None,
        "reminders": 0,
    }
    assert headers["Authorization"] == "Bearer x"
    seconds, digest = (part.partition("=")[2] for part in headers[SIGNATURE].split(","))
    assert digest == hmac.new(b"key", seconds.encode() + b"." + body, hashlib.sha256).hexdigest()
    assert json.loads(listener.posts[1][1])["cleared_at"] == "2023-11-14T22:13:21.000Z"


async def test_without_a_secret_nothing_is_signed(listener: HttpListener) -> None:
    sink = webhook(listener)
    await sink.send([notice()])
    await sink.close()
    assert SIGNATURE not in listener.posts[0][0]


async def test_a_webhook_says_what_went_wrong_and_gives_nothing_away(listener: HttpListener) -> None:
    sink = webhook(listener)
    listener.statuses = [503]
    with pytest.raises(SinkError, match="answered 503") as refused:
        await sink.send([notice()])
    await sink.close()
    gone = Webhook(WebhookOptions(url=f"http://127.0.0.1:1/{MARK}"), Path())
    with pytest.raises(SinkError, match="cannot connect") as absent:
        await gone.send([notice()])
    await gone.close()
    assert MARK not in str(refused.value) + str(absent.value) + repr(sink) + repr(gone.__dict__)


async def test_what_was_posted_before_a_failure_is_not_posted_again(listener: HttpListener) -> None:
    sink = webhook(listener)
    listener.statuses = [202, 500]
    assert await sink.send([notice(1), notice(2), notice(3)]) == 1
    await sink.close()
    assert [json.loads(body)["id"] for _, body in listener.posts] == [1, 2]


# Mail

Serve = Callable[..., Awaitable[SmtpServer]]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def serve(authority: Authority) -> AsyncIterator[Serve]:
    started: list[SmtpServer] = []

    async def begin(**how: Any) -> SmtpServer:
        issued = authority.issue("mail.test")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(issued.certificate, issued.key)
        server = SmtpServer(context, **how)
        await server.start()
        started.append(server)
        return server

    yield begin
    for server in started:
        await server.stop()


def email(server: SmtpServer, **options: Any) -> Email:
    known: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": server.port,
        "from": "hub@hospital.example",
        "to": ["night@hospital.example", "it@hospital.example"],
        "timeout_secs": 5,
    }
    return Email(EmailOptions(**(known | options)), Path())


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_mail_goes_out_over_tls_with_a_login(serve: Serve, authority: Authority, security: str) -> None:
    server = await serve(tls_first=security == "tls", login=f"hub:{MARK}")
    sink = email(server, security=security, user="hub", password=MARK, ca=str(authority.file))
    assert await sink.send([notice()]) == 1
    (mail,) = server.mails
    assert mail["Subject"] == "[hcsyncd node1] raised: queue-age relay_out: text 1"
    assert (mail["From"], mail["To"]) == ("hub@hospital.example", "night@hospital.example, it@hospital.example")
    assert mail["Auto-Submitted"] == "auto-generated"
    assert "owner: laboratory" in mail.get_content()
    assert server.logins == [f"hub:{MARK}"]


async def test_many_at_once_are_one_mail(serve: Serve, authority: Authority) -> None:
    server = await serve()
    assert await email(server, ca=str(authority.file)).send([notice(number) for number in range(1, 31)]) == 30
    (mail,) = server.mails
    assert mail["Subject"].endswith("text 1 and 29 more")
    told = [line for line in mail.get_content().splitlines() if line.startswith("raised: ")]
    assert told == [f"raised: queue-age relay_out: text {number}" for number in range(1, 31)]


async def test_a_text_cannot_write_headers_of_its_own(serve: Serve, authority: Authority) -> None:
    server = await serve()
    await email(server, ca=str(authority.file)).send([notice(text="one\r\nBcc: all@hospital.example\r\n\r\nbody")])
    assert server.mails[0]["Bcc"] is None


async def test_a_mail_server_that_says_no_is_told_of_without_the_password(serve: Serve, authority: Authority) -> None:
    server = await serve(login="hub:other")
    sink = email(server, user="hub", password=MARK, ca=str(authority.file))
    with pytest.raises(SinkError, match=r"refused the login \(535\)") as refused:
        await sink.send([notice()])
    assert MARK not in str(refused.value) + repr(sink.__dict__)
    other = await serve()
    other.refusing = "451 later"
    with pytest.raises(SinkError, match="answered 451"):
        await email(other, ca=str(authority.file)).send([notice()])
    with pytest.raises(SinkError, match="certificate is not trusted"):
        await email(other).send([notice()])
    await other.stop()
    with pytest.raises(SinkError, match="cannot connect"):
        await email(other, ca=str(authority.file)).send([notice()])


# The way there


class Scripted:
    """A sink that fails as often as it is told to, and keeps what it takes."""

    name = "webhook"

    def __init__(self, *refusals: Exception, gather_secs: float = 0.0) -> None:
        self.refusals = list(refusals)
        self.gather_secs = gather_secs
        self.batches: list[list[int]] = []
        self.tries = 0

    async def send(self, notices: Any) -> int:
        self.tries += 1
        if self.refusals:
            raise self.refusals.pop(0)
        self.batches.append([one.alert.id for one in notices])
        return len(notices)

    async def close(self) -> None:
        return


@pytest.fixture
async def queue_of(events: RecordedEvents) -> AsyncIterator[Callable[[Scripted], SinkQueue]]:
    made: list[SinkQueue] = []

    def build(sink: Scripted) -> SinkQueue:
        made.append(SinkQueue(sink, events, FakeClock()))
        made[-1].start()
        return made[-1]

    yield build
    for queue in made:
        await queue.stop()


@pytest.fixture
def events() -> RecordedEvents:
    return RecordedEvents()


async def test_a_failing_sink_is_told_of_once_tried_again_and_told_of_when_it_is_back(
    queue_of: Callable[[Scripted], SinkQueue], events: RecordedEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices_module, "FIRST_PAUSE_SECS", 0.01)
    sink = Scripted(SinkError("answered 500"), SinkError("answered 500"), ZeroDivisionError(MARK))
    queue = queue_of(sink)
    queue.put(notice(1))
    queue.put(notice(2))
    await until(lambda: sink.batches)
    assert sink.batches == [[1, 2]]
    assert sink.tries == 4
    assert [(event.sink, event.error) for event in events.of(NoticeFailed)] == [("webhook", "answered 500")]
    assert len(events.of(NoticesRecovered)) == 1
    assert queue.error == ""
    assert MARK not in repr(events.events)


async def test_too_many_waiting_notices_push_out_the_oldest(
    queue_of: Callable[[Scripted], SinkQueue], events: RecordedEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices_module, "MAX_WAITING", 3)
    sink = Scripted(SinkError("answered 500"))
    queue = queue_of(sink)
    for number in range(1, 6):
        queue.put(notice(number))
    assert len(events.of(NoticeDropped)) == 2
    await until(lambda: sink.batches)
    assert sink.batches == [[3, 4, 5]]


async def test_a_stop_waits_for_nothing_to_gather_and_tells_what_waits(events: RecordedEvents) -> None:
    sink = Scripted(gather_secs=600)
    queue = SinkQueue(sink, events, FakeClock())
    queue.start()
    queue.put(notice(1))
    queue.put(notice(2))
    await queue.stop()
    assert sink.batches == [[1, 2]]
