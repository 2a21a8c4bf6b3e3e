"""One claimed file on its way in: every message becomes an arrival, in order, with a bounded number under way."""

from __future__ import annotations

import asyncio
from collections import deque

from hcsyncd.connectors.connector import Intake, Seat
from hcsyncd.connectors.folder_claim import Claim, Identity
from hcsyncd.connectors.folder_read import MessageReader
from hcsyncd.errors import FormatError, StoreError
from hcsyncd.message import Arrival, Receipt, ReceiptOutcome, ReplyState

PENDING_BYTES = 32 * 1024 * 1024


class ComeAgainError(Exception):
    """A file's messages cannot all be stored now; it stays claimed. ``after_secs`` is intake's wish, if it has one."""

    def __init__(self, after_secs: float | None) -> None:
        super().__init__("not all messages of the file could be stored")
        self.after_secs = after_secs


class FileFeed:
    """Hands one file's messages to intake and counts what became of them."""

    def __init__(self, claim: Claim, intake: Intake, seat: Seat, peer: str, stopping: asyncio.Event) -> None:
        self.claim = claim
        self.identity = Identity("", 0, 0)  # until it is read
        self.handed_in = 0
        self.rejected = 0  # stored as dead letters at once
        self._intake = intake
        self._seat = seat
        self._peer = peer
        self._stopping = stopping
        self._pending: deque[tuple[asyncio.Future[Receipt], int]] = deque()
        self._pending_bytes = 0

    async def hand_in(self, reader: MessageReader, max_pending: int) -> None:
        """Every message, until each has its receipt. Raises ComeAgainError, and FormatError or OSError for the file."""
        try:
            while messages := await asyncio.to_thread(reader.batch):
                for message in messages:
                    self._give(message)
                    # A receipt that is there is looked at once: nothing may go in behind a message that was refused.
                    while self._pending and (self._is_full(max_pending) or self._pending[0][0].done()):
                        await self._next_receipt()
        except (ComeAgainError, FormatError, OSError):
            await self._all_receipts()
            raise
        await self._all_receipts()
        if not self.handed_in:
            raise FormatError("no-message", "the file holds no message")

    async def hand_in_unreadable(self, head: bytes, reason: str, text: str) -> None:
        """The dead letter of a file that cannot be read to its end; ``head`` are its first bytes."""
        before = f"; {self.handed_in} messages before it were taken" if self.handed_in else ""
        text = f"file {shown(self.claim.name)}: {text}{before}"
        self._pending.append((self._intake.unreadable(self._arrival(head), reason, text), 0))
        await self._all_receipts()

    def _give(self, message: bytes) -> None:
        if self._stopping.is_set():
            raise ComeAgainError(0)
        self._pending.append((self._intake.accept(self._arrival(message)), len(message)))
        self._pending_bytes += len(message)
        self.handed_in += 1

    def _arrival(self, body: bytes) -> Arrival:
        index = self.handed_in + 1
        key = f"{self.identity.digest}:{index}" if self.identity.digest else ""
        facts = {"file": shown(self.claim.name), "file_index": str(index), "file_bytes": str(self.identity.bytes)}
        return Arrival(self._seat.channel, body, self._peer, self._seat.clock.now(), key, facts)

    def _is_full(self, max_pending: int) -> bool:
        return len(self._pending) >= max_pending or self._pending_bytes > PENDING_BYTES

    async def _next_receipt(self) -> None:
        waiting, size = self._pending.popleft()
        self._pending_bytes -= size
        try:
            receipt = await waiting
        except StoreError as error:
            raise ComeAgainError(None) from error
        if receipt.outcome is ReceiptOutcome.REFUSED:
            raise ComeAgainError(receipt.retry_after)
        if receipt.outcome is ReceiptOutcome.REJECTED:
            self.rejected += 1
        if receipt.reply:
            self._intake.answered(receipt, ReplyState.NOT_OWED)  # there is nobody to give it to

    async def _all_receipts(self) -> None:
        refusal: ComeAgainError | None = None
        while self._pending:
            try:
                await self._next_receipt()
            except ComeAgainError as error:
                refusal = refusal or error
        if refusal is not None:
            raise refusal


def shown(name: str) -> str:
    """A file name as text that can be stored: bytes that are no UTF-8 come from the system as lone surrogates."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
