"""Receives HL7 v2 over MLLP (HL7 Transport Specification: MLLP, Release 1), in plain TCP, TLS or mutual TLS.

Nothing here waits for one message: frames are handed to intake as they come, their replies are written in the order
in which the frames came, and replies that are ready together leave in one write.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import ssl
from typing import Any, Literal

from pydantic import IPvAnyNetwork

from hcsyncd.connectors import tcp
from hcsyncd.connectors.connector import Connector, Intake, Role, Seat
from hcsyncd.connectors.mllp_session import Limits, Session
from hcsyncd.connectors.tls import TlsServerOptions, renewing_server_context
from hcsyncd.errors import SourceError
from hcsyncd.events import ConnectionRefused
from hcsyncd.options import Options, option

_HANDSHAKE_SECS = 10.0  # a TLS handshake that takes longer only holds a place
_SHUTDOWN_SECS = 2.0  # how long a peer may take to say good-bye in TLS
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_SWEEP_SECS = 1.0  # how often time limits are looked at, when they are not shorter themselves


class MllpSourceOptions(Options):
    """An MLLP listener."""

    host: str = option(
        "127.0.0.1", "Address to listen on: `0.0.0.0` all of IPv4, `::` all of both.", example="10.1.2.3"
    )
    port: int = option(..., "Port to listen on; 0 takes any free one.", ge=0, le=65535, example=2575)
    tls: TlsServerOptions | None = option(None, "TLS. Left out: plain TCP.")
    allow: list[IPvAnyNetwork] = option(
        default_factory=list,
        doc="Peers that may connect, as IP addresses or networks. Empty: all.",
        example=["10.20.0.0/16", "192.0.2.7"],
    )
    max_connections: int = option(1000, "Connections at once; one more is closed at once and told of.", ge=1)
    backlog: int = option(512, "Connections that the system holds until they are taken.", ge=1, le=65535)
    max_frame_bytes: int = option(
        16 * 1024 * 1024, "A longer frame is refused and kept, cut, as a dead letter.", unit="bytes", ge=1024
    )
    idle_timeout_secs: float = option(
        0.0, "A connection without a byte for so long is closed; 0 never.", unit="seconds", ge=0
    )
    frame_timeout_secs: float = option(
        120.0, "A frame must be complete so long after its first byte; 0 sets no limit.", unit="seconds", ge=0
    )
    keepalive_secs: int = option(
        60, "Silence after which the system probes whether the peer is still there; 0 never.", unit="seconds", ge=0
    )
    max_pending: int = option(
        256, "Messages of one connection that may wait for their acknowledgement before it is read on.", ge=1
    )
    max_pending_bytes: int = option(
        4 * 1024 * 1024, "The same, in bytes; a single longer message is still taken.", unit="bytes", ge=1024
    )
    tolerate: list[Literal["missing_end_byte"]] = option(
        default_factory=list,
        doc="Known sender faults that are overlooked and counted: `missing_end_byte`: a frame ends where the next one"
        " starts, or where the connection ends.",
    )


class MllpSource:
    """The listener: binds, lets peers in, looks after time limits, and drains."""

    def __init__(self, options: MllpSourceOptions, seat: Seat) -> None:
        self._options = options
        self._seat = seat
        self._limits = Limits(
            frame_bytes=options.max_frame_bytes,
            pending=options.max_pending,
            pending_bytes=options.max_pending_bytes,
            idle_secs=options.idle_timeout_secs,
            frame_secs=options.frame_timeout_secs,
            tolerate_missing_end="missing_end_byte" in options.tolerate,
        )
        self._socket: socket.socket | None = None
        self._context: ssl.SSLContext | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._greetings: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._sessions: set[Session] = set()
        self._emptied = asyncio.Event()
        self._ended = asyncio.Event()
        self._stopping = False
        self._failure: BaseException | None = None
        self._address = ""

    @property
    def address(self) -> str:
        return self._address

    @property
    def connections(self) -> int:
        """How many are open now."""
        return sum(not session.is_lost for session in self._sessions)

    async def start(self) -> None:
        options = self._options
        if options.tls:
            self._context = renewing_server_context(options.tls, self._seat.site, self._seat.channel, self._seat.emit)
        self._socket = await tcp.bind(options.host, options.port, options.backlog)
        self._socket.settimeout(0)
        tcp.keep_alive(self._socket, options.keepalive_secs)
        self._address = tcp.host_port(self._socket.getsockname())

    async def run(self, intake: Intake) -> None:
        if self._socket is None:
            raise SourceError("an mllp source must be started before it can run")
        if self._stopping:
            return
        self._accepting = asyncio.create_task(self._accept(self._socket, intake))
        self._sweep()
        try:
            await self._ended.wait()
        finally:
            self._abort()
        if self._failure is not None:
            raise self._failure

    async def stop(self) -> None:
        self._stopping = True
        try:
            for session in list(self._sessions):
                session.stop()
            await self._close_listener()
            while self._sessions:
                self._emptied.clear()
                await self._emptied.wait()
        finally:
            self._abort()
            self._ended.set()

    # Letting peers in

    async def _accept(self, listening: socket.socket, intake: Intake) -> None:
        """Take connections one by one, and not by the event loop's server: a peer that may not come in is cut before it
        costs a TLS handshake, and a handshake that fails is told of."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, address = await loop.sock_accept(listening)
            except ConnectionError:
                continue  # gone again before it was taken
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    self.failed(SourceError(f"cannot listen on {self._address} any more: {error.strerror}"))
                    return
                self._seat.emit(ConnectionRefused(self._seat.channel, "unknown", "no-resources"))
                await asyncio.sleep(_SWEEP_SECS)
                continue
            reason = self._refusal(tcp.bare_host(address))
            if reason:
                self._seat.emit(ConnectionRefused(self._seat.channel, tcp.host_port(address), reason))
                sock.close()
                continue
            greeting = loop.create_task(self._greet(sock, tcp.host_port(address), intake))
            self._greetings.add(greeting)
            greeting.add_done_callback(self._greetings.discard)

    async def _greet(self, sock: socket.socket, peer: str, intake: Intake) -> None:
        secure: dict[str, Any] = {}
        if self._context is not None:
            secure = {
                "ssl": self._context,
                "ssl_handshake_timeout": _HANDSHAKE_SECS,
                "ssl_shutdown_timeout": _SHUTDOWN_SECS,
            }
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: Session(self, self._seat, self._limits, intake), sock, **secure
            )
        except OSError:  # ssl.SSLError and the time-out's ConnectionAbortedError are OSErrors too
            self._seat.emit(ConnectionRefused(self._seat.channel, peer, "tls" if secure else "gone"))

    def _refusal(self, host: str) -> str:
        """Why a peer may not come in (a stable code), or "" when it may."""
        if self._options.allow and not self._is_allowed(host):
            return "not-allowed"
        most = self._options.max_connections
        if len(self._sessions) + len(self._greetings) < most:
            return ""
        live = sum(not session.is_lost for session in self._sessions) + len(self._greetings)
        return "too-many" if live >= most else ""

    # What sessions tell their listener

    def entered(self, session: Session) -> None:
        self._sessions.add(session)
        if self._stopping:
            session.stop()

    def finished(self, session: Session) -> None:
        self._sessions.discard(session)
        if not self._sessions:
            self._emptied.set()

    def failed(self, error: BaseException) -> None:
        self._failure = self._failure or error
        self._ended.set()

    def _is_allowed(self, host: str) -> bool:
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:  # the peer is gone already and has no address any more
            return False
        return any(address in network for network in self._options.allow)

    def _sweep(self) -> None:
        limits = [secs for secs in (self._limits.idle_secs, self._limits.frame_secs) if secs]
        pause = min([_SWEEP_SECS, *(secs / 4 for secs in limits)])
        now = self._seat.clock.monotonic()
        for session in list(self._sessions):
            session.check(now)
        self._timer = asyncio.get_running_loop().call_later(pause, self._sweep)

    async def _close_listener(self) -> None:
        """Take no more connections, and give up the handshakes that are under way."""
        tasks = [*self._greetings, *([self._accepting] if self._accepting is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._socket is not None:
            self._socket.close()

    def _abort(self) -> None:
        """Let go of everything at once; harmless after an orderly stop."""
        if self._timer is not None:
            self._timer.cancel()
        if self._accepting is not None:
            self._accepting.cancel()
        for greeting in self._greetings:
            greeting.cancel()
        if self._socket is not None:
            self._socket.close()
        for session in list(self._sessions):
            session.abort()


CONNECTOR = Connector(
    kind="mllp",
    role=Role.SOURCE,
    summary="Receives HL7 v2 over MLLP in TCP, TLS or mutual TLS, and acknowledges each message.",
    options=MllpSourceOptions,
    build=MllpSource,
)
