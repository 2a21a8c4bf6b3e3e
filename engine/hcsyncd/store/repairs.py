"""The ways out of being a dead letter. Each call is one operation of the writer, and so one commit."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Sequence
from dataclasses import dataclass

from hcsyncd.message import Delivery
from hcsyncd.store.outbox import stand
from hcsyncd.store.queries import QUERIES
from hcsyncd.store.rows import delivery_from
from hcsyncd.store.transaction import Transaction
from hcsyncd.store.writer import Work, Writer


@dataclass(frozen=True, slots=True)
class _Close:
    message_ids: tuple[int, ...]
    delivery_ids: tuple[int, ...]
    reason: str


class SqliteRepairs:
    """The repairs port on the store file."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def reopen(self, delivery_ids: Sequence[int]) -> Future[list[Delivery]]:
        return self._writer.submit(REOPEN, tuple(delivery_ids))

    def close(self, message_ids: Sequence[int], delivery_ids: Sequence[int], reason: str) -> Future[int]:
        return self._writer.submit(CLOSE, _Close(tuple(message_ids), tuple(delivery_ids), reason))


def _reopen(transaction: Transaction, group: list[tuple[int, ...]]) -> list[list[Delivery]]:
    return [_reopen_some(transaction, delivery_ids) for delivery_ids in group]


def _reopen_some(transaction: Transaction, delivery_ids: tuple[int, ...]) -> list[Delivery]:
    found = transaction.select("troubled_with_bodies", delivery_ids)
    ids = sorted(delivery_id for delivery_id, _ in found)
    transaction.update("reopen_deliveries", ids)
    stand(transaction, {message_id for _, message_id in found})
    return [delivery_from(row) for row in transaction.select("deliveries_with_bodies", ids)]


def _close(transaction: Transaction, group: list[_Close]) -> list[int]:
    return [_close_some(transaction, asked) for asked in group]


def _close_some(transaction: Transaction, asked: _Close) -> int:
    touched = {row[0] for row in transaction.select("troubled_messages", asked.delivery_ids)}
    closed = transaction.update("close_deliveries", asked.delivery_ids, transaction.now, asked.reason)
    for message_id in asked.message_ids:
        of_message = transaction.update("close_deliveries_of_messages", [message_id], transaction.now, asked.reason)
        transaction.connection.execute(
            QUERIES["close_dead_message"].text, {"message_id": message_id, "reason": asked.reason}
        )
        closed += of_message or transaction.connection.changes()
        touched.add(message_id)
    stand(transaction, touched)
    return closed


REOPEN = Work("opening a dead letter again", _reopen)
CLOSE = Work("closing a dead letter", _close)
