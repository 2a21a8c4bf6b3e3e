"""One connection of an MLLP destination: frames out in order, answers matched in the same order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, cast

from hcsyncd.connectors import tcp
from hcsyncd.connectors.mllp_answer import Acknowledgement, Question, read_acknowledgement
from hcsyncd.connectors.tls import note_certificate
from hcsyncd.events import AnswerIgnored, Event, FrameFaulted
from hcsyncd.formats.mllp import Fault, FaultKind, Splitter


class AnswerFault(StrEnum):
    """Why there is no verdict for a frame that was written. The values are stable codes."""

    MISMATCH = "ack-mismatch"  # it names another message
    UNREADABLE = "ack-unreadable"  # it is no HL7 acknowledgement
    TIMEOUT = "ack-timeout"
    LOST = "connection-lost"


_GOODBYE_SECS = 2.0
_SETTLED_KEPT = 1000  # control ids of answered messages: a second answer to one of them is not another message's


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back for one frame: ``answer`` as it came, and ``fault`` when it settles nothing by itself."""

    acknowledgement: Acknowledgement | None = None
    answer: bytes = field(default=b"", repr=False)
    fault: AnswerFault | None = None
    detail: str = ""  # of a lost connection, where the system says more


@dataclass(frozen=True, slots=True)
class Manners:
    """What is expected of the other side."""

    answer_secs: float
    max_answer_bytes: int
    overlooked: frozenset[AnswerFault]  # these settle a frame like a good answer, and the connection stays


@dataclass(slots=True)
class _Waiting:
    """A frame that was written and not answered."""

    question: Question
    application: bool  # a commit answer does not settle it
    future: asyncio.Future[Reply]


class Line(asyncio.Protocol):
    """The state of one connection. It is dropped after a time-out or an answer for another message: whatever came later
    on it could be taken for the wrong message's answer."""

    def __init__(self, channel: str, emit: Callable[[Event], None], manners: Manners) -> None:
        self._channel = channel
        self._emit = emit
        self._manners = manners
        self._splitter = Splitter(manners.max_answer_bytes)
        self._gone = asyncio.Event()
        self._transport: asyncio.Transport | None = None
        self._peer = ""
        self._waiting: deque[_Waiting] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._settled: dict[bytes, None] = {}  # in order of arrival
        self._drained: asyncio.Future[bool] | None = None

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def info(self, name: str) -> Any:
        """What the transport knows of the connection: ``ssl_object``, ``peercert``."""
        return None if self._transport is None else self._transport.get_extra_info(name)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._peer = tcp.host_port(transport.get_extra_info("peername"))
        note_certificate(transport.get_extra_info("peercert"), self._channel, self._emit)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._gone.set()
        self._give_up(str(exc) if exc else "the other side closed it")
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(False)

    def drop(self, why: str) -> None:
        """Close at once; what waits is lost."""
        if self._transport is not None:
            self._transport.abort()
        self._give_up(why)

    async def close(self) -> None:
        """Close in good order, so that TLS says good-bye, and not wait for long for the other side."""
        if self._transport is None:
            return
        self._transport.close()
        try:
            async with asyncio.timeout(_GOODBYE_SECS):
                await self._gone.wait()
        except TimeoutError:
            self.drop("closing")

    def ask(self, frame: bytes, question: Question, *, application: bool) -> asyncio.Future[Reply]:
        """Write a frame; the future is done when its answer came, or will not come any more. It never fails."""
        assert self._transport is not None  # the caller looked at is_open in the same turn of the loop
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(question, application, future))
        self._transport.write(frame)
        if len(self._waiting) == 1:
            self._start_timer()
        return future

    async def tell(self, frame: bytes) -> bool:
        """Write a frame that nobody answers; whether the system took all of it."""
        assert self._transport is not None  # as above
        self._transport.set_write_buffer_limits(high=0)
        self._transport.write(frame)
        if self._drained is not None:
            return await self._drained
        return self.is_open

    def pause_writing(self) -> None:
        self._drained = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(True)
        self._drained = None

    def data_received(self, data: bytes) -> None:
        for item in self._splitter.feed(data):
            if not isinstance(item, Fault):
                self._judge(item.payload)
                continue
            self._emit(FrameFaulted(self._channel, self._peer, item.kind, item.size))
            if item.kind in (FaultKind.OVERSIZE, FaultKind.UNFINISHED, FaultKind.EMPTY) and self._waiting:
                self._doubt(Reply(None, item.payload, AnswerFault.UNREADABLE))

    def _judge(self, payload: bytes) -> None:
        acknowledgement = read_acknowledgement(payload)
        if acknowledgement is not None and self._is_second(acknowledgement):
            self._emit(AnswerIgnored(self._channel, "answered-before", acknowledgement.code))
        elif not self._waiting:
            self._emit(AnswerIgnored(self._channel, "not-asked", acknowledgement.code if acknowledgement else ""))
        elif acknowledgement is None:
            self._doubt(Reply(None, payload, AnswerFault.UNREADABLE))
        elif acknowledgement.control_id != self._waiting[0].question.control_id:
            self._doubt(Reply(acknowledgement, payload, AnswerFault.MISMATCH))
        elif acknowledgement.code == "CA" and self._waiting[0].application:
            self._start_timer()  # taken over; the verdict is still to come
        else:
            self._settle(Reply(acknowledgement, payload))

    def _is_second(self, acknowledgement: Acknowledgement) -> bool:
        """Whether this answers a message that an answer has settled before: the application's answer after the commit
        answer, or a receiver that repeats itself."""
        asked = self._waiting[0].question.control_id if self._waiting else None
        return acknowledgement.control_id in self._settled and acknowledgement.control_id != asked

    def _settle(self, reply: Reply) -> None:
        waiting = self._waiting.popleft()
        if reply.fault is None:
            self._settled[waiting.question.control_id] = None
            if len(self._settled) > _SETTLED_KEPT:
                del self._settled[next(iter(self._settled))]
        if not waiting.future.done():  # a cancelled send leaves its place, so that its answer is not the next one's
            waiting.future.set_result(reply)
        self._start_timer()

    def _doubt(self, reply: Reply) -> None:
        self._settle(reply)
        if reply.fault not in self._manners.overlooked:
            self.drop("dropped, because an answer before it could not be trusted")

    def _give_up(self, why: str) -> None:
        while self._waiting:
            self._settle(Reply(fault=AnswerFault.LOST, detail=why))
        self._stop_timer()

    def _start_timer(self) -> None:
        """Only the oldest frame is timed: those behind it are answered after it."""
        self._stop_timer()
        if self._waiting:
            self._timer = asyncio.get_running_loop().call_later(self._manners.answer_secs, self._time_out)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_out(self) -> None:
        self._settle(Reply(fault=AnswerFault.TIMEOUT))
        self.drop("dropped, because an answer before it did not come in time")
