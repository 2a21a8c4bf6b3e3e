"""HTTP source: one path that takes POST requests, answered after the message is on stable storage."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from ipaddress import ip_address
from typing import assert_never

from aiohttp import web
from pydantic import IPvAnyNetwork, SecretStr

from hcsyncd.connectors.connector import Connector, Intake, Role, Seat
from hcsyncd.connectors.http_heads import Heads
from hcsyncd.connectors.http_login import BasicLogin, LoginCheck
from hcsyncd.connectors.tcp import bare_host, bind, host_port
from hcsyncd.connectors.tls import TlsServerOptions, note_certificate, renewing_server_context
from hcsyncd.errors import SourceError, StoreError
from hcsyncd.events import ConnectionRefused
from hcsyncd.message import NO_FACTS, Arrival, Receipt, ReceiptOutcome, ReplyState
from hcsyncd.options import Options, option

MESSAGE_ID = "Hcsyncd-Message-Id"
OUTCOME = "Hcsyncd-Outcome"
KEY_CHARACTERS = 255
LINGER_SECS = 2.0  # a refused upload is read on for so long: a sender that is cut off at once may not see its answer
ABANDON_UPLOADS_SECS = 0.2  # at a stop, for uploads that are not arrivals yet


class HttpSourceOptions(Options):
    """Takes the body of each POST request as one message."""

    host: str = option("127.0.0.1", "Address or host name to listen on; 0.0.0.0 is every IPv4 address.")
    port: int = option(..., "Port to listen on; 0 takes any free one.", ge=0, le=65535, example=8080)
    path: str = option("/", "The one path that takes messages.", pattern="^/[^?#]*$", example="/adt")
    tls: TlsServerOptions | None = option(None, "TLS; without it the listener speaks plain HTTP.")
    allow: list[IPvAnyNetwork] = option(
        default_factory=list, doc="Addresses and networks that may send. Empty: all.", example=["10.20.0.0/16"]
    )
    basic: BasicLogin | None = option(None, "A login that lets a sender in (HTTP Basic).")
    bearer_tokens: list[SecretStr] = option(default_factory=list, doc="Tokens, each of which lets a sender in.")
    idempotency_header: str = option(
        "Idempotency-Key",
        "Header with the sender's own key for a request: a key that came before is a duplicate and gets the first"
        " answer again. Empty: no header is looked at.",
    )
    headers: list[str] = option(
        default_factory=list,
        doc="Request headers to keep with the message; routes see them as `wire.header.<name in lower case>`.",
        example=["X-Sending-Unit"],
    )
    max_body_bytes: int = option(16 * 1024 * 1024, "A longer body is refused with 413.", unit="bytes", ge=1)
    max_requests: int = option(256, "Requests under way at once; one more is told to come again (503).", ge=1)
    head_timeout_secs: float = option(
        30.0, "For the head of a connection's first request to arrive; else it is cut.", unit="seconds", gt=0
    )
    body_timeout_secs: float = option(60.0, "For the whole body to arrive; else 408.", unit="seconds", gt=0)
    reply_timeout_secs: float = option(
        60.0,
        "For the answer, where it waits for processing or delivery. After that the sender is told to come again (503)"
        " with the same key.",
        unit="seconds",
        gt=0,
    )
    keepalive_secs: float = option(75.0, "An idle connection is closed after this.", unit="seconds", ge=0)
    retry_after_secs: int = option(
        5, "What a sender is told to wait when a message cannot be taken now.", unit="seconds", ge=0
    )
    backlog: int = option(128, "Connections that the system holds while they wait to be accepted.", ge=1)


class HttpSource:
    """Answers: 202 stored; 200 known, with the first answer; 422 stored as a dead letter; 503 not stored, come again;
    other 4xx for what is no arrival at all. The format's own acknowledgement, where it has one, is the body."""

    def __init__(self, options: HttpSourceOptions, seat: Seat) -> None:
        self._options = options
        self._seat = seat
        self._login = LoginCheck(options.basic, options.bearer_tokens)
        self._intake: Intake | None = None
        self._web: web.Server | None = None
        self._heads: Heads | None = None
        self._server: asyncio.Server | None = None
        self._address = ""
        self._requests = 0
        self._in_hand = 0
        self._none_in_hand = asyncio.Event()
        self._none_in_hand.set()
        self._stopping = False
        self._stopped = asyncio.Event()

    @property
    def address(self) -> str:
        return self._address

    @property
    def connections(self) -> int:
        """How many are open now."""
        return len(self._web.connections) if self._web is not None else 0

    async def start(self) -> None:
        """See `connectors.connector.Source.start`. The system queues connections until `run`."""
        options, loop = self._options, asyncio.get_running_loop()
        tls = options.tls
        context = renewing_server_context(tls, self._seat.site, self._seat.channel, self._seat.emit) if tls else None
        listener = await bind(options.host, options.port, options.backlog)
        self._address = f"{'https' if tls else 'http'}://{host_port(listener.getsockname())}{options.path}"
        self._web = web.Server(
            self._answer, access_log=None, keepalive_timeout=options.keepalive_secs, lingering_time=LINGER_SECS
        )
        self._heads = Heads(self._web, options.head_timeout_secs, self._cut)
        self._server = await loop.create_server(
            self._heads.connection, sock=listener, ssl=context, backlog=options.backlog, start_serving=False
        )

    async def run(self, intake: Intake) -> None:
        """See `connectors.connector.Source.run`."""
        if self._server is None:
            raise SourceError("the HTTP source was not started")
        self._intake = intake
        if not self._stopping:
            await self._server.start_serving()
        await self._stopped.wait()

    async def stop(self) -> None:
        """See `connectors.connector.Source.stop`. An upload that is not whole yet is no arrival and is cut off."""
        self._stopping = True
        if self._server is not None and self._web is not None:
            self._server.close()
            await self._none_in_hand.wait()
            self._web.pre_shutdown()
            await self._web.shutdown(ABANDON_UPLOADS_SECS)
        if self._heads is not None:
            self._heads.stop()
        self._stopped.set()

    def _cut(self, peer: tuple[object, ...] | None) -> None:
        self._seat.emit(ConnectionRefused(self._seat.channel, host_port(peer), "slow"))

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if self._heads is not None:
            self._heads.came(request.protocol)
        denial = self._denial(request)
        if denial is not None:
            return denial
        self._requests += 1
        try:
            body = await self._body(request)
            if isinstance(body, web.Response):
                return body
            if self._stopping or self._intake is None:
                return self._come_again("stopping", "the listener is being stopped")
            return await self._hand_over(request, self._arrival(request, body), self._intake)
        finally:
            self._requests -= 1

    def _denial(self, request: web.BaseRequest) -> web.Response | None:
        """The answer to a request that is turned away by its head alone."""
        options, place = self._options, self._options.path
        if not self._allowed(bare_host(_peer_address(request))):
            self._refused_event(request, "not-allowed")
            text = "this address may not send here"
            return _problem(403, "not-allowed", text, f"add it to `allow` of channel {self._seat.channel}", close=True)
        if request.path != place:
            return _problem(404, "no-such-path", "nothing is taken at this path", f"send to {place}")
        if request.method != "POST":
            headers = {"Allow": "POST"}
            return _problem(405, "method", f"{place} takes POST only", "send the message as a POST body", headers)
        if not self._login.passes(request.headers.get("Authorization", "")):
            self._refused_event(request, "unauthorized")
            headers = {"WWW-Authenticate": self._login.challenge}
            return _problem(401, "unauthorized", "no valid login was given", "send an Authorization header", headers)
        key = self._key(request)
        if len(key) > KEY_CHARACTERS or not key.isprintable():
            hint = f"at most {KEY_CHARACTERS} printable characters"
            return _problem(400, "bad-key", f"header {options.idempotency_header} cannot be used", hint)
        if self._stopping:
            return self._come_again("stopping", "the listener is being stopped")
        if self._requests >= options.max_requests:
            return self._come_again("too-many", "too many requests are under way")
        return None

    def _allowed(self, remote: str) -> bool:
        if not self._options.allow:
            return True
        try:
            address = ip_address(remote)
        except ValueError:
            return False
        return any(address in network for network in self._options.allow)

    def _refused_event(self, request: web.BaseRequest, reason: str) -> None:
        self._seat.emit(ConnectionRefused(self._seat.channel, host_port(_peer_address(request)), reason))

    def _key(self, request: web.BaseRequest) -> str:
        name = self._options.idempotency_header
        return _text(request.headers.get(name, "")).strip() if name else ""

    async def _body(self, request: web.BaseRequest) -> bytes | web.Response:
        """The whole body, counted as it comes; or the answer that says why not."""
        limit = self._options.max_body_bytes
        if (request.content_length or 0) > limit:
            return self._too_large()
        parts: list[bytes] = []
        size = 0
        try:
            if request.headers.get("Expect", "").lower() == "100-continue":
                await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                request.writer.output_size = 0  # else aiohttp takes the answer's head as written
            async with asyncio.timeout(self._options.body_timeout_secs):
                async for part in request.content.iter_any():
                    size += len(part)
                    if size > limit:
                        return self._too_large()
                    parts.append(part)
        except TimeoutError:
            hint = f"within {self._options.body_timeout_secs:g} s (`body_timeout_secs`)"
            return _problem(408, "body-timeout", "the body did not arrive in time", hint, close=True)
        except (web.RequestPayloadError, ConnectionError):
            return _problem(400, "body-broken", "the body ended early or is not encoded as its headers say", close=True)
        return b"".join(parts)

    def _too_large(self) -> web.Response:
        limit = self._options.max_body_bytes
        return _problem(413, "too-large", f"a body may have {limit} bytes", "see `max_body_bytes`", close=True)

    def _come_again(self, code: str, text: str, after: float | None = None) -> web.Response:
        seconds = self._options.retry_after_secs if after is None else after
        headers = {"Retry-After": str(max(0, round(seconds)))}
        return _problem(503, code, text, "send it again later", headers, close=self._stopping)

    def _arrival(self, request: web.BaseRequest, body: bytes) -> Arrival:
        facts = {"content_type": _text(request.headers.get("Content-Type", ""))}
        for name in self._options.headers:
            if name in request.headers:
                facts[f"header.{name.lower()}"] = _text(request.headers[name])
        transport = request.transport
        certificate = transport.get_extra_info("peercert") if transport is not None else None
        client = note_certificate(certificate, self._seat.channel, self._seat.emit)
        if client:
            facts["tls_client"] = client
        now = self._seat.clock.now()
        return Arrival(self._seat.channel, body, host_port(_peer_address(request)), now, self._key(request), facts)

    async def _hand_over(self, request: web.BaseRequest, arrival: Arrival, intake: Intake) -> web.Response:
        self._in_hand += 1
        self._none_in_hand.clear()
        try:
            receipt = await self._receipt(arrival, intake)
            if isinstance(receipt, web.Response):
                return receipt
            response = self._rendered(receipt, await self._reply(receipt))
            try:
                await response.prepare(request)
                await response.write_eof()
            except ConnectionError:
                intake.answered(receipt, ReplyState.LOST)
            else:
                intake.answered(receipt, ReplyState.SENT)
            return response
        finally:
            self._in_hand -= 1
            if not self._in_hand:
                self._none_in_hand.set()

    async def _receipt(self, arrival: Arrival, intake: Intake) -> Receipt | web.Response:
        receipt = intake.accept(arrival)
        await asyncio.wait({receipt}, timeout=self._options.reply_timeout_secs)
        if not receipt.done():
            receipt.add_done_callback(lambda late: _answered_late(late, intake))
            return self._come_again("not-decided", "the message is not processed yet; the same key asks for it again")
        try:
            return receipt.result()
        except (StoreError, asyncio.CancelledError):
            return self._come_again("store-failed", "the message could not be stored")

    async def _reply(self, receipt: Receipt) -> bytes:
        """The one reply that HTTP has room for: the commit acknowledgement, else the application's (HL7 §2.9.3)."""
        if receipt.reply or receipt.later is None:
            return receipt.reply
        await asyncio.wait({receipt.later}, timeout=self._options.reply_timeout_secs)
        settled = receipt.later.done() and not receipt.later.cancelled() and receipt.later.exception() is None
        return receipt.later.result() if settled else b""

    def _rendered(self, receipt: Receipt, reply: bytes) -> web.Response:
        headers = {OUTCOME: receipt.outcome.value}
        if receipt.message_id:
            headers[MESSAGE_ID] = str(receipt.message_id)
        match receipt.outcome:
            case ReceiptOutcome.ACCEPTED:
                status = 202
            case ReceiptOutcome.DUPLICATE:
                status = 200
            case ReceiptOutcome.REJECTED:
                status = 422
            case ReceiptOutcome.REFUSED:
                status = 503
                wait = self._options.retry_after_secs if receipt.retry_after is None else receipt.retry_after
                headers["Retry-After"] = str(max(0, round(wait)))
            case _:
                assert_never(receipt.outcome)
        if reply:
            return web.Response(
                status=status, body=reply, headers={"Content-Type": self._seat.format.content_type, **headers}
            )
        content: dict[str, object] = {"outcome": receipt.outcome.value, "message_id": receipt.message_id}
        if receipt.cause:
            content["error"] = receipt.cause
        return _json(status, content, headers)


