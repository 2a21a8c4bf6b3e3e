"""A service manager's end of sd_notify(3): what the daemon tells, in order."""

from __future__ import annotations

import socket
import time
from pathlib import Path


class NotifySocket:
    """Name its path in $NOTIFY_SOCKET."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.told: list[str] = []  # every line
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))

    def until(self, line: str, secs: float = 20.0) -> None:
        """Read on until a line with this beginning has come after everything that was read before."""
        deadline = time.monotonic() + secs
        while True:
            left = deadline - time.monotonic()
            assert left > 0, f"{line} was not told: {self.told}"
            self._socket.settimeout(left)
            try:
                lines = self._socket.recv(4096).decode().split("\n")
            except TimeoutError:
                continue
            self.told += lines
            if any(one.startswith(line) for one in lines):
                return

    def drain(self) -> None:
        """Forget what was told and not read."""
        self._socket.settimeout(0)
        try:
            while True:
                self._socket.recv(4096)
        except BlockingIOError:
            return

    def close(self) -> None:
        self._socket.close()
