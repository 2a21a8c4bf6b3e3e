"""Notices by HTTP: one POST with a JSON object for each, signed where a secret is given."""

from __future__ import annotations

import hashlib
import hmac
import ssl
import time
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import msgspec

from hcsyncd.config.alerts import WebhookOptions
from hcsyncd.runtime.notices import Notice, SinkError

SIGNATURE = "X-Hcsyncd-Signature"


class Webhook:
    """Posts. Neither the URL nor what the other side answers is ever told: both may hold a secret."""

    name = "webhook"
    gather_secs = 0.0

    def __init__(self, options: WebhookOptions, site: Path) -> None:
        self._options = options
        self._site = site
        self._session: aiohttp.ClientSession | None = None

    async def send(self, notices: Sequence[Notice]) -> int:
        for number, notice in enumerate(notices):
            try:
                await self._post(notice)
            except SinkError:
                if number:
                    return number
                raise
        return len(notices)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _post(self, notice: Notice) -> None:
        body = msgspec.json.encode(notice.as_object())
        headers = {name: value.get_secret_value() for name, value in self._options.headers.items()}
        headers["Content-Type"] = "application/json"
        if secret := self._options.secret.get_secret_value():
            headers[SIGNATURE] = signature(secret, body, int(time.time()))
        url = self._options.url.get_secret_value()
        try:
            async with self._opened().post(url, data=body, headers=headers, allow_redirects=False) as answer:
                if not 200 <= answer.status < 300:
                    raise SinkError(f"the other side answered {answer.status}")
        except TimeoutError as error:
            raise SinkError(f"no answer within {self._options.timeout_secs:g} s") from error
        except aiohttp.ClientConnectorCertificateError as error:
            raise SinkError("the other side's certificate is not trusted") from error
        except aiohttp.ClientOSError as error:
            raise SinkError(f"cannot connect: {error.strerror or type(error).__name__}") from error
        except (aiohttp.ClientError, ValueError) as error:  # their own texts hold the URL
            raise SinkError(type(error).__name__) from error

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            context = trusting(self._options.ca, self._site)
            timeout = aiohttp.ClientTimeout(total=self._options.timeout_secs)
            connector = aiohttp.TCPConnector(ssl=context)
            self._session = aiohttp.ClientSession(
                timeout=timeout, connector=connector, cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session


def signature(secret: str, body: bytes, seconds: int) -> str:
    """HMAC-SHA-256 (RFC 2104) over the time and the body, so that a post cannot be repeated by others later."""
    digest = hmac.new(secret.encode(), b"%d.%s" % (seconds, body), hashlib.sha256).hexdigest()
    return f"t={seconds},v1={digest}"


def trusting(ca: str, site: Path) -> ssl.SSLContext:
    """A context that trusts these authorities, or the system's. Raises SinkError naming the file that will not do."""
    try:
        return ssl.create_default_context(cafile=str(site / ca) if ca else None)
    except OSError as error:  # ssl.SSLError is one
        raise SinkError(
            f"cannot use the certificates in {ca}: {error.strerror or 'no certificate in PEM form'}"
        ) from error
