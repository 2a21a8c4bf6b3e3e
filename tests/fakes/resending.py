"""A sender as the standard wants it: it keeps each message until it is acknowledged, and sends it again until then."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from tests.fakes.mllp_peer import adt
from tests.fakes.mllp_sender import MllpSender, msa

RECONNECT_SECS = 0.02


class ResendingSender(threading.Thread):
    """Sends ADT messages with rising control ids over one connection until told to finish. ``acked`` lists the control
    ids that were accepted, in order; ``refused`` those that were answered anything else."""

    def __init__(self, name: str, address: Callable[[], tuple[str, int]]) -> None:
        super().__init__(name=name, daemon=True)
        self.acked: list[str] = []
        self.refused: list[str] = []
        self.resent = 0
        self._address = address
        self._finish = threading.Event()
        self._line: MllpSender | None = None

    def finish(self) -> None:
        """Send nothing new; the one in hand is still brought through."""
        self._finish.set()
        self.join(60)
        assert not self.is_alive()

    def run(self) -> None:
        number = 0
        while not self._finish.is_set():
            number += 1
            control_id = f"{self.name}-{number}"
            code, about = msa(self._bring_through(adt(control_id)))
            assert about == control_id
            (self.acked if code == "AA" else self.refused).append(control_id)
        self._hang_up()

    def _bring_through(self, payload: bytes) -> bytes:
        """Send until an answer comes, over as many connections as it takes."""
        while True:
            try:
                self._line = self._line or MllpSender(self._address())
                return self._line.send(payload)
            except OSError:
                self.resent += 1
                self._hang_up()
                time.sleep(RECONNECT_SECS)

    def _hang_up(self) -> None:
        if self._line:
            self._line.socket.close()
            self._line = None
