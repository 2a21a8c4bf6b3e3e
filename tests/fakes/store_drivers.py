"""The store drivers that the conformance tests run against: another driver is one more entry."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from hcsyncd.store.ports import History, Inbox, Outbox, Repairs
from hcsyncd.store.store import Store
from tests.fakes.clock import FakeClock
from tests.fakes.events import RecordedEvents


class Ports(Protocol):
    """What every driver offers."""

    @property
    def inbox(self) -> Inbox: ...

    @property
    def outbox(self) -> Outbox: ...

    @property
    def history(self) -> History: ...

    @property
    def repairs(self) -> Repairs: ...

    async def close(self) -> None: ...


Open = Callable[[], Awaitable[Ports]]


async def open_sqlite(folder: Path) -> Ports:
    return await Store.open(folder, RecordedEvents(), FakeClock())


DRIVERS: dict[str, Callable[[Path], Awaitable[Ports]]] = {"sqlite": open_sqlite}
