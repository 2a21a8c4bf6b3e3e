"""Connections of an HTTP listener whose next request has not come whole: a head that never ends holds no connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web


class Heads:
    """Cuts connections whose request's head is not there in time. ``on_cut`` is told each one's peer address."""

    def __init__(
        self, server: web.Server, limit_secs: float, on_cut: Callable[[tuple[object, ...] | None], None]
    ) -> None:
        self._server = server
        self._limit_secs = limit_secs
        self._on_cut = on_cut
        self._since: dict[web.RequestHandler, float] = {}  # monotonic; of those that owe us a head
        self._timer: asyncio.TimerHandle | None = None

    def connection(self) -> web.RequestHandler:
        """The protocol of a new connection, for `asyncio.loop.create_server`."""
        handler = self._server()
        self._since[handler] = asyncio.get_running_loop().time()
        if self._timer is None:
            self._look_later()
        return handler

    def came(self, handler: web.RequestHandler) -> None:
        """A whole head has come. What follows on the connection is bounded by the listener's other limits."""
        self._since.pop(handler, None)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
        self._since.clear()

    def _look_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(min(1.0, self._limit_secs / 4), self._look)

    def _look(self) -> None:
        now = asyncio.get_running_loop().time()
        for handler, since in list(self._since.items()):
            transport = handler.transport
            if transport is None:  # not made yet, as TLS may take a while, or gone
                if now - since > self._limit_secs:
                    del self._since[handler]
            elif now - since > self._limit_secs:
                del self._since[handler]
                self._on_cut(transport.get_extra_info("peername"))
                handler.force_close()
        self._timer = None
        if self._since:
            self._look_later()
