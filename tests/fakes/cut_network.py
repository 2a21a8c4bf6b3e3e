"""A network between two ends on this machine that can be cut: bytes vanish, connections are not even refused."""

from __future__ import annotations

import contextlib
import select
import socket
import threading

FILLERS = 4  # connections that nobody takes: with them the listener's queue is full, and the system drops what knocks


class CutNetwork:
    """Passes connections on to ``port`` of this machine. While it is cut, nothing passes and nobody is told."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(1)
        self.port = int(self._listener.getsockname()[1])
        self._going = threading.Event()
        self._going.set()
        self._end = threading.Event()
        self._fillers: list[socket.socket] = []
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """From here on nothing passes."""
        self._going.clear()
        for _ in range(FILLERS):
            filler = socket.socket()
            filler.settimeout(0)
            filler.connect_ex(("127.0.0.1", self.port))
            self._fillers.append(filler)

    def mend(self) -> None:
        """It is as before. What was written into connections of before the cut is lost, and so are they."""
        for filler in self._fillers:
            filler.close()
        self._fillers.clear()
        self._drop()
        self._going.set()

    def close(self) -> None:
        self._end.set()
        self._going.set()
        self._thread.join()
        self._drop()
        for filler in self._fillers:
            filler.close()
        self._listener.close()

    def _drop(self) -> None:
        pairs, self._pairs = self._pairs, {}
        for connection in pairs:
            connection.close()

    def _run(self) -> None:
        while not self._end.is_set():
            if not self._going.wait(0.05):
                continue
            with contextlib.suppress(OSError, ValueError):  # closed while it was looked at
                ready, _, _ = select.select([self._listener, *self._pairs], [], [], 0.02)
                for connection in ready if self._going.is_set() else ():
                    self._pass_on(connection)

    def _pass_on(self, connection: socket.socket) -> None:
        if connection is self._listener:
            near, _ = self._listener.accept()
            try:
                far = socket.create_connection(("127.0.0.1", self._to), 5)
            except OSError:
                near.close()
                return
            self._pairs |= {near: far, far: near}
            return
        other = self._pairs.get(connection)
        if other is None:
            return
        try:
            data = connection.recv(65536)
            if data:
                other.sendall(data)
                return
        except OSError:
            data = b""
        self._pairs.pop(connection, None)
        self._pairs.pop(other, None)
        connection.close()
        other.close()
