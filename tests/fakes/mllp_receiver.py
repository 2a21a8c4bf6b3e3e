"""A threaded MLLP receiver for tests that drive the daemon from outside: keeps what came, answers as it is told."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Callable

from tests.fakes.mllp_peer import ack, control_id_of, frame

END = b"\x1c\r"
Judge = Callable[[bytes], str]


class MllpReceiver:
    """Listens on a free port from construction on; ``judge`` gives MSA-1 for a payload, "" for silence and a closed
    connection. ``payloads`` is everything that came, in order, whatever it was answered."""

    def __init__(self, judge: Judge = lambda _payload: "AA", port: int = 0) -> None:
        self.payloads: list[bytes] = []
        self.judge = judge
        receiver = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                receiver._serve(self.request)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        self._server = Server(("127.0.0.1", port), Handler)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def control_ids(self) -> list[str]:
        return [control_id_of(payload) for payload in self.payloads]

    def until(self, count: int, secs: float = 20.0) -> None:
        """Wait until so many payloads came."""
        deadline = time.monotonic() + secs
        while len(self.payloads) < count:
            assert time.monotonic() < deadline, f"{len(self.payloads)} payloads came, and not {count}"
            time.sleep(0.01)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _serve(self, connection: socket.socket) -> None:
        buffer = b""
        while True:
            try:
                received = connection.recv(65536)
            except OSError:
                return
            if not received:
                return
            buffer += received
            while END in buffer:
                payload, _, buffer = buffer.partition(END)
                payload = payload.lstrip(b"\x0b")
                self.payloads.append(payload)
                code = self.judge(payload)
                if not code:
                    return
                connection.sendall(frame(ack(code, control_id_of(payload))))
