"""An HTTP client that judges its answers by their status (RFC 9110 §15)."""

from __future__ import annotations

import ssl
import uuid
from collections.abc import Mapping

import aiohttp

from hcsyncd.cli.sending.deck import Outgoing
from hcsyncd.cli.sending.tally import Answered, Outcome
from hcsyncd.connectors.tcp import cause_text
from hcsyncd.errors import Transient
from hcsyncd.formats.hl7.format import Hl7Format

KEPT_ANSWER_BYTES = 65_536


class HttpClient:
    """One connection, kept alive between messages."""

    def __init__(
        self,
        url: str,
        timeout_secs: float,
        tls: ssl.SSLContext | None,
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
        *,
        fresh_ids: bool = False,
    ) -> None:
        self._url = url
        self._timeout = aiohttp.ClientTimeout(total=timeout_secs)
        self._tls = tls
        self._method = method
        self._headers = dict(headers or {})
        self._fresh_ids = fresh_ids
        self._session: aiohttp.ClientSession | None = None

    async def exchange(self, outgoing: Outgoing) -> Answered:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=1, ssl=self._tls or True)
            self._session = aiohttp.ClientSession(connector=connector, timeout=self._timeout)
        try:
            async with self._session.request(
                self._method, self._url, data=outgoing.body, headers=self._headers_of(outgoing), allow_redirects=False
            ) as response:
                answer = await response.content.read(KEPT_ANSWER_BYTES)
        except TimeoutError:
            return Answered(Outcome.TIMEOUT, f"no answer within {self._timeout.total:g} s")
        except aiohttp.ClientConnectorError as error:
            raise Transient("connect", f"cannot connect to {self._url}: {cause_text(error)}") from error
        except aiohttp.ClientError as error:
            return Answered(Outcome.LOST, str(error) or type(error).__name__)
        return Answered(_outcome(response.status), f"{response.status} {response.reason or ''}".strip(), answer)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _headers_of(self, outgoing: Outgoing) -> dict[str, str]:
        headers = dict(self._headers)
        names = {name.lower() for name in headers}
        if "content-type" not in names:
            headers["Content-Type"] = _content_type(outgoing)
        if self._fresh_ids and "idempotency-key" not in names:
            headers["Idempotency-Key"] = str(uuid.uuid4())
        return headers


def _content_type(outgoing: Outgoing) -> str:
    if outgoing.is_hl7:
        return Hl7Format.content_type
    first = outgoing.body.lstrip()[:1]
    if first in (b"{", b"["):
        return "application/json"
    return "application/xml" if first == b"<" else "application/octet-stream"


def _outcome(status: int) -> Outcome:
    if 200 <= status < 300:
        return Outcome.ACCEPTED
    return Outcome.REJECTED if 400 <= status < 500 else Outcome.ERROR
