"""The holds of channels on the store file."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Sequence
from dataclasses import dataclass

from hcsyncd.store.ports import Hold, HoldKind
from hcsyncd.store.queries import QUERIES
from hcsyncd.store.readers import Readers
from hcsyncd.store.transaction import Transaction
from hcsyncd.store.writer import Work, Writer


@dataclass(frozen=True, slots=True)
class _Lift:
    kind: HoldKind
    channels: tuple[str, ...]


class SqliteHolds:
    """The holds port on the store file."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def held(self) -> list[Hold]:
        rows = await self._readers.rows("holds")
        return [Hold(HoldKind(kind), channel, by, at, reason) for kind, channel, by, at, reason in rows]

    def put(self, holds: Sequence[Hold]) -> Future[None]:
        return self._writer.submit(PUT, tuple(holds))

    def lift(self, kind: HoldKind, channels: Sequence[str]) -> Future[None]:
        return self._writer.submit(LIFT, _Lift(kind, tuple(channels)))


def _put(transaction: Transaction, group: list[tuple[Hold, ...]]) -> list[None]:
    for holds in group:
        for hold in holds:
            values = (hold.kind, hold.channel, hold.by, hold.at, hold.reason)
            transaction.connection.execute(QUERIES["put_hold"].text, values)
    return [None] * len(group)


def _lift(transaction: Transaction, group: list[_Lift]) -> list[None]:
    for asked in group:
        for channel in asked.channels:
            transaction.connection.execute(QUERIES["lift_hold"].text, (asked.kind, channel))
    return [None] * len(group)


PUT = Work("holding channels", _put)
LIFT = Work("lifting holds", _lift)
