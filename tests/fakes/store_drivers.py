"""The store drivers that the conformance tests run against: another driver is one more entry."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from hcsyncd.store.keyring import MasterKey
from hcsyncd.store.ports import (
    Alerts,
    AuditLog,
    ConfigurationHistory,
    Doubts,
    History,
    Holds,
    Inbox,
    Outbox,
    Repairs,
    Replays,
    Retention,
    Search,
    Tasks,
)
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

    @property
    def search(self) -> Search: ...

    @property
    def replays(self) -> Replays: ...

    @property
    def retention(self) -> Retention: ...

    @property
    def audit(self) -> AuditLog: ...

    @property
    def alerts(self) -> Alerts: ...

    @property
    def configurations(self) -> ConfigurationHistory: ...

    @property
    def tasks(self) -> Tasks: ...

    @property
    def holds(self) -> Holds: ...

    @property
    def doubts(self) -> Doubts: ...

    async def close(self) -> None: ...


Open = Callable[[], Awaitable[Ports]]


async def open_sqlite(folder: Path) -> Ports:
    return await Store.open(folder, RecordedEvents(), FakeClock())


async def open_sealed_sqlite(folder: Path) -> Ports:
    return await Store.open(folder, RecordedEvents(), FakeClock(), MasterKey(bytes(range(32))))


DRIVERS: dict[str, Callable[[Path], Awaitable[Ports]]] = {"sqlite": open_sqlite, "sqlite-sealed": open_sealed_sqlite}
