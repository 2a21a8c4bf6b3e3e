"""The replies that one MLLP connection owes: written in the order in which their messages came."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial

from hcsyncd.connectors.connector import Intake
from hcsyncd.formats.mllp import render
from hcsyncd.message import Receipt, ReplyState

_SENT = ReplyState.SENT  # Python 3.11 is slow to find a member on its class, and this one is asked for each message


class Replies:
    """Receipts to come, oldest first. Replies that are ready together leave in one write; each leaves whole in one
    write, because there are senders that read once and take what they get for the reply."""

    def __init__(
        self,
        intake: Intake,
        write: Callable[[bytes], bool],
        settled: Callable[[], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        """``write`` says whether the bytes went on the wire, ``settled`` is called after anything was answered,
        ``failed`` when a receipt never comes: nothing that follows it is written any more."""
        self._intake = intake
        self._write = write
        self._settled = settled
        self._failed = failed
        self._pending: deque[tuple[asyncio.Future[Receipt], int]] = deque()
        self._later = 0
        self.bytes = 0  # of the arrivals that wait for their receipt

    def __len__(self) -> int:
        """Arrivals that wait for their receipt."""
        return len(self._pending)

    def reach(self, count: int, size: int) -> bool:
        """Whether so many arrivals, or so many bytes of them, wait for their receipt."""
        return len(self._pending) >= count or self.bytes >= size

    @property
    def owed(self) -> bool:
        """Whether anything is still to be written, application acknowledgements included."""
        return bool(self._pending) or self._later > 0

    def expect(self, receipt: asyncio.Future[Receipt], size: int) -> None:
        """Answer an arrival of ``size`` bytes once its receipt is there, after those before it."""
        self._pending.append((receipt, size))
        self.bytes += size
        receipt.add_done_callback(self._receipted)

    def _receipted(self, _: asyncio.Future[Receipt]) -> None:
        pending = self._pending
        ready: list[Receipt] = []
        while pending and pending[0][0].done():
            future, size = pending.popleft()
            self.bytes -= size
            try:
                receipt = future.result()
            except (Exception, asyncio.CancelledError) as error:
                self._answer(ready)
                ready = []
                self._failed(error)
                continue
            if receipt.reply:
                ready.append(receipt)
            if receipt.later is not None:
                self._later += 1
                receipt.later.add_done_callback(partial(self._answer_later, receipt))
        self._answer(ready)
        self._settled()

    def _answer(self, ready: list[Receipt]) -> None:
        if not ready:
            return
        data = render(ready[0].reply) if len(ready) == 1 else b"".join([render(receipt.reply) for receipt in ready])
        state = _SENT if self._write(data) else ReplyState.LOST
        for receipt in ready:
            if receipt.later is None:  # else its last word is still to come
                self._intake.answered(receipt, state)

    def _answer_later(self, receipt: Receipt, later: asyncio.Future[bytes]) -> None:
        self._later -= 1
        known = not later.cancelled() and later.exception() is None
        reply = later.result() if known else b""
        if reply or receipt.reply:
            written = known and self._write(render(reply) if reply else b"")
            self._intake.answered(receipt, ReplyState.SENT if written else ReplyState.LOST)
        self._settled()
