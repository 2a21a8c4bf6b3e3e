"""An MLLP server written from the standard alone, that answers as it is told: well, wrongly, late or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Callable
from types import TracebackType

Respond = Callable[[int, bytes], bytes | None]
"""A message's number, from 0, and its payload -> the bytes to write; None closes the connection, b"" says nothing."""


def ack(payload: bytes, code: bytes = b"AA", control_id: bytes | None = None) -> bytes:
    """A framed acknowledgement of a message."""
    own = payload.split(b"\r")[0].split(b"|")[9]
    return b"\x0bMSH|^~\\&|RX|LAB|||2026||ACK|1|P|2.5\rMSA|%s|%s|why\r\x1c\r" % (code, control_id or own)


class AnsweringServer:
    """Listens on loopback from ``with`` on, in a thread of its own; what it received is in ``received``."""

    def __init__(self, respond: Respond | None = None, tls: ssl.SSLContext | None = None) -> None:
        self._respond: Respond = respond or (lambda _, payload: ack(payload))
        self._tls = tls
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.received: list[bytes] = []
        self.connections = 0
        self.port = 0

    @property
    def url(self) -> str:
        return f"mllp://127.0.0.1:{self.port}"

    def __enter__(self) -> AnsweringServer:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._converse, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                while True:
                    frame = await reader.readuntil(b"\x1c\r")
                    payload = frame.removeprefix(b"\x0b").removesuffix(b"\x1c\r")
                    self.received.append(payload)
                    answer = self._respond(len(self.received) - 1, payload)
                    if answer is None:
                        return
                    writer.write(answer)
                    await writer.drain()
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()
            self._tasks.discard(task)
