"""A blocking MLLP sender over a plain socket, for tests that drive the daemon from outside."""

from __future__ import annotations

import socket
from types import TracebackType

END = b"\x1c\r"


class MllpSender:
    """One connection. `send` waits for the acknowledgement."""

    def __init__(self, address: tuple[str, int], timeout_secs: float = 20.0) -> None:
        self.socket = socket.create_connection(address, timeout_secs)
        self._buffer = b""

    def __enter__(self) -> MllpSender:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.socket.close()

    def send(self, payload: bytes) -> bytes:
        self.put(payload)
        return self.answer()

    def put(self, payload: bytes) -> None:
        self.socket.sendall(b"\x0b" + payload + END)

    def answer(self) -> bytes:
        """The next frame's payload. ConnectionError when the other side closes first."""
        while END not in self._buffer:
            received = self.socket.recv(65536)
            if not received:
                raise ConnectionError("closed before an answer came")
            self._buffer += received
        frame, _, self._buffer = self._buffer.partition(END)
        return frame.lstrip(b"\x0b")


def msa(reply: bytes) -> tuple[str, str]:
    """MSA-1 and MSA-2 of an acknowledgement."""
    fields = next(line for line in reply.split(b"\r") if line.startswith(b"MSA")).split(b"|")
    return fields[1].decode(), fields[2].decode()
