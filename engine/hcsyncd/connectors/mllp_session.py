"""One connection of an MLLP listener: bytes in, frames to intake, replies out in the order of the frames."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol, cast

from hcsyncd.connectors import tcp, tls
from hcsyncd.connectors.connector import Intake, Seat
from hcsyncd.connectors.mllp_replies import Replies
from hcsyncd.errors import StoreError
from hcsyncd.events import (
    ConnectionClosed,
    ConnectionOpened,
    FaultTolerated,
    FrameFaulted,
)
from hcsyncd.formats.mllp import Fault, FaultKind, Frame, Splitter
from hcsyncd.message import NO_FACTS, Arrival

_LINGER_SECS = 10.0  # how long a closing connection may take to read what was written


@dataclass(frozen=True, slots=True)
class Limits:
    """What one connection may use."""

    frame_bytes: int
    pending: int  # arrivals that wait for their reply
    pending_bytes: int
    idle_secs: float  # 0: never
    frame_secs: float  # 0: never
    tolerate_missing_end: bool


class Door(Protocol):
    """What a session needs of its listener."""

    def entered(self, session: Session) -> None:
        """The connection is made, TLS included."""
        ...

    def finished(self, session: Session) -> None:
        """The connection is gone and everything it brought is receipted."""
        ...

    def failed(self, error: BaseException) -> None:
        """Intake broke its contract: the source must be restarted."""
        ...


class Session(asyncio.Protocol):
    """The state of one connection.

    It is read on while few replies are owed, and closed when it is leaving (``_leaving`` says why) and none is.
    """

    def __init__(self, door: Door, seat: Seat, limits: Limits, intake: Intake) -> None:
        self._door = door
        self._seat = seat
        self._clock = seat.clock
        self._limits = limits
        self._intake = intake
        self._splitter = Splitter(limits.frame_bytes, tolerate_missing_end=limits.tolerate_missing_end)
        self._transport: asyncio.Transport | None = None
        self._is_tls = False
        self._peer = ""
        self._facts = NO_FACTS
        self._replies = Replies(intake, self._write, self._settled, self._break_off)
        self._held = False  # reading is paused
        self._choked = False  # the peer does not read its replies
        self._mute = False  # nothing may be written any more
        self._leaving = ""
        self._left_at = 0.0
        self._lost = False
        self._heard_at = 0.0
        self._frame_at = 0.0  # start of the frame that is being received; 0: none is

    @property
    def is_lost(self) -> bool:
        """The connection is gone, though not everything it brought is receipted yet."""
        return self._lost

    # The connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        address, local = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        self._peer = tcp.host_port(address)
        self._is_tls = transport.get_extra_info("ssl_object") is not None
        facts = {"peer": tcp.bare_host(address)}
        if local:
            facts["local_port"] = str(local[1])
        certificate = transport.get_extra_info("peercert")
        if name := tls.note_certificate(certificate, self._seat.channel, self._seat.emit):
            facts["tls_client"] = name
        self._facts = MappingProxyType(facts)
        self._heard_at = self._clock.monotonic()
        self._seat.emit(ConnectionOpened(self._seat.channel, self._peer))
        self._door.entered(self)

    def eof_received(self) -> bool:
        """Many senders half-close after their last message and still want its reply; TLS knows no half-close."""
        self._leave("peer-closed", cut=True)
        return self._replies.owed and not self._is_tls

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave("reset" if exc else "peer-closed", cut=True)
        self._lost = True
        self._seat.emit(ConnectionClosed(self._seat.channel, self._peer, self._leaving))
        self._finish_when_done()

    def pause_writing(self) -> None:
        self._choked = True
        self._hold()

    def resume_writing(self) -> None:
        self._choked = False
        self._read_on()

    # Frames in

    def data_received(self, data: bytes) -> None:
        if self._leaving:
            return
        self._heard_at = self._clock.monotonic()
        splitter = self._splitter
        found = splitter.feed(data)
        if found:
            self._frame_at = 0.0
            self._take(found, self._clock.now())
            if self._replies.reach(self._limits.pending, self._limits.pending_bytes):
                self._hold()
        if not splitter.in_frame:
            self._frame_at = 0.0
        elif not self._frame_at:
            self._frame_at = self._heard_at

    def _take(self, found: list[Frame | Fault], now: int) -> None:
        for item in found:
            if isinstance(item, Fault):
                self._fault(item, now)
                continue
            facts = self._facts
            if item.tolerated:
                facts = MappingProxyType({**facts, "tolerated": ",".join(item.tolerated)})
                for switch in item.tolerated:
                    self._seat.emit(FaultTolerated(self._seat.channel, switch))
            arrival = Arrival(self._seat.channel, item.payload, self._peer, now, "", facts)
            self._replies.expect(self._intake.accept(arrival), len(item.payload))

    def _fault(self, fault: Fault, now: int) -> None:
        self._seat.emit(FrameFaulted(self._seat.channel, self._peer, fault.kind, fault.size))
        if not fault.payload:
            return
        if fault.kind is FaultKind.OVERSIZE:
            text = f"a frame of {fault.size} bytes is longer than max_frame_bytes ({self._limits.frame_bytes})"
        else:
            text = f"a frame of {fault.size} bytes has no end"
        arrival = Arrival(self._seat.channel, fault.payload, self._peer, now, "", self._facts)
        self._replies.expect(self._intake.unreadable(arrival, fault.kind, text), len(fault.payload))

    # Replies out

    def _write(self, data: bytes) -> bool:
        transport = self._transport
        if transport is None or self._mute or self._lost or transport.is_closing():
            return False
        transport.write(data)
        return True

    def _settled(self) -> None:
        if self._held:
            self._read_on()
        if self._leaving:
            self._close_when_done()

    def _break_off(self, error: BaseException) -> None:
        """Tell the peer nothing of what was not stored: it sends again. A later reply would be taken for this one's."""
        self._mute = True
        self._leave("store-failed", cut=False)
        if not isinstance(error, StoreError):
            self._door.failed(error)

    # Back-pressure, time limits, the end

    def _hold(self) -> None:
        if not self._held and not self._leaving and self._transport is not None and not self._transport.is_closing():
            self._held = True
            self._transport.pause_reading()

    def _read_on(self) -> None:
        limits = self._limits
        few = len(self._replies) <= limits.pending // 2 and self._replies.bytes <= limits.pending_bytes // 2
        if self._held and self._transport is not None and (self._leaving or (few and not self._choked)):
            self._held = False
            now = self._clock.monotonic()
            self._heard_at = now
            if self._frame_at:
                self._frame_at = now  # the pause was ours
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def check(self, now: float) -> None:
        """Close the connection when a time limit has passed; called every now and then with monotonic seconds."""
        limits = self._limits
        if self._leaving:
            if not self._replies.owed and now - self._left_at > _LINGER_SECS and self._transport is not None:
                self._transport.abort()
        elif self._frame_at and not self._held and limits.frame_secs and now - self._frame_at >= limits.frame_secs:
            self._leave("frame-timeout", cut=True)
        elif limits.idle_secs and not self._replies.owed and now - self._heard_at >= limits.idle_secs:
            self._leave("idle", cut=True)

    def stop(self) -> None:
        """Take no more frames, answer those in hand, then close. A frame that is cut off here is sent again later."""
        self._leave("stopping", cut=False)

    def abort(self) -> None:
        """Close at once; what is not answered by now is never answered on this connection."""
        self._mute = True
        self._leave("stopping", cut=False)
        if self._transport is not None:
            self._transport.abort()

    def _leave(self, reason: str, *, cut: bool) -> None:
        """Begin to close. ``cut``: nothing more will come, so that an unfinished frame is a fault of its sender."""
        if self._leaving:
            return
        self._leaving = reason
        self._read_on()  # and throw away: to close with unread bytes would reset the connection, and lose replies
        self._left_at = self._clock.monotonic()
        if cut:
            self._take(self._splitter.finish(), self._clock.now())
        self._close_when_done()

    def _close_when_done(self) -> None:
        if self._replies.owed and not self._mute:
            return
        if self._transport is not None:
            self._transport.close()
        self._finish_when_done()

    def _finish_when_done(self) -> None:
        if self._lost and not self._replies:
            self._door.finished(self)
