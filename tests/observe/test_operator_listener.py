"""The operators' HTTP listener, asked over a real socket."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession

from hcsyncd.errors import ConfigError
from hcsyncd.events import MessageReceived
from hcsyncd.observe.http import OperatorListener
from hcsyncd.observe.metrics import Metrics


class Site:
    """A listener and what its answers depend on."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.reasons: list[str] = []
        self.listener = OperatorListener(
            "127.0.0.1",
            0,
            self.metrics,
            lambda: {"hcsyncd_workers_busy": {(): 2.0}},
            lambda: self.reasons,
        )

    def url(self, path: str) -> str:
        return f"http://{self.listener.address}{path}"


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    made = Site()
    await made.listener.start()
    yield made
    await made.listener.stop()


async def test_metrics_are_served_in_the_text_format(site: Site) -> None:
    site.metrics.count(MessageReceived("adt_in", 1, "ADT^A01", 10, 0.001))
    async with ClientSession() as client, client.get(site.url("/metrics")) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        text = await answer.text()
    assert 'hcsyncd_messages_received_total{channel="adt_in"} 1.0' in text
    assert "hcsyncd_workers_busy 2.0" in text


async def test_health_says_that_the_daemon_answers(site: Site) -> None:
    site.reasons.append("store failed")
    async with ClientSession() as client, client.get(site.url("/healthz")) as answer:
        assert (answer.status, await answer.json()) == (200, {"alive": True})


async def test_readiness_names_its_reasons(site: Site) -> None:
    async with ClientSession() as client:
        async with client.get(site.url("/readyz")) as answer:
            assert (answer.status, await answer.json()) == (200, {"ready": True, "reasons": []})
        site.reasons.append("source adt_in is down")
        async with client.get(site.url("/readyz")) as answer:
            assert (answer.status, await answer.json()) == (
                503,
                {"ready": False, "reasons": ["source adt_in is down"]},
            )


async def test_anything_else_is_not_found(site: Site) -> None:
    async with ClientSession() as client:
        async with client.get(site.url("/")) as answer:
            assert answer.status == 404
        async with client.post(site.url("/metrics")) as answer:
            assert answer.status == 405


async def test_a_taken_address_names_the_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listener = OperatorListener("127.0.0.1", taken.getsockname()[1], Metrics(), dict, list)
        with pytest.raises(ConfigError, match=r"http\.port in hcsyncd\.yaml"):
            await listener.start()
        assert listener.address == ""
        await listener.stop()


async def test_a_stopped_listener_lets_go_of_its_address(site: Site) -> None:
    port = int(site.listener.address.rpartition(":")[2])
    await site.listener.stop()
    await site.listener.stop()
    with socket.create_server(("127.0.0.1", port)):
        pass
