"""An MLLP receiver that acknowledges everything with AA: ``python -m hcsyncd.cli.measuring.sink`` prints its port."""

from __future__ import annotations

import asyncio
import re
from typing import cast

import uvloop

from hcsyncd.formats.mllp import Fault, Splitter, render

MAX_BYTES = 16 * 1024 * 1024
_CONTROL_ID = re.compile(rb"[^\r]{3}(.)(?:[^\r]*?\1){8}([^\r]*?)(?:\1|\r)", re.DOTALL)


class Sink(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._splitter = Splitter(MAX_BYTES)
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's is none by inheritance

    def data_received(self, data: bytes) -> None:
        answers = [_ack(found.payload) for found in self._splitter.feed(data) if not isinstance(found, Fault)]
        self._transport.write(b"".join(answers))


def _ack(payload: bytes) -> bytes:
    found = _CONTROL_ID.match(payload)
    control_id = found[2] if found else b""
    return render(b"MSH|^~\\&|SINK|S|X|Y|20260101000000||ACK|A%s|P|2.5\rMSA|AA|%s\r" % (control_id, control_id))


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve())