def _answered_late(late: asyncio.Future[Receipt], intake: Intake) -> None:
    """The sender was sent away before the receipt was there: its reply waits for the resend."""
    if not late.cancelled() and late.exception() is None:
        intake.answered(late.result(), ReplyState.LOST)


def _problem(
    status: int, code: str, text: str, hint: str = "", headers: Mapping[str, str] = NO_FACTS, *, close: bool = False
) -> web.Response:
    response = _json(status, {"error": code, "text": text, "hint": hint}, headers)
    if close:
        response.force_close()
    return response


def _json(status: int, content: Mapping[str, object], headers: Mapping[str, str]) -> web.Response:
    body = json.dumps(content).encode() + b"\n"
    return web.Response(status=status, body=body, headers={"Content-Type": "application/json", **headers})


def _text(value: str) -> str:
    """A header's value as text that can be stored: aiohttp keeps bytes that are no UTF-8 as lone surrogates."""
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _peer_address(request: web.BaseRequest) -> tuple[object, ...] | None:
    transport = request.transport
    return transport.get_extra_info("peername") if transport is not None else None


CONNECTOR = Connector(
    kind="http",
    role=Role.SOURCE,
    summary="Takes messages as HTTP POST bodies and answers once they are on disk.",
    options=HttpSourceOptions,
    build=HttpSource,
)
