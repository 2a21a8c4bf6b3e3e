"""The way in: peek, fingerprint, duplicate rule, store, acknowledge.

Transaction T1 is `Inbox.put`. Law: a receipt exists only after that commit, and nothing is told to a peer without one.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from hcsyncd.clock import Clock
from hcsyncd.config.model import Acknowledge, Channel
from hcsyncd.errors import FormatError, StoreError
from hcsyncd.events import (
    ControlIdReused,
    Event,
    FaultTolerated,
    IntakeRefused,
    MessageDuplicated,
    MessageReceived,
    MessageRejected,
    MessageUnrouted,
    ReplyLost,
)
from hcsyncd.flow.keys import KeyReader
from hcsyncd.flow.respond import Decision, Responder
from hcsyncd.flow.route import Routes
from hcsyncd.formats.format import Answer, Format, Peek, Verdict
from hcsyncd.message import Arrival, Keys, Message, MessageState, Receipt, ReceiptOutcome, ReplyState
from hcsyncd.store.ports import Inbox, Known, NewMessage, Reply, Stored

T = TypeVar("T")

DIGEST_BYTES = 16
IDENTITY_BYTES = 120
RETRY_AFTER_SECS = 30.0

# Bound once: on Python 3.11 each look-up of an enum's member costs as much as making a whole record.
_ACCEPT = Verdict.ACCEPT
_ACCEPTED = ReceiptOutcome.ACCEPTED
_OWED = ReplyState.OWED
_NOT_OWED = ReplyState.NOT_OWED
_RECEIVED = MessageState.RECEIVED
_UNROUTED = MessageState.UNROUTED

ERROR_DUPLICATE_KEY = "205"  # HL7 table 0357
ERROR_INTERNAL = "207"
ERROR_SEQUENCE = "100"


class Gate:
    """Whether arrivals may be stored at all: closed while the disk is nearly full or the daemon stops."""

    def __init__(self) -> None:
        self.reason = ""  # "" is open; else a stable code

    def close(self, reason: str) -> None:
        self.reason = reason

    def open(self) -> None:
        self.reason = ""


class ControlIds:
    """Makes MSH-10 values for acknowledgements: unique for one store over restarts, at most 20 characters (HL7 v2.5.1
    §2.14.9.10)."""

    def __init__(self, started_at: int) -> None:
        self._prefix = f"{started_at // 1000:X}"
        self._numbers = itertools.count(1)

    def __call__(self) -> str:
        return f"{self._prefix}{next(self._numbers):X}"


@dataclass(frozen=True, slots=True)
class IntakeShared:
    """What the intakes of all channels share."""

    gate: Gate
    control_ids: Callable[[], str]
    emit: Callable[[Event], None]
    clock: Clock


@dataclass(frozen=True, slots=True)
class Rules:
    """What a generation says of a source channel."""

    channel: Channel
    form: Format
    routes: Routes


class ChannelIntake:
    """What one source is handed (`connectors.connector.Intake`). ``on_stored`` is given each message that is to be
    processed, in the order of commitment."""

    def __init__(
        self,
        rules: Rules,
        inbox: Inbox,
        responder: Responder,
        shared: IntakeShared,
        on_stored: Callable[[Message], None],
    ) -> None:
        self._inbox = inbox
        self._responder = responder
        self._gate = shared.gate
        self._emit = shared.emit
        self._clock = shared.clock
        self._control_ids = shared.control_ids
        self._on_stored = on_stored
        self.adopt(rules)

    def adopt(self, rules: Rules) -> None:
        """Work by the rules of another generation from here on; connections stay."""
        channel = rules.channel
        self._name = channel.name
        self._format = rules.form
        self._routes = rules.routes
        self._mode = channel.options.acknowledge
        self._decides_at_once = self._mode is Acknowledge.STORED
        self._finds_duplicates = channel.options.duplicates.same_content == "answer"
        self._refuses_changed = channel.options.duplicates.changed_content == "refuse"
        self._keys = KeyReader(rules.form, channel.options.keys) if channel.options.keys else None

    def accept(self, arrival: Arrival) -> asyncio.Future[Receipt]:
        """See `connectors.connector.Intake.accept`."""
        try:
            peek = self._format.peek(arrival.body)
        except FormatError as error:
            return self._reject(arrival, error)
        if self._gate.reason:
            return self._refuse(peek)
        for switch in peek.tolerated:
            self._emit(FaultTolerated(self._name, switch))
        new = self._new_message(arrival, peek)
        receipt: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        self._inbox.put(new).add_done_callback(partial(self._stored, receipt, new, peek))
        return receipt

    def unreadable(self, arrival: Arrival, reason: str, text: str) -> asyncio.Future[Receipt]:
        """See `connectors.connector.Intake.unreadable`."""
        return self._reject(arrival, FormatError(reason, text))

    def answered(self, receipt: Receipt, state: ReplyState) -> None:
        """See `connectors.connector.Intake.answered`."""
        if not receipt.message_id:
            return
        self._inbox.mark_replied(receipt.message_id, state)
        if state is ReplyState.LOST:
            self._emit(ReplyLost(self._name, receipt.message_id))

    def _answer(self, verdict: Verdict, text: str = "", error_code: str = "") -> Answer:
        return Answer(verdict, self._clock.now(), self._control_ids(), text, error_code)

    def _new_message(self, arrival: Arrival, peek: Peek) -> NewMessage:
        keys = peek.keys
        accepted = self._answer(_ACCEPT)
        decided = self._decides_at_once
        reply, application_reply = _both_replies(peek, accepted) if decided else (peek.accept_reply(accepted), b"")
        identity = b""
        if self._finds_duplicates and keys.control_id:
            identity = _identity(f"{self._name}\0{keys.sender}\0{keys.control_id}".encode())
        return NewMessage(
            channel=self._name,
            received_at=arrival.received_at,
            keys=keys,
            body=arrival.body,
            peer=arrival.peer,
            facts=arrival.facts,
            # What no route can want is known before it is stored, and never taken up again.
            state=_RECEIVED if self._routes.may_want(self._name, peek.keys, arrival.facts) else _UNROUTED,
            identity=identity,
            fingerprint=_digest(arrival.body),
            arrival_key=_digest(f"{self._name}\0{arrival.key}".encode()) if arrival.key else b"",
            reply=reply,
            application_reply=application_reply,
            reply_state=_OWED if reply or not decided else _NOT_OWED,
            reply_open=not decided,
            refuse_changed=self._refuses_changed,
            business_keys=self._keys.read(arrival.body) if self._keys else (),
        )

    def _stored(
        self, receipt: asyncio.Future[Receipt], new: NewMessage, peek: Peek, put: asyncio.Future[Stored | Known]
    ) -> None:
        """The commit is done, or failed: tell the source, and hand the message to its processor."""
        error = StoreError("the store was closed") if put.cancelled() else put.exception()
        if error is not None:
            self._emit(IntakeRefused(self._name, "store-failed"))
            if not receipt.done():
                receipt.set_exception(error)
            return
        answer = put.result()
        if isinstance(answer, Known):
            self._known(receipt, answer, peek)
        elif answer.refused:
            self._emit(ControlIdReused(self._name, answer.message_id, answer.reused or 0, refused=True))
            self._reject_changed(receipt, answer.message_id, peek)
        else:
            if answer.reused is not None:
                self._emit(ControlIdReused(self._name, answer.message_id, answer.reused, refused=False))
            self._fresh(receipt, answer.message_id, new, peek)

    def _fresh(self, receipt: asyncio.Future[Receipt], message_id: int, new: NewMessage, peek: Peek) -> None:
        seconds = (self._clock.now() - new.received_at) / 1e6
        self._emit(MessageReceived(self._name, message_id, new.keys.type, len(new.body), seconds))
        if self._decides_at_once:
            later = _done(new.application_reply) if new.application_reply else None
            self._give(receipt, Receipt(_ACCEPTED, message_id, new.reply, later=later))
        else:
            self._give_when_decided(receipt, _ACCEPTED, message_id, new.reply, peek)
        if new.state is _UNROUTED:
            self._emit(MessageUnrouted(self._name, message_id, new.keys.type))
            self._responder.processed(message_id, _UNROUTED)
            return
        self._on_stored(
            Message(
                id=message_id,
                channel=self._name,
                received_at=new.received_at,
                keys=new.keys,
                body=new.body,
                trace=message_id,
                peer=new.peer,
                facts=new.facts,
            )
        )

    def _reject_changed(self, receipt: asyncio.Future[Receipt], message_id: int, peek: Peek) -> None:
        text = "the control id was used before for other content"
        answer = self._answer(Verdict.REJECT, text, ERROR_DUPLICATE_KEY)
        reply = peek.accept_reply(answer) or peek.application_reply(answer)
        self._inbox.decide_reply(Reply(message_id, reply, positive=False))
        self._give(receipt, Receipt(ReceiptOutcome.REJECTED, message_id, reply, "control-id-reused"))

    def _known(self, receipt: asyncio.Future[Receipt], known: Known, peek: Peek) -> None:
        self._emit(MessageDuplicated(self._name, known.message_id))
        if known.reply_open:
            self._give_when_decided(receipt, ReceiptOutcome.DUPLICATE, known.message_id, known.reply, peek)
            return
        reply, application_reply = known.reply, known.application_reply
        if not reply:  # none was ever due, and this gives none; or retention has removed it: the sender is to have one
            reply, application_reply = _both_replies(peek, self._answer(_ACCEPT))
        later = _done(application_reply) if application_reply else None
        self._give(receipt, Receipt(ReceiptOutcome.DUPLICATE, known.message_id, reply, later=later))

    def _give_when_decided(
        self, receipt: asyncio.Future[Receipt], outcome: ReceiptOutcome, message_id: int, first: bytes, peek: Peek
    ) -> None:
        """`processed`, `delivered`: the commit acknowledgement at once if there is one, the rest when it is known."""
        decision = self._responder.expect(message_id, peek, self._mode, first)
        if first:
            later: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
            decision.add_done_callback(partial(_pass_on, later, lambda decided: decided.reply))
            self._give(receipt, Receipt(outcome, message_id, first, later=later))
            return

        def whole(decided: Decision) -> Receipt:
            if decided.failure:
                return Receipt(ReceiptOutcome.REJECTED, message_id, decided.reply, "processing-failed")
            return Receipt(outcome, message_id, decided.reply)

        decision.add_done_callback(partial(_pass_on, receipt, whole))

    def _reject(self, arrival: Arrival, error: FormatError) -> asyncio.Future[Receipt]:
        """Bytes that no format can name: a dead letter with its cause, and a negative acknowledgement."""
        receipt: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        answer = self._answer(Verdict.REJECT, str(error), ERROR_SEQUENCE)
        if self._gate.reason:
            return self._refused(self._format.refusal(arrival.body, error, answer))
        reply = self._format.refusal(arrival.body, error, answer)
        new = NewMessage(
            channel=self._name,
            received_at=arrival.received_at,
            keys=Keys(),
            body=arrival.body,
            peer=arrival.peer,
            facts=arrival.facts,
            state=MessageState.DEAD,
            cause=error.reason,
            text=str(error),
            fingerprint=_digest(arrival.body),
            arrival_key=_digest(f"{self._name}\0{arrival.key}".encode()) if arrival.key else b"",
            reply=reply,
            reply_state=ReplyState.OWED if reply else ReplyState.NOT_OWED,
        )

        def stored(put: asyncio.Future[Stored | Known]) -> None:
            failure = StoreError("the store was closed") if put.cancelled() else put.exception()
            if failure is not None:
                self._emit(IntakeRefused(self._name, "store-failed"))
                if not receipt.done():
                    receipt.set_exception(failure)
                return
            message_id = put.result().message_id
            self._emit(MessageRejected(self._name, message_id, error.reason, len(arrival.body)))
            self._give(receipt, Receipt(ReceiptOutcome.REJECTED, message_id, reply, error.reason))

        self._inbox.put(new).add_done_callback(stored)
        return receipt

    def _refuse(self, peek: Peek) -> asyncio.Future[Receipt]:
        answer = self._answer(Verdict.REJECT, f"not taken now ({self._gate.reason}); send again later", ERROR_INTERNAL)
        return self._refused(peek.accept_reply(answer) or peek.application_reply(answer))

    def _refused(self, reply: bytes) -> asyncio.Future[Receipt]:
        reason = self._gate.reason
        self._emit(IntakeRefused(self._name, reason))
        receipt: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        receipt.set_result(Receipt(ReceiptOutcome.REFUSED, 0, reply, reason, retry_after=RETRY_AFTER_SECS))
        return receipt

    @staticmethod
    def _give(receipt: asyncio.Future[Receipt], value: Receipt) -> None:
        if not receipt.done():  # the source may have given up waiting; the message is stored all the same
            receipt.set_result(value)


def _both_replies(peek: Peek, answer: Answer) -> tuple[bytes, bytes]:
    """What is given at once and what follows, as the message itself asks for them."""
    at_once, application = peek.accept_reply(answer), peek.application_reply(answer)
    return (at_once, application) if at_once else (application, b"")


def _identity(name: bytes) -> bytes:
    """Who a message is. Readable names are kept as they are: control ids mostly rise, and an index is faster to fill in
    its own order. Only a very long one is put into a digest."""
    return name if len(name) <= IDENTITY_BYTES else _digest(name)


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:DIGEST_BYTES]


def _done(value: bytes) -> asyncio.Future[bytes]:
    future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    future.set_result(value)
    return future


def _pass_on(to: asyncio.Future[T], made: Callable[[Decision], T], decision: asyncio.Future[Decision]) -> None:
    """Give what is made of a decision, or the failure to keep it."""
    if to.done():
        return
    if decision.cancelled():
        to.set_exception(StoreError("the acknowledgement could not be stored"))
    elif error := decision.exception():
        to.set_exception(error)
    else:
        to.set_result(made(decision.result()))
