"""OAuth 2.0 client credentials (RFC 6749 §4.4): one token for all sends, fetched once, renewed early."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from ssl import SSLContext
from typing import Any, Literal
from urllib.parse import quote_plus

import aiohttp
from pydantic import SecretStr, field_validator

from hcsyncd.clock import Clock
from hcsyncd.connectors.http_status import retry_after_secs
from hcsyncd.connectors.tls import TlsClientOptions
from hcsyncd.errors import Transient
from hcsyncd.options import Options, option

ANSWER_BYTES = 64 * 1024
WORST_STATUS_TO_READ = 500  # an error answer below this holds an error code (RFC 6749 §5.2)


class OAuth2Options(Options):
    """Client credentials: the engine asks `token_url` for a token and sends it as a bearer."""

    token_url: str = option(..., "The token endpoint.", pattern="^https?://.+", example="https://idp.example/token")
    client_id: str = option(..., "The client's id.", min_length=1)
    client_secret: SecretStr = option(..., "The client's secret.")
    scope: str = option("", "Scopes, separated by blanks. Empty: those that the server gives by default.")
    parameters: dict[str, SecretStr] = option(
        default_factory=dict, doc="More fields of the token request, such as `audience` or `resource`."
    )
    client_authentication: Literal["basic", "body"] = option(
        "basic", "Where id and secret are sent: in the Authorization header or in the body (RFC 6749 §2.3.1)."
    )
    renew_early_secs: float = option(30.0, "A token is renewed this long before it ends.", unit="seconds", ge=0)
    timeout_secs: float = option(15.0, "For a token request.", unit="seconds", gt=0)
    tls: TlsClientOptions = option(TlsClientOptions(), "TLS towards the token endpoint.")

    @field_validator("parameters")
    @classmethod
    def _not_ours(cls, parameters: dict[str, SecretStr]) -> dict[str, SecretStr]:
        ours = {"grant_type", "client_id", "client_secret", "scope"} & parameters.keys()
        if ours:
            raise ValueError(f"{', '.join(sorted(ours))} cannot be set here: it has an option or value of its own")
        return parameters


class TokenCache:
    """The current access token. A token that cannot be had is Transient: no envelope is at fault for it, so each waits
    until the credentials are mended. No error tells the secret or what the server says beyond its error code."""

    def __init__(self, options: OAuth2Options, session: aiohttp.ClientSession, ssl: SSLContext, clock: Clock) -> None:
        self._options = options
        self._session = session
        self._ssl = ssl
        self._clock = clock
        self._asking = asyncio.Lock()
        self._token = ""
        self._usable_until: float | None = None  # monotonic seconds; None: until the other side says no

    async def token(self) -> str:
        """The cached token, or a new one. Of many callers, one asks and the others wait for its answer."""
        if not self._is_usable():
            async with self._asking:
                if not self._is_usable():
                    await self._renew()
        return self._token

    def drop(self, token: str) -> None:
        """Forget ``token``, which the other side refused; a newer one that is there by now stays."""
        if token == self._token:
            self._token = ""

    def _is_usable(self) -> bool:
        return bool(self._token) and (self._usable_until is None or self._clock.monotonic() < self._usable_until)

    async def _renew(self) -> None:
        asked_at = self._clock.monotonic()
        content = await self._ask()
        token, kind = content.get("access_token"), content.get("token_type", "bearer")
        if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]+", token):
            raise Transient("token-unreadable", "the token endpoint's answer holds no access_token")
        if not isinstance(kind, str) or kind.lower() != "bearer":
            raise Transient("token-unreadable", "the token endpoint gave a token that is no bearer token")
        lifetime = _lifetime(content.get("expires_in"))
        early = self._options.renew_early_secs
        # A token that lives no longer than the early time is still used for half of its life.
        self._usable_until = None if lifetime is None else asked_at + max(lifetime - early, lifetime / 2)
        self._token = token

    async def _ask(self) -> dict[str, Any]:
        options = self._options
        form = {"grant_type": "client_credentials"}
        form |= {name: value.get_secret_value() for name, value in options.parameters.items()}
        if options.scope:
            form["scope"] = options.scope
        headers = {"Accept": "application/json"}
        secret = options.client_secret.get_secret_value()
        if options.client_authentication == "basic":
            pair = f"{quote_plus(options.client_id)}:{quote_plus(secret)}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            form |= {"client_id": options.client_id, "client_secret": secret}
        try:
            async with self._session.post(
                options.token_url,
                data=form,
                headers=headers,
                ssl=self._ssl,
                server_hostname=options.tls.server_name or None,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=options.timeout_secs),
            ) as answer:
                body = await _read(answer)
                self._check(answer, body)
        except TimeoutError as error:
            raise Transient("token-timeout", "the token endpoint did not answer in time") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Transient("token-unreachable", f"the token endpoint cannot be reached: {error}") from error
        return _object(body)

    def _check(self, answer: aiohttp.ClientResponse, body: bytes) -> None:
        if answer.status == 200:
            return
        wait = retry_after_secs(answer.headers.get("Retry-After", ""), self._clock.now())
        text = f"the token endpoint answered HTTP {answer.status}"
        if 400 <= answer.status < WORST_STATUS_TO_READ:
            text += _error_code(body)
            raise Transient("token-refused", f"{text}: check client_id, client_secret and scope", retry_after=wait)
        raise Transient("token-failed", text, retry_after=wait)


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in answer.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > ANSWER_BYTES:
            raise Transient("token-unreadable", f"the token endpoint's answer is longer than {ANSWER_BYTES} bytes")
    return b"".join(parts)


def _object(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except ValueError as error:
        raise Transient("token-unreadable", "the token endpoint's answer is no JSON") from error
    if not isinstance(content, dict):
        raise Transient("token-unreadable", "the token endpoint's answer is no JSON object")
    return content


def _lifetime(value: object) -> float | None:
    """expires_in in seconds; some servers send the number as text."""
    try:
        seconds = float(str(value))
    except ValueError:
        return None
    return seconds if 0 <= seconds < float("inf") else None


def _error_code(body: bytes) -> str:
    """The answer's error code (RFC 6749 §5.2: printable ASCII), as the tail of a sentence; "" when it has none."""
    try:
        code = str(_object(body).get("error", ""))
    except Transient:
        return ""
    return f" ({code})" if re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", code) else ""
