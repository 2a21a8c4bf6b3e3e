"""An intake that keeps what it is given in memory and answers as it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from hcsyncd.message import Arrival, Receipt, ReceiptOutcome, ReplyState


def acknowledge(arrival: Arrival, code: str = "AA") -> bytes:
    """A minimal acknowledgement of an HL7 body: MSA-2 is what its MSH-10 says."""
    fields = arrival.body.split(b"\r", 1)[0].split(b"|")
    control_id = fields[9] if len(fields) > 9 else b""
    return b"MSH|^~\\&|ENGINE|HERE|||20260101||ACK|1|P|2.5\rMSA|" + code.encode() + b"|" + control_id + b"\r"


@dataclass
class RecordingIntake:
    """Answers every arrival at once, until one of these is set: ``hold`` keeps receipts back for `release`, ``error``
    fails them, ``outcome`` and ``reply`` choose another answer, ``laters`` gives each receipt an application reply."""

    reply: Callable[[Arrival], bytes] = acknowledge
    outcome: ReceiptOutcome = ReceiptOutcome.ACCEPTED
    hold: bool = False
    error: Exception | None = None
    retry_after: float | None = None
    laters: bool = False
    arrivals: list[Arrival] = field(default_factory=list)
    rejected: list[tuple[Arrival, str, str]] = field(default_factory=list)  # (arrival, reason, text) of `unreadable`
    replied: list[tuple[Receipt, ReplyState]] = field(default_factory=list)
    later: list[asyncio.Future[bytes]] = field(default_factory=list)
    held: list[tuple[asyncio.Future[Receipt], Receipt]] = field(default_factory=list)

    @property
    def bodies(self) -> list[bytes]:
        return [arrival.body for arrival in self.arrivals]

    @property
    def states(self) -> list[ReplyState]:
        return [state for _, state in self.replied]

    def accept(self, arrival: Arrival) -> asyncio.Future[Receipt]:
        self.arrivals.append(arrival)
        return self._answer(arrival, self.outcome, self.reply(arrival))

    def unreadable(self, arrival: Arrival, reason: str, text: str) -> asyncio.Future[Receipt]:
        self.rejected.append((arrival, reason, text))
        return self._answer(arrival, ReceiptOutcome.REJECTED, acknowledge(arrival, "AR"), reason)

    def answered(self, receipt: Receipt, state: ReplyState) -> None:
        self.replied.append((receipt, state))

    def release(self, count: int | None = None, *, newest_first: bool = False) -> None:
        """Give the receipts that were held back: all of them, or the oldest ``count``."""
        chosen = self.held[:count]
        del self.held[:count]
        for future, receipt in reversed(chosen) if newest_first else chosen:
            if not future.done():
                future.set_result(receipt)

    def _answer(
        self, arrival: Arrival, outcome: ReceiptOutcome, reply: bytes, cause: str = ""
    ) -> asyncio.Future[Receipt]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Receipt] = loop.create_future()
        later = loop.create_future() if self.laters else None
        if later is not None:
            self.later.append(later)
        number = len(self.arrivals) + len(self.rejected)
        receipt = Receipt(outcome, number, reply, cause, self.retry_after, later)
        if self.error is not None:
            future.set_exception(self.error)
        elif self.hold:
            self.held.append((future, receipt))
        else:
            future.set_result(receipt)
        return future
