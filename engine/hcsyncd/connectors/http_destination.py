"""HTTP destination: one request for each envelope, judged by the status of its answer."""

from __future__ import annotations

import asyncio
import re
import ssl
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Annotated, Literal
from urllib.parse import quote

import aiohttp
from multidict import CIMultiDict
from pydantic import SecretStr, StringConstraints, field_validator, model_validator
from yarl import URL

from hcsyncd.connectors.connector import Connector, Role, Seat
from hcsyncd.connectors.http_login import BasicLogin, bearer_header
from hcsyncd.connectors.http_status import Judgement, StatusRules, retry_after_secs
from hcsyncd.connectors.lane_turns import LaneTurns
from hcsyncd.connectors.oauth2 import OAuth2Options, TokenCache
from hcsyncd.connectors.tcp import cause_text
from hcsyncd.connectors.tls import TlsClientOptions, client_context
from hcsyncd.errors import DeliveryError, Refused, Transient, Unsure
from hcsyncd.message import NAME_HEADER, Envelope, Sent
from hcsyncd.options import Options, option

UNAUTHORIZED = 401
FORBIDDEN = 403
FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
FIELD_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")

StatusPattern = Annotated[str, StringConstraints(pattern=r"^[1-5](xx|\d\d)$")]


class AskOptions(Options):
    """How the other side is asked whether it has what was sent: one GET, with the login and headers of the sends."""

    url: str = option(
        ...,
        "Where to ask; `{idempotency_key}` in it is the key that was sent.",
        example="https://erp.example/api/events/{idempotency_key}",
    )
    found: list[StatusPattern] = option(["200"], "Statuses that mean: it has it.")
    missing: list[StatusPattern] = option(
        ["404"], "Statuses that mean: it certainly has it not. Any other means that it cannot be told now."
    )

    @field_validator("url")
    @classmethod
    def _names_the_key(cls, url: str) -> str:
        if "{idempotency_key}" not in url:
            raise ValueError("must hold {idempotency_key}")
        parsed = URL(url.replace("{idempotency_key}", "key"))
        if parsed.scheme not in {"http", "https"} or not parsed.host:
            raise ValueError("must start with https:// or http:// and name a host")
        if parsed.user is not None or parsed.password is not None:
            raise ValueError("must hold no user or password")
        return url

    @model_validator(mode="after")
    def _is_consistent(self) -> AskOptions:
        both = set(self.found) & set(self.missing)
        if both:
            raise ValueError(f"{', '.join(sorted(both))} cannot mean found and missing: keep one")
        return self


