"""Receivers over MLLP and HTTP that keep what they took, by key, and treat each message as their mood is: well, late,
wrongly, or not at all. Moods change while they listen, and they can be closed and opened again on their port."""

from __future__ import annotations

import http.server
import socket
import socketserver
import threading
from collections.abc import Sequence
from enum import Enum

from tests.fakes.mllp_peer import ack, control_id_of, frame

END = b"\x1c\r"


class Mood(Enum):
    """What becomes of a message. In each but REFUSES and FAILS it has been taken, whatever the sender is told."""

    TAKES = "takes it and says so"
    REFUSES = "never takes it and says so"
    FAILS = "does not take it for now and says so"
    GARBAGE = "takes it and answers what is no answer"
    WRONG = "takes it and answers for another message"
    SILENT = "takes it and says nothing"
    HANGS_UP = "takes it and closes the connection"


class MoodyReceiver:
    """What both have in common. ``moods`` goes first, one a message; then ``mood``; each after ``slow_secs``."""

    def __init__(self, port: int = 0) -> None:
        self.mood = Mood.TAKES
        self.moods: list[Mood] = []
        self.slow_secs = 0.0
        self.port = port
        self.came = 0
        self._took: list[tuple[str, str, bytes]] = []
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._server: socketserver.TCPServer
        self._thread: threading.Thread
        self.open()

    @property
    def took(self) -> Sequence[tuple[str, str, bytes]]:
        """(key, control id, body), in order."""
        return self._took

    def open(self) -> None:
        """Listen, on the port of before if there was one."""
        self._closing.clear()
        self._server = self._listen()
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listen no more, and break off every connection."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        for connection in list(self._connections):
            self._break_off(connection)

    @staticmethod
    def _break_off(connection: socket.socket) -> None:
        try:
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it is gone already

    def _listen(self) -> socketserver.TCPServer:
        raise NotImplementedError

    def _receive(self, key: str, control_id: str, body: bytes) -> Mood:
        """Take a message or not; how to answer, once it is time."""
        with self._lock:
            self.came += 1
            mood = self.moods.pop(0) if self.moods else self.mood
            if mood not in (Mood.REFUSES, Mood.FAILS):
                self._took.append((key, control_id, body))
        self._closing.wait(self.slow_secs)
        return mood


class MllpMoody(MoodyReceiver):
    """Knows messages by their control id."""

    def _listen(self) -> socketserver.TCPServer:
        receiver = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                receiver._serve(self.request)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            request_queue_size = 64

        return Server(("127.0.0.1", self.port), Handler)

    def _serve(self, connection: socket.socket) -> None:
        self._connections.add(connection)
        buffer = bytearray()
        try:
            while received := connection.recv(1 << 20):
                buffer += received
                end = buffer.find(END, max(0, len(buffer) - len(received) - 1))
                while end >= 0:
                    payload = bytes(buffer[:end])
                    del buffer[: end + len(END)]
                    if not self._converse(connection, payload.lstrip(b"\x0b")):
                        return
                    end = buffer.find(END)
        except OSError:
            return
        finally:
            self._connections.discard(connection)

    def _converse(self, connection: socket.socket, payload: bytes) -> bool:
        control_id = control_id_of(payload)
        match self._receive(control_id, control_id, payload):
            case Mood.TAKES:
                connection.sendall(frame(ack("AA", control_id)))
            case Mood.REFUSES:
                connection.sendall(frame(ack("AE", control_id)))
            case Mood.FAILS:
                connection.sendall(frame(ack("AR", control_id)))
            case Mood.GARBAGE:
                connection.sendall(frame(b"who are you?"))
            case Mood.WRONG:
                connection.sendall(frame(ack("AA", "ANOTHER")))
            case Mood.HANGS_UP:
                return False
            case Mood.SILENT:
                pass
        return True


class HttpMoody(MoodyReceiver):
    """Knows messages by their Idempotency-Key."""

    def _listen(self) -> socketserver.TCPServer:
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                receiver._connections.add(self.connection)

            def finish(self) -> None:
                receiver._connections.discard(self.connection)
                super().finish()

            def do_POST(self) -> None:
                receiver._answer(self)

            def handle(self) -> None:
                try:
                    super().handle()
                except OSError:
                    return

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's signature
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

        return Server(("127.0.0.1", self.port), Handler)

    def _answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"]))
        mood = self._receive(str(request.headers["Idempotency-Key"]), control_id_of(body), body)
        if mood is Mood.HANGS_UP:
            request.close_connection = True
            return
        if mood is Mood.SILENT:
            self._closing.wait()
            request.close_connection = True
            return
        if mood is Mood.GARBAGE:
            request.wfile.write(b"who are you?\r\n\r\n")
            request.close_connection = True
            return
        status = {Mood.REFUSES: 422, Mood.FAILS: 503, Mood.WRONG: 302}.get(mood, 201)
        request.send_response(status)
        request.send_header("Content-Length", "0")
        request.end_headers()
