"""How the daemon fares."""

from __future__ import annotations

from typing import Any

import msgspec

from hcsyncd.runtime.live import Live
from hcsyncd.runtime.verb import Caller, Request, Verb, Verbs
from hcsyncd.store.ports import History


class StateVerbs:
    """``status``, ``channels``."""

    def __init__(self, history: History, live: Live) -> None:
        self._history = history
        self._live = live

    def verbs(self) -> Verbs:
        return {
            "status": Verb(Request, self.status),
            "channels": Verb(Request, self.channels),
        }

    async def status(self, _asked: Request, _caller: Caller) -> dict[str, Any]:
        """``{"daemon": DaemonStatus, "channels": [ChannelStatus], "counts": {"messages": {state: n}, ...},
        "alerts": [Alert]}``."""
        return {
            "daemon": self._live.status(),
            "channels": self._live.channels(),
            "counts": await self._history.counts(),
            "alerts": self._live.alerts(),
        }

    async def channels(self, _asked: Request, _caller: Caller) -> list[dict[str, Any]]:
        """Each channel's ChannelStatus, with the ``counts`` of its messages or deliveries by state."""
        counts: dict[str, dict[str, int]] = {}
        for channel, state, count in await self._history.channel_counts():
            counts.setdefault(channel, {})[state] = count
        return [
            {**msgspec.to_builtins(status), "counts": counts.get(status.name, {})} for status in self._live.channels()
        ]
