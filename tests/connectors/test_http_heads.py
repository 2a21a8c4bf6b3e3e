"""HTTP connections whose head does not come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from hcsyncd.connectors.http_heads import Heads

REQUEST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"


class Listener:
    """A web server behind heads that may take a tenth of a second."""

    def __init__(self) -> None:
        self.cut: list[tuple[object, ...] | None] = []
        self.server = web.Server(self._answer, access_log=None)
        self.heads = Heads(self.server, 0.1, self.cut.append)
        self.port = 0

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        self.heads.came(request.protocol)
        return web.Response(text="taken")


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    listener = Listener()
    server = await asyncio.get_running_loop().create_server(listener.heads.connection, "127.0.0.1", 0)
    listener.port = server.sockets[0].getsockname()[1]
    yield listener
    server.close()
    listener.heads.stop()
    await listener.server.shutdown(1)


async def test_a_head_that_does_not_end_is_cut_and_told_of(listener: Listener) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    writer.write(REQUEST[:-2])
    async with asyncio.timeout(10):
        assert await reader.read() == b""
    assert listener.cut == [writer.get_extra_info("sockname")]
    writer.close()


async def test_a_connection_that_has_sent_a_request_is_not_cut(listener: Listener) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    writer.write(REQUEST)
    async with asyncio.timeout(10):
        await reader.readuntil(b"taken")
        slow_reader, slow = await asyncio.open_connection("127.0.0.1", listener.port)
        assert await slow_reader.read() == b"", "the limit has passed for one that came later"
    writer.write(REQUEST)
    async with asyncio.timeout(10):
        await reader.readuntil(b"taken")
    assert len(listener.cut) == 1
    for line in (writer, slow):
        line.close()
