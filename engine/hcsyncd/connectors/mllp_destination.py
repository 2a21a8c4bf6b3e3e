"""Sends HL7 v2 over MLLP and judges the answers (HL7 v2.5.1 §2.9: original and enhanced acknowledgement mode)."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Any, Literal

from hcsyncd.connectors import tcp
from hcsyncd.connectors.connector import Connector, Role, Seat
from hcsyncd.connectors.mllp_answer import Question, read_question
from hcsyncd.connectors.mllp_lanes import Lanes, Place
from hcsyncd.connectors.mllp_line import AnswerFault, Line, Manners, Reply
from hcsyncd.connectors.tls import TlsClientOptions, peer_name, renewing_client_context
from hcsyncd.errors import FormatError, Refused, Transient, Unsure
from hcsyncd.formats.mllp import render
from hcsyncd.message import Envelope, Sent
from hcsyncd.options import Options, option

_SHUTDOWN_SECS = 2.0  # how long the other side may take to say good-bye in TLS

Doubt = Literal["retry", "unsure"]
AnswerDoubt = Literal["retry", "unsure", "refuse", "accept"]


class MllpDestinationOptions(Options):
    """An MLLP receiver. Receivers are expected to know a message that comes twice by its control id (MSH-10)."""

    host: str = option(..., "Host to connect to.", min_length=1, example="pas.example.org")
    port: int = option(..., "Port to connect to.", ge=1, le=65535, example=2575)
    tls: TlsClientOptions | None = option(None, "TLS. Left out: plain TCP.")
    connections: int = option(
        8,
        "Connections at once, at most. Each serves one lane at a time and stays open: without lanes there is one.",
        ge=1,
        le=1000,
    )
    expect: Literal["auto", "accept", "application", "none"] = option(
        "auto",
        "Which answer settles a delivery. `accept`: the first, be it CA or AA. `application`: AA, AE or AR, also when"
        " CA came before. `auto`: as MSH-15 and MSH-16 of the message ask: `application` when MSH-16 is AL, `none` when"
        " both are NE, else `accept`. `none`: the receiver never answers; what is written counts as taken.",
    )
    on_error: Literal["refuse", "retry"] = option(
        "refuse", "AE or CE: the message is at fault (`refuse`: a dead letter), or it is sent again (`retry`)."
    )
    on_reject: Literal["refuse", "retry"] = option("retry", "AR or CR: it is sent again, or is a dead letter.")
    on_timeout: Doubt = option(
        "retry", "No answer in time: it is sent again (`retry`), or waits for a person (`unsure`)."
    )
    on_lost: Doubt = option(
        "retry", "The connection was lost after the message was written and before its answer came."
    )
    on_mismatch: AnswerDoubt = option(
        "retry", "MSA-2 of the answer names another message. `accept` is for receivers that do not copy MSH-10."
    )
    on_unreadable: AnswerDoubt = option("retry", "The answer is no HL7 acknowledgement.")
    connect_timeout_secs: float = option(10.0, "To connect, TLS included.", unit="seconds", gt=0)
    ack_timeout_secs: float = option(30.0, "From writing to the answer.", unit="seconds", gt=0)
    reconnect_secs: float = option(
        0.5, "After a failed attempt to connect, sends fail at once for so long.", unit="seconds", ge=0
    )
    keepalive_secs: int = option(
        60,
        "Silence after which the system probes whether the other side is still there; 0 never.",
        unit="seconds",
        ge=0,
    )
    max_answer_bytes: int = option(1024 * 1024, "A longer answer is unreadable.", unit="bytes", ge=1024)


class MllpDestination:
    """Persistent connections to one receiver, one for each lane that is sending."""

    def __init__(self, options: MllpDestinationOptions, seat: Seat) -> None:
        self._options = options
        self._seat = seat
        self._place = f"[{options.host}]:{options.port}" if ":" in options.host else f"{options.host}:{options.port}"
        self._actions: dict[AnswerFault, AnswerDoubt] = {
            AnswerFault.TIMEOUT: options.on_timeout,
            AnswerFault.LOST: options.on_lost,
            AnswerFault.MISMATCH: options.on_mismatch,
            AnswerFault.UNREADABLE: options.on_unreadable,
        }
        overlooked = frozenset(fault for fault, action in self._actions.items() if action == "accept")
        self._manners = Manners(options.ack_timeout_secs, options.max_answer_bytes, overlooked)
        self._lanes = Lanes(options.connections)
        self._tls: Callable[[], ssl.SSLContext] | None = None
        self._server_name = (options.tls.server_name if options.tls else "") or options.host
        self._failure: Transient | None = None  # of the last attempt to connect
        self._retry_at = 0.0
        self._closed = False

    async def open(self) -> None:
        self._closed = False
        if self._options.tls is not None:
            self._tls = renewing_client_context(self._options.tls, self._seat.site, self._seat.channel, self._seat.emit)

    async def probe(self) -> str:
        """Connect and close again, TLS included: MLLP has no other call that is without an effect."""
        line = await self._connect()
        seen = f"connected to {self._place}"
        secured = line.info("ssl_object")
        if secured is not None:
            name = peer_name(line.info("peercert")) or "unverified"
            seen += f" with {secured.version()}, certificate of {name}"
        await line.close()
        return seen

    async def send(self, envelope: Envelope) -> Sent:
        question = read_question(envelope.body)
        try:
            frame = render(envelope.body)
        except FormatError as error:
            raise Refused(error.reason, str(error)) from error
        expected = self._expected(question)
        async with self._lanes.place(envelope.lane) as place:
            async with place.turn:
                line = await self._line(place)
                if expected == "none":
                    return await self._tell(line, frame)
                asked = line.ask(frame, question, application=expected == "application")
            return self._conclude(await asked)

    async def close(self) -> None:
        self._closed = True
        lines = [place.line for place in self._lanes.places if place.line is not None]
        await asyncio.gather(*(line.close() for line in lines))

    def _expected(self, question: Question) -> str:
        expected = self._options.expect
        if expected != "auto":
            return expected
        if question.application_condition == "AL":
            return "application"
        if question.application_condition == question.accept_condition == "NE":
            return "none"
        return "accept"

    async def _tell(self, line: Line, frame: bytes) -> Sent:
        if await line.tell(frame):
            return Sent(detail="written; no answer is expected")
        return self._conclude(Reply(fault=AnswerFault.LOST, detail="while the message was being written"))

    def _conclude(self, reply: Reply) -> Sent:
        """What the answer means for the delivery: Sent, or one of the delivery errors."""
        if reply.fault is not None:
            return self._conclude_fault(reply, reply.fault)
        assert reply.acknowledgement is not None
        code = reply.acknowledgement.code
        if code in ("AA", "CA"):
            return Sent(reply.answer, code)
        action = self._options.on_error if code in ("AE", "CE") else self._options.on_reject
        text = f"{self._place} answered {code}"
        if action == "retry":
            raise Transient(f"ack-{code}", text, answer=reply.answer)
        raise Refused(f"ack-{code}", text, answer=reply.answer)

    def _conclude_fault(self, reply: Reply, fault: AnswerFault) -> Sent:
        text = f"{self._place}: {_describe(fault, reply, self._options.ack_timeout_secs)}"
        match self._actions[fault]:
            case "accept":
                return Sent(reply.answer, f"accepted, though {fault}")
            case "retry":
                raise Transient(fault, text, answer=reply.answer)
            case "unsure":
                raise Unsure(fault, text, answer=reply.answer)
            case "refuse":
                raise Refused(fault, text, answer=reply.answer)

    # Connections

    async def _line(self, place: Place) -> Line:
        line = place.line
        if line is None or not line.is_open:
            self._check_back_off()
            line = place.line = await self._connect()
            if not line.is_open:
                raise Transient(AnswerFault.LOST, f"{self._place} closed the connection at once")
        return line

    def _check_back_off(self) -> None:
        if self._closed:
            raise Transient("closed", f"the destination for {self._place} is closed")
        remaining = self._retry_at - self._seat.clock.monotonic()
        if self._failure is not None and remaining > 0:
            text = f"{self._failure}; not tried again for {remaining:.1f} s"
            raise Transient(self._failure.reason, text, retry_after=remaining)

    async def _connect(self) -> Line:
        options = self._options
        loop = asyncio.get_running_loop()
        secure: dict[str, Any] = {}
        if self._tls is not None:
            secure = {
                "ssl": self._tls(),
                "server_hostname": self._server_name,
                "ssl_shutdown_timeout": _SHUTDOWN_SECS,
            }
        try:
            async with asyncio.timeout(options.connect_timeout_secs):
                transport, line = await loop.create_connection(
                    lambda: Line(self._seat.channel, self._seat.emit, self._manners),
                    options.host,
                    options.port,
                    **secure,
                )
        except OSError as error:  # TimeoutError and ssl.SSLError are OSErrors too
            self._failure = _connect_failure(error, self._place, options.connect_timeout_secs)
            self._retry_at = self._seat.clock.monotonic() + options.reconnect_secs
            raise self._failure from error
        self._failure = None
        sock = transport.get_extra_info("socket")
        if sock is not None:
            tcp.keep_alive(sock, options.keepalive_secs)
        return line


def _describe(fault: AnswerFault, reply: Reply, secs: float) -> str:
    match fault:
        case AnswerFault.TIMEOUT:
            return f"no answer within {secs:g} s (ack_timeout_secs)"
        case AnswerFault.LOST:
            return f"the connection was lost before the answer came: {reply.detail}"
        case AnswerFault.MISMATCH:
            return "MSA-2 of the answer is not the control id (MSH-10) of what was sent"
        case AnswerFault.UNREADABLE:
            return "the answer is no HL7 acknowledgement (no MSH, or no MSA with a known code)"


def _connect_failure(error: OSError, place: str, secs: float) -> Transient:
    match error:
        case TimeoutError():
            return Transient("connect-timeout", f"{place} did not take the connection within {secs:g} s")
        case ssl.SSLCertVerificationError():
            return Transient("tls-failed", f"{place}: its certificate is not accepted: {error.verify_message}")
        case ssl.SSLError():
            return Transient("tls-failed", f"{place}: TLS could not be agreed on: {error.reason or error}")
        case socket.gaierror():
            return Transient("host-unknown", f"{place}: the host name is not known: {error.strerror}")
        case ConnectionRefusedError():
            return Transient("connect-refused", f"{place} refused the connection: nobody listens there")
        case _:
            return Transient("connect-failed", f"{place}: {error.strerror or error}")


CONNECTOR = Connector(
    kind="mllp",
    role=Role.DESTINATION,
    summary="Sends HL7 v2 over MLLP in TCP, TLS or mutual TLS, and judges each acknowledgement.",
    options=MllpDestinationOptions,
    build=MllpDestination,
)
