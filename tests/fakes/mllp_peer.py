"""MLLP peers for tests, written from the specification and not from the engine's own framing."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

SB = b"\x0b"
EB = b"\x1c\r"


def frame(payload: bytes) -> bytes:
    return SB + payload + EB


def adt(control_id: str = "1", text: str = "DOE^JANE", *, accept: str = "", application: str = "") -> bytes:
    """A small ADT^A01; ``accept`` and ``application`` are MSH-15 and MSH-16."""
    header = (
        f"MSH|^~\\&|PAS|HOSP|ENGINE|HOSP|20260101120000||ADT^A01^ADT_A01|{control_id}|P|2.5|||{accept}|{application}"
    )
    return f"{header}\rEVN|A01|20260101120000\rPID|1||4711^^^HOSP^MR||{text}\rPV1|1|I|W1^R1^B1\r".encode()


def ack(code: str, control_id: str) -> bytes:
    return f"MSH|^~\\&|RECEIVER|THERE|||20260101120001||ACK|A{control_id}|P|2.5\rMSA|{code}|{control_id}\r".encode()


def control_id_of(payload: bytes) -> str:
    return payload.split(b"|", 10)[9].decode()


class MllpSender:
    """A sender that writes exactly the bytes it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, address: str, context: ssl.SSLContext | None = None) -> MllpSender:
        host, _, port = address.rpartition(":")
        name = "localhost" if context else None
        return cls(*await asyncio.open_connection(host, int(port), ssl=context, server_hostname=name))

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def reply(self) -> bytes:
        """The payload of the next frame that comes back."""
        async with asyncio.timeout(10):
            data = await self.reader.readuntil(EB)
        assert data.startswith(SB)
        return data[1:-2]

    async def ask(self, payload: bytes) -> bytes:
        await self.write(frame(payload))
        return await self.reply()

    async def rest(self) -> bytes:
        """Everything until the other side closes."""
        async with asyncio.timeout(10):
            return await self.reader.read()

    def half_close(self) -> None:
        self.writer.write_eof()

    def reset(self) -> None:
        """Break the connection off, as a crashed machine's successor would."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def close(self) -> None:
        self.writer.close()
        try:
            async with asyncio.timeout(10):
                await self.writer.wait_closed()
        except (ConnectionError, ssl.SSLError):
            pass  # the other side was faster


Behaviour = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


async def accept_all(payload: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(frame(ack("AA", control_id_of(payload))))


def answer_with(code: str) -> Behaviour:
    async def answer(payload: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(frame(ack(code, control_id_of(payload))))

    return answer


def answer_raw(data: bytes) -> Behaviour:
    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(data)

    return answer


async def stay_silent(_payload: bytes, _writer: asyncio.StreamWriter) -> None:
    return


async def hang_up(_: bytes, writer: asyncio.StreamWriter) -> None:
    writer.close()


@dataclass
class ScriptedReceiver:
    """A receiver that does with each message what its behaviour says: `script` first, one entry a message, then
    ``behaviour``. Messages of one connection are dealt with one after the other."""

    behaviour: Behaviour = accept_all
    script: list[Behaviour] = field(default_factory=list)
    context: ssl.SSLContext | None = None
    payloads: list[bytes] = field(default_factory=list)
    connections: int = 0
    open_now: int = 0
    most_at_once: int = 0
    port: int = 0
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _all_gone: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def ids(self) -> list[str]:
        return [control_id_of(payload) for payload in self.payloads]

    async def __aenter__(self) -> ScriptedReceiver:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self.context, limit=2**24)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        if not self._writers:
            return
        for writer in list(self._writers):
            writer.transport.abort()
        await self._all_gone.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self._all_gone.clear()
        self.connections += 1
        self.open_now += 1
        self.most_at_once = max(self.most_at_once, self.open_now)
        try:
            while True:
                data = await reader.readuntil(EB)
                payload = data[data.index(SB) + 1 : -2]
                self.payloads.append(payload)
                await (self.script.pop(0) if self.script else self.behaviour)(payload, writer)
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass  # the sender is gone
        finally:
            self.open_now -= 1
            writer.close()
            self._writers.discard(writer)
            if not self._writers:
                self._all_gone.set()
