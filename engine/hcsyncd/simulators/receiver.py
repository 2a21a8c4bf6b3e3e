"""Stand-ins for the systems that hcsyncd delivers to: one takes events by HTTP, one takes HL7 by MLLP."""

from __future__ import annotations

import asyncio
from collections import Counter
from types import TracebackType
from typing import Self

from aiohttp import web

from hcsyncd.formats import mllp

LOOPBACK = "127.0.0.1"


class EventReceiver:
    """Takes JSON events by HTTP POST. While it fails it answers 503 and takes nothing.

    ``taken`` counts by Idempotency-Key how often an event had an effect here; a second one with a known key is answered
    200 and has none, as a good receiver does.
    """

    def __init__(self) -> None:
        self.taken: Counter[str] = Counter()
        self.repeated = 0
        self.refused = 0
        self.failing = False
        self.events: Counter[str] = Counter()
        self._runner: web.AppRunner | None = None
        self._port = 0

    @property
    def is_once(self) -> bool:
        """Whether every event had its effect once."""
        return set(self.taken.values()) <= {1}

    @property
    def url(self) -> str:
        """Where to post to; known once started."""
        return f"http://{LOOPBACK}:{self._port}/events"

    async def start(self, port: int = 0) -> None:
        """Listen on loopback; port 0 takes any free one. Raises OSError when the port is taken."""
        application = web.Application()
        application.router.add_post("/events", self._take)
        self._runner = web.AppRunner(application, access_log=None, handle_signals=False)
        await self._runner.setup()
        await web.TCPSite(self._runner, LOOPBACK, port).start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _take(self, request: web.Request) -> web.Response:
        event = await request.json()
        if self.failing:
            self.refused += 1
            return web.Response(status=503, text="closed for the moment")
        key = request.headers.get("Idempotency-Key", "")
        if key and key in self.taken:
            self.repeated += 1
            return web.Response(status=200, text="known")
        self.taken[key] += 1
        self.events[str(event.get("event", ""))] += 1
        return web.Response(status=201, text="taken")


class MllpReceiver:
    """Takes HL7 v2 messages by MLLP and answers each with AA. ``control_ids`` are their MSH-10, as they arrived."""

    def __init__(self) -> None:
        self.control_ids: list[str] = []
        self._by_patient: dict[bytes, list[str]] = {}
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}
        self._port = 0

    @property
    def is_in_order(self) -> bool:
        """Whether each patient's messages of `ehr.day` came once, in the order they were sent."""
        return all(control_ids == sorted(set(control_ids)) for control_ids in self._by_patient.values())

    @property
    def port(self) -> int:
        """Known once started."""
        return self._port

    async def start(self, port: int = 0) -> None:
        """Listen on loopback; port 0 takes any free one. Raises OSError when the port is taken."""
        self._server = await asyncio.start_server(self._converse, LOOPBACK, port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            talks = [task for task in self._connections.values() if task is not None]
            for writer in tuple(self._connections):  # or wait_closed would wait for the peers
                writer.close()
            if talks:
                await asyncio.wait(talks)
            await self._server.wait_closed()
            self._server = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections[writer] = asyncio.current_task()
        splitter = mllp.Splitter(max_bytes=1024 * 1024)
        try:
            while data := await reader.read(65536):
                for found in splitter.feed(data):
                    if isinstance(found, mllp.Frame):
                        writer.write(mllp.render(self._accept(found.payload)))
                await writer.drain()
        except ConnectionError:
            pass  # the sender went away; what it sent is counted
        finally:
            self._connections.pop(writer)
            writer.close()

    def _accept(self, message: bytes) -> bytes:
        header = message.split(b"\r", 1)[0].split(b"|")
        control_id = header[9] if len(header) > 9 else b""
        self.control_ids.append(control_id.decode())
        self._by_patient.setdefault(_patient(message), []).append(control_id.decode())
        answer = b"MSH|^~\\&|BEDBOARD|GENERAL|HCSYNCD|GENERAL|||ACK|R%d|P|2.5.1\rMSA|AA|%b\r"
        return answer % (len(self.control_ids), control_id)


def _patient(message: bytes) -> bytes:
    """PID-3.1, b"" where there is none."""
    identification = next((line for line in message.split(b"\r") if line.startswith(b"PID|")), b"")
    fields = identification.split(b"|")
    return fields[3].split(b"^")[0] if len(fields) > 3 else b""
