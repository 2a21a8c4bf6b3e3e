"""Alerts in the store file, and the counts that they are judged by."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Sequence
from typing import Any

import apsw

from hcsyncd.message import DeliveryState, MessageState
from hcsyncd.store.ports.alerts import Alert, Trouble
from hcsyncd.store.queries import QUERIES
from hcsyncd.store.readers import Readers
from hcsyncd.store.transaction import Transaction
from hcsyncd.store.writer import Work, Writer

LAST_ID = 2**63 - 1


class SqliteAlerts:
    """The alerts port on the store file."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    def put(self, alert: Alert) -> Future[int]:
        return self._writer.submit(PUT, alert)

    async def open(self) -> list[Alert]:
        return [_alert_from(row) for row in await self._readers.rows("open_alerts")]

    async def history(self, *, before_id: int = 0, kind: str = "", subject: str = "", limit: int = 100) -> list[Alert]:
        values = {"before": before_id or LAST_ID, "kind": kind, "subject": subject, "limit": limit}
        return [_alert_from(row) for row in await self._readers.rows("alert_history", values)]

    async def trouble(self) -> Trouble:
        return await self._readers.read(_trouble)

    async def last_received(self, channels: Sequence[str]) -> dict[str, int]:
        return await self._readers.read(lambda connection: _last_received(connection, channels))


def _alert_from(row: tuple[Any, ...]) -> Alert:
    alert_id, kind, subject, owner, text, raised_at, *rest = row
    return Alert(kind, subject, owner, text, raised_at, alert_id, *rest)


def _trouble(connection: apsw.Connection) -> Trouble:
    counts: dict[str, dict[str, int]] = {state: {} for state in _TROUBLED}
    found: Any = connection.execute(QUERIES["troubled_deliveries"].text)
    for destination, state, count in found:
        counts[state][destination] = count
    arrivals: Any = connection.execute(QUERIES["dead_at_arrival"].text)
    counts[DeliveryState.DEAD].update(arrivals)
    return Trouble(*(counts[state] for state in _TROUBLED))


_TROUBLED = (DeliveryState.DEAD, DeliveryState.UNSURE, DeliveryState.PARKED)  # as Trouble has them


def _last_received(connection: apsw.Connection, channels: Sequence[str]) -> dict[str, int]:
    """By state, as that is what the index leads with; the highest id of them all is the newest."""
    found: dict[str, int] = {}
    for channel in channels:
        newest: list[Any] = []
        for state in MessageState:
            newest += connection.execute(QUERIES["newest_in_state"].text, (state, channel)).fetchall()
        if newest:
            found[channel] = max(newest)[1]
    return found


def _put(transaction: Transaction, group: list[Alert]) -> list[int]:
    return [_put_one(transaction.connection, alert) for alert in group]


def _put_one(connection: apsw.Connection, alert: Alert) -> int:
    state = (alert.reminded_at, alert.reminders, alert.acknowledged_at, alert.acknowledged_by, alert.note)
    if alert.id:
        row = (alert.id, alert.owner, alert.text, *state, alert.cleared_at)
        connection.execute(QUERIES["update_alert"].text, row)
        return alert.id
    new = (alert.kind, alert.subject, alert.owner, alert.text, alert.raised_at, *state, alert.cleared_at)
    connection.execute(QUERIES["insert_alert"].text, new)
    return connection.last_insert_rowid()


PUT: Work[Alert, int] = Work("keeping an alert", _put)
