from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from pydantic import ValidationError

from hcsyncd.connectors.http_destination import HttpDestination, HttpDestinationOptions
from hcsyncd.connectors.oauth2 import OAuth2Options
from hcsyncd.errors import DeliveryError, Refused, Transient
from hcsyncd.message import Envelope
from tests.fakes.clock import FakeClock
from tests.fakes.seats import RecordedEvents, make_seat

SECRET = "s3cret/+"


@dataclass
class Provider:
    """A token endpoint at /token and an API at /api that takes only the newest token."""

    tokens: int = 0
    calls: list[str] = field(default_factory=list)  # Authorization of each call to the API
    forms: list[dict[str, str]] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    answer: web.Response | None = None  # instead of a token
    expires_in: object = 3600
    revoked: set[str] = field(default_factory=set)
    api_status: int = 200
    url: str = ""

    async def handle(self, request: web.BaseRequest) -> web.Response:
        if request.path == "/token":
            return await self._token(request)
        given = request.headers.get("Authorization", "")
        self.calls.append(given)
        if given.removeprefix("Bearer ") in self.revoked:
            return web.Response(status=401)
        return web.Response(status=self.api_status)

    async def _token(self, request: web.BaseRequest) -> web.Response:
        self.forms.append({name: str(value) for name, value in (await request.post()).items()})
        self.logins.append(request.headers.get("Authorization", ""))
        if self.answer is not None:
            return self.answer
        self.tokens += 1
        content = {"access_token": f"token-{self.tokens}", "token_type": "Bearer", "expires_in": self.expires_in}
        return web.json_response(content)


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    provider = Provider()
    runner = web.ServerRunner(web.Server(provider.handle), handle_signals=False, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    provider.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield provider
    await runner.cleanup()


@asynccontextmanager
async def opened(
    provider: Provider, folder: Path, clock: FakeClock | None = None, **oauth2: object
) -> AsyncIterator[HttpDestination]:
    login = {"token_url": f"{provider.url}/token", "client_id": "hc sync", "client_secret": SECRET, **oauth2}
    options = HttpDestinationOptions.model_validate({"url": f"{provider.url}/api", "oauth2": login})
    destination = HttpDestination(options, make_seat(folder, RecordedEvents(), clock=clock or FakeClock()))
    await destination.open()
    try:
        yield destination
    finally:
        await destination.close()


def envelope(lane: str = "") -> Envelope:
    return Envelope(1, 1, b"{}", "application/json", "key", lane=lane)


async def test_one_token_serves_many_sends_at_once(provider: Provider, tmp_path: Path) -> None:
    async with opened(provider, tmp_path) as destination:
        await asyncio.gather(*(destination.send(envelope(lane=str(number))) for number in range(8)))
    assert provider.tokens == 1
    assert provider.calls == ["Bearer token-1"] * 8


async def test_credentials_go_into_the_header(provider: Provider, tmp_path: Path) -> None:
    async with opened(provider, tmp_path, scope="orders", parameters={"audience": "erp"}) as destination:
        await destination.send(envelope())
    assert provider.forms == [{"grant_type": "client_credentials", "scope": "orders", "audience": "erp"}]
    # RFC 6749 §2.3.1: id and secret are form-encoded before Basic: "hc+sync:s3cret%2F%2B"
    assert provider.logins == ["Basic aGMrc3luYzpzM2NyZXQlMkYlMkI="]


async def test_credentials_go_into_the_body(provider: Provider, tmp_path: Path) -> None:
    async with opened(provider, tmp_path, client_authentication="body") as destination:
        await destination.send(envelope())
    assert provider.forms == [{"grant_type": "client_credentials", "client_id": "hc sync", "client_secret": SECRET}]
    assert provider.logins == [""]


@pytest.mark.parametrize(("expires_in", "usable_secs"), [(3600, 3570), ("3600", 3570), (40, 20)])
async def test_token_is_renewed_early(
    provider: Provider, tmp_path: Path, expires_in: object, usable_secs: float
) -> None:
    provider.expires_in = expires_in
    clock = FakeClock()
    async with opened(provider, tmp_path, clock) as destination:
        await destination.send(envelope())
        clock.advance(usable_secs - 1)
        await destination.send(envelope())
        assert provider.tokens == 1
        clock.advance(1)
        await destination.send(envelope())
        assert provider.tokens == 2


async def test_token_without_an_end_is_used_until_it_is_refused(provider: Provider, tmp_path: Path) -> None:
    provider.expires_in = None
    clock = FakeClock()
    async with opened(provider, tmp_path, clock) as destination:
        await destination.send(envelope())
        clock.advance(1_000_000)
        await destination.send(envelope())
        assert provider.tokens == 1
        provider.revoked = {"token-1"}
        await destination.send(envelope())
    assert provider.calls[-2:] == ["Bearer token-1", "Bearer token-2"]


async def test_401_with_a_fresh_token_is_the_answer(provider: Provider, tmp_path: Path) -> None:
    provider.api_status = 401
    async with opened(provider, tmp_path) as destination:
        with pytest.raises(Refused) as caught:
            await destination.send(envelope())
    assert caught.value.reason == "http-401"
    assert provider.calls == ["Bearer token-1", "Bearer token-2"]


async def test_403_keeps_the_token(provider: Provider, tmp_path: Path) -> None:
    provider.api_status = 403
    async with opened(provider, tmp_path) as destination:
        for _ in range(2):
            with pytest.raises(Refused):
                await destination.send(envelope())
    assert provider.tokens == 1
    assert len(provider.calls) == 2


@pytest.mark.parametrize(
    ("answer", "reason", "text"),
    [
        (
            web.json_response({"error": "invalid_client", "error_description": SECRET}, status=401),
            "token-refused",
            "invalid_client",
        ),
        (web.Response(status=503, headers={"Retry-After": "9"}), "token-failed", "503"),
        (web.Response(status=302, headers={"Location": "/other"}), "token-failed", "302"),
        (web.Response(text="<html>"), "token-unreadable", "no JSON"),
        (web.json_response(["x"]), "token-unreadable", "no JSON object"),
        (web.json_response({"access_token": "a\r\nb"}), "token-unreadable", "no access_token"),
        (web.json_response({"access_token": "a", "token_type": "mac"}), "token-unreadable", "no bearer"),
        (web.Response(body=b"x" * 100_000), "token-unreadable", "longer"),
    ],
)
async def test_no_token_is_transient_and_tells_no_secret(
    provider: Provider, tmp_path: Path, answer: web.Response, reason: str, text: str
) -> None:
    provider.answer = answer
    async with opened(provider, tmp_path) as destination:
        with pytest.raises(Transient, match=text) as caught:
            await destination.send(envelope())
    assert caught.value.reason == reason
    assert caught.value.retry_after == (9.0 if reason == "token-failed" and "503" in text else None)
    assert SECRET not in repr(caught.value)
    assert provider.calls == []


async def test_token_endpoint_that_is_not_there_is_transient(provider: Provider, tmp_path: Path) -> None:
    async with opened(provider, tmp_path, token_url="http://127.0.0.1:1/token") as destination:
        with pytest.raises(DeliveryError) as caught:
            await destination.send(envelope())
    assert isinstance(caught.value, Transient)
    assert caught.value.reason == "token-unreachable"


def test_own_fields_cannot_be_set_by_parameters() -> None:
    options = {"token_url": "https://i/t", "client_id": "c", "client_secret": "s", "parameters": {"client_secret": "x"}}
    with pytest.raises(ValidationError, match="client_secret"):
        OAuth2Options.model_validate(options)