class HttpDestinationOptions(Options):
    """Sends each message as the body of one request."""

    url: str = option(..., "Where to send.", example="https://erp.example/api/events")
    method: Literal["POST", "PUT", "PATCH"] = option("POST", "The request's method.")
    headers: dict[str, SecretStr] = option(
        default_factory=dict, doc="Headers of every request; they go before those that a transform sets."
    )
    tls: TlsClientOptions = option(TlsClientOptions(), "TLS towards an https URL.")
    basic: BasicLogin | None = option(None, "Log in with user and password (HTTP Basic).")
    bearer_token: SecretStr | None = option(None, "Log in with a fixed token.")
    oauth2: OAuth2Options | None = option(None, "Log in with tokens from a token endpoint (client credentials).")
    idempotency_header: str = option(
        "Idempotency-Key",
        "Header that carries the key by which the other side knows a repeated request. It is the same for every attempt"
        " and replay. Empty: none is sent.",
    )
    success: list[StatusPattern] = option(
        ["2xx"], "Statuses that mean taken: `2xx`, `409`. A number goes before a class."
    )
    transient: list[StatusPattern] = option(
        ["408", "425", "429", "5xx"], "Statuses that are worth another try; Retry-After is honoured."
    )
    refused: list[StatusPattern] = option(
        ["501", "505"],
        "Statuses that mean never, and so does any that is in no list. Redirects (3xx) are not followed.",
    )
    on_lost: Literal["retry", "unsure"] = option(
        "retry",
        "When the connection or the time is up after the request has left: `retry` sends again with the same"
        " idempotency key; `unsure` waits for a person, for servers that know no such key.",
    )
    ask: AskOptions | None = option(
        None,
        "How to ask the other side whether it has what was sent. With it, an exchange that is lost is unsure, whatever"
        " `on_lost` says: it is asked about by itself where the channel says `after_crash: ask`, else by `hcsyncd"
        " unsure ask`.",
    )
    connect_timeout_secs: float = option(10.0, "To connect, TLS included.", unit="seconds", gt=0)
    timeout_secs: float = option(30.0, "For the whole exchange.", unit="seconds", gt=0)
    connections: int = option(8, "Connections that may be open at once.", ge=1, le=1000)
    keepalive_secs: float = option(15.0, "An idle connection is closed after this.", unit="seconds", ge=0)
    max_answer_bytes: int = option(1024 * 1024, "Of an answer's body, so much is kept.", unit="bytes", ge=0)
    probe_path: str = option(
        "", "A probe asks for this path by HEAD. Empty: a probe connects and asks nothing.", pattern="^(/.*)?$"
    )

    @property
    def can_ask(self) -> bool:
        """See `connectors.connector.Asks`."""
        return self.ask is not None

    @field_validator("url")
    @classmethod
    def _is_address(cls, url: str) -> str:
        parsed = URL(url)
        if parsed.scheme not in {"http", "https"} or not parsed.host:
            raise ValueError("must start with https:// or http:// and name a host")
        if parsed.user is not None or parsed.password is not None:
            raise ValueError("must hold no user or password: set `basic` instead")
        return url

    @model_validator(mode="after")
    def _is_consistent(self) -> HttpDestinationOptions:
        StatusRules(self.success, self.transient, self.refused)
        if sum(login is not None for login in (self.basic, self.bearer_token, self.oauth2)) > 1:
            raise ValueError("basic, bearer_token and oauth2 exclude each other: keep one")
        bad = [name for name, value in self.headers.items() if not _is_header(name, value.get_secret_value())]
        if bad:
            raise ValueError(
                f"headers: {', '.join(bad)} holds a line break or another character that a header cannot hold"
            )
        return self


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back."""

    status: int
    line: str  # "201 Created"
    retry_after: str
    body: bytes
    is_whole: bool

    @property
    def detail(self) -> str:
        return self.line if self.is_whole else f"{self.line} (answer cut short)"


class Progress(SimpleNamespace):
    """How far a request got: once its head has left, the other side may act on it."""

    has_left: bool = False


class HttpDestination:
    """Keeps a pool of connections. Within a lane one request is under way at a time: nothing in HTTP keeps the order of
    two requests on two connections."""

    def __init__(self, options: HttpDestinationOptions, seat: Seat) -> None:
        self._options = options
        self._seat = seat
        self._url = URL(options.url)
        self._peer = f"{self._url.host}:{self._url.port}"
        self._rules = StatusRules(options.success, options.transient, options.refused)
        self._turns = LaneTurns()
        self._ssl: ssl.SSLContext | None = None
        self._session: aiohttp.ClientSession | None = None
        self._tokens: TokenCache | None = None

    async def open(self) -> None:
        """See `connectors.connector.Destination.open`."""
        options = self._options
        if self._session is not None:
            return
        if self._url.scheme == "https":
            self._ssl = client_context(options.tls, self._seat.site)
        token_ssl = client_context(options.oauth2.tls, self._seat.site) if options.oauth2 else None
        trace = aiohttp.TraceConfig()
        trace.on_request_headers_sent.append(_note_has_left)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=options.connections, keepalive_timeout=options.keepalive_secs),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=options.timeout_secs, sock_connect=options.connect_timeout_secs),
            headers={"User-Agent": "hcsyncd"},
            trace_configs=[trace],
        )
        if options.oauth2 and token_ssl:
            self._tokens = TokenCache(options.oauth2, self._session, token_ssl, self._seat.clock)

    async def close(self) -> None:
        """See `connectors.connector.Destination.close`."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def probe(self) -> str:
        """See `connectors.connector.Destination.probe`."""
        if self._options.probe_path:
            reply = await self._exchange("HEAD", self._url.join(URL(self._options.probe_path)), b"", CIMultiDict())
            if reply.status in {UNAUTHORIZED, FORBIDDEN} or self._rules.judge(reply.status) is Judgement.TRANSIENT:
                raise self._failure(reply)
            return f"{self._peer} answered {reply.line}"
        try:
            async with asyncio.timeout(self._options.connect_timeout_secs):
                name = (self._options.tls.server_name or self._url.host) if self._ssl else None
                _, writer = await asyncio.open_connection(
                    self._url.host, self._url.port, ssl=self._ssl, server_hostname=name
                )
        except (OSError, TimeoutError) as error:
            raise self._not_connected(error) from error
        writer.close()
        return f"{self._peer} takes connections"

    async def send(self, envelope: Envelope) -> Sent:
        """See `connectors.connector.Destination.send`."""
        headers = self._headers(envelope)
        async with self._turns.of(envelope.lane):
            reply = await self._exchange(self._options.method, self._url, envelope.body, headers)
        if self._rules.judge(reply.status) is Judgement.SUCCESS:
            return Sent(reply.body, reply.detail)
        raise self._failure(reply)

    async def ask(self, envelope: Envelope) -> Sent | None:
        """See `connectors.connector.Asks.ask`."""
        options = self._options.ask
        if options is None:
            raise Transient("cannot-ask", f"{self._peer} cannot be asked: its channel has no `ask`")
        url = URL(options.url.replace("{idempotency_key}", quote(envelope.idempotency_key, safe="")), encoded=True)
        headers = CIMultiDict({name: value.get_secret_value() for name, value in self._options.headers.items()})
        try:
            reply = await self._exchange("GET", url, b"", headers)
        except Unsure as error:  # of a question, that is no doubt
            raise Transient(error.reason, str(error)) from error
        if _is_among(reply.status, options.found):
            return Sent(reply.body, reply.detail)
        if _is_among(reply.status, options.missing):
            return None
        raise Transient(
            f"http-{reply.status}", f"{self._peer} answered {reply.detail} when it was asked", answer=reply.body
        )

    def _headers(self, envelope: Envelope) -> CIMultiDict[str]:
        headers = CIMultiDict(envelope.headers)
        headers.popall(NAME_HEADER, None)
        if envelope.content_type:
            headers["Content-Type"] = envelope.content_type
        headers.update({name: value.get_secret_value() for name, value in self._options.headers.items()})
        name = self._options.idempotency_header
        if name and envelope.idempotency_key:
            headers[name] = envelope.idempotency_key
        for name, value in headers.items():
            if not _is_header(name, value):
                raise Refused(
                    "bad-header", f"header {name!a} holds a line break or another character that it cannot hold"
                )
        return headers

    async def _exchange(self, method: str, url: URL, body: bytes, headers: CIMultiDict[str]) -> Reply:
        """One request and its answer; with OAuth2, a refused token is replaced and the request made once more."""
        if self._tokens is None:
            headers.update(self._fixed_login())
            return await self._request(method, url, body, headers)
        token = await self._tokens.token()
        headers["Authorization"] = bearer_header(token)
        reply = await self._request(method, url, body, headers)
        if reply.status == UNAUTHORIZED:
            self._tokens.drop(token)
            headers["Authorization"] = bearer_header(await self._tokens.token())
            reply = await self._request(method, url, body, headers)
        return reply

    def _fixed_login(self) -> dict[str, str]:
        if self._options.basic is not None:
            return {"Authorization": self._options.basic.header()}
        if self._options.bearer_token is not None:
            return {"Authorization": bearer_header(self._options.bearer_token.get_secret_value())}
        return {}

    async def _request(self, method: str, url: URL, body: bytes, headers: CIMultiDict[str]) -> Reply:
        if self._session is None:
            raise Transient("not-open", "the destination is not open")
        progress = Progress()
        try:
            async with self._session.request(
                method,
                url,
                data=body or None,
                headers=headers,
                ssl=self._ssl or True,
                server_hostname=(self._options.tls.server_name or None) if self._ssl else None,
                allow_redirects=False,
                trace_request_ctx=progress,
            ) as response:
                answer, is_whole = await self._answer(response)
                line = f"{response.status} {response.reason or ''}".strip()
                return Reply(response.status, line, response.headers.get("Retry-After", ""), answer, is_whole)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            if not progress.has_left:
                raise self._not_connected(error) from error
            raise self._lost(error) from error

    async def _answer(self, response: aiohttp.ClientResponse) -> tuple[bytes, bool]:
        """The body as far as it is kept. The status says it all: a body that breaks off changes no outcome."""
        parts: list[bytes] = []
        room = self._options.max_answer_bytes
        try:
            async for part in response.content.iter_any():
                parts.append(part[:room])
                room -= len(part)
                if room < 0:
                    response.close()
                    return b"".join(parts), False
        except (aiohttp.ClientError, OSError, TimeoutError):
            return b"".join(parts), False
        return b"".join(parts), True

    def _failure(self, reply: Reply) -> DeliveryError:
        reason, text = f"http-{reply.status}", f"{self._peer} answered {reply.detail}"
        if self._rules.judge(reply.status) is Judgement.TRANSIENT:
            wait = retry_after_secs(reply.retry_after, self._seat.clock.now())
            return Transient(reason, text, answer=reply.body, retry_after=wait)
        if 300 <= reply.status < 400:
            text += "; redirects are not followed: set `url` to the new address"
        return Refused(reason, text, answer=reply.body)

    def _not_connected(self, error: Exception) -> Transient:
        reason, text = "connect-failed", cause_text(error)
        match error:
            case ssl.SSLError() | aiohttp.ClientSSLError():
                reason = "tls-failed"
            case TimeoutError():
                reason, text = "connect-timeout", f"no connection within {self._options.connect_timeout_secs:g} s"
            case aiohttp.ClientConnectorDNSError():
                reason = "dns-failed"
            case ConnectionRefusedError():
                reason, text = "connect-refused", "nobody listens there"
            case aiohttp.ClientConnectorError() if isinstance(error.os_error, ConnectionRefusedError):
                reason, text = "connect-refused", "nobody listens there"
            case _:
                pass
        return Transient(reason, f"cannot connect to {self._peer}: {text}")

    def _lost(self, error: Exception) -> DeliveryError:
        if isinstance(error, TimeoutError):
            reason, text = "answer-timeout", f"{self._peer} did not answer within {self._options.timeout_secs:g} s"
        elif isinstance(error, aiohttp.ClientResponseError):
            reason, text = "answer-unreadable", f"{self._peer} answered with what is no HTTP"
        else:
            reason, text = "connection-lost", f"{self._peer} closed the connection without an answer"
        if self._options.on_lost == "unsure" or self._options.ask is not None:
            return Unsure(reason, text)
        return Transient(reason, text)


async def _note_has_left(
    _session: aiohttp.ClientSession, context: SimpleNamespace, _params: aiohttp.TraceRequestHeadersSentParams
) -> None:
    progress = context.trace_request_ctx
    if isinstance(progress, Progress):
        progress.has_left = True


def _is_among(status: int, patterns: list[StatusPattern]) -> bool:
    return str(status) in patterns or f"{status // 100}xx" in patterns


def _is_header(name: str, value: str) -> bool:
    """Whether both can stand in a header (RFC 9110 §5): a token, and text without control characters."""
    return bool(FIELD_NAME.fullmatch(name) and FIELD_VALUE.fullmatch(value))


CONNECTOR = Connector(
    kind="http",
    role=Role.DESTINATION,
    summary="Sends each message as one HTTP request and judges the answer by its status.",
    options=HttpDestinationOptions,
    build=HttpDestination,
)
