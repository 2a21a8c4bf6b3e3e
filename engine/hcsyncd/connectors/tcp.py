"""What every TCP connector needs from a socket: addresses a person can read, dead peers noticed, a listener bound."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket

from hcsyncd.errors import SourceError

_PROBES = 3  # unanswered keep-alive probes until the system calls a peer dead


def host_port(address: tuple[object, ...] | None) -> str:
    """Render a socket address: ``10.1.2.3:4711``, ``[fe80::1]:4711``; ``unknown`` when the peer is gone already."""
    if not address:
        return "unknown"
    host = bare_host(address)
    return f"[{host}]:{address[1]}" if ":" in host else f"{host}:{address[1]}"


def bare_host(address: tuple[object, ...] | None) -> str:
    """The IP address alone; an IPv4 peer of a dual-stack listener is named by its IPv4 address."""
    if not address:
        return "unknown"
    host = str(address[0])
    mapped = ipaddress.IPv6Address(host.partition("%")[0]).ipv4_mapped if ":" in host else None
    return str(mapped) if mapped else host


def cause_text(error: Exception) -> str:
    """Why there is no connection, in the system's words: an HTTP library's own would show its objects around them."""
    cause = getattr(error, "os_error", None) or error
    return str(getattr(cause, "strerror", None) or cause)


def keep_alive(sock: socket.socket, secs: int) -> None:
    """Have the system probe a peer after ``secs`` of silence, 0 never. A listener hands it on to its connections."""
    if secs <= 0:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, secs)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, secs // _PROBES))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES)


async def bind(host: str, port: int, backlog: int) -> socket.socket:
    """A listening socket. Bound here and not by the event loop, because uvloop reports a taken address only later.

    Raises SourceError that names the address and what to do.
    """
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except socket.gaierror as error:
        raise SourceError(f"cannot listen on {place}: host {host!r} is not known: {error.strerror}") from error
    family, _, _, _, address = found[0]
    dual = family == socket.AF_INET6 and address[0] == "::"
    try:
        return socket.create_server(address[:2], family=family, backlog=backlog, dualstack_ipv6=dual)
    except OSError as error:
        raise SourceError(f"cannot listen on {place}: {_bind_complaint(error, port)}") from error


def _bind_complaint(error: OSError, port: int) -> str:
    reason = os.strerror(error.errno or 0)
    if isinstance(error, PermissionError):
        return f"{reason}; ports below 1024 need CAP_NET_BIND_SERVICE: use a higher port than {port}, or grant it"
    return f"{reason}; another process or channel may hold the port, or the host is no address of this machine"
