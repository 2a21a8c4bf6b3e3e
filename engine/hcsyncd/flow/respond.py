"""Acknowledgements that are decided after the message was stored: `processed` and `delivered` channels.

Transaction: the reply is stored (`Inbox.decide_reply`) before anyone is given it, so that a resend after a crash gets
the very same bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from hcsyncd.clock import Clock
from hcsyncd.config.model import Acknowledge
from hcsyncd.errors import HcsyncdError
from hcsyncd.formats.format import Answer, Peek, Verdict
from hcsyncd.message import MessageState
from hcsyncd.store.ports import Inbox, Reply

ERROR_INTERNAL = "207"  # HL7 table 0357: application internal error


@dataclass(frozen=True, slots=True)
class Decision:
    """What a sender is told in the end. ``failure`` is "" when its message was taken over; ``reply`` is b"" when the
    format has no acknowledgement or the sender wants none of this outcome."""

    reply: bytes = field(repr=False)
    failure: str = ""


@dataclass(slots=True)
class Waiter:
    """A message whose sender still waits for its application acknowledgement."""

    peek: Peek
    mode: Acknowledge
    first_reply: bytes  # the commit acknowledgement, already given; b"" in original mode
    decision: asyncio.Future[Decision]
    is_decided: bool = False  # and on its way to the store: whoever asks now still joins


class Responder:
    """Knows who waits for what. Used by intake (to wait), the processor and the dispatchers (to decide)."""

    def __init__(self, inbox: Inbox, clock: Clock, control_ids: Callable[[], str]) -> None:
        self._inbox = inbox
        self._clock = clock
        self._control_ids = control_ids
        self._waiters: dict[int, Waiter] = {}

    def expect(
        self, message_id: int, peek: Peek, mode: Acknowledge, first_reply: bytes = b""
    ) -> asyncio.Future[Decision]:
        """Wait for what is decided on a stored message; a second call for the same message joins the first. Cancelled
        when the decision could not be stored: the sender must then be told nothing."""
        waiter = self._waiters.get(message_id)
        if waiter is None:
            decision = asyncio.get_running_loop().create_future()
            waiter = self._waiters[message_id] = Waiter(peek, mode, first_reply, decision)
        return waiter.decision

    @property
    def waiting(self) -> int:
        """How many messages' acknowledgements are still to be decided."""
        return len(self._waiters)

    def processed(self, message_id: int, state: MessageState, failure: str = "") -> None:
        """The message has been through its routes; ``failure`` says why one of them failed."""
        waiter = self._waiters.get(message_id)
        if waiter and (waiter.mode is Acknowledge.PROCESSED or state is not MessageState.ROUTED):
            self._decide(message_id, waiter, state, failure)

    def settled(self, message_id: int, state: MessageState, failure: str = "") -> None:
        """One of the message's deliveries has ended, which leaves the message in ``state``."""
        waiter = self._waiters.get(message_id)
        if waiter and state is not MessageState.ROUTED:
            self._decide(message_id, waiter, state, failure)

    def _decide(self, message_id: int, waiter: Waiter, state: MessageState, failure: str) -> None:
        if waiter.is_decided:
            return
        waiter.is_decided = True
        if state is MessageState.DEAD and not failure:
            failure = "the message could not be processed"
        answer = Answer(
            Verdict.ERROR if failure else Verdict.ACCEPT,
            at=self._clock.now(),
            control_id=self._control_ids(),
            text=failure,
            error_code=ERROR_INTERNAL if failure else "",
        )
        rendered = waiter.peek.application_reply(answer)
        first, second = (waiter.first_reply, rendered) if waiter.first_reply else (rendered, b"")
        kept = self._inbox.decide_reply(Reply(message_id, first, second, positive=not failure))

        def give(kept: asyncio.Future[None]) -> None:
            del self._waiters[message_id]
            if waiter.decision.done():
                return
            error = None if kept.cancelled() else kept.exception()
            if kept.cancelled() or isinstance(error, HcsyncdError):
                # Not stored, so not given: the sender's own time-out brings the message again.
                waiter.decision.cancel()
            elif error is not None:
                waiter.decision.set_exception(error)
            else:
                waiter.decision.set_result(Decision(rendered, failure))

        kept.add_done_callback(give)
